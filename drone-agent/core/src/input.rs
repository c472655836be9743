//! All that can happen to a worker.

use swarm_protocol::order::{Order, PlanJob, SyncJob};
use swarm_protocol::report::{BuildAnswer, BuildResult, Failure};
use swarm_protocol::{Fence, PlanId, StoreId};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The controller's welcome came; everything not yet answered is said again at once.
    Welcomed {
        /// Its store; another one than before makes everything of the former count no more.
        store_id: StoreId,
        /// Held attempts that count no more.
        superseded: Vec<Fence>,
    },
    /// An order came.
    Order {
        /// The caller's number for the reply; [`crate::Effect::Answer`] carries it back.
        reply: u64,
        /// The order.
        order: Order,
    },
    /// [`crate::Effect::Keep`] is done: the job is on disk.
    Kept {
        /// The attempt.
        fence: Fence,
    },
    /// [`crate::Effect::Keep`] failed: nothing of the job is on disk.
    NotKept {
        /// The attempt.
        fence: Fence,
        /// Why, as the controller will be told.
        failure: Failure,
    },
    /// [`crate::Effect::Start`] is done.
    Started {
        /// The attempt.
        fence: Fence,
        /// The drone's wall clock, Unix milliseconds.
        at: u64,
    },
    /// [`crate::Effect::Start`] failed; no process exists.
    NotStarted {
        /// The attempt.
        fence: Fence,
        /// Why, as the controller will be told.
        failure: Failure,
    },
    /// A running attempt ended and its result is on disk.
    Exited {
        /// The attempt.
        fence: Fence,
        /// The result it left.
        result: BuildResult,
    },
    /// A running attempt's process is gone without a result; what it had started may still run.
    Vanished {
        /// The attempt.
        fence: Fence,
    },
    /// [`crate::Effect::End`] is done: nothing of the attempt runs any more.
    Ended {
        /// The attempt.
        fence: Fence,
    },
    /// [`crate::Effect::Upload`] is over.
    Uploaded {
        /// The attempt.
        fence: Fence,
        /// The package's SHA-256, hex.
        sha256: String,
        /// How the upload ended.
        outcome: Uploaded,
    },
    /// [`crate::Effect::Forget`] is done.
    Forgotten {
        /// The attempt.
        fence: Fence,
    },
    /// The controller answered a report.
    Answered {
        /// The attempt.
        fence: Fence,
        /// The store the report named.
        store_id: StoreId,
        /// The report's number.
        number: u32,
        /// What it said.
        answer: BuildAnswer,
    },
    /// Nobody answered a report in time.
    Unanswered {
        /// The attempt.
        fence: Fence,
        /// The report's number.
        number: u32,
    },
    /// [`crate::Effect::Plan`] is over: the plan was delivered, refused or superseded.
    Planned {
        /// The request.
        plan: PlanId,
        /// Which try of it.
        attempt: u32,
    },
    /// [`crate::Effect::Sync`] is over, however it ended.
    Synced {
        /// Number of the order.
        number: u64,
    },
    /// The worker shuts down: no new orders, nothing new is started; what runs lives on.
    Closing,
}

/// How an upload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// The controller has it.
    Done,
    /// The attempt counts no more.
    Superseded,
    /// It failed for good.
    Failed {
        /// Why, for people.
        message: String,
    },
}

/// An attempt that stands on disk when the worker starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The attempt.
    pub fence: Fence,
    /// The package, without `=`.
    pub cpv: String,
    /// The store whose order it was.
    pub store_id: StoreId,
    /// The order's number.
    pub order_number: u64,
    /// The slot whose root it uses.
    pub slot: u32,
    /// Where it stands.
    pub standing: AttemptStanding,
}

/// Where an attempt on disk stands.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptStanding {
    /// On disk, never started.
    Waiting,
    /// Its process lives.
    Running {
        /// Since when, the drone's wall clock, Unix milliseconds.
        since: u64,
    },
    /// It ended and left a result.
    Finished {
        /// The result.
        result: BuildResult,
    },
    /// It was started, and is gone without a result.
    Vanished,
}

/// A plan in line, as the core keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOrder {
    /// The request.
    pub job: PlanJob,
    /// The store that asks.
    pub store_id: StoreId,
}

/// An order to bring the ebuild repositories up to date, as the core keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncOrder {
    /// Number of the order.
    pub number: u64,
    /// What is expected.
    pub job: SyncJob,
    /// The store that ordered.
    pub store_id: StoreId,
    /// It is under way.
    pub runs: bool,
}
