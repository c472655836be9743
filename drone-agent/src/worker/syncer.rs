//! Brings the ebuild repositories up to date with one command, within a time, and tells the controller how it ended.
//!
//! Which command is the operator's to say; nothing of the order reaches it. When to run it is `drone_core`'s.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use swarm_common::errors::chain;
use swarm_common::files::remove_tree;
use swarm_common::watch::blocking;
use swarm_portage::{RootConfig, environment, processes, state};
use swarm_protocol::report::{SyncAnswer, SyncReport};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{InstanceId, StoreId};
use tracing::{debug, info, warn};

use crate::bus::Link;
use crate::config::Config;

const ASK_TIMEOUT: Duration = Duration::from_secs(15);
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often the end is told before it is left at that: the tree in the heartbeats says the rest.
const ROUNDS: u32 = 12;
/// Bounds of what an order may ask for.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(6 * 3_600));
/// Bytes kept of the end of what the command printed.
const MAX_SAID: usize = 400;

/// What is to be run, and where.
pub(crate) struct SyncWork {
    /// The root whose repositories they are.
    pub(crate) root: RootConfig,
    /// Where its files go; see [`place`].
    pub(crate) dir: PathBuf,
    /// The operator's command; Portage's own if empty.
    pub(crate) command: Vec<String>,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// Syncs, then tells until it is answered or nobody wants to know.
pub(crate) async fn sync_and_tell(link: &Link, work: SyncWork, number: u64, store_id: StoreId, instance: InstanceId) {
    let began = Instant::now();
    let (failure, tree) = blocking("sync", move || {
        let SyncWork { root, dir, command, timeout } = work;
        let ended = run(&root, &dir, &command, timeout.clamp(TIMEOUTS.0, TIMEOUTS.1));
        (ended.err(), state::tree_state(&root).unwrap_or_default())
    })
    .await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &failure {
        None => info!(order = number, duration_ms, tree = tree.id, "the ebuild repositories are up to date"),
        Some(reason) => {
            warn!(order = number, duration_ms, reason, "the ebuild repositories can't be brought up to date")
        }
    }
    let report = SyncReport { instance, store_id, number, failure, tree, duration_ms };
    let mut wait = WAIT_MIN;
    for _ in 0..ROUNDS {
        match link.ask::<_, SyncAnswer>(ReportKind::Sync, &report, ASK_TIMEOUT).await {
            Ok(SyncAnswer::Durable {}) => return,
            Ok(SyncAnswer::Superseded { reason }) => return debug!(order = number, reason, "a sync counts no more"),
            Ok(SyncAnswer::Unknown) => debug!(order = number, "an answer this version does not know"),
            Err(error) => debug!(order = number, %error, "the end of a sync was not answered"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Where a drone's syncs have their files.
pub(crate) fn place(config: &Config) -> PathBuf {
    config.state_dir.join("sync")
}

/// Ends what a former worker's sync left running in `dir`: nothing may be built from trees that change meanwhile, and the
/// controller orders another sync.
pub(crate) fn sweep(dir: &Path) -> io::Result<()> {
    let left = processes::kill_belonging(dir);
    if !left.is_empty() {
        warn!(?left, "processes of a sync that was left behind would not go");
    }
    remove_tree(dir)
}

/// Runs the command to its end and leaves no process behind. What it prints goes into `dir`, by which its processes are
/// known, too.
fn run(root: &RootConfig, dir: &Path, command: &[String], timeout: Duration) -> Result<(), String> {
    let own = [root.venv.join("bin/emaint").display().to_string(), "sync".to_owned(), "--auto".to_owned()];
    let command = if command.is_empty() { &own[..] } else { command };
    let name = command.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
    let failed = |error: &std::io::Error| format!("{name} can't be run: {}", chain(error));
    fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    let said = dir.join("said");
    let out = fs::File::create(&said).map_err(|error| failed(&error))?;
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .env_clear()
        .envs(environment(root))
        .env(processes::MARK, dir)
        .stdin(Stdio::null())
        .stdout(out.file().try_clone().map_err(|error| failed(&error))?)
        .stderr(out.into_parts().0)
        .spawn()
        .map_err(|error| failed(&error))?;
    let end = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{name} ended with {status}: {}", last_words(&said))),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            waited => {
                // its children go first, while they can still be found
                processes::kill_descendants(child.id());
                let _ = child.kill();
                let _ = child.wait();
                let after = format!("{name} was ended after {} s", timeout.as_secs());
                return Err(waited.err().map_or(after, |error| failed(&error)));
            }
        }
    }
}

/// The end of what the command printed, on one line.
fn last_words(said: &Path) -> String {
    let bytes = fs::read(said).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MAX_SAID)..]).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(text: &str) -> Vec<String> {
        ["/bin/sh", "-c", text].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_command_is_run_to_its_end_and_its_failure_told_in_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { path: dir.path().to_owned(), ..RootConfig::default() };
        let file = dir.path().join("made");
        assert_eq!(run(&root, dir.path(), &sh(&format!("echo news > {}", file.display())), TIMEOUTS.1), Ok(()));
        assert_eq!(fs::read_to_string(file).unwrap(), "news\n");
        let failed =
            run(&root, dir.path(), &sh("echo the mirror does not answer >&2; exit 3"), TIMEOUTS.1).unwrap_err();
        assert!(failed.contains("exit status: 3") && failed.ends_with("the mirror does not answer"), "{failed}");
        let missing = run(&root, dir.path(), &["/nowhere/sync".to_owned()], TIMEOUTS.1).unwrap_err();
        assert!(missing.starts_with("/nowhere/sync can't be run"), "{missing}");
    }

    #[test]
    fn one_that_takes_too_long_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { path: dir.path().to_owned(), ..RootConfig::default() };
        let pid = dir.path().join("pid");
        let text = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let ended = run(&root, dir.path(), &sh(&text), TIMEOUTS.0).unwrap_err();
        assert!(ended.contains("was ended after 1 s"), "{ended}");
        let child = fs::read_to_string(pid).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        assert!(status.is_empty() || status.contains(") Z"), "{status}");
    }

    #[test]
    fn one_whose_worker_is_gone_is_ended_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootConfig { path: dir.path().to_owned(), ..RootConfig::default() };
        let (place, begun, ended) = (dir.path().join("sync"), dir.path().join("begun"), dir.path().join("ended"));
        let text = format!("touch {}; sleep 60; touch {}", begun.display(), ended.display());
        let left = std::thread::spawn({
            let (root, place) = (root.clone(), place.clone());
            move || run(&root, &place, &sh(&text), TIMEOUTS.1)
        });
        let end = Instant::now() + Duration::from_secs(20);
        while !begun.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        sweep(&place).unwrap();
        assert!(left.join().unwrap().is_err());
        assert!(begun.exists() && !ended.exists() && !place.exists());
    }
}
