//! Build logs on the controller's side: live chunks in, gaps asked for again, the whole stored compressed.
//!
//! `<data_dir>/logs/<build>/<attempt>.log.zst` with an index beside it; `.live` while it grows. A chunk counts only if it
//! comes from the drone that has the attempt. Decides nothing about builds: whether a log is complete is reported to the
//! core and nothing else. Called by `bus::link` (chunks), by the engine's effects (completion) and by the façade (reading).

mod fill;
mod live;
mod stored;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use swarm_protocol::log::LogChunk;
use swarm_protocol::{DroneId, Fence};
use tokio::sync::{mpsc, watch};
use tracing::warn;

pub use fill::LogDone;
use live::{Live, Taken};

/// Most bytes of one answer to a reader.
pub const MAX_READ: u64 = 1 << 20;

/// Bounds of the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBounds {
    /// Bytes kept of one log; drones cut theirs at `Limits::log_bytes` (64 MiB), this is a little more.
    pub per_log: u64,
    /// Logs that grow at one time; beyond, chunks of further ones are let go until they are completed.
    pub live_logs: usize,
    /// A live log nobody adds to for so long is stored as it is.
    pub idle: Duration,
    /// Compressed bytes kept in all; the oldest logs go first.
    pub stored: u64,
    /// A log that cannot be had whole in this time is stored incomplete.
    pub complete_within: Duration,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self {
            per_log: 68 << 20,
            live_logs: 2048,
            idle: Duration::from_secs(6 * 3600),
            stored: 8 << 30,
            complete_within: Duration::from_secs(60),
        }
    }
}

/// Bytes of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Where they begin in the stream; later than asked for where bytes were cut out or never came.
    pub offset: u64,
    /// The bytes; empty when there are none yet, or no more.
    pub bytes: Vec<u8>,
}

/// An answer to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRead {
    /// The bytes. The next question begins at `piece.offset + piece.bytes.len()`.
    pub piece: LogPiece,
    /// Length of the stream as far as is known.
    pub total: u64,
    /// It grows no more.
    pub ended: bool,
    /// All of it is here but what the drone itself cut out.
    pub complete: bool,
}

/// How far a live log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Length of the stream so far, bytes.
    pub total: u64,
    /// It grows no more.
    pub ended: bool,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct LogCounters {
    /// Chunks of attempts the speaking drone does not have.
    pub foreign: AtomicU64,
    /// Chunks let go because a bound was reached.
    pub refused: AtomicU64,
    /// Gaps asked for again.
    pub refetched: AtomicU64,
    /// Chunks lost because the collector did not keep up; they are asked for again.
    pub shed: AtomicU64,
}

impl LogCounters {
    /// Every counter with its name.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        [
            ("foreign_log_chunks", &self.foreign),
            ("refused_log_chunks", &self.refused),
            ("refetched_log_gaps", &self.refetched),
            ("shed_log_chunks", &self.shed),
        ]
        .map(|(name, counter)| (name, counter.load(Relaxed)))
        .to_vec()
    }
}

/// Gives a piece of a log again: the bus, by `order.logs`.
pub trait LogSource: Send + Sync + 'static {
    /// Asks `drone` for at most `max` bytes from `offset` on; `None` when no answer comes in time.
    fn fetch(&self, drone: DroneId, fence: Fence, offset: u64, max: u32) -> BoxFuture<'_, Option<LogChunk>>;
}

/// Whether a drone has an attempt: asked of the published view when a log's first chunk comes.
pub type Holds = Arc<dyn Fn(&DroneId, Fence) -> bool + Send + Sync>;

/// One growing log, shared by who adds, who reads and who fills gaps.
struct Growing {
    drone: DroneId,
    progress: watch::Sender<Progress>,
    /// Held over writes to the disk: locked off the runtime only.
    state: Mutex<State>,
    /// Somebody asks for its gaps already.
    filling: AtomicBool,
}

