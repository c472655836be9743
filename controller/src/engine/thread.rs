//! The engine's thread: wait → decide → commit → publish → release. See the contract in `swarm_core`'s root.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use swarm_common::clock::wall_ms;
use swarm_common::errors::chain;
use swarm_core::Now;
use swarm_core::rows::{EventRow, HistoryRow};
use swarm_core::table::Row;
use swarm_core::{Answer, Core, Effect, ReplyTo, View};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::handle::Message;
use super::outlets::Outlets;
use super::stats::EngineStats;
use super::{EXIT_COMMIT_FAILED, EXIT_PANICKED, OnFailure, Options, Pending};
use crate::store::{ReadError, Retention, Store, WriteError, Writer};

/// A rule that stays due must not keep the thread spinning.
const WAKE_GAP: Duration = Duration::from_millis(10);
/// How old the published view may be while only heartbeats come in; what commits or answers is published at once.
const VIEW_AGE: Duration = Duration::from_millis(50);
/// The core's clock is on disk at least this often, so that a crash sets it back by no more.
const CLOCK_AGE: Duration = Duration::from_secs(60);
/// Forgotten journal rows removed with one commit.
const REMOVED_AT_ONCE: usize = 1_000;
/// Journals shrink in steps of this, so that not every commit moves a floor.
const FORGET_STEP: u64 = 256;
/// Waiters whose asker has gone are looked for each time their number has grown by this.
const SWEEP_AFTER: usize = 1_024;

/// Why the engine ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What was decided could not be stored; none of it was let out.
    #[error("a commit failed; nothing of its batch was let out")]
    Commit(#[from] WriteError),
    /// The store could not be read at the start.
    #[error("read the journals")]
    Read(#[from] ReadError),
    /// The core panicked.
    #[error("the engine panicked")]
    Panicked,
    /// The thread could not be made.
    #[error("start the engine's thread")]
    Thread(#[source] std::io::Error),
}

/// The running thread. Dropping it does not stop it.
pub struct EngineThread {
    thread: JoinHandle<Result<(), EngineError>>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl EngineThread {
    pub(super) fn spawn(
        running: Running,
        queue: mpsc::Receiver<Message>,
        stop: CancellationToken,
    ) -> Result<Self, EngineError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(EngineError::Thread)?;
        let ended = CancellationToken::new();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (stopped, done) = (stop.clone(), ended.clone().drop_guard());
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let _done = done;
            let on_failure = running.options.on_failure;
            let end = catch_unwind(AssertUnwindSafe(|| running.run(&runtime, queue, &stopped, &ready)));
            fail(end.unwrap_or(Err(EngineError::Panicked)), on_failure)
        });
        let thread = thread.map_err(EngineError::Thread)?;
        if started.recv().is_err() {
            // The thread ended before its first commit was on disk.
            return Err(join(thread).err().unwrap_or(EngineError::Panicked));
        }
        Ok(Self { thread, stop, ended })
    }

    /// Stops intake, handles what waits, commits, and ends the thread. [`EngineThread::ended`] tells when.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Cancelled when the thread has ended, for whatever reason.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Waits for the end of the thread. Blocks.
    ///
    /// # Errors
    /// Why it ended, if nobody stopped it.
    pub fn join(self) -> Result<(), EngineError> {
        join(self.thread)
    }
}

fn join(thread: JoinHandle<Result<(), EngineError>>) -> Result<(), EngineError> {
    thread.join().unwrap_or(Err(EngineError::Panicked))
}

fn fail(end: Result<(), EngineError>, on_failure: OnFailure) -> Result<(), EngineError> {
    let Err(reason) = end else { return Ok(()) };
    error!(
        reason = chain(&reason),
        "the engine has failed; the process ends and goes on from the store at its next start"
    );
    if on_failure == OnFailure::ExitProcess {
        std::process::exit(if matches!(reason, EngineError::Panicked) { EXIT_PANICKED } else { EXIT_COMMIT_FAILED });
    }
    Err(reason)
}

/// A journal with a bound.
struct Bounded {
    table: &'static str,
    keep: u64,
    /// Rows up to here are forgotten.
    floor: u64,
    /// There may be forgotten rows that are not removed.
    removing: bool,
}

/// The core and all it needs to run.
pub(super) struct Running {
    core: Core,
    store: Store,
    pub(super) options: Options,
    view: Arc<ArcSwap<View>>,
    newest_event: watch::Sender<u64>,
    stats: Arc<EngineStats>,
    outlets: Outlets,
    waiters: BTreeMap<ReplyTo, oneshot::Sender<Answer>>,
    sweep_at: usize,
    journals: Vec<Bounded>,
    /// The core's clock at our start, and when that was.
    clock: (u64, Instant),
    committed: Instant,
    published: Instant,
    stale: bool,
}

