//! Signs of life of one drone since the controller's start.

use std::collections::BTreeSet;

use swarm_protocol::Fence;
use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::report::{AttemptStatus, Heartbeat};

use crate::now::Now;

/// A drone's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// Heartbeats come.
    Online,
    /// None for a while.
    #[default]
    Offline,
}

/// What a drone's last heartbeat said. Others read it; only [`super::FleetState`] changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse {
    /// Core clock of the last heartbeat or supervisor's hello.
    pub last_beat: u64,
    /// Wall clock of the last heartbeat, Unix milliseconds.
    pub last_wall: u64,
    /// Online or not, as last announced.
    pub presence: Presence,
    /// Number of the last heartbeat within the supervisor's run.
    pub(super) seq: u64,
    /// Highest order number it has seen.
    pub orders_seen: u64,
    /// Load, pressure, free memory and disk.
    pub vitals: Vitals,
    /// Whether vitals were ever told; the disk rule waits for them.
    pub told: bool,
    /// What its supervisor says of its worker.
    pub worker: WorkerState,
    /// Running attempts.
    pub attempts: Vec<AttemptStatus>,
    /// Attempts that have ended there, whose result or packages are still on their way.
    pub finished: BTreeSet<Fence>,
    /// When it was last told to end what it is not to have; 0 before the first time.
    pub(super) cleared: u64,
}

impl Pulse {
    /// A drone said hello and has sent no heartbeat yet.
    pub(super) fn at(now: Now) -> Self {
        Self { last_beat: now.at, ..Self::default() }
    }

    /// As a heartbeat says.
    pub(super) fn of(beat: Heartbeat, now: Now, cleared: u64) -> Self {
        Self {
            last_beat: now.at,
            last_wall: now.wall,
            presence: Presence::Online,
            seq: beat.seq,
            orders_seen: beat.orders_seen,
            vitals: beat.vitals,
            told: true,
            worker: beat.worker,
            attempts: beat.attempts,
            finished: beat.finished.into_iter().collect(),
            cleared,
        }
    }
}
