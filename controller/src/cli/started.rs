//! What `swarm up` started, in `up.json` of its data directory: enough to find it again and to end nothing else.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swarm_common::process::stat;

/// A process, told apart from a later one with the same number by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// What it is: `controller`, or a drone's name.
    pub name: String,
    /// Its number.
    pub pid: i32,
    /// Clock ticks between boot and its start.
    pub since: u64,
}

/// What `swarm up` started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpState {
    /// Address of the façade.
    pub url: String,
    /// The processes in the order of their start.
    pub processes: Vec<Started>,
}

impl UpState {
    fn path(data: &Path) -> PathBuf {
        data.join("up.json")
    }

    /// What was started in `data`; `None` if nothing is known.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn read(data: &Path) -> std::io::Result<Option<Self>> {
        match fs_err::read_to_string(Self::path(data)) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, data: &Path) -> std::io::Result<()> {
        fs_err::write(Self::path(data), serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// Forgets it.
    pub fn forget(data: &Path) {
        drop(fs_err::remove_file(Self::path(data)));
    }
}

impl Started {
    /// A process that was just started.
    pub fn new(name: &str, pid: u32) -> Self {
        let pid = i32::try_from(pid).unwrap_or(0);
        Self { name: name.to_owned(), pid, since: start_of(pid).unwrap_or(0) }
    }

    /// Whether it still runs.
    pub fn lives(&self) -> bool {
        start_of(self.pid) == Some(self.since)
    }
}

/// Start of a living process in clock ticks since boot; `None` if it is gone or only waits to be reaped.
fn start_of(pid: i32) -> Option<u64> {
    stat(u32::try_from(pid).ok()?).filter(|process| !process.dead).map(|process| process.start_time)
}

/// Attempts of the drones below `data`, which outlive their agents.
pub fn attempts_below(data: &Path) -> Vec<i32> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let place = data.to_string_lossy().into_owned();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let command = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
            words.get(1) == Some(&b"attempt".as_slice())
                && words.get(2).is_some_and(|dir| String::from_utf8_lossy(dir).starts_with(&place))
        })
        .collect()
}
