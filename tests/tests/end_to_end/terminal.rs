//! What somebody at a terminal gets: `swarm up` ends in the monitor, and leaving that leaves the swarm to itself.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::pty::{Winsize, openpty};
use nix::unistd::{read, write};
use swarm_tests::{tools, until};

/// How long anything may take that is waited for.
const SOON: Duration = Duration::from_secs(90);

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    keys: Arc<OwnedFd>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn run(mut command: Command) -> Result<Self> {
        let size = Winsize { ws_row: 30, ws_col: 110, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None)?;
        let (input, output) = (pair.slave.try_clone()?, pair.slave.try_clone()?);
        let child = command.stdin(input).stdout(output).stderr(pair.slave).spawn()?;
        // the command holds its end of the terminal, which must be closed to be read to its end
        drop(command);
        let (keys, seen) = (Arc::new(pair.master), Arc::new(Mutex::new(Vec::new())));
        let (screen, heard) = (keys.clone(), seen.clone());
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            // a terminal whose program has ended gives an error
            while let Ok(count @ 1..) = read(&*screen, &mut some) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&some[..count]);
            }
        });
        Ok(Self { child, keys, seen })
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Everything that was ever drawn, without what moves and colours it.
    fn text(&self) -> String {
        let (raw, mut plain) = (self.raw(), String::new());
        let mut chars = raw.chars();
        while let Some(char) = chars.next() {
            if char != '\u{1b}' {
                plain.push(char);
                continue;
            }
            plain.push(' ');
            if chars.next() == Some('[') {
                // parameters, up to the letter that says what they are for
                chars.by_ref().find(|char| ('@'..='~').contains(char));
            }
        }
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn shows(&mut self, what: &str) -> Result<()> {
        let shown = until(format!("{what:?} on the screen"), SOON, || {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() || self.text().contains(what), "it ended: {ended:?}");
            Ok(self.text().contains(what).then_some(()))
        });
        shown.with_context(|| self.text())
    }

    fn press(&self, keys: &str) -> Result<()> {
        ensure!(write(&*self.keys, keys.as_bytes())? == keys.len(), "all keys are taken");
        Ok(())
    }

    fn ends(&mut self) -> Result<ExitStatus> {
        until("the program to end", SOON, || Ok(self.child.try_wait()?)).with_context(|| self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `swarm` in a session of its own, whose terminal is its input.
fn swarm(data: &Path) -> Result<Command> {
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(tools::program("swarm")?).arg("--data").arg(data);
    for name in ["ADMIN_KEY", "SWARM_URL", "SWARM_DATA", "NO_COLOR"] {
        command.env_remove(name);
    }
    let server = tools::tool("nats.sh", &[])?;
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", server.parent().context("a folder")?.display()));
    command.env("TERM", "xterm-256color").current_dir("/");
    Ok(command)
}

/// Ends what `swarm up` left running, whatever the test came to.
struct Down(PathBuf);

impl Drop for Down {
    fn drop(&mut self) {
        let Ok(program) = tools::program("swarm") else { return };
        let _ = Command::new(program).arg("--data").arg(&self.0).arg("down").output();
    }
}

#[test]
fn up_ends_in_the_monitor_and_leaving_it_leaves_the_swarm_running() -> Result<()> {
    let parent = tools::project().join("target/e2e");
    fs_err::create_dir_all(&parent)?;
    let dir = tempfile::Builder::new().prefix("t").tempdir_in(&parent)?;
    fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let (data, source) = (dir.path().join("up"), tools::repository()?);
    let _down = Down(data.clone());
    let mut command = swarm(&data)?;
    command.args(["up", "--drones", "1", "--portage"]).arg(tools::tool("portage.sh", &["3.0.83"])?);
    command.arg("--repository").arg(source.join("repository")).arg("--distfiles").arg(source.join("distfiles"));
    let mut terminal = Terminal::run(command)?;
    terminal.shows("d1 online")?;
    terminal.shows("Nothing waits.")?;
    // it asks what is to become of the swarm; `l` leaves it
    terminal.press("q")?;
    terminal.press("l")?;
    let status = terminal.ends()?;
    ensure!(status.success(), "{status}: {}", terminal.text());
    // the whole screen was taken, and given back; the last of it may come after the program's end
    let given_back = || {
        let seen = terminal.raw();
        Ok((seen.contains("\u{1b}[?1049h") && seen.contains("\u{1b}[?1049l")).then_some(()))
    };
    until("the screen to be given back", SOON, given_back)?;
    let asked = Command::new(tools::program("swarm")?).arg("--data").arg(&data).args(["--json", "status"]).output()?;
    ensure!(asked.status.success(), "it goes on: {}", String::from_utf8_lossy(&asked.stderr));
    let ended = Command::new(tools::program("swarm")?).arg("--data").arg(&data).arg("down").output()?;
    ensure!(ended.status.success() && String::from_utf8_lossy(&ended.stdout).contains("Ended"), "{ended:?}");
    Ok(())
}
