//! The process `drone-agent worker`, child of the supervisor: takes orders, starts and adopts attempts, uploads, reports.
//!
//! What is taken, run and told is `drone_core::Worker`'s to decide; here its effects are carried out ([`hands`]), running
//! attempts are followed ([`tail`]), packages uploaded ([`uploads`]), plans delivered ([`planner`]), ebuild repositories synced
//! ([`syncer`]). The main loop never blocks: it answers the supervisor's beats, and a loop that does not is what the supervisor's
//! watchdog is for.

mod greeting;
mod hands;
mod planner;
mod syncer;
mod tail;
mod uploads;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::Message;
use drone_core::{AttemptStanding, Effect, Found, Input, Saved, Settings, Worker as Core};
use futures::stream::select_all;
use futures::{Stream, StreamExt};
use swarm_common::clock::wall_ms;
use swarm_common::stop::Stop;
use swarm_common::throttle::Throttle;
use swarm_protocol::order::Task;
use swarm_protocol::{Fence, InstanceId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing::{info, warn};

use self::greeting::{Greeter, News};
use self::hands::Hands;
use crate::attempt::{AttemptDir, AttemptState};
use crate::bond::{self, Beat, BeatAnswer, MAX_LINE};
use crate::bus::{Link, LinkError, read_order};
use crate::config::Config;
use crate::hello::fresh_instance;
use crate::spool::{Lock, Spool, SpoolError};

/// How long a former worker may take to give up the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long writes under way are waited for at the end; what is left over is made good by the next worker.
const CLOSING: Duration = Duration::from_secs(2);

/// What happens to the worker process.
pub(crate) enum Event {
    /// Something the core must know.
    Core(Input),
    /// Something about hello.
    News(News),
    /// The supervisor asks for an answer to this beat.
    Beat(u64),
    /// The supervisor is gone.
    Orphaned,
}

/// Milliseconds that never go back: the wall clock of the start, then the monotonic one.
#[derive(Debug, Clone, Copy)]
struct Clock {
    base: u64,
    began: Instant,
}

impl Clock {
    fn now(&self) -> u64 {
        self.base + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }

    fn at(&self, ms: u64) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.began) + Duration::from_millis(ms.saturating_sub(self.base))
    }
}

/// Works until it is told to end or its supervisor is gone. Builds live on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let socket = supervisors_socket()?;
    let spool = Spool::open(&config.state_dir)?;
    let _lock = lock(&spool).await?;
    let clock = Clock { base: wall_ms(), began: Instant::now() };
    let (saved, dirs) = memory(&config, &spool, clock.now()).await?;
    let instance = fresh_instance();
    let settings = Settings {
        instance: instance.clone(),
        slots: u32::try_from(config.roots.len()).unwrap_or(u32::MAX),
        max_waiting: config.limits.waiting,
    };
    let mut stop = Stop::listen()?;
    let link = Link::join(&config, "worker").await?;
    let (tell, inbox) = mpsc::channel(256);
    let to_supervisor = bond(socket, tell.clone())?;
    let found = dirs.values().map(|dir| found(dir, &config)).collect();
    let (core, effects) = Core::restore(clock.now(), settings, saved, found);
    let hands = Hands::new(&config, instance.clone(), spool, Arc::clone(&link), &dirs, tell.clone())?;
    let greeter = Greeter::new(&config, instance.clone(), Arc::clone(&link), tell);
    info!(drone = %config.drone, %instance, "the worker runs");
    let (replies, unread) = (Replies::default(), Throttle::default());
    let mut worker = Worker { core, clock, instance, link, hands, greeter, replies, to_supervisor, syncs: 0, unread };
    worker.carry_out(effects);
    worker.work(inbox, &mut stop).await
}

/// Standard input, which `drone-agent run` made a socket.
fn supervisors_socket() -> anyhow::Result<std::os::unix::net::UnixStream> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("use standard input")?;
    let socket = std::os::unix::net::UnixStream::from(stdin);
    socket.local_addr().context("standard input is no supervisor's socket; start the drone with `drone-agent run`")?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn lock(spool: &Spool) -> anyhow::Result<Lock> {
    let since = Instant::now();
    loop {
        match spool.lock("worker") {
            Err(SpoolError::Held { .. }) if since.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            done => return Ok(done?),
        }
    }
}

