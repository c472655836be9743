//! Rows that are only appended: events and the history of attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_protocol::report::{FailureClass, Phase};
use swarm_protocol::{DroneId, Fence, SessionId};

use super::Culprit;
use crate::table::Row;

/// One event.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EventRow {
    /// Sequence number without gaps; equal to the stream's (decision 13).
    pub seq: u64,
    /// Wall clock, Unix milliseconds.
    pub at: u64,
    /// Kind, as in the HTTP contract: `register`, `assign`, `complete`, `fail`, …
    pub kind: String,
    /// One sentence for people.
    pub message: String,
    /// Name of the drone.
    #[serde(default)]
    pub drone: Option<String>,
    /// Atom with `=`.
    #[serde(default)]
    pub package: Option<String>,
    /// Build.
    #[serde(default)]
    pub build: Option<u64>,
    /// Attempt.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// Session.
    #[serde(default)]
    pub session: Option<u64>,
    /// The rest.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}

impl Row for EventRow {
    type Key = u64;
    const TABLE: &'static str = "events";
    fn key(&self) -> u64 {
        self.seq
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryStatus {
    /// Its packages are in the binhost.
    Success,
    /// It failed.
    Failed,
    /// It ended by order or was given back; nobody is to blame.
    Returned,
}

/// One attempt that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Number.
    pub id: u64,
    /// The attempt.
    pub fence: Fence,
    /// Session.
    pub session: SessionId,
    /// Atom with `=`.
    pub package: String,
    /// The drone.
    pub drone: DroneId,
    /// Its name then.
    pub drone_name: String,
    /// How it ended.
    pub status: HistoryStatus,
    /// Milliseconds emerge took.
    pub duration_ms: u64,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// The line of the log that matters.
    #[serde(default)]
    pub log_line: Option<String>,
    /// What kind of failure.
    #[serde(default)]
    pub class: Option<FailureClass>,
    /// Whose fault.
    #[serde(default)]
    pub culprit: Option<Culprit>,
    /// The phase it failed in.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// Bytes of log.
    #[serde(default)]
    pub log_bytes: u64,
    /// The log has its tail.
    #[serde(default)]
    pub log_complete: bool,
    /// Peak memory, bytes; 0 if not known.
    #[serde(default)]
    pub memory_peak_bytes: u64,
    /// Wall clock of the end, Unix milliseconds.
    pub built_at: u64,
}

impl Row for HistoryRow {
    type Key = u64;
    const TABLE: &'static str = "history";
    fn key(&self) -> u64 {
        self.id
    }
}