impl Running {
    pub(super) fn new(
        core: Core,
        store: Store,
        options: Options,
        view: Arc<ArcSwap<View>>,
        newest_event: watch::Sender<u64>,
        stats: Arc<EngineStats>,
        outlets: Outlets,
    ) -> Self {
        let clock = (core.clock(), Instant::now());
        let bounded = |table, keep| Bounded { table, keep, floor: 0, removing: true };
        let journals =
            vec![bounded(EventRow::TABLE, options.keep_events), bounded(HistoryRow::TABLE, options.keep_history)];
        Self {
            core,
            store,
            options,
            view,
            newest_event,
            stats,
            outlets,
            waiters: BTreeMap::new(),
            sweep_at: SWEEP_AFTER,
            journals,
            clock,
            committed: clock.1,
            published: clock.1,
            stale: true,
        }
    }

    fn run(
        mut self,
        runtime: &tokio::runtime::Runtime,
        mut queue: mpsc::Receiver<Message>,
        stop: &CancellationToken,
        ready: &std::sync::mpsc::SyncSender<()>,
    ) -> Result<(), EngineError> {
        self.read_floors()?;
        let now = self.now();
        let effects = self.core.start(now);
        self.finish(0, now, effects)?;
        self.publish();
        // Nobody may be left to hear it; that is no reason to end.
        let _ = ready.send(());
        let mut batch = Vec::with_capacity(self.options.batch);
        let mut woken = Instant::now();
        while !stop.is_cancelled() {
            take_waiting(&mut queue, &mut batch, self.options.batch);
            if batch.is_empty() && !self.sleep(runtime, &mut queue, &mut batch, stop, woken) {
                break;
            }
            self.handle(&mut batch)?;
            if woken.elapsed() >= WAKE_GAP && self.is_due() {
                woken = Instant::now();
                self.stats.wakes.fetch_add(1, Relaxed);
                let now = self.now();
                let effects = self.core.wake(now);
                self.finish(0, now, effects)?;
            }
            self.tidy()?;
        }
        self.drain(queue)
    }

