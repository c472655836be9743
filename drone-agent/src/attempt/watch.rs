//! Watches a running emerge: takes its output, keeps its status, ends it when ordered or when a limit is reached, and
//! makes sure that nothing of it is left. Called by `build`.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use swarm_portage::classify::{Cause, End};
use swarm_portage::phases::{Clues, Tracker};
use swarm_portage::processes;
use swarm_protocol::report::{AttemptStatus, Phase};

use super::dir::AttemptDir;
use super::log::LogWriter;
use super::memory::Memory;

/// How often emerge is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often for [`LAST_MOMENT`] once its output has ended, as it does a moment before emerge does.
const LAST_TICK: Duration = Duration::from_millis(5);
/// An emerge that lives on without its output is looked at as usual after this.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// How often the status is written and memory sampled.
const STATUS: Duration = Duration::from_secs(1);
/// What emerge has after TERM before everything is killed.
const TERM_GRACE: Duration = Duration::from_secs(10);
/// How long the end of the output is waited for once nobody should hold it open.
const OUTPUT_GRACE: Duration = Duration::from_secs(10);

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// emerge's end.
    pub end: End,
    /// Why we ended it.
    pub cause: Option<Cause>,
    /// What it said.
    pub clues: Clues,
    /// Length of its log.
    pub log_bytes: u64,
}

/// What the thread that reads the output shares.
struct Shared {
    tracker: Tracker,
    log: LogWriter,
    /// The log could not be written; the build goes on.
    log_failed: bool,
    last_output: Instant,
    /// When the output ended.
    done: Option<Instant>,
}

/// The output being taken: what a thread of its own reads, and a call for whoever waits for its end.
pub struct Output {
    shared: Mutex<Shared>,
    ended: Condvar,
}

impl Output {
    /// Takes what is written into `output` from now on, of an emerge of `cpv`. To be called before emerge starts: one whose
    /// output nobody takes would die of it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn take(output: impl Read + Send + 'static, cpv: &str, log: LogWriter) -> io::Result<Arc<Self>> {
        let shared =
            Shared { tracker: Tracker::new(cpv), log, log_failed: false, last_output: Instant::now(), done: None };
        let taken = Arc::new(Self { shared: Mutex::new(shared), ended: Condvar::new() });
        let taking = Arc::clone(&taken);
        std::thread::Builder::new().name("output".to_owned()).spawn(move || take_output(output, &taking))?;
        Ok(taken)
    }

    fn end(&self) {
        lock(&self.shared).done = Some(Instant::now());
        self.ended.notify_all();
    }

    /// Waits for a tick, but not beyond the end of the output.
    fn wait(&self) {
        let shared = lock(&self.shared);
        if let Some(done) = shared.done {
            drop(shared);
            return std::thread::sleep(if done.elapsed() < LAST_MOMENT { LAST_TICK } else { TICK });
        }
        drop(self.ended.wait_timeout_while(shared, TICK, |shared| shared.done.is_none()));
    }
}

/// The watcher.
pub struct Watch<'a> {
    attempt: &'a AttemptDir,
    emerge: u32,
    memory: &'a mut Memory,
    began: Instant,
}

impl<'a> Watch<'a> {
    /// Watches the process `emerge`, a child of this process.
    pub fn new(attempt: &'a AttemptDir, emerge: u32, memory: &'a mut Memory) -> Self {
        Self { attempt, emerge, memory, began: Instant::now() }
    }

    /// Watches until emerge and everything it started is gone.
    pub fn run(mut self, taken: &Output, cancelled: &AtomicBool) -> Ended {
        let (end, cause) = self.until_gone(taken, cancelled);
        // this process is the subreaper of all it started: without a child there is no descendant to look for
        if !reap(self.emerge).childless {
            processes::kill_descendants(std::process::id());
        }
        let patience = Instant::now() + OUTPUT_GRACE;
        while lock(&taken.shared).done.is_none() && Instant::now() < patience {
            reap(self.emerge);
            taken.wait();
        }
        reap(self.emerge);
        let mut shared = lock(&taken.shared);
        shared.tracker.finish();
        if let Err(error) = shared.log.sync() {
            tracing::warn!(%error, "the log could not be made durable");
        }
        self.status(&shared);
        Ended { end, cause, clues: shared.tracker.clues().clone(), log_bytes: shared.log.total() }
    }

