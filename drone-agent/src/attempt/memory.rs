//! What an attempt's memory came to, and whether the kernel killed something of it for want of memory.
//!
//! With a cgroup (v2) of the attempt's own the kernel counts; otherwise resident memory is sampled through `/proc`, so a
//! short peak may be missed. Called by the attempt.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use swarm_portage::processes;

/// Most pids remembered for the look at the kernel's log.
const MAX_PIDS: usize = 20_000;

/// The observer.
#[derive(Debug)]
pub struct Memory {
    kernel_log: Option<KernelLog>,
    cgroup: Option<PathBuf>,
    /// The cgroup holds nobody else, so its peak is the attempt's.
    own: bool,
    kills_before: u64,
    peak: u64,
    seen: BTreeSet<u32>,
    order: VecDeque<u32>,
}

impl Memory {
    /// Begins; to be called before anything is started.
    pub fn begin() -> Self {
        let cgroup = own_cgroup();
        let alone = |cgroup: &PathBuf| {
            fs::read_to_string(cgroup.join("cgroup.procs"))
                .is_ok_and(|procs| procs.split_whitespace().eq([std::process::id().to_string().as_str()]))
        };
        let own = cgroup.as_ref().is_some_and(alone);
        let kills_before = cgroup.as_deref().map_or(0, oom_kills);
        let kernel_log = KernelLog::from_now("/dev/kmsg".as_ref()).ok();
        Self { kernel_log, cgroup, own, kills_before, peak: 0, seen: BTreeSet::new(), order: VecDeque::new() }
    }

    /// Takes a sample of the attempt's descendants.
    pub fn sample(&mut self) {
        let pids = processes::descendants(std::process::id());
        self.peak = self.peak.max(processes::resident_bytes(&pids));
        for pid in pids {
            if self.seen.insert(pid) {
                self.order.push_back(pid);
            }
        }
        while self.order.len() > MAX_PIDS {
            if let Some(pid) = self.order.pop_front() {
                self.seen.remove(&pid);
            }
        }
    }

    /// Peak so far in bytes; 0 if not known.
    pub fn peak(&self) -> u64 {
        let counted =
            self.cgroup.as_deref().filter(|_| self.own).and_then(|cgroup| number(&cgroup.join("memory.peak")));
        counted.unwrap_or(self.peak)
    }

    /// Processes of the attempt that the kernel killed for want of memory.
    pub fn kills(&self) -> u64 {
        let counted = self.cgroup.as_deref().map_or(0, oom_kills).saturating_sub(self.kills_before);
        if counted > 0 {
            return counted;
        }
        killed_in(&self.kernel_log.as_ref().map(KernelLog::text).unwrap_or_default(), &self.seen)
    }
}

fn own_cgroup() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let cgroup = Path::new("/sys/fs/cgroup").join(path);
    cgroup.join("memory.events").exists().then_some(cgroup)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn oom_kills(cgroup: &Path) -> u64 {
    let text = fs::read_to_string(cgroup.join("memory.events")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// The kernel's log from a moment on. What it said before is of others: pids come back.
#[derive(Debug)]
struct KernelLog(fs::File);

impl KernelLog {
    /// # Errors
    /// Without the right to read it.
    fn from_now(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        // Without this flag reading would wait for the kernel's next message.
        options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        let mut file = options.open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// What came since, at most 1 MiB. To be asked once.
    fn text(&self) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 8192]);
        // A message that was overwritten while reading is an error that the next read recovers from.
        let mut errors = 0;
        while text.len() < 1 << 20 && errors < 3 {
            match (&self.0).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => errors += 1,
            }
        }
        text
    }
}

fn killed_in(log: &str, pids: &BTreeSet<u32>) -> u64 {
    let killed = log.lines().filter_map(|line| {
        let rest = line.split_once("Killed process ")?.1;
        rest.split([' ', ',']).next()?.parse::<u32>().ok()
    });
    killed.filter(|pid| pids.contains(pid)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kills_of_our_own_processes_count() {
        let log = "3,1,1,-;Out of memory: Killed process 4711 (cc1plus) total-vm:9kB\n\
                   3,2,2,-;Memory cgroup out of memory: Killed process 4712 (ld) total-vm:9kB\n";
        assert_eq!(killed_in(log, &[4712, 5].into()), 1);
        assert_eq!(killed_in(log, &[1].into()), 0);
    }

    #[test]
    fn what_the_kernel_said_before_is_of_others() {
        use std::io::Write;

        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "3,1,1,-;Out of memory: Killed process 4711 (cc1plus)").unwrap();
        let log = KernelLog::from_now(file.path()).unwrap();
        writeln!(file, "3,2,2,-;Out of memory: Killed process 4712 (ld)").unwrap();
        assert_eq!(killed_in(&log.text(), &[4711, 4712].into()), 1);
    }

    #[test]
    fn a_child_that_runs_has_a_peak() {
        let mut memory = Memory::begin();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        memory.sample();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(memory.peak() > 0);
    }
}
