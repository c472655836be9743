//! All a worker can want done.

use swarm_protocol::order::{BuildJob, OrderAnswer, PlanJob, SyncJob};
use swarm_protocol::report::BuildReport;
use swarm_protocol::{Fence, StoreId};

use crate::tombs::Tomb;

/// Something to do. Effects are comparable, so that tests compare lists of them.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Effect {
    /// Answer an order.
    Answer {
        /// The number [`crate::Input::Order`] brought.
        reply: u64,
        /// What to say.
        answer: OrderAnswer,
    },
    /// Put the job on disk, durably; then [`crate::Input::Kept`] or [`crate::Input::NotKept`].
    Keep {
        /// The job.
        job: BuildJob,
        /// The slot whose root it gets.
        slot: u32,
        /// The order's number.
        order_number: u64,
        /// The store that ordered.
        store_id: StoreId,
    },
    /// Start the attempt's process; then [`crate::Input::Started`] or [`crate::Input::NotStarted`], and later
    /// [`crate::Input::Exited`] or [`crate::Input::Vanished`].
    Start {
        /// The attempt.
        fence: Fence,
    },
    /// End the attempt and everything below it; then [`crate::Input::Ended`].
    End {
        /// The attempt.
        fence: Fence,
    },
    /// Upload a package of a finished attempt; then [`crate::Input::Uploaded`].
    Upload {
        /// The attempt.
        fence: Fence,
        /// The package's SHA-256, hex.
        sha256: String,
    },
    /// Tell the controller; then [`crate::Input::Answered`] or [`crate::Input::Unanswered`].
    Report {
        /// What to say.
        report: BuildReport,
    },
    /// Write the tombstone, then remove what is on disk of the attempt; stop its uploads; then
    /// [`crate::Input::Forgotten`].
    Forget {
        /// Which, and when.
        tomb: Tomb,
    },
    /// Orders up to this number are on disk or answered: heartbeats may say so.
    Seen {
        /// The number.
        number: u64,
        /// The store that counts.
        store_id: StoreId,
    },
    /// Resolve a request and deliver the plan; then [`crate::Input::Planned`].
    Plan {
        /// The request.
        job: PlanJob,
        /// The store that asks.
        store_id: StoreId,
    },
    /// Bring the ebuild repositories up to date, tell how it ended, drop what is known of their state; then
    /// [`crate::Input::Synced`]. Nothing else runs meanwhile.
    Sync {
        /// Number of the order, for the report.
        number: u64,
        /// What is expected.
        job: SyncJob,
        /// The store that ordered.
        store_id: StoreId,
    },
    /// Say hello again: the controller is not the one that welcomed us.
    Greet,
}