    fn until_gone(&mut self, output: &Output, cancelled: &AtomicBool) -> (End, Option<Cause>) {
        let (mut next_status, mut ending) = (Instant::now(), None::<(Cause, Instant)>);
        loop {
            if let Some(end) = reap(self.emerge).emerge {
                return (end, ending.map(|(cause, _)| cause));
            }
            if Instant::now() >= next_status {
                self.memory.sample();
                self.status(&lock(&output.shared));
                next_status = Instant::now() + STATUS;
            }
            match ending {
                None => {
                    if let Some(cause) = self.reason_to_end(&output.shared, cancelled) {
                        processes::signal(self.emerge, Signal::SIGTERM);
                        ending = Some((cause, Instant::now() + TERM_GRACE));
                    }
                }
                // Killing emerge first would leave its children to us; they are found all the same.
                Some((_, patience)) if Instant::now() >= patience => {
                    processes::kill_descendants(std::process::id());
                }
                Some(_) => {}
            }
            output.wait();
        }
    }

    fn reason_to_end(&self, shared: &Mutex<Shared>, cancelled: &AtomicBool) -> Option<Cause> {
        let limits = self.attempt.job().job.limits;
        let silent = lock(shared).last_output.elapsed();
        if cancelled.load(Ordering::SeqCst) {
            Some(Cause::Cancelled)
        } else if self.began.elapsed() >= Duration::from_millis(limits.total_ms) {
            Some(Cause::Timeout(limits.total_ms))
        } else if silent >= Duration::from_millis(limits.silence_ms) {
            Some(Cause::Silence(limits.silence_ms))
        } else {
            None
        }
    }

    fn status(&self, shared: &Shared) {
        let job = &self.attempt.job().job;
        let phase = match shared.tracker.phase() {
            Phase::Unknown => Phase::Resolve,
            phase => phase,
        };
        let status = AttemptStatus {
            fence: job.fence,
            cpv: job.cpv.clone(),
            phase,
            elapsed_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            log_bytes: shared.log.total(),
            memory_peak_bytes: self.memory.peak(),
        };
        if let Err(error) = self.attempt.set_status(&status) {
            tracing::warn!(attempt = %job.fence, %error, "the status could not be written");
        }
    }
}

/// What taking ended children off the process table showed.
#[derive(Debug, Default)]
struct Reaped {
    /// How emerge ended, if it was among them.
    emerge: Option<End>,
    /// No child is left, ended or not.
    childless: bool,
}

/// Takes all children that ended off the process table, orphans too.
fn reap(emerge: u32) -> Reaped {
    let mut reaped = Reaped::default();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_pid()) == Ok(emerge) => {
                let code = status.exit_status().map(End::Exit);
                reaped.emerge = code.or(status.terminating_signal().map(End::Signal));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return reaped,
            // ECHILD: nothing else is an error of this call
            Err(_) => return Reaped { childless: true, ..reaped },
        }
    }
}

fn take_output(mut output: impl Read, taken: &Output) {
    let mut buffer = vec![0; 32 << 10];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let mut shared = lock(&taken.shared);
                shared.last_output = Instant::now();
                shared.tracker.feed(&buffer[..count]);
                // A full disk must not end the build here; emerge will find out by itself.
                if !shared.log_failed && shared.log.write(&buffer[..count]).is_err() {
                    shared.log_failed = true;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    taken.end();
}

/// A thread that panicked left the data as it was; a log with a gap is better than none.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
