//! Who restarts the agent (the service manager) and who reboots the machine (its init system), found out by looking; the
//! operator's own commands win. Programs are run with their arguments, never by a shell, and bounded in time.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;

use crate::config::HealingConfig;
use crate::machine_type::View;

/// How long a service manager or an init system may take to take an order.
pub const WITHIN: Duration = Duration::from_secs(15);
/// Most bytes of what they print that are kept.
const MAX_SAID: u64 = 2_000;

/// Why an order was not taken.
#[derive(Debug, Error)]
pub enum ManagerError {
    /// There is nobody to give it to.
    #[error("{0}")]
    Nobody(&'static str),
    /// The program could not be started.
    #[error("start {program}")]
    Start {
        /// The program, without its arguments.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("{program} ended with {status}: {said}")]
    Failed {
        /// The program, without its arguments.
        program: String,
        /// Its exit status, or the signal that ended it.
        status: String,
        /// The end of what it printed.
        said: String,
    },
    /// It took too long and was ended.
    #[error("{program} did not end within {} s", WITHIN.as_secs())]
    Slow {
        /// The program, without its arguments.
        program: String,
    },
}

/// What restarts the agent: program and arguments, if there is one.
pub fn restarts_agent(config: &HealingConfig, view: &dyn View) -> Option<Vec<String>> {
    if !config.service_command.is_empty() {
        return Some(config.service_command.clone());
    }
    let service = config.service.as_str();
    // --no-block: a supervisor that heeds no TERM takes systemd longer than anybody here waits
    let words: &[&str] = if view.exists("/run/systemd/system") {
        &["systemctl", "--no-block", "restart", service]
    } else if view.exists("/run/openrc/softlevel") {
        &["rc-service", service, "restart"]
    } else {
        return None;
    };
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

/// What reboots the machine: program and arguments, if there is one.
pub fn reboots(config: &HealingConfig, view: &dyn View) -> Option<Vec<String>> {
    if !config.reboot_command.is_empty() {
        return Some(config.reboot_command.clone());
    }
    let init = view.read("/proc/1/comm").unwrap_or_default();
    let words: &[&str] = if view.exists("/run/systemd/system") {
        &["systemctl", "reboot"]
    } else if init.trim() == "openrc-init" {
        &["openrc-shutdown", "-r", "now"]
    } else if view.exists("/sbin/reboot") {
        &["/sbin/reboot"]
    } else if view.exists("/usr/sbin/reboot") {
        &["/usr/sbin/reboot"]
    } else {
        return None;
    };
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

/// Runs a program to its end; blocking. At the bound it is killed with everything it started in its group.
pub fn run(words: &[String]) -> Result<(), ManagerError> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(ManagerError::Nobody("no command is configured"));
    };
    let start = |source| ManagerError::Start { program: program.clone(), source };
    let said = tempfile::tempfile().map_err(start)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(said.try_clone().map_err(start)?)
        .stderr(said.try_clone().map_err(start)?)
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(status) = child.try_wait().map_err(start)? {
            let (program, status_text) = (program.clone(), status.to_string());
            return if status.success() {
                Ok(())
            } else {
                Err(ManagerError::Failed { program, status: status_text, said: text_of(said) })
            };
        }
        if Instant::now() >= end {
            // not reaped yet, so its number is still its own
            if let Ok(group) = i32::try_from(child.id()) {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = child.wait();
            return Err(ManagerError::Slow { program: program.clone() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[expect(clippy::disallowed_types, reason = "a file without a name has no path to tell")]
fn text_of(mut file: std::fs::File) -> String {
    use std::io::Seek;
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.take(MAX_SAID).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(&'static [&'static str], &'static str);

    impl View for Machine {
        fn read(&self, path: &str) -> Option<String> {
            (path == "/proc/1/comm").then(|| format!("{}\n", self.1))
        }

        fn exists(&self, path: &str) -> bool {
            self.0.contains(&path)
        }
    }

    #[test]
    fn service_manager_and_init_are_found_by_their_marks_and_the_operators_words_win() {
        let systemd = Machine(&["/run/systemd/system", "/sbin/reboot"], "systemd");
        let openrc = Machine(&["/run/openrc/softlevel", "/sbin/reboot"], "init");
        let openrc_init = Machine(&["/run/openrc/softlevel", "/sbin/reboot"], "openrc-init");
        let bare = Machine(&[], "tini");
        let none = HealingConfig::default();
        let line = |words: Option<Vec<String>>| words.map(|words| words.join(" ")).unwrap_or_default();
        for (machine, restart, reboot) in [
            (&systemd, "systemctl --no-block restart build-swarm-drone", "systemctl reboot"),
            (&openrc, "rc-service build-swarm-drone restart", "/sbin/reboot"),
            (&openrc_init, "rc-service build-swarm-drone restart", "openrc-shutdown -r now"),
            (&bare, "", ""),
        ] {
            assert_eq!(line(restarts_agent(&none, machine)), restart);
            assert_eq!(line(reboots(&none, machine)), reboot);
        }
        let own = HealingConfig {
            service_command: vec!["s6-svc".to_owned(), "-r".to_owned()],
            reboot_command: vec!["s6-svscanctl".to_owned()],
            ..HealingConfig::default()
        };
        assert_eq!(line(restarts_agent(&own, &systemd)), "s6-svc -r");
        assert_eq!(line(reboots(&own, &bare)), "s6-svscanctl");
    }

    #[test]
    fn a_program_that_fails_says_why_and_one_that_is_not_there_is_named() {
        let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        run(&words(&["true"])).unwrap();
        let failed = run(&words(&["sh", "-c", "echo Unit not found >&2; exit 5"])).unwrap_err().to_string();
        assert!(failed.contains("exit status: 5: Unit not found"), "{failed}");
        let absent = run(&words(&["/nonexistent/systemctl", "reboot"])).unwrap_err().to_string();
        assert_eq!(absent, "start /nonexistent/systemctl");
    }
}