/// What a former run left.
async fn memory(config: &Config, spool: &Spool, now: u64) -> anyhow::Result<(Saved, BTreeMap<Fence, AttemptDir>)> {
    let (spool, build_dir, sync_dir) = (spool.clone(), config.build_dir.clone(), syncer::place(config));
    swarm_common::watch::blocking("memory", move || {
        if let Err(error) = syncer::sweep(&sync_dir) {
            warn!(%error, "what a sync left can't be removed");
        }
        AttemptDir::sweep(&build_dir).context("remove half-made attempts")?;
        let saved = spool.load(now)?;
        let dirs: BTreeMap<Fence, AttemptDir> =
            AttemptDir::list(&build_dir).into_iter().map(|dir| (dir.fence(), dir)).collect();
        AttemptDir::settle(dirs.values());
        Ok((saved, dirs))
    })
    .await
}

fn found(dir: &AttemptDir, config: &Config) -> Found {
    let job = dir.job();
    let slot = config.roots.iter().position(|root| root.path == job.root.path).unwrap_or(0);
    let standing = match dir.state() {
        AttemptState::Waiting => AttemptStanding::Waiting,
        AttemptState::Running { since, .. } => AttemptStanding::Running { since },
        AttemptState::Finished(result) => AttemptStanding::Finished { result },
        AttemptState::Vanished | AttemptState::Unknown => AttemptStanding::Vanished,
    };
    info!(attempt = %dir.fence(), package = job.job.cpv, standing = word(&standing), "found an attempt on disk");
    Found {
        fence: dir.fence(),
        cpv: job.job.cpv.clone(),
        store_id: job.store_id.clone(),
        order_number: job.order_number,
        slot: u32::try_from(slot).unwrap_or(0),
        standing,
    }
}

fn word(standing: &AttemptStanding) -> &'static str {
    match standing {
        AttemptStanding::Waiting => "waiting",
        AttemptStanding::Running { .. } => "running",
        AttemptStanding::Finished { .. } => "finished",
        AttemptStanding::Vanished => "vanished",
    }
}

/// Reads beats; the end of the socket is the end of the supervisor.
fn bond(
    socket: std::os::unix::net::UnixStream,
    tell: mpsc::Sender<Event>,
) -> anyhow::Result<tokio::net::unix::OwnedWriteHalf> {
    let (from, to) = UnixStream::from_std(socket).context("use the supervisor's socket")?.into_split();
    let _detached = swarm_common::watch::spawn("beats", async move {
        let mut reader = BufReader::with_capacity(256, from);
        loop {
            let mut line = Vec::new();
            let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await;
            let event = match read {
                Ok(0) | Err(_) => Event::Orphaned,
                Ok(_) => match serde_json::from_slice::<Beat>(&line) {
                    Ok(beat) => Event::Beat(beat.beat),
                    Err(_) => continue,
                },
            };
            let over = matches!(event, Event::Orphaned);
            if tell.send(event).await.is_err() || over {
                return;
            }
        }
    });
    Ok(to)
}

/// Orders that wait for their answer.
#[derive(Default)]
struct Replies {
    next: u64,
    waiting: BTreeMap<u64, Message>,
}

impl Replies {
    /// Most orders waiting at once; the oldest is given up, and comes again.
    const MOST: usize = 256;

    fn keep(&mut self, message: Message) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, message);
        if self.waiting.len() > Self::MOST {
            self.waiting.pop_first();
        }
        self.next
    }
}

struct Worker {
    core: Core,
    clock: Clock,
    instance: InstanceId,
    link: Arc<Link>,
    hands: Hands,
    greeter: Greeter,
    replies: Replies,
    to_supervisor: tokio::net::unix::OwnedWriteHalf,
    /// How often the ebuild repositories were brought up to date.
    syncs: u64,
    /// Orders that can't be read.
    unread: Throttle,
}

