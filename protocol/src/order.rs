//! Orders: what should happen on a drone, in the imperative, and the drone's first answer. An order's answer is a hint;
//! only a report or a heartbeat moves state.

use serde::{Deserialize, Serialize};

use crate::ids::{Fence, InstanceId, PlanId, StoreId};
use crate::machine::{TreeState, Vitals, WorkerState};
use crate::report::AttemptStatus;

/// What every order is wrapped in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Number of the order; rises per drone. 0 for orders that leave no trace (ping, logs).
    pub number: u64,
    /// The store that gives it.
    pub store_id: StoreId,
    /// The run of the process it is for; another one refuses it.
    pub instance: InstanceId,
    /// The order.
    pub task: Task,
}

/// The orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Task {
    /// Build a package. For the worker.
    Build {
        /// The job.
        job: BuildJob,
    },
    /// End an attempt or drop it from the line. For the worker.
    Cancel {
        /// The attempt.
        fence: Fence,
        /// Why, for people.
        reason: String,
    },
    /// Drop an attempt from the line if it has not begun; one that has goes on. For the worker. One that does not know this
    /// order keeps the attempt, which is right as well.
    Release {
        /// The attempt.
        fence: Fence,
        /// Why, for people.
        reason: String,
    },
    /// Bring the ebuild repositories up to date. For the worker; it begins nothing else meanwhile.
    Sync {
        /// What is expected of it.
        job: SyncJob,
    },
    /// Resolve atoms to exact versions, USE and edges. For the worker.
    Plan {
        /// The request.
        job: PlanJob,
    },
    /// Say that you live. For the supervisor.
    Ping {
        /// Number of the ping.
        seq: u64,
        /// The controller's wall clock, Unix milliseconds.
        sent_at: u64,
    },
    /// Give a piece of an attempt's log. For the supervisor.
    Logs {
        /// Which attempt.
        fence: Fence,
        /// First byte wanted, in the uncut stream.
        offset: u64,
        /// At most this many bytes.
        max: u32,
    },
    /// Do something about a drone that does not work. For the supervisor, which refuses what its own type or configuration
    /// forbids, whatever the controller believes.
    Escalate {
        /// What is to be done.
        rung: Rung,
        /// Why, for people and logs.
        reason: String,
        /// Rises per drone; one that was carried out is answered as it was, not carried out again.
        generation: u64,
    },
    /// An order of a later version.
    #[serde(other)]
    Unknown,
}

/// The rungs of the ladder a supervisor can carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Level 1: end the worker gracefully and start it; its builds live on.
    RestartService,
    /// Level 2: kill the worker's process, clean up what it left, start it; its builds live on.
    HardRestart,
    /// Level 3: reboot the container or virtual machine through its init system.
    RebootContainer,
    /// A rung of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Rung {
    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RestartService => "restart_service",
            Self::HardRestart => "hard_restart",
            Self::RebootContainer => "reboot_container",
            Self::Unknown => "unknown",
        }
    }

    /// Its level on the ladder, 1 to 3; 0 for an unknown one.
    pub fn level(self) -> u8 {
        match self {
            Self::RestartService => 1,
            Self::HardRestart => 2,
            Self::RebootContainer => 3,
            Self::Unknown => 0,
        }
    }
}

/// What became of an [`Task::Escalate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Escalated {
    /// It is being done, or was done for this generation already.
    Done {
        /// What exactly, for people.
        detail: String,
    },
    /// It would have been done; the drone is configured to only say so.
    DryRun {
        /// What exactly would have been done.
        detail: String,
    },
    /// It is not done.
    Refused {
        /// The rule that forbids it.
        why: EscalationRefusal,
        /// For people.
        detail: String,
    },
    /// An outcome of a later version.
    #[serde(other)]
    Unknown,
}

/// Why a drone refuses an escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationRefusal {
    /// By its own detection it is no container and no virtual machine of a known kind.
    Type,
    /// Its configuration forbids it.
    Protected,
    /// It builds.
    Building,
    /// The generation is older than one it has seen.
    Old,
    /// It tried and could not.
    Failed,
    /// A rule of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Task {
    /// The last token of the order's subject.
    pub fn token(&self) -> &'static str {
        match self {
            Self::Build { .. } => "build",
            Self::Cancel { .. } => "cancel",
            Self::Release { .. } => "release",
            Self::Sync { .. } => "sync",
            Self::Plan { .. } => "plan",
            Self::Ping { .. } => "ping",
            Self::Logs { .. } => "logs",
            Self::Escalate { .. } => "escalate",
            Self::Unknown => "unknown",
        }
    }

    /// Tokens of the orders a worker takes.
    pub const FOR_WORKER: [&'static str; 5] = ["build", "cancel", "release", "sync", "plan"];
    /// Tokens of the orders a supervisor takes.
    pub const FOR_SUPERVISOR: [&'static str; 3] = ["ping", "logs", "escalate"];
}

/// One package to build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BuildJob {
    /// The attempt.
    pub fence: Fence,
    /// `category/name-version`, without `=`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled USE flags the plan expects, sorted.
    #[serde(default)]
    pub use_flags: Vec<String>,
    /// Lines of `package.use` for this build.
    #[serde(default)]
    pub package_use: Vec<String>,
    /// Least TIMESTAMP of the binhost's index that holds all dependencies; 0 if none is needed.
    #[serde(default)]
    pub min_index_timestamp: u64,
    /// Bounds of the attempt.
    #[serde(default)]
    pub limits: Limits,
}

/// Bounds of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Milliseconds in all.
    pub total_ms: u64,
    /// Milliseconds without a new byte of log.
    pub silence_ms: u64,
    /// Bytes of log kept; beyond, the middle is cut and the cut marked.
    pub log_bytes: u64,
}

impl Default for Limits {
    /// 12 h, 60 min, 64 MiB.
    fn default() -> Self {
        Self { total_ms: 12 * 3_600_000, silence_ms: 3_600_000, log_bytes: 64 << 20 }
    }
}

/// What is expected of a sync.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncJob {
    /// The tree others have.
    #[serde(default)]
    pub expected: TreeState,
    /// Milliseconds it may take.
    #[serde(default)]
    pub timeout_ms: u64,
}

/// Atoms to resolve together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlanJob {
    /// The request.
    pub plan: PlanId,
    /// Which try of it.
    pub attempt: u32,
    /// Atoms, as the user gave them.
    pub atoms: Vec<String>,
    /// Lines of `package.use`.
    #[serde(default)]
    pub package_use: Vec<String>,
}

/// A drone's first answer to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum OrderAnswer {
    /// On the drone's disk, or done already.
    Accepted {},
    /// Not taken.
    Refused {
        /// Why, for people.
        reason: String,
    },
    /// Answer to a ping.
    Pong {
        /// The ping's number.
        seq: u64,
        /// The supervisor's run.
        instance: InstanceId,
        /// The drone's wall clock, Unix milliseconds.
        at: u64,
        /// Condition.
        vitals: Vitals,
        /// The worker as the supervisor sees it.
        worker: WorkerState,
        /// Running attempts.
        attempts: Vec<AttemptStatus>,
    },
    /// Answer to a request for logs.
    Log {
        /// The piece.
        chunk: crate::log::LogChunk,
    },
    /// Answer to an escalation.
    Escalated {
        /// The order's generation.
        generation: u64,
        /// What became of it.
        outcome: Escalated,
    },
    /// The drone can't read this order.
    NotUnderstood {
        /// Why, for people.
        reason: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}
