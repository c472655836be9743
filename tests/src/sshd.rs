//! A real OpenSSH server on loopback, with a host key and a configuration of its own, that lets one key run one command.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{tools, until};

const PROGRAM: &str = "/usr/sbin/sshd";
/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);

/// An SSH server. It ends when it is dropped.
#[derive(Debug)]
pub struct Sshd {
    child: Option<Child>,
    dir: PathBuf,
    /// Its port.
    pub port: u16,
}

impl Sshd {
    /// Whether there is one on this machine; says so loudly if not.
    pub fn there_is(test: &str) -> bool {
        let there = Path::new(PROGRAM).exists();
        if !there {
            eprintln!("SKIPPED {test}: there is no {PROGRAM}; install openssh-server to run it");
        }
        there
    }

    /// Starts one below `dir`. Whoever has the key [`Sshd::key`] may run `command`, whatever they ask for.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(dir: &Path, command: &str) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        // sshd looks at the modes of what decides who comes in
        fs_err::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        if nix::unistd::geteuid().is_root() {
            fs_err::create_dir_all("/run/sshd")?;
        }
        let port = tools::free_port()?;
        let mut sshd = Self { child: None, dir: dir.to_owned(), port };
        keygen(&dir.join("client"))?;
        let client = fs_err::read_to_string(dir.join("client.pub"))?;
        fs_err::write(dir.join("authorized_keys"), format!("restrict,command={command:?} {client}"))?;
        sshd.new_host_key()?;
        Ok(sshd)
    }

    /// Gives it another host key, as if the machine had been installed anew, and starts it with that.
    ///
    /// # Errors
    /// When it does not start.
    pub fn new_host_key(&mut self) -> Result<()> {
        self.stop();
        for name in ["host", "host.pub"] {
            let _ = fs_err::remove_file(self.dir.join(name));
        }
        keygen(&self.dir.join("host"))?;
        let configuration = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             StrictModes no\nLogLevel VERBOSE\n",
            self.port,
            self.dir.join("host").display(),
            self.dir.join("authorized_keys").display(),
        );
        let file = self.dir.join("sshd_config");
        fs_err::write(&file, configuration)?;
        let log = fs_err::File::create(self.dir.join("log"))?.into_parts().0;
        let mut child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start sshd")?;
        let listens = until("sshd to listen", START, || {
            if let Some(status) = child.try_wait()? {
                bail!("sshd ended with {status}");
            }
            Ok(TcpStream::connect(("127.0.0.1", self.port)).ok())
        });
        self.child = Some(child);
        listens.map(drop).map_err(|error| error.context(self.log()))
    }

    /// The private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// Its public host key, `type base64`.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn host_key(&self) -> Result<String> {
        let text = fs_err::read_to_string(self.dir.join("host.pub"))?;
        Ok(text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// What it says, for errors.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The user who is let in: ours.
    ///
    /// # Errors
    /// When we have no name.
    pub fn user() -> Result<String> {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid())?;
        Ok(user.context("a user with a name")?.name)
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keygen(path: &Path) -> Result<()> {
    let output =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).output()?;
    if !output.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