async fn orders(link: &Link) -> Result<impl Stream<Item = Message> + use<>, LinkError> {
    let mut all = Vec::new();
    for token in Task::FOR_WORKER {
        all.push(link.orders(token).await?);
    }
    Ok(select_all(all))
}

impl Worker {
    async fn work(&mut self, mut inbox: mpsc::Receiver<Event>, stop: &mut Stop) -> anyhow::Result<()> {
        let mut orders = std::pin::pin!(orders(&self.link).await?);
        let mut connects = self.link.connects();
        connects.mark_changed();
        loop {
            let wake = self.core.next_wake().map(|at| self.clock.at(at));
            tokio::select! {
                Some(message) = orders.next() => self.order(message),
                Some(event) = inbox.recv() => {
                    if matches!(event, Event::Orphaned) {
                        warn!("the supervisor is gone; ending, builds live on");
                        break;
                    }
                    self.event(event);
                }
                Ok(()) = connects.changed() => self.greeter.greet(),
                () = async { match wake { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {
                    let effects = self.core.wake(self.clock.now());
                    self.carry_out(effects);
                }
                () = stop.next() => {
                    info!("told to end; builds live on");
                    break;
                }
            }
        }
        self.close(inbox, stop).await;
        Ok(())
    }

    /// Intake has stopped; what is being written is written, then the worker says goodbye.
    async fn close(&mut self, mut inbox: mpsc::Receiver<Event>, stop: &mut Stop) {
        self.input(Input::Closing);
        let until = tokio::time::Instant::now() + CLOSING;
        while self.hands.writes_under_way() {
            tokio::select! {
                Some(event) = inbox.recv() => self.event(event),
                () = sleep_until(until) => break,
                () = stop.next() => break,
            }
        }
        self.link.flush().await;
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Core(input) => self.input(input),
            Event::News(news) => {
                let held = self.core.held();
                if let Some(input) = self.greeter.news(news, held, &mut self.hands) {
                    self.input(input);
                }
            }
            Event::Beat(beat) => {
                let answer = BeatAnswer {
                    beat,
                    instance: self.instance.clone(),
                    orders_seen: self.core.orders_seen(),
                    welcomed: self.greeter.is_welcomed(),
                    syncs: self.syncs,
                };
                let _ = self.to_supervisor.try_write(&bond::line(&answer));
            }
            Event::Orphaned => {}
        }
    }

    fn order(&mut self, message: Message) {
        match read_order(&message) {
            Ok(order) => {
                info!(number = order.number, task = order.task.token(), "an order");
                let reply = self.replies.keep(message);
                self.input(Input::Order { reply, order });
            }
            Err(answer) => {
                if let Some(dropped) = self.unread.count("orders", Instant::now()) {
                    let bytes = message.payload.len();
                    warn!(dropped, bytes, "orders can't be read and are dropped; this is said once a minute");
                }
                self.hands.answer(message, answer);
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.syncs += u64::from(matches!(input, Input::Synced { .. }));
        self.hands.note(&input);
        let effects = self.core.handle(self.clock.now(), input);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer { reply, answer } => {
                    if let Some(message) = self.replies.waiting.remove(&reply) {
                        self.hands.answer(message, answer);
                    }
                }
                Effect::Greet => self.greeter.wanted(),
                Effect::Plan { job, store_id } => self.hands.plan(job, store_id),
                Effect::Sync { number, job, store_id } => self.hands.sync(number, &job, store_id),
                Effect::Keep { job, slot, order_number, store_id } => {
                    self.hands.keep(job, slot, order_number, store_id);
                }
                Effect::Start { fence } => self.hands.start(fence),
                Effect::End { fence } => self.hands.end(fence),
                Effect::Upload { fence, sha256 } => self.hands.upload(fence, sha256),
                Effect::Report { report } => self.hands.report(report),
                Effect::Forget { tomb } => self.hands.forget(tomb),
                Effect::Seen { number, store_id } => self.hands.seen(number, store_id),
            }
        }
        self.hands.follow(&self.core.running());
    }
}
