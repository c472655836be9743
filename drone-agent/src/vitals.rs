//! A drone's condition at one moment, for heartbeats and pongs. Readings that fail are 0; nothing here decides anything.

use std::path::{Path, PathBuf};

use fs_err as fs;
use nix::sys::statvfs::statvfs;
use swarm_protocol::machine::Vitals;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Takes readings; CPU use is that since the reading before.
#[derive(Debug)]
pub struct Gauge {
    /// `None` where the machine gives no readings.
    system: Option<System>,
    build_dir: PathBuf,
}

impl Gauge {
    /// A gauge for a drone that builds (and puts its packages) in `build_dir`.
    pub fn new(build_dir: &Path) -> Self {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Self { system: System::new_with_specifics(kinds).ok(), build_dir: build_dir.to_owned() }
    }

    /// Takes a reading. `agents` are the agent's own processes.
    pub fn read(&mut self, agents: &[u32]) -> Vitals {
        let (mut total, mut available, mut cpu) = (0, 0, 0.0);
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            (total, available, cpu) =
                (system.total_memory(), system.available_memory(), f64::from(system.global_cpu_usage()));
        }
        let used = total.saturating_sub(available);
        // packages are written below the attempt's directory too, so both bounds look at one place
        let disk = statvfs(&self.build_dir).ok();
        let free = disk.as_ref().map_or(0, |d| d.blocks_available() * d.fragment_size());
        Vitals {
            load_1m: System::load_average().map_or(0.0, |load| load.one),
            cpu_percent: cpu,
            mem_percent: if total == 0 { 0.0 } else { used as f64 * 100.0 / total as f64 },
            mem_available_bytes: available,
            disk_build_free: free,
            disk_build_total: disk.as_ref().map_or(0, |d| d.blocks() * d.fragment_size()),
            disk_packages_free: free,
            psi_cpu: pressure("cpu"),
            psi_memory: pressure("memory"),
            psi_io: pressure("io"),
            uptime_s: System::uptime().unwrap_or(0),
            agent_rss_bytes: agents.iter().map(|&pid| resident_bytes(pid)).sum(),
        }
    }
}

fn pressure(what: &str) -> f64 {
    some_avg60(&fs::read_to_string(format!("/proc/pressure/{what}")).unwrap_or_default())
}

/// `some avg10=0.00 avg60=1.50 avg300=0.20 total=12345` → 1.5; 0 where the kernel has no such file.
fn some_avg60(text: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with("some "));
    line.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("avg60=")))
        .and_then(|value| value.parse().ok())
        .unwrap_or(0.0)
}

/// Resident bytes of a process; 0 if it is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Peak memory of a control group in bytes; 0 where the kernel does not keep it.
pub fn memory_peak(control_group: &Path) -> u64 {
    let text = fs::read_to_string(control_group.join("memory.peak")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_share_of_the_last_minute_in_which_some_task_waited() {
        let text = "some avg10=9.00 avg60=1.50 avg300=0.20 total=12345\nfull avg10=0.00 avg60=7.00 avg300=0 total=1\n";
        assert_eq!(some_avg60(text), 1.5);
        for broken in ["", "full avg60=3.0", "some avg60=x"] {
            assert_eq!(some_avg60(broken), 0.0, "{broken:?}");
        }
    }

    #[test]
    fn a_reading_of_this_machine_is_plausible() {
        let dir = tempfile::tempdir().unwrap();
        let vitals = Gauge::new(dir.path()).read(&[std::process::id()]);
        assert!(vitals.mem_available_bytes > 0 && vitals.mem_percent > 0.0 && vitals.mem_percent < 100.0, "{vitals:?}");
        assert!(vitals.disk_build_total >= vitals.disk_build_free && vitals.disk_build_total > 0, "{vitals:?}");
        assert!(vitals.agent_rss_bytes > 100 * 1024 && vitals.uptime_s > 0, "{vitals:?}");
    }

    #[test]
    fn a_control_group_without_a_peak_counts_as_zero() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(memory_peak(dir.path()), 0);
        fs::write(dir.path().join("memory.peak"), "4096\n").unwrap();
        assert_eq!(memory_peak(dir.path()), 4096);
    }
}
