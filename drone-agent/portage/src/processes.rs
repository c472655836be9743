//! The processes of one piece of work (a build, a sync, a question to Portage): found through `/proc`, measured, and ended.
//!
//! Portage puts each ebuild phase into a session of its own, so a process group does not reach them. While the process that
//! began the work lives, and is their subreaper, they are its descendants; when it is gone they are known by the work's own
//! directory in their environment. Called by `script`, and by whoever starts such work or looks after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swarm_common::process::stat;

/// Variable that marks what belongs to a piece of work; its value is the work's directory.
pub const MARK: &str = "BUILD_SWARM_ATTEMPT";
/// Variables by which a process without [`MARK`] is known: Portage filters its phases' environment, but these it sets.
const KNOWN_BY: [&str; 4] = [MARK, "PORTAGE_TMPDIR", "PORTAGE_BUILDDIR", "T"];
/// Looks in a row, 10 ms apart, that must find nothing.
const EMPTY_LOOKS: u32 = 3;
/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Living descendants of a process, without itself.
pub fn descendants(of: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    for pid in pids() {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
            if stat.dead {
                dead.insert(pid);
            }
        }
    }
    let mut found = BTreeSet::new();
    let mut pending = vec![of];
    while let Some(parent) = pending.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if !dead.contains(&child) {
                found.insert(child);
            }
            pending.push(child);
        }
    }
    found
}

/// Living processes of the work in `dir`, whoever their parent is now; never the caller.
pub fn belonging_to(dir: &Path) -> BTreeSet<u32> {
    let own = std::process::id();
    pids()
        .into_iter()
        .filter(|&pid| pid != own && belongs(pid, dir) && stat(pid).is_some_and(|stat| !stat.dead))
        .collect()
}

fn belongs(pid: u32, dir: &Path) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|variable| {
        let Ok(text) = std::str::from_utf8(variable) else { return false };
        text.split_once('=').is_some_and(|(key, value)| KNOWN_BY.contains(&key) && Path::new(value).starts_with(dir))
    })
}

/// Resident bytes of these processes together.
pub fn resident_bytes(pids: &BTreeSet<u32>) -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    let pages = |pid: &u32| -> Option<u64> {
        fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()
    };
    pids.iter().filter_map(pages).sum::<u64>() * u64::try_from(page).unwrap_or(4096)
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Kills every descendant of a process until none is left; returns those that would not go.
pub fn kill_descendants(of: u32) -> BTreeSet<u32> {
    kill_until_none(|| descendants(of))
}

/// Kills everything that belongs to the work in `dir`; returns what would not go.
pub fn kill_belonging(dir: &Path) -> BTreeSet<u32> {
    kill_until_none(|| belonging_to(dir))
}

/// A process forks while it is being looked for, and shows no environment while it executes another program: only
/// several looks in a row that find nothing mean that nothing is there.
fn kill_until_none(find: impl Fn() -> BTreeSet<u32>) -> BTreeSet<u32> {
    let end = Instant::now() + GONE_WITHIN;
    let mut empty_looks = 0;
    loop {
        let found = find();
        empty_looks = if found.is_empty() { empty_looks + 1 } else { 0 };
        if empty_looks == EMPTY_LOOKS || Instant::now() >= end {
            return found;
        }
        for pid in found {
            signal(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn wait_for(what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < end, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn grandchildren_in_their_own_session_are_found_and_killed() {
        let mut child = Command::new("sh").args(["-c", "setsid sh -c 'sleep 60; :' & wait"]).spawn().unwrap();
        wait_for("the sleep", || descendants(child.id()).len() >= 2);
        assert!(kill_descendants(child.id()).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn an_orphan_is_known_by_the_directory_in_its_environment() {
        let dir = tempfile::tempdir().unwrap();
        // The shell in between ends at once, so the sleep is nobody's child here.
        let status = Command::new("sh")
            .args(["-c", "sleep 60 >/dev/null 2>&1 &"])
            .env("PORTAGE_BUILDDIR", dir.path().join("tmp/portage/x"))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        wait_for("the orphan", || belonging_to(dir.path()).len() == 1);
        assert!(kill_belonging(dir.path()).is_empty());
        assert!(belonging_to(dir.path()).is_empty());
    }

    #[test]
    fn a_shell_that_merely_stands_in_the_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("60").env("PWD", dir.path()).current_dir(dir.path()).spawn().unwrap();
        assert!(belonging_to(dir.path()).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
