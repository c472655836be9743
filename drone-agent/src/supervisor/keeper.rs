//! Keeps exactly one worker alive: starts it, sends it beats, ends it when the watchdog says so.
//!
//! When it is ended and started is `drone_core::Watchdog`'s to decide; here that is carried out. Builds live on whatever happens
//! to a worker. Called by the supervisor's loop.

use std::future::pending;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use drone_core::watchdog::{Act, Sign, Watchdog};
use nix::sys::signal::Signal;
use swarm_protocol::InstanceId;
use swarm_protocol::machine::WorkerState;
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, Interval, sleep_until};
use tracing::{error, info, warn};

use super::child::WorkerProcess;
use crate::bond::BeatAnswer;
use crate::config::Config;
use crate::program::own_program;

/// How often the worker is asked whether it is there.
const BEAT: Duration = Duration::from_secs(1);

/// What happens to the worker.
pub(super) enum Event {
    /// Its process is gone.
    Gone(std::io::Result<ExitStatus>),
    /// It answers a beat.
    Answer(BeatAnswer),
    /// A beat is due.
    BeatDue,
    /// The watchdog wants to be woken.
    WatchdogDue,
}

/// What is wanted of others.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Wants {
    /// What the last worker left half-made is to be removed; then [`Sign::Swept`].
    pub(super) sweep: bool,
    /// The worker changed the ebuild repositories: they are to be looked at anew.
    pub(super) look_at_tree: bool,
}

/// The worker, and who watches it.
pub(super) struct Keeper {
    /// The supervisor's run.
    instance: InstanceId,
    program: PathBuf,
    /// The configuration the worker is to read, too.
    config: Option<PathBuf>,
    began: Instant,
    dog: Watchdog,
    beats: Interval,
    worker: Option<WorkerProcess>,
    worker_instance: Option<InstanceId>,
    /// Syncs of the ebuild repositories the worker told of.
    syncs: u64,
    tell: mpsc::Sender<BeatAnswer>,
    answers: mpsc::Receiver<BeatAnswer>,
}

impl Keeper {
    pub(super) fn new(config: &Config, instance: InstanceId) -> anyhow::Result<Self> {
        let (tell, answers) = mpsc::channel(8);
        Ok(Self {
            instance,
            program: own_program().context("find this program's own file")?,
            config: config.file.clone(),
            began: Instant::now(),
            dog: Watchdog::new(0, config.watchdog.bounds()),
            beats: super::ticks(BEAT),
            worker: None,
            worker_instance: None,
            syncs: 0,
            tell,
            answers,
        })
    }

    /// The worker as it is now.
    pub(super) fn state(&self) -> WorkerState {
        self.dog.state()
    }

    /// The worker's run, once it answered.
    pub(super) fn worker_instance(&self) -> Option<InstanceId> {
        self.worker_instance.clone()
    }

    /// The worker's process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.worker.as_ref().and_then(WorkerProcess::pid)
    }

    /// Whether the worker ended for good.
    pub(super) fn is_over(&self) -> bool {
        self.dog.is_over()
    }

    /// Waits for what happens next; [`Keeper::handle`] is to hear it. Giving up the wait loses nothing.
    pub(super) async fn next(&mut self) -> Event {
        let due = self.dog.next_wake().map(|at| TokioInstant::from_std(self.began) + Duration::from_millis(at));
        tokio::select! {
            ended = wait(&mut self.worker) => Event::Gone(ended),
            Some(answer) = self.answers.recv() => Event::Answer(answer),
            _ = self.beats.tick() => Event::BeatDue,
            () = until(due) => Event::WatchdogDue,
        }
    }

    pub(super) fn handle(&mut self, event: Event) -> Wants {
        match event {
            Event::Gone(ended) => {
                match ended {
                    Ok(status) => warn!(%status, "the worker ended"),
                    Err(error) => error!(%error, "the worker can't be waited for"),
                }
                self.worker = None;
                self.worker_instance = None;
                self.sign(Sign::Exited)
            }
            Event::Answer(answer) => self.answered(answer),
            Event::BeatDue => {
                if let Some(worker) = &mut self.worker {
                    worker.beat();
                }
                Wants::default()
            }
            Event::WatchdogDue => {
                let act = self.dog.wake(self.now());
                self.act(act)
            }
        }
    }

    /// A sign for the watchdog, from whoever has one.
    pub(super) fn sign(&mut self, sign: Sign) -> Wants {
        let act = self.dog.handle(self.now(), sign);
        self.act(act)
    }

    fn answered(&mut self, answer: BeatAnswer) -> Wants {
        let look_at_tree = answer.syncs != std::mem::replace(&mut self.syncs, answer.syncs);
        if self.worker_instance.as_ref() != Some(&answer.instance) {
            info!(pid = self.pid(), "the worker answers");
        }
        self.worker_instance = Some(answer.instance);
        Wants { look_at_tree, ..self.sign(Sign::Answered) }
    }

    fn act(&mut self, act: Option<Act>) -> Wants {
        match act {
            None => {}
            Some(Act::Sweep) => return Wants { sweep: true, ..Wants::default() },
            Some(Act::Start) => return self.start(),
            Some(Act::Terminate) => {
                warn!(state = ?self.dog.state(), "telling the worker to end");
                self.worker.iter().for_each(|worker| worker.signal(Signal::SIGTERM));
            }
            Some(Act::Kill) => {
                warn!("killing the worker");
                self.worker.iter().for_each(WorkerProcess::kill);
            }
        }
        Wants::default()
    }

    fn start(&mut self) -> Wants {
        match WorkerProcess::start(&self.program, self.config.as_deref(), &self.instance, self.tell.clone()) {
            Ok(worker) => {
                info!(pid = worker.pid(), "started the worker");
                self.worker = Some(worker);
                self.sign(Sign::Started)
            }
            Err(error) => {
                error!(program = %self.program.display(), %error, "the worker can't be started");
                // never a start at once: a failed start counts as a short life
                self.sign(Sign::Exited)
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn wait(worker: &mut Option<WorkerProcess>) -> std::io::Result<ExitStatus> {
    match worker {
        Some(worker) => worker.wait().await,
        None => pending().await,
    }
}

async fn until(at: Option<TokioInstant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
