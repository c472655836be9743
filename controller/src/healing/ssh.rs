//! The way by SSH: OpenSSH's own program, with its arguments as a list and nothing of any configuration but ours. A host is
//! known by the keys the core names and by no others; none is ever learned here.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use swarm_core::input::RouteOutcome;
use swarm_protocol::order::Escalated;
use swarm_protocol::{DroneId, StoreId};

use super::outcome::outcome_of;
use crate::program::{self, ProgramError, Ran};
use swarm_core::effect::Escalation;

/// What the way by SSH needs to know.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// The controller's data directory; the file of known hosts is kept below it.
    pub data: PathBuf,
    /// The store; the agent takes orders of its own one only.
    pub store_id: StoreId,
    /// What is run on a drone: program and first arguments.
    pub ssh_command: Vec<String>,
}

/// How a drone is logged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Private key on this machine.
    pub(super) key: Option<String>,
    /// The keys it is known by, `type base64`.
    pub(super) host_keys: Vec<String>,
}

/// Runs `drone-agent escalate` on drones.
pub(super) struct Ssh {
    settings: SshSettings,
    known: Mutex<BTreeMap<DroneId, Vec<String>>>,
}

impl Ssh {
    pub(super) fn new(settings: SshSettings) -> Self {
        Self { settings, known: Mutex::default() }
    }

    pub(super) async fn run(&self, order: &Escalation, login: &Login, within: Duration) -> RouteOutcome {
        if login.host_keys.is_empty() {
            let detail =
                "no SSH host key of it is known, so it is not logged into; give one with `swarm drone ssh-key`";
            return RouteOutcome::Failed { detail: detail.to_owned() };
        }
        let known_hosts = match self.know(&order.drone, &login.host_keys) {
            Ok(path) => path,
            Err(error) => return RouteOutcome::Failed { detail: format!("the known hosts can't be written: {error}") },
        };
        let words = words(&self.settings, order, login, &known_hosts, within);
        match program::run(&words, b"", &[("LC_ALL", "C")], within).await {
            Ok(ran) => outcome(&ran, &login.host),
            Err(ProgramError::Slow { .. }) => RouteOutcome::TimedOut {},
            Err(error) => RouteOutcome::Failed { detail: error.to_string() },
        }
    }

    /// Writes the file of known hosts, if it is not as it should be: one for the whole swarm, a drone by its identity.
    fn know(&self, drone: &DroneId, keys: &[String]) -> std::io::Result<PathBuf> {
        let dir = self.settings.data.join("ssh");
        let path = dir.join("known_hosts");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(drone).is_some_and(|old| old == keys) && path.exists() {
            return Ok(path);
        }
        known.insert(drone.clone(), keys.to_vec());
        fs_err::create_dir_all(&dir)?;
        let mut file = tempfile::NamedTempFile::new_in(&dir)?;
        writeln!(file, "# Written by the controller: the keys its drones are known by. Edits are overwritten.")?;
        for (drone, keys) in known.iter() {
            keys.iter().try_for_each(|key| writeln!(file, "{drone} {key}"))?;
        }
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }
}

/// The whole command line. What the drone's shell gets consists of the operator's configured words and of ours, in which
/// there are letters, digits and hyphens only.
fn words(
    settings: &SshSettings,
    order: &Escalation,
    login: &Login,
    known_hosts: &Path,
    within: Duration,
) -> Vec<String> {
    // some of the time is for what is done there
    let connect = (within.as_secs() / 2).max(1);
    let mut words: Vec<String> = ["ssh", "-F", "none", "-T", "-n"].map(str::to_owned).to_vec();
    let mut option = |text: String| words.extend(["-o".to_owned(), text]);
    for fixed in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=none",
        "UpdateHostKeys=no",
        "VerifyHostKeyDNS=no",
        "CheckHostIP=no",
        "PasswordAuthentication=no",
        "KbdInteractiveAuthentication=no",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "ControlMaster=no",
        "ControlPath=none",
        "ConnectionAttempts=1",
        "LogLevel=ERROR",
    ] {
        option(fixed.to_owned());
    }
    option(format!("UserKnownHostsFile={}", quoted(known_hosts)));
    option(format!("HostKeyAlias={}", order.drone));
    option(format!("ConnectTimeout={connect}"));
    if let Some(key) = &login.key {
        option("IdentitiesOnly=yes".to_owned());
        option(format!("IdentityFile={}", quoted(Path::new(key))));
    }
    let Login { user, host, port, .. } = login;
    words.extend(["-p".to_owned(), port.to_string(), "-l".to_owned(), user.clone(), "--".to_owned(), host.clone()]);
    words.extend(settings.ssh_command.iter().cloned());
    words.extend([order.rung.name().to_owned(), "--generation".to_owned(), order.generation.to_string()]);
    words.extend(["--store".to_owned(), settings.store_id.to_string(), "--json".to_owned()]);
    words
}

/// A path as a value of ssh's configuration: it parts words at spaces and fills in `%`.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%%");
    if path.contains(' ') { format!("\"{path}\"") } else { path }
}

