//! Processor time and memory of processes and threads, by `/proc`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{SysconfVar, sysconf};
use swarm_tests::processes;

/// Thousands of connections need thousands of files: as many as the system lets us have.
///
/// # Errors
/// When even the own limit may not be raised to its bound.
pub fn allow_many_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

fn ticks_per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64
}

/// Fields of a `stat` behind the name: index 0 is the state.
fn stat(path: &str) -> Option<Vec<String>> {
    let text = fs_err::read_to_string(path).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Seconds of processor time in these fields of a `stat`.
fn seconds(path: &str, fields: std::ops::Range<usize>) -> f64 {
    let Some(found) = stat(path) else { return 0.0 };
    let ticks: f64 = found.get(fields).unwrap_or_default().iter().filter_map(|text| text.parse::<f64>().ok()).sum();
    ticks / ticks_per_second()
}

/// Seconds of processor time a process has used itself.
pub fn of_process(pid: i32) -> f64 {
    seconds(&format!("/proc/{pid}/stat"), 11..13)
}

/// Seconds a process has used, with its children that ended and were waited for.
pub fn with_children(pid: i32) -> f64 {
    seconds(&format!("/proc/{pid}/stat"), 11..15)
}

/// Seconds this process and everything below it has used.
pub fn own_seconds() -> f64 {
    let own = std::process::id() as i32;
    with_children(own) + processes::below(own).iter().map(|process| with_children(process.pid)).sum::<f64>()
}

/// Seconds all processors were busy since the machine's start.
pub fn busy_seconds() -> f64 {
    let text = fs_err::read_to_string("/proc/stat").unwrap_or_default();
    let numbers = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = numbers.filter_map(|number| number.parse().ok()).collect();
    // user, nice, system; not idle and not waiting; interrupts
    [0, 1, 2, 5, 6].iter().filter_map(|field| ticks.get(*field)).sum::<f64>() / ticks_per_second()
}

/// Seconds of this process's threads, by their names.
pub fn by_thread() -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs_err::read_dir("/proc/self/task") else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = fs_err::read_to_string(path.join("comm")).unwrap_or_default();
        *found.entry(name.trim().to_owned()).or_default() += seconds(&path.join("stat").to_string_lossy(), 11..13);
    }
    found
}

/// Proportional set size of a process, bytes: its memory, shared pages counted by their share.
///
/// # Errors
/// When there is no such process.
pub fn pss(pid: i32) -> Result<u64> {
    memory(pid, "Pss:")
}

/// Resident set size, bytes.
///
/// # Errors
/// When there is no such process.
pub fn rss(pid: i32) -> Result<u64> {
    memory(pid, "Rss:")
}

fn memory(pid: i32, field: &str) -> Result<u64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with(field)).with_context(|| format!("{field} of {pid}"))?;
    let kib: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).context("a number")?;
    Ok(kib << 10)
}
