//! Processes of this machine, by `/proc`: who descends from whom, who still lives, and signals to them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its command line, words parted by spaces.
    pub command: String,
}

/// All living processes, zombies left out.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| {
            let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
            let state = after_name.next()?;
            let parent = after_name.next()?.parse().ok()?;
            let command = fs_err::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
            (state != "Z").then_some(Process { pid, parent, command })
        })
        .collect()
}

/// Living processes whose command line holds every one of `words`.
pub fn with(words: &[&str]) -> Vec<Process> {
    all().into_iter().filter(|process| words.iter().all(|word| process.command.contains(word))).collect()
}

/// Living processes with this variable in their environment, its value a path in `dir`.
pub fn marked(variable: &str, dir: &Path) -> Vec<Process> {
    let is_marked = |pid: i32| {
        let environment = fs_err::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| {
            let entry = String::from_utf8_lossy(entry);
            entry.split_once('=').is_some_and(|(key, value)| key == variable && Path::new(value).starts_with(dir))
        })
    };
    all().into_iter().filter(|process| is_marked(process.pid)).collect()
}

/// Everything that descends from `pid`.
pub fn below(pid: i32) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut open = vec![pid];
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// Command line of a living process, words parted by spaces.
pub fn command(pid: i32) -> Option<String> {
    all().into_iter().find(|process| process.pid == pid).map(|process| process.command)
}

/// Whether a process lives.
pub fn lives(pid: i32) -> bool {
    all().iter().any(|process| process.pid == pid)
}

/// Sends a signal.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: i32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal} to process {pid}"))
}
