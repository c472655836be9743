//! The published view of soft state: what readers see of heartbeats and sums without asking the engine. It is made after
//! the commit, so it never shows what is not on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::report::Phase;
use swarm_protocol::{DroneId, Fence, SessionId};

use crate::rows::{DroneRow, Fact};

/// What readers see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The fleet.
    pub drones: BTreeMap<DroneId, Arc<DroneView>>,
    /// The active session, if one is open.
    pub session: Option<SessionId>,
    /// Entries per state in the active session, or in all if none is open.
    pub counts: Counts,
    /// Entries per state per session.
    pub sessions: BTreeMap<SessionId, Counts>,
    /// The swarm is paused.
    pub paused: Option<Fact>,
    /// The newest event's sequence number.
    pub last_event: u64,
    /// The newest history row.
    pub last_history: u64,
    /// When the controller still judges nobody after its own start.
    pub in_grace: bool,
    /// Learned medians of durations by `category/name`, milliseconds.
    pub medians: Arc<BTreeMap<String, u64>>,
}

/// Entries per state, as the HTTP contract counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// To be built, planning included.
    pub needed: u64,
    /// In a drone's hands.
    pub delegated: u64,
    /// In the binhost.
    pub received: u64,
    /// Blocked.
    pub blocked: u64,
    /// Given up.
    pub failed: u64,
    /// Needed ones that wait for a dependency.
    pub waiting: u64,
}

impl Counts {
    /// All entries.
    pub fn total(&self) -> u64 {
        self.needed + self.delegated + self.received + self.blocked + self.failed
    }
}

/// A drone's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// Heartbeats come.
    Online,
    /// None for a while.
    #[default]
    Offline,
}

/// A drone as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneView {
    /// Its row.
    pub row: DroneRow,
    /// Whether it is there.
    pub presence: Presence,
    /// Wall clock of the last heartbeat, Unix milliseconds; 0 if none since the controller's start.
    pub last_heartbeat: u64,
    /// Condition.
    pub vitals: Vitals,
    /// Its worker.
    pub worker: WorkerState,
    /// What it has, ordered or running.
    pub tasks: Vec<TaskView>,
    /// Builds that ended well, ever.
    pub completed: u64,
    /// Builds that failed, ever.
    pub failed: u64,
}

/// A package in a drone's hands.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// The attempt.
    pub fence: Fence,
    /// Atom with `=`.
    pub package: String,
    /// Where it stands.
    pub phase: Phase,
    /// Wall clock when it was assigned, Unix milliseconds.
    pub assigned_at: u64,
    /// Wall clock when emerge began, Unix milliseconds.
    pub building_since: Option<u64>,
    /// Learned duration, milliseconds.
    pub estimated_ms: Option<u64>,
    /// Bytes of log so far.
    pub log_bytes: u64,
}