    /// Nothing waits: sleeps until something comes in, a rule is due, or the engine is to stop. False: nobody is left who could
    /// ever ask again.
    fn sleep(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        queue: &mut mpsc::Receiver<Message>,
        batch: &mut Vec<Message>,
        stop: &CancellationToken,
        woken: Instant,
    ) -> bool {
        let wait = self.wait(woken);
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.cancelled() => true,
                taken = tokio::time::timeout(wait, queue.recv_many(batch, self.options.batch)) => taken != Ok(0),
            }
        })
    }

    fn is_due(&self) -> bool {
        let at = self.now().at;
        self.committed.elapsed() >= CLOCK_AGE || self.core.next_wake().is_some_and(|due| due <= at)
    }

    /// After the stop: nothing new comes in, what waits is still handled.
    fn drain(mut self, mut queue: mpsc::Receiver<Message>) -> Result<(), EngineError> {
        queue.close();
        self.outlets.binhost_may_end();
        let (mut batch, mut drained) = (Vec::new(), 0);
        // Ends when nothing waits and nobody is about to put something in.
        while queue.blocking_recv_many(&mut batch, self.options.batch) > 0 {
            drained += batch.len();
            self.handle(&mut batch)?;
        }
        // The clock, if nothing else.
        let now = self.now();
        self.commit(0, now, None)?;
        self.publish();
        info!(drained, unanswered = self.waiters.len(), "the engine has stopped");
        Ok(())
    }

    /// Lets the core decide each input of the batch, then stores and releases all of it.
    fn handle(&mut self, batch: &mut Vec<Message>) -> Result<(), EngineError> {
        if batch.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let (mut inputs, mut pulses) = (Vec::with_capacity(batch.len()), Vec::new());
        for message in batch.drain(..) {
            match message {
                Message::Input { input, waiter } => {
                    self.waiters.extend(waiter);
                    inputs.push(input);
                }
                Message::Pulse(waiter) => pulses.push(waiter),
            }
        }
        if !inputs.is_empty() {
            let count = inputs.len();
            self.stats.batch(count);
            let effects = self.core.handle_all(now, inputs);
            self.finish(count, now, effects)?;
        }
        // After the commit: an engine whose disk hangs does not answer.
        for waiter in pulses {
            // the asker may have given up
            let _ = waiter.send(());
        }
        Ok(())
    }

    /// Commit, publish, release: in this order.
    fn finish(&mut self, inputs: usize, now: Now, effects: Vec<Effect>) -> Result<(), EngineError> {
        let effects = self.ping(effects);
        let trim = effects.iter().filter_map(|effect| match effect {
            Effect::TrimHistory { up_to } => Some(*up_to),
            _ => None,
        });
        let trim = trim.max();
        let commits = self.core.is_changed() || trim.is_some() || self.committed.elapsed() >= CLOCK_AGE;
        if commits {
            self.commit(inputs, now, trim)?;
        }
        // a view costs more than a heartbeat: those that change nothing else are shown together
        if commits || !effects.is_empty() || self.published.elapsed() >= VIEW_AGE {
            self.publish();
        } else {
            self.stale = true;
        }
        self.release(effects);
        Ok(())
    }

    /// Lets pings out at once: they tell nothing of what is about to be stored, and must not wait for a slow disk.
    fn ping(&self, effects: Vec<Effect>) -> Vec<Effect> {
        let let_out = |effect| match effect {
            Effect::Ping(ping) => {
                self.outlets.ping(ping);
                None
            }
            other => Some(other),
        };
        effects.into_iter().filter_map(let_out).collect()
    }

    fn commit(&mut self, inputs: usize, now: Now, trim: Option<u64>) -> Result<(), EngineError> {
        let mut writer = self.store.writer();
        self.core.drain(now, &mut writer);
        self.forget(&mut writer, trim);
        let rows = writer.len();
        if let Some(hook) = &mut self.options.commit_hook {
            hook(Pending { inputs, changes: writer.changes() }).map_err(WriteError::Injected)?;
        }
        let began = Instant::now();
        writer.commit()?;
        self.committed = Instant::now();
        self.stats.commit(rows, began.elapsed());
        Ok(())
    }

    /// Moves the floors of journals that have grown beyond their bound, or were asked to be trimmed.
    fn forget(&mut self, writer: &mut Writer, trim: Option<u64>) {
        let (last_event, last_history) = (self.core.last_event(), self.core.last_history());
        for journal in &mut self.journals {
            let (last, wish) = match journal.table {
                EventRow::TABLE => (last_event, None),
                _ => (last_history, trim),
            };
            let bound = last.saturating_sub(journal.keep);
            let bound = if bound >= journal.floor + FORGET_STEP { bound } else { journal.floor };
            let floor = bound.max(wish.unwrap_or(0).min(last));
            if floor > journal.floor {
                journal.floor = floor;
                journal.removing = true;
                writer.forget(Retention { table: journal.table, floor });
            }
        }
    }

    /// Removes forgotten rows, a bounded number at a time, each time in a transaction of its own.
    fn tidy(&mut self) -> Result<(), EngineError> {
        self.sweep();
        let Some(journal) = self.journals.iter_mut().find(|journal| journal.removing) else { return Ok(()) };
        let retention = Retention { table: journal.table, floor: journal.floor };
        if retention.floor == 0 {
            journal.removing = false;
            return Ok(());
        }
        let mut writer = self.store.writer();
        writer.remove_forgotten(retention, REMOVED_AT_ONCE);
        let removed = writer.commit()?;
        journal.removing = removed == REMOVED_AT_ONCE;
        self.stats.forgotten.fetch_add(removed as u64, Relaxed);
        Ok(())
    }

    fn read_floors(&mut self) -> Result<(), EngineError> {
        let snapshot = self.store.read()?;
        for journal in &mut self.journals {
            journal.floor = snapshot.floor(journal.table)?;
        }
        Ok(())
    }

    fn publish(&mut self) {
        let view = self.core.view();
        let newest = view.last_event;
        self.view.store(Arc::new(view));
        self.newest_event.send_if_modified(|seen| std::mem::replace(seen, newest) != newest);
        self.published = Instant::now();
        self.stale = false;
    }

    fn release(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            // what else is left here, trimming, was carried out with the commit
            if let Some(Effect::Reply { to, answer }) = self.outlets.carry(effect) {
                let heard = self.waiters.remove(&to).is_some_and(|waiter| waiter.send(answer).is_ok());
                if !heard {
                    self.stats.unheard.fetch_add(1, Relaxed);
                    debug!(reply = to.0, "an answer nobody waits for");
                }
            }
        }
        self.stats.waiting.store(self.waiters.len() as u64, Relaxed);
    }

    /// Lets go of waiters whose asker has given up; the core may answer them late or never.
    fn sweep(&mut self) {
        if self.waiters.len() >= self.sweep_at {
            self.waiters.retain(|_, waiter| !waiter.is_closed());
            self.sweep_at = self.waiters.len() + SWEEP_AFTER;
        }
    }

    /// How long nothing has to be done if nothing comes in. Publishes the view if it is old enough.
    fn wait(&mut self, woken: Instant) -> Duration {
        if self.stale && self.published.elapsed() >= VIEW_AGE {
            self.publish();
        }
        let mut wait = CLOCK_AGE.saturating_sub(self.committed.elapsed());
        if let Some(at) = self.core.next_wake() {
            let due = Duration::from_millis(at.saturating_sub(self.now().at));
            wait = wait.min(due.max(WAKE_GAP.saturating_sub(woken.elapsed())));
        }
        if self.stale {
            wait = wait.min(VIEW_AGE.saturating_sub(self.published.elapsed()));
        }
        if self.journals.iter().any(|journal| journal.removing) {
            wait = Duration::ZERO;
        }
        wait
    }

    /// The core's clock goes on from where it was stored, with the monotonic one.
    fn now(&self) -> Now {
        let since = u64::try_from(self.clock.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { at: self.clock.0.saturating_add(since), wall: wall_ms() }
    }
}

/// Takes what waits, without the cost of a sleep: under load there is always something.
fn take_waiting(queue: &mut mpsc::Receiver<Message>, batch: &mut Vec<Message>, most: usize) {
    while batch.len() < most
        && let Ok(message) = queue.try_recv()
    {
        batch.push(message);
    }
}

/// What waits in the queue fills memory when the engine is behind: 4096 of these stay below 2 MiB.
const _: () = assert!(size_of::<Message>() < 512);
