//! The process `drone-agent run`: small, never builds, always answers. Speaks for the drone (hello, heartbeats, pongs,
//! logs), keeps exactly one worker alive, and feeds systemd's watchdog.
//!
//! When the worker is ended and started is `drone_core::Watchdog`'s to decide; here it is carried out. What the drone
//! holds is read from disk: a hung worker delays no heartbeat.

mod aid;
pub mod beat;
pub mod child;
pub mod holding;
pub(crate) mod voice;

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::Message;
use drone_core::watchdog::{Act, Sign, Watchdog};
use futures::StreamExt;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use swarm_common::errors::chain;
use swarm_common::notify::Manager;
use swarm_common::stop::Stop;
use swarm_protocol::InstanceId;
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, sleep_until};
use tracing::{error, info, warn};

use self::aid::{Aid, Order, Step};
use self::beat::Pulse;
use self::child::WorkerProcess;
use self::holding::{Held, Holding};
use self::voice::{Heard, Voice};
use crate::bus::Link;
use crate::config::Config;
use crate::rescue::door;
use crate::spool::Spool;

/// How often the worker is asked for a pulse.
const BEAT: Duration = Duration::from_secs(1);
/// How often the service manager hears of us within the time it waits.
const FEEDINGS: u32 = 2;

/// Runs the drone until it is told to end.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let spool = Spool::open(&config.state_dir)?;
    let _lock = spool.lock("supervisor")?;
    fs_err::create_dir_all(&config.build_dir)?;
    let mut stop = Stop::listen()?;
    end_left_worker(&spool, config.watchdog.silence).await?;
    let link = Link::join(&config, "supervisor").await?;
    let mut supervisor = Supervisor::new(config, spool, link).await?;
    let manager = Manager::from_environment();
    info!(drone = %supervisor.voice.drone(), instance = %supervisor.voice.instance(), "the supervisor runs");
    tell(&manager, "READY=1");
    supervisor.work(&manager, &mut stop).await;
    tell(&manager, "STOPPING=1");
    Ok(())
}

fn tell(manager: &Manager, word: &str) {
    // a manager that does not listen has nothing to be told
    let _ = manager.say(word);
}

