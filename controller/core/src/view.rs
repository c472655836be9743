//! The published view of soft state: what readers see of heartbeats and sums without asking the engine. It is made after
//! the commit, so it never shows what is not on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::report::{AttemptStatus, Phase};
use swarm_protocol::{BuildId, Cpv, DroneId, Fence, SessionId};

use crate::rows::{BuildState, DroneRow, Fact};
use crate::state::Core;

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
    /// The head of the line: entries that wait for nothing but a drone, in the order they are given out; at most 50.
    pub next: Vec<BuildId>,
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
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            needed: self.needed + other.needed,
            delegated: self.delegated + other.delegated,
            received: self.received + other.received,
            blocked: self.blocked + other.blocked,
            failed: self.failed + other.failed,
            waiting: self.waiting + other.waiting,
        }
    }

    /// The counter of a state.
    pub(crate) fn of(&mut self, state: &BuildState) -> &mut u64 {
        match state {
            BuildState::Planning { .. } | BuildState::Needed { .. } => &mut self.needed,
            BuildState::Delegated { .. } => &mut self.delegated,
            BuildState::Received { .. } => &mut self.received,
            BuildState::Blocked { .. } => &mut self.blocked,
            BuildState::Failed { .. } => &mut self.failed,
        }
    }

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

impl Core {
    /// Rebuilds the views of drones that were touched.
    pub(crate) fn refresh_views(&mut self) {
        for id in std::mem::take(&mut self.soft.touched) {
            let Some(row) = self.rows.drones.get(&id.0) else { continue };
            let pulse = self.soft.pulses.get(&id).cloned().unwrap_or_default();
            let stats = self.rows.stats.get(&row.name);
            let tasks =
                self.held_by(&id).into_iter().filter_map(|build| self.task_view(build, &pulse.attempts)).collect();
            let view = DroneView {
                row: row.clone(),
                presence: pulse.presence,
                last_heartbeat: pulse.last_wall,
                vitals: pulse.vitals,
                worker: pulse.worker,
                tasks,
                completed: stats.map_or(0, |stats| stats.success),
                failed: stats.map_or(0, |stats| stats.total - stats.success),
            };
            self.soft.views.insert(id, Arc::new(view));
        }
    }

    fn task_view(&self, build: BuildId, attempts: &[AttemptStatus]) -> Option<TaskView> {
        let row = self.rows.builds.get(&build.0)?;
        let assignment = row.assignment()?;
        let status = attempts.iter().find(|status| status.fence == row.fence());
        let cp = row.cpv.as_deref().and_then(|cpv| cpv.parse::<Cpv>().ok()).map(|cpv| cpv.cp());
        Some(TaskView {
            fence: row.fence(),
            package: row.atom(),
            phase: status.map_or(Phase::Queued, |status| status.phase),
            assigned_at: assignment.assigned_at,
            building_since: assignment.building_since,
            estimated_ms: cp.and_then(|cp| self.soft.medians.get(&cp).copied()),
            log_bytes: status.map_or(0, |status| status.log_bytes),
        })
    }
}
