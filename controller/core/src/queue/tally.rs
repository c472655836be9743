//! Entries counted per session and state, so that no question walks the queue.

use std::collections::BTreeMap;

use swarm_protocol::SessionId;

use crate::rows::BuildState;

/// Entries per state, as the HTTP contract counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// To be built, planning included.
    pub needed: u64,
    /// In a drone's hands.
    pub delegated: u64,
    /// In the binhost.
    pub received: u64,
    /// Not tried until a person or the clock says so.
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
    fn of(&mut self, state: &BuildState) -> &mut u64 {
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

/// Counts of all sessions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sessions: BTreeMap<SessionId, Counts>,
}

impl Tally {
    /// An entry of a session is in a state from now on.
    pub(super) fn enter(&mut self, session: SessionId, state: &BuildState) {
        *self.sessions.entry(session).or_default().of(state) += 1;
    }

    /// An entry of a session is in a state no more.
    pub(super) fn leave(&mut self, session: SessionId, state: &BuildState) {
        *self.sessions.entry(session).or_default().of(state) -= 1;
    }

    /// An entry of a session begins or ends to wait for a dependency.
    pub(super) fn wait(&mut self, session: SessionId, waits: bool) {
        let counter = &mut self.sessions.entry(session).or_default().waiting;
        *counter = if waits { *counter + 1 } else { counter.saturating_sub(1) };
    }

    /// The counts of a session.
    pub(super) fn of(&self, session: SessionId) -> Counts {
        self.sessions.get(&session).copied().unwrap_or_default()
    }

    /// All sessions together.
    pub(super) fn sum(&self) -> Counts {
        self.sessions.values().fold(Counts::default(), |sum, one| sum.plus(one))
    }

    /// Every session's counts.
    pub(super) fn all(&self) -> &BTreeMap<SessionId, Counts> {
        &self.sessions
    }

    /// A session is forgotten.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }
}