/// A supervisor that was killed leaves a worker that ends itself. One that does not is ended here: no two ever run.
async fn end_left_worker(spool: &Spool, patience: Duration) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut killed = false;
    while let Some(pid) = spool.holder("worker")? {
        if since.elapsed() > patience && !killed {
            warn!(pid, "the worker of a former supervisor does not end; killing it");
            let pid = Pid::from_raw(i32::try_from(pid)?);
            killpg(pid, Signal::SIGKILL).or_else(|_| kill(pid, Signal::SIGKILL)).context("kill the former worker")?;
            killed = true;
        }
        anyhow::ensure!(
            since.elapsed() < patience * 3,
            "the former worker (pid {pid}) can't be ended; is its disk gone?"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

enum Event {
    WorkerGone(std::io::Result<std::process::ExitStatus>),
    Pulse(Pulse),
    BeatDue,
    WatchdogDue,
    HeartbeatDue,
    ManagerDue,
    BusIsBack,
    Order(Message),
    Heard(Heard),
    Caller(door::Caller),
    Aid(Step),
    Stop,
}

struct Supervisor {
    voice: Voice,
    program: PathBuf,
    config: Config,
    began: Instant,
    dog: Watchdog,
    worker: Option<WorkerProcess>,
    worker_instance: Option<InstanceId>,
    /// Syncs of the ebuild repositories the worker told of.
    syncs: u64,
    pulses: (mpsc::Sender<Pulse>, mpsc::Receiver<Pulse>),
    heard: mpsc::Receiver<Heard>,
    aid: Aid,
    steps: mpsc::Receiver<Step>,
    callers: mpsc::Receiver<door::Caller>,
}

impl Supervisor {
    async fn new(config: Config, spool: Spool, link: Arc<Link>) -> anyhow::Result<Self> {
        let (tell, heard) = mpsc::channel(64);
        let holding = Holding::new(spool.clone(), config.build_dir.clone(), config.roots[0].clone());
        let voice = Voice::new(&config, spool.clone(), Arc::clone(&link), Arc::new(Held::new(holding)), tell);
        let (step, steps) = mpsc::channel(16);
        let aid = Aid::new(&config, voice.detected(), spool.clone(), link, step);
        let (call, callers) = mpsc::channel(4);
        if let Err(error) = door::open(&spool.door(), call) {
            warn!(%error, "`drone-agent escalate` will not reach this supervisor");
        }
        Ok(Self {
            voice,
            aid,
            steps,
            callers,
            program: child::own_program().context("find this program's own file")?,
            dog: Watchdog::new(0, config.watchdog.bounds()),
            config,
            began: Instant::now(),
            worker: None,
            worker_instance: None,
            syncs: 0,
            pulses: mpsc::channel(8),
            heard,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn work(&mut self, manager: &Manager, stop: &mut Stop) {
        let orders = match self.voice.listen().await {
            Ok(orders) => orders,
            Err(error) => return error!(error = chain(&error), "orders can't be heard"),
        };
        let mut orders = std::pin::pin!(orders);
        let mut connects = self.voice.connects();
        let mut beats = ticks(BEAT);
        let mut manager_ticks = manager.watchdog_period(FEEDINGS).map(ticks);
        let mut stopping = false;
        while !(stopping && self.dog.is_over()) {
            let watchdog_due =
                self.dog.next_wake().map(|at| TokioInstant::from_std(self.began) + Duration::from_millis(at));
            let event = tokio::select! {
                ended = wait(&mut self.worker) => Event::WorkerGone(ended),
                Some(pulse) = self.pulses.1.recv() => Event::Pulse(pulse),
                _ = beats.tick() => Event::BeatDue,
                () = until(watchdog_due) => Event::WatchdogDue,
                () = self.voice.heartbeat_due() => Event::HeartbeatDue,
                () = tick(&mut manager_ticks) => Event::ManagerDue,
                Ok(()) = connects.changed() => Event::BusIsBack,
                Some(order) = orders.next() => Event::Order(order),
                Some(heard) = self.heard.recv() => Event::Heard(heard),
                Some(caller) = self.callers.recv() => Event::Caller(caller),
                Some(step) = self.steps.recv() => Event::Aid(step),
                () = stop.next() => Event::Stop,
            };
            if matches!(event, Event::Stop) {
                if stopping {
                    return warn!("told twice to end: leaving the worker to end by itself");
                }
                info!("told to end: the worker ends, builds live on");
                stopping = true;
            }
            self.handle(event, manager);
        }
        self.voice.goodbye().await;
    }

    fn handle(&mut self, event: Event, manager: &Manager) {
        let now = self.now();
        let act = match event {
            Event::WorkerGone(ended) => {
                match ended {
                    Ok(status) => warn!(%status, "the worker ended"),
                    Err(error) => error!(%error, "the worker can't be waited for"),
                }
                self.worker = None;
                self.worker_instance = None;
                self.dog.handle(now, Sign::Exited)
            }
            Event::Pulse(pulse) => {
                let fresh = self.worker_instance.as_ref() != Some(&pulse.instance);
                if pulse.syncs != std::mem::replace(&mut self.syncs, pulse.syncs) {
                    self.voice.tree_changed();
                }
                self.worker_instance = Some(pulse.instance);
                if fresh {
                    info!(pid = self.worker.as_ref().and_then(WorkerProcess::pid), "the worker answers");
                }
                self.dog.handle(now, Sign::Answered)
            }
            Event::BeatDue => {
                if let Some(worker) = &mut self.worker {
                    worker.beat();
                }
                None
            }
            Event::WatchdogDue => self.dog.wake(now),
            Event::ManagerDue => {
                tell(manager, "WATCHDOG=1");
                None
            }
            Event::HeartbeatDue => {
                self.voice.look(self.worker.as_ref().and_then(WorkerProcess::pid));
                None
            }
            Event::BusIsBack => {
                self.voice.greet();
                None
            }
            Event::Order(message) => {
                if let Some(order) = self.voice.order(message, self.dog.state()) {
                    self.aid.order(order, self.voice.running());
                }
                None
            }
            Event::Caller(caller) => {
                self.aid.order(Order::of_caller(caller), self.voice.running());
                None
            }
            Event::Aid(step) => self.aid.step(step).and_then(|sign| self.dog.handle(now, sign)),
            Event::Heard(heard) => {
                if let Some(store_id) = self.voice.heard(heard, self.dog.state(), self.worker_instance.clone()) {
                    self.aid.welcomed(store_id);
                }
                None
            }
            Event::Stop => self.dog.handle(now, Sign::Stop),
        };
        if let Some(act) = act {
            self.act(act);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Sweep => self.aid.sweep(),
            Act::Start => {
                let (instance, pulses) = (self.voice.instance(), self.pulses.0.clone());
                match WorkerProcess::start(&self.program, self.config.file.as_deref(), instance, pulses) {
                    Ok(worker) => {
                        info!(pid = worker.pid(), "started the worker");
                        self.worker = Some(worker);
                        let _ = self.dog.handle(self.now(), Sign::Started);
                    }
                    Err(error) => {
                        error!(program = %self.program.display(), %error, "the worker can't be started");
                        // never a start at once: a failed start counts as a short life
                        if let Some(act) = self.dog.handle(self.now(), Sign::Exited) {
                            self.act(act);
                        }
                    }
                }
            }
            Act::Terminate => {
                warn!(state = ?self.dog.state(), "telling the worker to end");
                self.worker.iter().for_each(|worker| worker.signal(Signal::SIGTERM));
            }
            Act::Kill => {
                warn!("killing the worker");
                self.worker.iter().for_each(WorkerProcess::kill);
            }
        }
    }
}

async fn wait(worker: &mut Option<WorkerProcess>) -> std::io::Result<std::process::ExitStatus> {
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

async fn tick(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

pub(crate) fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
