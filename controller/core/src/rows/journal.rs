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
    /// Sequence number without gaps; equal to the stream's.
    pub seq: u64,
    /// Wall clock, Unix milliseconds.
    pub at: u64,
    /// Name of its [`EventKind`]; a later version may write others.
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

/// Kinds of events: the word of each in rows, on the bus and in the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// Something needs a person.
    Alert,
    /// A drone got a package to build.
    Assign,
    /// A setting or a key was changed.
    Audit,
    /// A package is not tried again until a person or the clock says so.
    Blocked,
    /// A package is in the binhost.
    Complete,
    /// A person, or a rule they set, changed what is done.
    Control,
    /// Something was done about a drone that does not work.
    Escalate,
    /// An attempt failed.
    Fail,
    /// A drone gets no work for a while.
    Grounded,
    /// A drone has recovered, or why nothing is done about it.
    Heal,
    /// A drone is not heard any more.
    Offline,
    /// Packages were queued.
    Queue,
    /// A package is asked back for a drone that has nothing to do.
    Rebalance,
    /// A drone is rebooted.
    Reboot,
    /// A package was taken back from a drone.
    Reclaim,
    /// A drone came.
    Register,
    /// An attempt ended without a result, and nobody is to blame.
    Return,
    /// A report came too late to count.
    Stale,
    /// Something is tried again, or may work again.
    Unblock,
    /// Something went wrong that a person may want to know.
    Warn,
}

impl EventKind {
    /// Its word; never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Assign => "assign",
            Self::Audit => "audit",
            Self::Blocked => "blocked",
            Self::Complete => "complete",
            Self::Control => "control",
            Self::Escalate => "escalate",
            Self::Fail => "fail",
            Self::Grounded => "grounded",
            Self::Heal => "heal",
            Self::Offline => "offline",
            Self::Queue => "queue",
            Self::Rebalance => "rebalance",
            Self::Reboot => "reboot",
            Self::Reclaim => "reclaim",
            Self::Register => "register",
            Self::Return => "return",
            Self::Stale => "stale",
            Self::Unblock => "unblock",
            Self::Warn => "warn",
        }
    }
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