struct State {
    live: Live,
    touched: Instant,
}

type Shared = Arc<Growing>;

/// What the collector's task is told.
enum Told {
    Chunk(DroneId, LogChunk),
    Gap(Fence),
    Complete { fence: Fence, drone: DroneId, bytes: u64, since: tokio::time::Instant },
}

/// The collector. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct LogCollector {
    inner: Arc<Inner>,
    told: mpsc::Sender<Told>,
}

struct Inner {
    dir: PathBuf,
    bounds: LogBounds,
    holds: Holds,
    counters: LogCounters,
    growing: Mutex<BTreeMap<Fence, Shared>>,
}

/// The half that a task runs: [`LogWork::run`].
pub struct LogWork {
    inner: Arc<Inner>,
    told: mpsc::Receiver<Told>,
    teller: mpsc::WeakSender<Told>,
}

/// Chunks that may wait; 1,000 drones send some 20 a second each, the disk takes thousands.
const QUEUE: usize = 8192;

impl LogCollector {
    /// A collector that keeps logs below `dir`. What a former controller left half-written is removed: the drones still
    /// have it. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder can't be made or read.
    pub fn open(dir: &Path, bounds: LogBounds, holds: Holds) -> std::io::Result<(Self, LogWork)> {
        fs_err::create_dir_all(dir)?;
        for build in fs_err::read_dir(dir)?.flatten().filter(|entry| entry.path().is_dir()) {
            for file in fs_err::read_dir(build.path())?.flatten().map(|entry| entry.path()) {
                let half = file.extension().is_some_and(|kind| kind == "live")
                    || file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".log-"));
                if half {
                    fs_err::remove_file(file)?;
                }
            }
        }
        let counters = LogCounters::default();
        let growing = Mutex::default();
        let inner = Arc::new(Inner { dir: dir.to_owned(), bounds, holds, counters, growing });
        let (told, inbox) = mpsc::channel(QUEUE);
        let teller = told.downgrade();
        Ok((Self { inner: inner.clone(), told }, LogWork { inner, told: inbox, teller }))
    }

    /// Hands over a live chunk; `drone` is who published it, from the subject. Never waits: a chunk there is no room for
    /// is a gap, and gaps are asked for.
    pub fn offer(&self, drone: DroneId, chunk: LogChunk) {
        if self.told.try_send(Told::Chunk(drone, chunk)).is_err() {
            self.inner.counters.shed.fetch_add(1, Relaxed);
        }
    }

    /// Sees to it that the log of `fence`, `bytes` long, is had whole from `drone` and stored; the end is told to the
    /// `done` of [`LogWork::run`], once for each call. Waits only while the collector's queue is full.
    pub async fn complete(&self, fence: Fence, drone: DroneId, bytes: u64) {
        let since = tokio::time::Instant::now();
        if self.told.send(Told::Complete { fence, drone, bytes, since }).await.is_err() {
            warn!(build = %fence.build, attempt = %fence.attempt, "a log can't be completed: the collector has ended");
        }
    }

    /// At most `max` bytes (and [`MAX_READ`]) from `offset` on; `None` if nothing is known of this log. A live log with a
    /// gap at `offset` gives nothing until the gap is filled; what was cut out is skipped.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn read(&self, fence: Fence, offset: u64, max: u64) -> std::io::Result<Option<LogRead>> {
        let inner = self.inner.clone();
        let read = move || inner.read(fence, offset, max.min(MAX_READ));
        tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
    }

    /// Tells whenever a live log grows; `None` if it does not live (any more). When the sender is gone, it is stored.
    pub fn follow(&self, fence: Fence) -> Option<watch::Receiver<Progress>> {
        let shared = self.inner.shared(fence)?;
        Some(shared.progress.subscribe())
    }

    /// What was counted.
    pub fn counters(&self) -> &LogCounters {
        &self.inner.counters
    }
}

impl Inner {
    fn shared(&self, fence: Fence) -> Option<Shared> {
        lock(&self.growing).get(&fence).cloned()
    }