fn outcome(ran: &Ran, host: &str) -> RouteOutcome {
    let answer = ran.stdout.lines().rev().find_map(|line| serde_json::from_str::<Escalated>(line.trim()).ok());
    if let Some(answer) = answer {
        return outcome_of(answer);
    }
    let said = ran.said();
    let distrusted = ["Host key verification failed", "HOST IDENTIFICATION HAS CHANGED", "host key is known for"];
    match ran.status.code() {
        // ssh's own failures end with 255
        Some(255) if distrusted.iter().any(|words| said.contains(words)) => RouteOutcome::Distrusted {
            detail: format!("{host} shows another SSH host key than the one it is known by, so nothing was said to it"),
        },
        Some(255) => RouteOutcome::Failed { detail: format!("SSH to {host}: {said}") },
        Some(127) => RouteOutcome::Failed {
            detail: format!("drone-agent was not found on {host} ({said}); healing.ssh_command can name its path"),
        },
        _ => RouteOutcome::Failed { detail: format!("drone-agent on {host} ended with {}: {said}", ran.status) },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use swarm_core::effect::Route;
    use swarm_protocol::order::Rung;

    use super::*;

    fn order() -> Escalation {
        Escalation {
            drone: DroneId::from("UDRONE"),
            generation: 7,
            rung: Rung::HardRestart,
            reason: "3 pings missed; $(reboot)".to_owned(),
            route: Route::Bus {},
            within: 20_000,
        }
    }

    fn login() -> Login {
        Login {
            user: "swarm".to_owned(),
            host: "192.0.2.7".to_owned(),
            port: 2222,
            key: Some("/etc/build-swarm/my key".to_owned()),
            host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        }
    }

    fn settings(data: &Path) -> SshSettings {
        let ssh_command = ["sudo", "-n", "drone-agent", "escalate"].map(str::to_owned).to_vec();
        SshSettings { data: data.to_owned(), store_id: StoreId::from("5e9d"), ssh_command }
    }

    #[test]
    fn the_command_line_checks_the_host_strictly_and_says_no_free_text() {
        let words =
            words(&settings(Path::new("/d")), &order(), &login(), Path::new("/d/known_hosts"), Duration::from_secs(20));
        let line = words.join("\n");
        for part in [
            "-o\nBatchMode=yes\n",
            "-o\nStrictHostKeyChecking=yes\n",
            "-o\nUserKnownHostsFile=/d/known_hosts\n",
            "-o\nGlobalKnownHostsFile=none\n",
            "-o\nHostKeyAlias=UDRONE\n",
            "-o\nConnectTimeout=10\n",
            "-o\nIdentityFile=\"/etc/build-swarm/my key\"\n",
        ] {
            assert!(line.contains(part), "{part:?} is missing in\n{line}");
        }
        let end = "-p\n2222\n-l\nswarm\n--\n192.0.2.7\nsudo\n-n\ndrone-agent\nescalate\nhard_restart\n--generation\n7\n--store\n5e9d\n--json";
        assert!(line.ends_with(end), "{line}");
        assert!(!line.contains("reboot)"), "the reason reaches no shell");
    }

    #[test]
    fn the_file_of_known_hosts_names_each_drone_by_its_identity() {
        let dir = tempfile::tempdir().unwrap();
        let ssh = Ssh::new(settings(dir.path()));
        let keys = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        ssh.know(&DroneId::from("UA"), &keys(&["ssh-rsa A1", "ssh-ed25519 A2"])).unwrap();
        ssh.know(&DroneId::from("UB"), &keys(&["ssh-ed25519 B1"])).unwrap();
        let path = ssh.know(&DroneId::from("UA"), &keys(&["ssh-ed25519 A3"])).unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["UA ssh-ed25519 A3", "UB ssh-ed25519 B1"]);
        fs_err::remove_file(&path).unwrap();
        ssh.know(&DroneId::from("UA"), &keys(&["ssh-ed25519 A3"])).unwrap();
        assert!(path.exists(), "a file somebody removed is written anew");
    }

    #[test]
    fn what_ssh_and_the_agent_say_becomes_an_outcome() {
        let ran = |code: i32, stdout: &str, stderr: &str| {
            let status = std::process::ExitStatus::from_raw(code << 8);
            outcome(&Ran { status, stdout: stdout.to_owned(), stderr: stderr.to_owned() }, "h")
        };
        let done = ran(0, "Welcome to h!\n{\"t\":\"done\",\"detail\":\"restarted\"}\n", "");
        assert_eq!(done, RouteOutcome::Done { detail: "restarted".to_owned() });
        let refused = ran(1, "{\"t\":\"refused\",\"why\":\"type\",\"detail\":\"metal\"}\n", "");
        assert!(matches!(refused, RouteOutcome::Refused { .. }), "{refused:?}");
        for words in [
            "Host key verification failed.",
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @",
            "No ED25519 host key is known for UDRONE and you have requested strict checking.",
        ] {
            assert!(matches!(ran(255, "", words), RouteOutcome::Distrusted { .. }), "{words}");
        }
        for (code, words) in
            [(255, "Permission denied (publickey)."), (127, "sh: drone-agent: not found"), (1, "error: x")]
        {
            assert!(matches!(ran(code, "", words), RouteOutcome::Failed { .. }), "{words}");
        }
    }
}
