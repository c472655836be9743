//! Sessions, plans, what was learned, and the store's own row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use swarm_protocol::{ArtifactId, BuildId, DroneId, PlanId, SessionId, StoreId};

use crate::table::{Row, RowKey};

/// What one person asked for together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Number.
    pub id: SessionId,
    /// Name for people.
    pub name: String,
    /// Who opened it.
    pub opened_by: String,
    /// Wall clock, Unix milliseconds.
    pub started_at: u64,
    /// Wall clock of its end; `None` while it is open.
    pub ended_at: Option<u64>,
    /// Packages of the binhost its plans build on; kept while it is open.
    #[serde(default)]
    pub builds_on: BTreeSet<ArtifactId>,
}

impl Row for SessionRow {
    type Key = SessionId;
    const TABLE: &'static str = "sessions";
    fn key(&self) -> SessionId {
        self.id
    }
}

/// A request to a planner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRow {
    /// Number.
    pub id: PlanId,
    /// Last try; 0 before the first.
    pub attempt: u32,
    /// The session.
    pub session: SessionId,
    /// The build profile whose drones can plan it.
    pub profile: String,
    /// The entries it resolves, in the order of the atoms.
    pub builds: Vec<BuildId>,
    /// Lines of `package.use`.
    pub package_use: Vec<String>,
    /// Dependencies the binhost has are listed too.
    pub fresh: bool,
    /// Not before this moment of the core's clock.
    pub not_before: u64,
    /// Where it stands.
    pub state: PlanState,
}

/// The life of a plan; a finished one has no row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum PlanState {
    /// No planner has it.
    Waiting {},
    /// A drone has it.
    Sent {
        /// The planner.
        drone: DroneId,
        /// Number of the order.
        order: u64,
        /// Given up at this moment of the core's clock.
        until: u64,
    },
}

impl Row for PlanRow {
    type Key = PlanId;
    const TABLE: &'static str = "plans";
    fn key(&self) -> PlanId {
        self.id
    }
}

/// What was learned of one `category/name`: its last successes, wherever they were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DurationRow {
    /// `category/name`.
    pub cp: String,
    /// The last successes, oldest first; at most [`DurationRow::KEEP`].
    #[serde(default)]
    pub runs: Vec<Run>,
}

/// One success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Who built it.
    pub drone: DroneId,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// Milliseconds it would have taken on an ordinary drone: the duration times the drone's speed as it was known then.
    pub usual_ms: u64,
    /// Peak of memory, bytes; 0 if not known.
    pub memory_bytes: u64,
}

impl DurationRow {
    /// Successes kept.
    pub const KEEP: usize = 5;

    /// Median of what they would have taken on an ordinary drone, milliseconds; `None` before the first.
    pub fn median_ms(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.runs.iter().map(|run| run.usual_ms).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Largest peak of memory among the successes, bytes; 0 if not known.
    pub fn memory_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.memory_bytes).max().unwrap_or(0)
    }
}

impl Row for DurationRow {
    type Key = String;
    const TABLE: &'static str = "durations";
    fn key(&self) -> String {
        self.cp.clone()
    }
}

/// Sums over the history, so that no question needs to read all of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsRow {
    /// Name of a drone.
    pub drone: String,
    /// Attempts that ended.
    pub total: u64,
    /// Of them successes.
    pub success: u64,
    /// Milliseconds of all of them.
    pub duration_ms: u64,
}

impl Row for StatsRow {
    type Key = String;
    const TABLE: &'static str = "stats";
    fn key(&self) -> String {
        self.drone.clone()
    }
}

/// An answer remembered for a caller's `Idempotency-Key`, for 24 h.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// The caller's key.
    pub key: String,
    /// The session of the first answer.
    pub session: SessionId,
    /// Packages queued then.
    pub packages: Vec<String>,
    /// And those that were in the queue already.
    #[serde(default)]
    pub duplicates: Vec<String>,
    /// Their entries.
    #[serde(default)]
    pub builds: Vec<BuildId>,
    /// Forgotten at this moment of the core's clock.
    pub until: u64,
}

impl Row for IdempotencyRow {
    type Key = String;
    const TABLE: &'static str = "idempotency";
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// The store's own row: counters, clock and the swarm-wide switches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetaRow {
    /// This store's life.
    pub store_id: StoreId,
    /// The core's clock when the row was last written, milliseconds.
    pub clock: u64,
    /// Last number given, per kind.
    pub last_build: u64,
    /// Last session.
    pub last_session: u64,
    /// Last plan.
    pub last_plan: u64,
    /// Last artifact.
    pub last_artifact: u64,
    /// Last event.
    pub last_event: u64,
    /// Last history row.
    pub last_history: u64,
    /// The whole swarm is paused.
    #[serde(default)]
    pub paused: Option<super::Fact>,
    /// Last notice.
    #[serde(default)]
    pub last_notice: u64,
    /// More than half of the fleet is silent: the controller is cut off, since when (wall clock, Unix milliseconds).
    #[serde(default)]
    pub cut_off: Option<u64>,
}

/// The key of the only row of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetaKey;

impl RowKey for MetaKey {
    fn bytes(&self) -> Vec<u8> {
        b"meta".to_vec()
    }
}

impl Row for MetaRow {
    type Key = MetaKey;
    const TABLE: &'static str = "meta";
    fn key(&self) -> MetaKey {
        MetaKey
    }
}

/// A setting somebody changed at run time. What is not changed has no row; which keys there are and what they take is the
/// configuration's business, outside the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRow {
    /// `section.key`, as in the configuration file.
    pub key: String,
    /// Its value as text.
    pub value: String,
    /// Wall clock of the change, Unix milliseconds.
    pub at: u64,
    /// Who changed it.
    pub by: String,
}

impl Row for ConfigRow {
    type Key = String;
    const TABLE: &'static str = "config";
    fn key(&self) -> String {
        self.key.clone()
    }
}
