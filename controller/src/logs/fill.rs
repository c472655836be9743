//! The collector's task: takes chunks in order, asks for gaps, completes and stores.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use swarm_protocol::log::MAX_CHUNK;
use swarm_protocol::{DroneId, Fence};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tracing::{info, warn};

use super::{Inner, LogSource, LogWork, Shared, Told, lock, stored};

/// Chunks written in one go.
const BATCH: usize = 64;
/// Logs whose gaps are asked for at one time.
const FILLERS: usize = 64;
/// A drone that did not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// So often a gap of a live log is asked for; its end is asked for in any case.
const LIVE_TRIES: u32 = 3;
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// What a log's completion came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDone {
    /// The attempt whose log it is.
    pub fence: Fence,
    /// With its tail, and without a gap.
    pub complete: bool,
}

impl LogWork {
    /// Runs until the last [`super::LogCollector`] is gone. `source` gives pieces again; `done` takes what was completed.
    pub async fn run(mut self, source: Arc<dyn LogSource>, done: mpsc::Sender<LogDone>) {
        let mut fillers: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut waiting: VecDeque<BoxFuture<'static, ()>> = VecDeque::new();
        let mut sweeps = interval(SWEEP_EVERY);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = self.told.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    let asked = self.take_batch(std::mem::take(&mut batch)).await;
                    waiting.extend(asked.into_iter().map(|told| self.job(told, source.clone(), done.clone())));
                }
                Some(()) = fillers.next() => {}
                _ = sweeps.tick() => self.sweep().await,
            }
            while fillers.len() < FILLERS
                && let Some(job) = waiting.pop_front()
            {
                fillers.push(job);
            }
        }
    }

    /// Writes the chunks off the runtime, in order, and gives back what needs asking.
    async fn take_batch(&self, batch: Vec<Told>) -> Vec<Told> {
        let inner = self.inner.clone();
        blocking(move || {
            let mut asked = Vec::new();
            for told in batch {
                match told {
                    Told::Chunk(drone, chunk) if inner.chunk(&drone, &chunk) => asked.push(Told::Gap(chunk.fence)),
                    Told::Chunk(..) => {}
                    other => asked.push(other),
                }
            }
            asked
        })
        .await
        .unwrap_or_default()
    }

    fn job(&self, told: Told, source: Arc<dyn LogSource>, done: mpsc::Sender<LogDone>) -> BoxFuture<'static, ()> {
        let inner = self.inner.clone();
        match told {
            Told::Chunk(..) => Box::pin(std::future::ready(())),
            Told::Gap(fence) => Box::pin(async move { inner.fill_gap(&*source, fence).await }),
            Told::Complete { fence, drone, bytes, since } => Box::pin(async move {
                let complete = inner.complete(&*source, fence, &drone, bytes, since).await;
                // nobody to tell: the process is ending, and the core asks again after its start
                let _ = done.send(LogDone { fence, complete }).await;
            }),
        }
    }

    /// Stores live logs nobody adds to any more, and removes the oldest stored ones beyond the bound.
    async fn sweep(&self) {
        if self.teller.upgrade().is_none() {
            return;
        }
        let inner = self.inner.clone();
        blocking(move || {
            inner.store_idle();
            if let Err(error) = inner.trim() {
                warn!(%error, "old logs can't be removed");
            }
        })
        .await;
    }
}

impl Inner {
    /// Asks for what is missing of a live log; what is still missing then is asked for at its end.
    async fn fill_gap(self: Arc<Self>, source: &dyn LogSource, fence: Fence) {
        let Some(shared) = self.shared(fence) else { return };
        for attempt in 0..LIVE_TRIES {
            if attempt > 0 {
                sleep(ASK_AGAIN).await;
            }
            // behind the last byte held is not a gap but what is still to come
            let log = shared.clone();
            let known = blocking(move || lock(&log.state).live.pieces().last().map_or(0, |last| last.end())).await;
            let known = known.unwrap_or_default();
            if self.fetch(source, &shared, fence, known).await == Fetched::All {
                break;
            }
        }
        shared.filling.store(false, Relaxed);
    }

    /// Gets the log whole within the bound, stores it, and says whether it is whole.
    async fn complete(
        self: Arc<Self>,
        source: &dyn LogSource,
        fence: Fence,
        drone: &DroneId,
        bytes: u64,
        since: Instant,
    ) -> bool {
        let inner = self.clone();
        let before = blocking(move || stored::index(&inner.dir, fence).ok().flatten()).await.flatten();
        if self.shared(fence).is_none() && before.as_ref().is_some_and(|index| index.complete && index.total == bytes) {
            return true;
        }
        let (inner, owner) = (self.clone(), drone.clone());
        let shared = match blocking(move || inner.grow(fence, &owner)).await {
            Some(Ok(shared)) => shared,
            Some(Err(error)) => {
                warn!(build = %fence.build, attempt = %fence.attempt, %drone, %error, "a log can't be kept");
                return false;
            }
            None => return false,
        };
        shared.filling.store(true, Relaxed);
        let until = since + self.bounds.complete_within;
        let whole = timeout_at(until, async {
            loop {
                match self.fetch(source, &shared, fence, bytes).await {
                    Fetched::All | Fetched::NoMore => break,
                    Fetched::Silent => sleep(ASK_AGAIN).await,
                }
            }
        });
        let in_time = whole.await.is_ok();
        let complete = self.store(fence, shared, bytes).await;
        if !complete {
            info!(build = %fence.build, attempt = %fence.attempt, %drone, in_time, "log stored incomplete");
        }
        complete
    }

