//! The published view of soft state: what readers see of heartbeats and sums without asking the engine. It is made after
//! the commit, so it never shows what is not on disk.
//!
//! Here are its types; `refresh` makes them of rows and soft state, `state` knows which are to be made anew, `roster` keeps their
//! copies cheap.

mod refresh;
mod roster;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::report::Phase;
use swarm_protocol::{BuildId, Fence, SessionId};

pub use crate::fleet::Presence;
pub use crate::healing::Latency;
use crate::members::Membership;
use crate::now::Now;
pub use crate::queue::Counts;
use crate::rows::{DroneRow, DroneWishesRow, Fact, HealingRow};
pub use roster::Roster;
pub(crate) use state::ViewState;

/// What readers see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The fleet.
    pub drones: Roster<DroneView>,
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
    /// Something is done about drones that do not work.
    pub healing: bool,
    /// Who the bus is to let in.
    pub membership: Arc<Membership>,
    /// Learned medians of durations by `category/name`, on an ordinary drone, milliseconds.
    pub medians: Arc<BTreeMap<String, u64>>,
    /// The head of the line: entries that wait for nothing but a drone, in the order they are given out; at most 50.
    pub next: Vec<BuildId>,
    /// Most of the fleet fell silent at once, as seen at this wall clock (Unix milliseconds): nobody is judged.
    pub cut_off: Option<u64>,
    /// The numbers forecasts rest on.
    pub assumed: Assumed,
    /// When this was so; moments of the core's clock in rows mean wall time by it, see [`View::wall_of`].
    pub now: Now,
}

/// What is assumed where nothing was learned, and what the order of the line comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assumed {
    /// Milliseconds a package takes that was never built.
    pub default_duration: u64,
    /// What one step of priority adds to the length of a path, milliseconds.
    pub priority_step: u64,
    /// What waiting adds to it, percent of the time.
    pub age_weight: u32,
}

impl View {
    /// A moment of the core's clock as wall time, Unix milliseconds; before it was made it is not exact over a restart.
    pub fn wall_of(&self, at: u64) -> u64 {
        (self.now.wall + at).saturating_sub(self.now.at)
    }
}

/// A drone as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneView {
    /// Its row; shared with the views before while it does not change.
    pub row: Arc<DroneRow>,
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
    /// Proof of life and the ladder.
    pub health: Health,
    /// What the operator wishes for it.
    pub wishes: Option<DroneWishesRow>,
    /// How fast it is compared with other drones, in thousandths, if that is known.
    pub speed: Option<u32>,
    /// Milliseconds until it is likely to begin one more package.
    pub wait_ms: u64,
}

/// Proof of life, and where a drone stands on the ladder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// Wall clock of the last ping, Unix milliseconds; 0 if none.
    pub last_ping: u64,
    /// Wall clock of the last answer, Unix milliseconds; 0 if none since the controller's start.
    pub last_pong: u64,
    /// The last round trip, microseconds.
    pub latency_us: Option<u64>,
    /// Round trips of the last hour.
    pub latency: Latency,
    /// The drone's clock less the controller's, milliseconds.
    pub skew_ms: Option<i64>,
    /// Pings missed in a row.
    pub misses: u32,
    /// What is stored of incidents, acts and recoveries; `None` for a drone that never gave reason.
    pub row: Option<HealingRow>,
}

impl Health {
    /// Where it stands on the ladder.
    pub fn level(&self) -> u8 {
        self.row.as_ref().map_or(0, HealingRow::level)
    }
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
    /// Number of the order that gave it: what has not begun is begun in this order.
    pub order: u64,
    /// Wall clock when it was assigned, Unix milliseconds.
    pub assigned_at: u64,
    /// Wall clock when emerge began, Unix milliseconds.
    pub building_since: Option<u64>,
    /// Milliseconds it is likely to take there, if it was ever built.
    pub estimated_ms: Option<u64>,
    /// When it began, by the drone's own measure of how long it has run and the controller's wall clock, Unix milliseconds;
    /// `None` before that.
    pub begun_at: Option<u64>,
    /// A sweeper tries it as the last resort.
    pub sweep: bool,
    /// Bytes of log so far.
    pub log_bytes: u64,
}
