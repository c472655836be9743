//! Who a process is: (boot id, pid, start time). A pid alone comes back after a while; the three together never do.
//!
//! Written by an attempt into its directory, compared by whoever adopts the attempt.

use std::io;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use swarm_common::clock::wall_ms;
use swarm_common::process::{look, stat};

/// A process of this or an earlier boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// Wall time of the start in Unix milliseconds; for display only.
    #[serde(default)]
    pub since: u64,
}

impl Identity {
    /// The identity of the running process.
    pub fn own() -> io::Result<Self> {
        let pid = std::process::id();
        let stat = stat(pid).ok_or_else(|| io::Error::other("can't read /proc/self/stat"))?;
        Ok(Self { boot_id: boot_id()?, pid, start_time: stat.start_time, since: wall_ms() })
    }

    /// Whether that very process still runs. A zombie does not.
    ///
    /// # Errors
    /// When it can't be looked at now, as for want of file descriptors: that says nothing of the process.
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(boot_id()? == self.boot_id
            && look(self.pid)?.is_some_and(|stat| stat.start_time == self.start_time && !stat.dead))
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        assert!(Identity::own().unwrap().is_alive().unwrap());
    }

    #[test]
    fn the_same_pid_with_another_start_or_boot_is_another_process() {
        let own = Identity::own().unwrap();
        assert!(!Identity { start_time: own.start_time + 1, ..own.clone() }.is_alive().unwrap());
        assert!(!Identity { boot_id: "other".to_owned(), ..own }.is_alive().unwrap());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let start_time = stat(child.id()).unwrap().start_time;
        let identity = Identity { pid: child.id(), start_time, ..Identity::own().unwrap() };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while identity.is_alive().unwrap() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!identity.is_alive().unwrap() && stat(child.id()).is_some_and(|stat| stat.dead));
        child.wait().unwrap();
    }
}