    /// Asks piece by piece for what is missing before `end`.
    async fn fetch(self: &Arc<Self>, source: &dyn LogSource, shared: &Shared, fence: Fence, end: u64) -> Fetched {
        loop {
            let log = shared.clone();
            let gap = blocking(move || lock(&log.state).live.missing(0, end).first().copied()).await.flatten();
            let Some((from, to)) = gap else { return Fetched::All };
            let max = u32::try_from((to - from).min(MAX_CHUNK as u64)).unwrap_or(u32::MAX);
            self.counters.refetched.fetch_add(1, Relaxed);
            let Some(mut chunk) = source.fetch(shared.drone.clone(), fence, from, max).await else {
                return Fetched::Silent;
            };
            // what it is about was settled by the question
            chunk.fence = fence;
            let (inner, log) = (self.clone(), shared.clone());
            let still = blocking(move || {
                inner.take(&log, &chunk);
                lock(&log.state).live.missing(from, to)
            });
            if still.await.is_none_or(|still| still.first() == Some(&(from, to))) {
                // an answer that answers nothing: the drone has no more, or a bound is reached
                return Fetched::NoMore;
            }
        }
    }

    /// Writes a live log down for good; true when it is whole.
    async fn store(self: &Arc<Self>, fence: Fence, shared: Shared, total: u64) -> bool {
        let inner = self.clone();
        blocking(move || inner.store_now(fence, &shared, total)).await.unwrap_or(false)
    }

    fn store_now(&self, fence: Fence, shared: &Shared, total: u64) -> bool {
        let state = lock(&shared.state);
        let before = stored::index(&self.dir, fence).ok().flatten();
        let complete = match before {
            // a second completion that got less than the first one keeps the first
            Some(before) if before.bytes() > state.live.held() => before.complete,
            _ => match stored::write(&self.dir, fence, &state.live, total) {
                Ok(index) => index.complete,
                Err(error) => {
                    warn!(build = %fence.build, attempt = %fence.attempt, %error, "a log can't be stored");
                    return false;
                }
            },
        };
        drop(state);
        self.let_go(fence, shared);
        complete
    }

    /// Removes a live log; who follows it sees the end and reads the stored one.
    fn let_go(&self, fence: Fence, shared: &Shared) {
        let mut growing = lock(&self.growing);
        if growing.get(&fence).is_some_and(|held| Arc::ptr_eq(held, shared)) {
            growing.remove(&fence);
            // the file stays readable for who still has it open
            let _ = fs_err::remove_file(self.live_path(fence));
        }
    }

    fn store_idle(&self) {
        let all: Vec<_> = lock(&self.growing).iter().map(|(fence, shared)| (*fence, shared.clone())).collect();
        for (fence, shared) in all {
            let (idle, total) = {
                let state = lock(&shared.state);
                let idle = !shared.filling.load(Relaxed) && state.touched.elapsed() >= self.bounds.idle;
                (idle, state.live.total)
            };
            if idle {
                self.store_now(fence, &shared, total);
            }
        }
    }

    /// Removes the logs of the lowest build numbers until the rest fits.
    pub(super) fn trim(&self) -> std::io::Result<()> {
        let mut builds: Vec<(u64, PathBuf, u64)> = Vec::new();
        for entry in fs_err::read_dir(&self.dir)?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(number) = number else { continue };
            let files = fs_err::read_dir(entry.path())?.flatten().filter_map(|file| file.metadata().ok());
            builds.push((number, entry.path(), files.map(|meta| meta.len()).sum()));
        }
        builds.sort_unstable();
        let mut total: u64 = builds.iter().map(|(.., bytes)| bytes).sum();
        let growing: BTreeSet<u64> = lock(&self.growing).keys().map(|fence| fence.build.0).collect();
        for (number, path, bytes) in builds {
            if total <= self.bounds.stored {
                break;
            }
            if !growing.contains(&number) {
                fs_err::remove_dir_all(path)?;
                total -= bytes;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetched {
    /// Nothing is missing.
    All,
    /// The drone has no more of it.
    NoMore,
    /// The drone did not answer.
    Silent,
}

/// Runs what touches the disk off the runtime; `None` if it panicked, which ends the process elsewhere.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
