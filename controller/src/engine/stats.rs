//! What the engine counts, for metrics and benches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters since the start.
#[derive(Debug, Default)]
pub struct EngineStats {
    pub(super) inputs: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) largest_batch: AtomicU64,
    pub(super) wakes: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) commit_micros: AtomicU64,
    pub(super) slowest_commit_micros: AtomicU64,
    pub(super) shed: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) unheard: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) forgotten: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatsNow {
    /// Inputs handled.
    pub inputs: u64,
    /// Batches they came in.
    pub batches: u64,
    /// Inputs in the largest batch.
    pub largest_batch: u64,
    /// Times the core was woken.
    pub wakes: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Rows written or removed by them.
    pub rows: u64,
    /// Time spent in commits, microseconds.
    pub commit_micros: u64,
    /// The slowest commit, microseconds.
    pub slowest_commit_micros: u64,
    /// Inputs shed because the queue was full.
    pub shed: u64,
    /// Askers told that the engine is busy.
    pub busy: u64,
    /// Answers nobody waited for any more.
    pub unheard: u64,
    /// Askers that wait for an answer.
    pub waiting: u64,
    /// Journal rows removed because of their age.
    pub forgotten: u64,
    /// Inputs that wait.
    pub queue_depth: u64,
}

impl EngineStats {
    pub(super) fn batch(&self, inputs: usize) {
        let inputs = inputs as u64;
        self.inputs.fetch_add(inputs, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.largest_batch.fetch_max(inputs, Relaxed);
    }

    pub(super) fn commit(&self, rows: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Relaxed);
        self.rows.fetch_add(rows as u64, Relaxed);
        self.commit_micros.fetch_add(micros, Relaxed);
        self.slowest_commit_micros.fetch_max(micros, Relaxed);
    }

    pub(super) fn now(&self, queue_depth: usize) -> StatsNow {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        StatsNow {
            inputs: of(&self.inputs),
            batches: of(&self.batches),
            largest_batch: of(&self.largest_batch),
            wakes: of(&self.wakes),
            commits: of(&self.commits),
            rows: of(&self.rows),
            commit_micros: of(&self.commit_micros),
            slowest_commit_micros: of(&self.slowest_commit_micros),
            shed: of(&self.shed),
            busy: of(&self.busy),
            unheard: of(&self.unheard),
            waiting: of(&self.waiting),
            forgotten: of(&self.forgotten),
            queue_depth: queue_depth as u64,
        }
    }
}