    fn live_path(&self, fence: Fence) -> PathBuf {
        self.dir.join(fence.build.to_string()).join(format!("{}.live", fence.attempt))
    }

    /// The growing log of `fence` as `drone` has it; made anew if it is not there or was another drone's.
    fn grow(&self, fence: Fence, drone: &DroneId) -> std::io::Result<Shared> {
        let mut growing = lock(&self.growing);
        if let Some(shared) = growing.get(&fence)
            && shared.drone == *drone
        {
            return Ok(shared.clone());
        }
        let live = Live::create(&self.live_path(fence), self.bounds.per_log)?;
        let (progress, _) = watch::channel(Progress::default());
        let state = Mutex::new(State { live, touched: Instant::now() });
        let shared = Arc::new(Growing { drone: drone.clone(), progress, state, filling: AtomicBool::new(false) });
        growing.insert(fence, shared.clone());
        Ok(shared)
    }

    /// A live chunk. True when it leaves a gap before it that nobody asks for yet.
    fn chunk(&self, drone: &DroneId, chunk: &LogChunk) -> bool {
        let shared = match self.shared(chunk.fence) {
            Some(shared) => shared,
            None => {
                if !(self.holds)(drone, chunk.fence) {
                    self.counters.foreign.fetch_add(1, Relaxed);
                    return false;
                }
                let full = lock(&self.growing).len() >= self.bounds.live_logs;
                // late: the log is stored already
                if full || stored::index_path(&self.dir, chunk.fence).exists() {
                    self.counters.refused.fetch_add(1, Relaxed);
                    return false;
                }
                match self.grow(chunk.fence, drone) {
                    Ok(shared) => shared,
                    Err(error) => {
                        warn!(build = %chunk.fence.build, attempt = %chunk.fence.attempt, %error, "a log can't be kept");
                        return false;
                    }
                }
            }
        };
        if shared.drone != *drone {
            self.counters.foreign.fetch_add(1, Relaxed);
            return false;
        }
        self.take(&shared, chunk);
        let gap = !lock(&shared.state).live.missing(0, chunk.offset).is_empty();
        gap && !shared.filling.swap(true, Relaxed)
    }

    /// Adds a chunk and tells the followers.
    fn take(&self, shared: &Shared, chunk: &LogChunk) {
        let mut state = lock(&shared.state);
        match state.live.take(chunk) {
            Ok(Taken::Held) => {}
            Ok(Taken::Full) => drop(self.counters.refused.fetch_add(1, Relaxed)),
            Err(error) => {
                warn!(build = %chunk.fence.build, attempt = %chunk.fence.attempt, %error, "a log can't be written");
            }
        }
        state.touched = Instant::now();
        let progress = Progress { total: state.live.total, ended: state.live.ended };
        shared.progress.send_if_modified(|now| std::mem::replace(now, progress) != progress);
    }

    fn read(&self, fence: Fence, offset: u64, max: u64) -> std::io::Result<Option<LogRead>> {
        if let Some(shared) = self.shared(fence) {
            let state = lock(&shared.state);
            let live = &state.live;
            let mut from = offset;
            let bytes = loop {
                match live.piece_at_or_after(from).filter(|piece| piece.offset <= from) {
                    Some(piece) if piece.at.is_some() => break live.bytes(&piece, from - piece.offset, max)?,
                    Some(cut) => from = cut.end(),
                    None => break Vec::new(),
                }
            };
            let piece = LogPiece { offset: from, bytes };
            return Ok(Some(LogRead { piece, total: live.total, ended: live.ended, complete: false }));
        }
        match stored::index(&self.dir, fence)? {
            Some(index) => stored::read(&self.dir, fence, &index, offset, max).map(Some),
            None => Ok(None),
        }
    }
}

/// A panic while a lock is held ends the process (`watch`), so what is behind a poisoned lock is never used for long.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
