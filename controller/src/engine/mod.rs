//! The engine: one OS thread owns the [`Core`] and is the only writer of the store. It takes waiting inputs as one batch,
//! lets the core decide each, stores what changed in one transaction, and only then lets effects out.
//!
//! It decides nothing about packages or drones. `bus`, `http` and `binhost` hand in inputs through an [`EngineHandle`];
//! effects leave through [`Outlets`]; `serve` starts and stops it.
//!
//! If a commit fails, no effect leaves and the process ends (exit status 75): what was decided is not on disk, so nobody may
//! hear of it, and a fresh start from the rows is the way back.

mod handle;
mod outlets;
mod port;
mod stats;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use swarm_core::check::Note;
use swarm_core::{Core, Membership, Settings};
use swarm_protocol::StoreId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use handle::EngineHandle;
pub use outlets::{HealingWorks, Outlet, Outlets, SentOrder, Work, Works};
pub use port::{AskError, Engine, MakeInput};
pub use stats::{EngineStats, StatsNow};
pub use thread::{EngineError, EngineThread};

use crate::store::{Change, ReadError, Store};
use thread::Running;

/// Exit status when a commit failed: `EX_TEMPFAIL`, the service manager starts us anew.
pub const EXIT_COMMIT_FAILED: i32 = 75;
/// Exit status when the engine panicked, as for any other task.
pub const EXIT_PANICKED: i32 = 70;

/// What is about to be committed, for a [`CommitHook`].
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    /// Inputs in the batch.
    pub inputs: usize,
    /// Rows to write or remove.
    pub changes: &'a [Change],
}

/// Called before each commit; an error makes the commit fail. For fault injection and figures.
pub type CommitHook = Box<dyn FnMut(Pending<'_>) -> Result<(), String> + Send>;

/// What follows when a commit fails or the core panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The process ends at once, with [`EXIT_COMMIT_FAILED`] or [`EXIT_PANICKED`].
    ExitProcess,
    /// Only the thread ends, with an error to [`EngineThread::join`]; for tests and tools.
    EndThread,
}

/// Bounds of the engine, and its seams.
pub struct Options {
    /// Inputs that can wait. Beyond three quarters of it, what repeats anyway is shed.
    pub queue: usize,
    /// Inputs taken into one batch, so one commit.
    pub batch: usize,
    /// An asker waits so long for room before it hears "busy".
    pub room_within: Duration,
    /// An asker waits so long for its answer.
    pub answer_within: Duration,
    /// Events kept in the store; older ones are forgotten.
    pub keep_events: u64,
    /// Attempts kept in the history; older ones are forgotten.
    pub keep_history: u64,
    /// Before each commit.
    pub commit_hook: Option<CommitHook>,
    /// When a commit fails.
    pub on_failure: OnFailure,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 4096,
            batch: 256,
            room_within: Duration::from_secs(2),
            answer_within: Duration::from_secs(30),
            keep_events: 200_000,
            keep_history: 1_000_000,
            commit_hook: None,
            on_failure: OnFailure::ExitProcess,
        }
    }
}

/// The core with its rows, not yet running: what others must know before the engine can start.
pub struct Loaded {
    core: Core,
    store: Store,
}

impl Loaded {
    /// Reads all rows. A store that is new gets a random identity, on disk with the engine's first commit.
    pub fn load(store: &Store, settings: Settings) -> Result<Self, ReadError> {
        let fresh = StoreId(hex::encode(rand::random::<[u8; 16]>()));
        let core = Core::load(settings, &store.read()?, fresh)?;
        Ok(Self { core, store: store.clone() })
    }

    /// The store's life.
    pub fn store_id(&self) -> &StoreId {
        self.core.store_id()
    }

    /// Who the bus is to let in, as it was stored.
    pub fn membership(&self) -> Membership {
        self.core.membership()
    }

    /// Rows that contradict each other, for the log.
    pub fn check(&self) -> Vec<Note> {
        self.core.check()
    }

    /// Starts the thread. Returns once the first commit is on disk and the first view is published.
    pub fn start(self, outlets: Outlets, options: Options) -> Result<(EngineHandle, EngineThread), EngineError> {
        let (inputs, queue) = mpsc::channel(options.queue);
        let (newest_event, events) = watch::channel(0);
        let view = Arc::new(ArcSwap::default());
        let stats = Arc::new(EngineStats::default());
        let stop = CancellationToken::new();
        let handle = EngineHandle::new(
            inputs,
            Arc::new(AtomicU64::new(1)),
            view.clone(),
            events,
            stats.clone(),
            (options.room_within, options.answer_within),
        );
        let running = Running::new(self.core, self.store, options, view, newest_event, stats, outlets);
        let thread = EngineThread::spawn(running, queue, stop)?;
        Ok((handle, thread))
    }
}
