//! One simulated drone: supervisor and worker on one connection. What is taken, run and told is `drone_core::Worker`'s to
//! decide, as on a real drone; every effect is carried out in memory.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions, Event as BusEvent, Message, Request, Subject, Subscriber};
use drone_core::{Effect, Input, Saved, Settings, Uploaded, Worker};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk, ArtifactRef};
use swarm_protocol::envelope::{Envelope, encode, open};
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::machine::{DroneType, Machine, PortageState, RebootPolicy, TreeState, Vitals, WorkerState};
use swarm_protocol::order::{BuildJob, Order, OrderAnswer, PlanJob, Task};
use swarm_protocol::plan::{CHUNK, PlanAnswer, PlanChunk};
use swarm_protocol::report::{
    AttemptStatus, BuildAnswer, BuildNews, BuildReport, BuildResult, Heartbeat, Hello, HelloAnswer, Phase, Role,
};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{Fence, InstanceId, PROTO_MAX, PROTO_MIN, StoreId, Subjects};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Identity, Shared, Ticket};

/// How long a report waits for its answer, as on a real drone.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long hello waits for its answer, and how long until it is said again.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Between heartbeats before the welcome says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Bytes read at one time; the default would take 64 KiB for each of thousands of connections.
const READ_BUFFER: u16 = 4096;

/// What a member's own work brings back.
enum Event {
    Input(Input),
    /// A report's end: what was told, and the answer if there was one.
    Reported {
        fence: Fence,
        finished: bool,
        input: Input,
    },
    Hello(Role, Option<HelloAnswer>),
    HelloDue,
}

/// A build in the drone's hands.
struct Job {
    job: BuildJob,
    ordered: Instant,
    began: Option<Instant>,
    result: Option<BuildResult>,
}

pub(super) struct Member {
    shared: Arc<Shared>,
    identity: Identity,
    client: Client,
    orders: Subscriber,
    pings: Subscriber,
    connects: watch::Receiver<u64>,
    number: u64,
    supervisor: InstanceId,
    worker: InstanceId,
    core: Worker,
    store_id: StoreId,
    http_url: String,
    welcomed: bool,
    orders_seen: u64,
    jobs: BTreeMap<Fence, Job>,
    replies: BTreeMap<u64, Subject>,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    beat: u64,
    beat_every: Duration,
    beat_at: Instant,
}

impl Member {
    pub(super) async fn connect(shared: Arc<Shared>, number: usize, identity: &Identity) -> Result<Self> {
        let (connected, connects) = watch::channel(0);
        let first = AtomicBool::new(true);
        let mut options = ConnectOptions::with_nkey(identity.seed.clone());
        if let Some(ca) = &shared.settings.ca {
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        let options = options
            .name(&identity.name)
            .custom_inbox_prefix(Subjects::inbox(identity.id.as_str()))
            .read_buffer_capacity(READ_BUFFER)
            .max_reconnects(None)
            .event_callback(move |event| {
                // the first is the connect below
                if matches!(event, BusEvent::Connected) && !first.swap(false, Relaxed) {
                    connected.send_modify(|count| *count += 1);
                }
                std::future::ready(())
            });
        let client =
            options.connect(&shared.settings.url).await.with_context(|| format!("connect {}", identity.name))?;
        let orders = client.subscribe(shared.settings.subjects.orders_of(&identity.id)).await?;
        let pings = client.subscribe(shared.settings.subjects.ping_all()).await?;
        let instance = |role: &str| InstanceId(format!("{}-{role}-{}", identity.name, shared.wall));
        let settings =
            Settings { instance: instance("worker"), slots: shared.settings.slots, max_waiting: shared.settings.slots };
        let (core, nothing) = Worker::restore(shared.now(), settings, Saved::default(), Vec::new());
        debug_assert!(nothing.is_empty(), "nothing was left by a former run");
        Ok(Self {
            supervisor: instance("supervisor"),
            worker: instance("worker"),
            shared,
            identity: identity.clone(),
            client,
            orders,
            pings,
            connects,
            number: 0,
            core,
            store_id: StoreId::default(),
            http_url: String::new(),
            welcomed: false,
            orders_seen: 0,
            jobs: BTreeMap::new(),
            replies: BTreeMap::new(),
            work: FuturesUnordered::new(),
            beat: 0,
            beat_every: HEARTBEAT,
            // drones that were switched on together must not beat together
            beat_at: Instant::now() + HEARTBEAT.mul_f64(spread(number)),
        })
    }

    /// Runs until the fleet is told to stop.
    pub(super) async fn run(mut self) {
        self.greet(Role::Supervisor);
        let (stop, mut pace) = (self.shared.stop.clone(), self.shared.pace.clone());
        loop {
            let wake = self.core.next_wake().map(|at| Duration::from_millis(at.saturating_sub(self.shared.now())));
            tokio::select! {
                () = stop.cancelled() => return,
                Some(message) = self.orders.next() => self.order(&message).await,
                Some(message) = self.pings.next() => self.order(&message).await,
                Some(event) = self.work.next(), if !self.work.is_empty() => self.event(event).await,
                () = sleep_until(self.beat_at), if self.welcomed => self.heartbeat().await,
                Ok(()) = self.connects.changed() => self.greet(Role::Supervisor),
                Ok(()) = pace.changed() => {
                    let every = pace.borrow_and_update().unwrap_or(HEARTBEAT);
                    // each keeps its place in the round
                    let left = self.beat_at.saturating_duration_since(Instant::now());
                    self.beat_at = Instant::now() + left.mul_f64(every.as_secs_f64() / self.beat_every.as_secs_f64());
                    self.beat_every = every;
                }
                () = async { match wake { Some(wait) => sleep(wait).await, None => pending().await } } => {
                    let effects = self.core.wake(self.shared.now());
                    self.carry_out(effects).await;
                }
            }
        }
    }

    fn subject(&self, kind: ReportKind) -> String {
        self.shared.settings.subjects.report(&self.identity.id, kind)
    }

    fn seal<B: Serialize>(&mut self, kind: &str, body: B) -> Vec<u8> {
        self.number += 1;
        encode(&Envelope::new(kind, self.number, self.shared.now(), body)).expect("a drone's own messages are small")
    }

    /// Publishes; a connection that is away loses it, as on a real drone.
    async fn tell(&mut self, subject: impl Into<Subject>, body: Vec<u8>) {
        let _ = self.client.publish(subject.into(), body.into()).await;
    }

    fn greet(&mut self, role: Role) {
        let held = self.core.held();
        let instance = if role == Role::Worker { &self.worker } else { &self.supervisor };
        let hello = Hello {
            instance: instance.clone(),
            supervisor: (role == Role::Worker).then(|| self.supervisor.clone()),
            role,
            name: self.identity.name.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            proto_min: PROTO_MIN,
            proto_max: PROTO_MAX,
            store_id: held.store_id,
            machine: machine(&self.identity.name),
            portage: portage(),
            tags: Vec::new(),
            slots: self.shared.settings.slots,
            orders_seen: held.orders_seen,
            running: held.running,
            finished: held.finished,
            ..Hello::default()
        };
        let body = self.seal("report.hello", hello);
        let (client, subject) = (self.client.clone(), self.subject(ReportKind::Hello));
        self.work.push(Box::pin(async move {
            Event::Hello(role, ask::<HelloAnswer>(&client, subject, body, HELLO_TIMEOUT).await)
        }));
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.input(input).await,
            Event::Reported { fence, finished, input } => self.reported(fence, finished, input).await,
            Event::HelloDue => self.greet(Role::Supervisor),
            Event::Hello(role, Some(HelloAnswer::Welcome { store_id, http_url, superseded, heartbeat_ms, .. })) => {
                self.store_id = store_id.clone();
                self.http_url = http_url;
                if role == Role::Supervisor {
                    self.greet(Role::Worker);
                    return;
                }
                if !std::mem::replace(&mut self.welcomed, true) {
                    self.beat_every = self.shared.pace.borrow().unwrap_or(Duration::from_millis(heartbeat_ms));
                    self.shared.counters.welcomed.fetch_add(1, Relaxed);
                }
                self.input(Input::Welcomed { store_id, superseded }).await;
            }
            Event::Hello(..) => self.work.push(Box::pin(async {
                sleep(Duration::from_secs(1)).await;
                Event::HelloDue
            })),
        }
    }

    async fn reported(&mut self, fence: Fence, finished: bool, input: Input) {
        let counters = &self.shared.counters;
        match &input {
            Input::Answered { answer: BuildAnswer::Durable {}, .. } if finished => {
                counters.durable.fetch_add(1, Relaxed);
                if let Some(job) = self.jobs.get(&fence) {
                    let took = u32::try_from(job.ordered.elapsed().as_millis()).unwrap_or(u32::MAX);
                    let mut journeys = self.shared.journeys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    journeys.push(took);
                }
            }
            // of an earlier report it means that the result was faster
            Input::Answered { answer: BuildAnswer::Superseded { .. }, .. } if finished => {
                counters.superseded.fetch_add(1, Relaxed);
            }
            Input::Answered { answer: BuildAnswer::Pending { .. }, .. } => {
                counters.pending.fetch_add(1, Relaxed);
            }
            Input::Unanswered { .. } => {
                counters.unanswered.fetch_add(1, Relaxed);
            }
            _ => {}
        }
        self.input(input).await;
    }

    async fn order(&mut self, message: &Message) {
        let Some(reply) = message.reply.clone() else { return };
        let order = match open::<Order>(&message.payload) {
            Ok(envelope) => envelope.body,
            Err(error) => {
                let body = self.seal("answer.order", OrderAnswer::NotUnderstood { reason: error.to_string() });
                return self.tell(reply, body).await;
            }
        };
        match order.task {
            Task::Ping { seq, .. } => {
                let answer = OrderAnswer::Pong {
                    seq,
                    instance: self.supervisor.clone(),
                    at: self.shared.now(),
                    vitals: vitals(),
                    worker: WorkerState::Alive,
                    attempts: self.attempts(),
                };
                let body = self.seal("answer.order", answer);
                self.tell(reply, body).await;
            }
            Task::Logs { fence, offset, max } => {
                let answer = match self.jobs.get(&fence).and_then(|job| job.result.as_ref()) {
                    Some(result) => {
                        OrderAnswer::Log { chunk: log_piece(fence, offset, max as usize, result.log_bytes) }
                    }
                    None => OrderAnswer::Refused { reason: format!("attempt {fence} has not ended here") },
                };
                let body = self.seal("answer.order", answer);
                self.tell(reply, body).await;
            }
            _ => {
                self.number += 1;
                self.replies.insert(self.number, reply);
                if matches!(order.task, Task::Build { .. }) {
                    self.shared.counters.orders.fetch_add(1, Relaxed);
                }
                self.input(Input::Order { reply: self.number, order }).await;
            }
        }
    }

    async fn input(&mut self, input: Input) {
        let effects = self.core.handle(self.shared.now(), input);
        self.carry_out(effects).await;
    }

    /// Carries effects out, and those of the inputs that follow at once.
    async fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            if let Some(input) = self.effect(effect).await {
                effects.extend(self.core.handle(self.shared.now(), input));
            }
        }
    }

    /// Carries one effect out; what has no duration ends in an input at once.
    async fn effect(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Answer { reply, answer } => {
                if let Some(to) = self.replies.remove(&reply) {
                    let body = self.seal("answer.order", answer);
                    self.tell(to, body).await;
                }
                None
            }
            Effect::Keep { job, .. } => {
                let fence = job.fence;
                self.jobs.insert(fence, Job { job, ordered: Instant::now(), began: None, result: None });
                Some(Input::Kept { fence })
            }
            Effect::Start { fence } => self.start(fence).await,
            Effect::End { fence } => Some(Input::Ended { fence }),
            Effect::Upload { fence, sha256 } => {
                self.upload(fence, sha256);
                None
            }
            Effect::Report { report } => {
                self.report(report);
                None
            }
            Effect::Forget { tomb } => {
                if let Some(result) = self.jobs.remove(&tomb.fence).and_then(|job| job.result) {
                    self.shared.settings.builds.forget(&result);
                }
                Some(Input::Forgotten { fence: tomb.fence })
            }
            Effect::Seen { number, .. } => {
                self.orders_seen = number;
                None
            }
            Effect::Plan { job, store_id } => {
                self.plan(job, store_id);
                None
            }
            // its tree is always the newest
            Effect::Sync { number, .. } => Some(Input::Synced { number }),
            Effect::Greet => {
                self.greet(Role::Supervisor);
                None
            }
        }
    }

    async fn start(&mut self, fence: Fence) -> Option<Input> {
        let job = self.jobs.get_mut(&fence)?;
        let (takes, result) = self.shared.settings.builds.build(&self.identity.id, &job.job);
        job.began = Some(Instant::now());
        job.result = Some(result.clone());
        self.live_log(fence, result.log_bytes).await;
        self.work.push(Box::pin(async move {
            if !takes.is_zero() {
                sleep(takes).await;
            }
            Event::Input(Input::Exited { fence, result })
        }));
        Some(Input::Started { fence, at: self.shared.now() })
    }

    async fn live_log(&mut self, fence: Fence, total: u64) {
        let mut offset = 0;
        while offset < total {
            let chunk = log_piece(fence, offset, MAX_CHUNK, total);
            offset += chunk.bytes.len() as u64;
            let body = self.seal("log", chunk);
            let subject = self.shared.settings.subjects.build_log(&self.identity.id, fence.build, fence.attempt);
            self.tell(subject, body).await;
        }
    }

    fn report(&mut self, report: BuildReport) {
        let (fence, number, store_id) = (report.fence, report.number, report.store_id.clone());
        let finished = matches!(report.news, BuildNews::Finished { .. });
        let (client, subject) = (self.client.clone(), self.subject(ReportKind::Build));
        let body = self.seal("report.build", report);
        self.work.push(Box::pin(async move {
            let input = match ask::<BuildAnswer>(&client, subject, body, REPORT_TIMEOUT).await {
                Some(answer) => Input::Answered { fence, store_id, number, answer },
                None => Input::Unanswered { fence, number },
            };
            Event::Reported { fence, finished, input }
        }));
    }

    fn upload(&mut self, fence: Fence, sha256: String) {
        let made = |job: &Job| job.result.as_ref()?.artifacts.iter().find(|made| made.sha256 == sha256).cloned();
        let Some(artifact) = self.jobs.get(&fence).and_then(made) else { return };
        let asked = ArtifactAsk {
            instance: self.worker.clone(),
            store_id: self.store_id.clone(),
            fence,
            artifact: artifact.clone(),
        };
        let body = self.seal("report.artifact", asked);
        let (client, subject) = (self.client.clone(), self.subject(ReportKind::Artifact));
        let (shared, http_url) = (self.shared.clone(), self.http_url.clone());
        self.work.push(Box::pin(async move {
            let answer = ask::<ArtifactAnswer>(&client, subject, body, REPORT_TIMEOUT).await;
            let outcome = deliver(&shared, answer, artifact, http_url).await;
            if matches!(outcome, Uploaded::Failed { .. }) {
                shared.counters.failed_uploads.fetch_add(1, Relaxed);
            }
            Event::Input(Input::Uploaded { fence, sha256, outcome })
        }));
    }

    fn plan(&mut self, job: PlanJob, store_id: StoreId) {
        let plan = self.shared.settings.builds.plan(&job);
        let bytes = encode_plan(&plan);
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let pieces: Vec<Vec<u8>> = bytes.chunks(CHUNK).map(<[u8]>::to_vec).collect();
        let chunks = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let mut bodies = VecDeque::new();
        for (chunk, bytes) in (0..).zip(pieces) {
            let (instance, store_id, sha256) = (self.worker.clone(), store_id.clone(), sha256.clone());
            let piece =
                PlanChunk { instance, store_id, plan: job.plan, attempt: job.attempt, chunk, chunks, sha256, bytes };
            bodies.push_back(self.seal("report.plan", piece));
        }
        let (client, subject, shared) = (self.client.clone(), self.subject(ReportKind::Plan), self.shared.clone());
        self.work.push(Box::pin(async move {
            while let Some(body) = bodies.front().cloned() {
                match ask::<PlanAnswer>(&client, subject.clone(), body, REPORT_TIMEOUT).await {
                    Some(PlanAnswer::Next {}) => drop(bodies.pop_front()),
                    Some(_) => break,
                    None => sleep(Duration::from_millis(250)).await,
                }
            }
            shared.counters.plans.fetch_add(1, Relaxed);
            Event::Input(Input::Planned { plan: job.plan, attempt: job.attempt })
        }));
    }

    fn attempts(&self) -> Vec<AttemptStatus> {
        let running = self.core.held().running.into_iter();
        running
            .map(|fence| {
                let job = self.jobs.get(&fence);
                let elapsed = job.and_then(|job| job.began).map_or(Duration::ZERO, |began| began.elapsed());
                AttemptStatus {
                    fence,
                    cpv: job.map(|job| job.job.cpv.clone()).unwrap_or_default(),
                    phase: if elapsed.is_zero() { Phase::Queued } else { Phase::Compile },
                    elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(0),
                    log_bytes: 0,
                    memory_peak_bytes: 1 << 30,
                }
            })
            .collect()
    }

    async fn heartbeat(&mut self) {
        self.beat_at = (self.beat_at + self.beat_every).max(Instant::now());
        self.beat += 1;
        let beat = Heartbeat {
            instance: self.supervisor.clone(),
            seq: self.beat,
            orders_seen: self.orders_seen,
            vitals: vitals(),
            worker: WorkerState::Alive,
            worker_instance: Some(self.worker.clone()),
            attempts: self.attempts(),
            finished: self.core.held().finished,
            tree: tree(),
        };
        let body = self.seal("report.heartbeat", beat);
        let subject = self.subject(ReportKind::Heartbeat);
        self.tell(subject, body).await;
        self.shared.counters.heartbeats.fetch_add(1, Relaxed);
    }
}

async fn ask<A: DeserializeOwned>(client: &Client, subject: String, body: Vec<u8>, within: Duration) -> Option<A> {
    let request = Request::new().payload(body.into()).timeout(Some(within));
    let answer = client.send_request(subject, request).await.ok()?;
    open::<A>(&answer.payload).ok().map(|envelope| envelope.body)
}

async fn deliver(shared: &Shared, answer: Option<ArtifactAnswer>, made: ArtifactRef, http_url: String) -> Uploaded {
    match answer {
        Some(ArtifactAnswer::Ticket { artifact, token, .. }) => {
            let ticket = Ticket { artifact, token, http_url };
            match shared.settings.uploads.upload(ticket, made).await {
                Ok(()) => Uploaded::Done,
                Err(message) => Uploaded::Failed { message },
            }
        }
        Some(ArtifactAnswer::Have {}) => Uploaded::Done,
        Some(ArtifactAnswer::Superseded { .. }) => Uploaded::Superseded,
        Some(ArtifactAnswer::Refused { reason }) => Uploaded::Failed { message: reason },
        Some(ArtifactAnswer::Unknown) => Uploaded::Failed { message: "an answer of a later version".to_owned() },
        None => Uploaded::Failed { message: "no answer to the wish for a ticket".to_owned() },
    }
}

/// A plan may be larger than a message, so the bound of the codec does not apply.
fn encode_plan(plan: &swarm_protocol::plan::Plan) -> Vec<u8> {
    rmp_serde::to_vec_named(plan).expect("a plan has an encoding")
}

/// A piece of a log that is the same whenever it is asked for.
fn log_piece(fence: Fence, offset: u64, max: usize, total: u64) -> LogChunk {
    let line = format!("x86_64-pc-linux-gnu-gcc -O2 -pipe -c unit.c -o unit.o # {fence}\n");
    let left = usize::try_from(total.saturating_sub(offset)).unwrap_or(usize::MAX);
    let wanted = left.min(max).min(MAX_CHUNK);
    let skip = usize::try_from(offset % line.len() as u64).unwrap_or(0);
    let bytes: Vec<u8> = line.bytes().cycle().skip(skip).take(wanted).collect();
    let end = offset + bytes.len() as u64 >= total;
    LogChunk { fence, offset, bytes, total, cut: 0, end }
}

/// Where in a round a drone stands: numbers next to each other are far apart.
fn spread(number: usize) -> f64 {
    (number as f64 * 0.618_033_988_75).fract()
}

fn machine(name: &str) -> Machine {
    Machine {
        hostname: name.to_owned(),
        arch: "amd64".to_owned(),
        cores: 16,
        ram_bytes: 64 << 30,
        drone_type: DroneType::Lxc,
        evidence: vec!["/run/systemd/container says lxc".to_owned()],
        boot_id: "0c1b7f62-8f0e-4f5a-9e0b-6c1f4a3d2e10".to_owned(),
        kernel: "6.12.0".to_owned(),
        addresses: vec!["192.0.2.7".to_owned()],
        reboot: RebootPolicy::Never,
        ssh_host_keys: Vec::new(),
    }
}

fn portage() -> PortageState {
    let header = [
        ("ACCEPT_KEYWORDS", "amd64"),
        ("ARCH", "amd64"),
        ("CBUILD", "x86_64-pc-linux-gnu"),
        ("CHOST", "x86_64-pc-linux-gnu"),
        ("ELIBC", "glibc"),
        ("KERNEL", "linux"),
        ("PROFILE", "default/linux/amd64/23.0"),
        (
            "USE",
            "acl amd64 bzip2 cli crypt dri elibc_glibc fortran gdbm iconv ipv6 kernel_linux ncurses nls openmp pam",
        ),
    ];
    PortageState {
        version: "3.0.83".to_owned(),
        build_profile: String::new(),
        profile: "default/linux/amd64/23.0".to_owned(),
        chost: "x86_64-pc-linux-gnu".to_owned(),
        cflags: "-O2 -pipe".to_owned(),
        installed_hash: "5f1d7a84db00d2fce00b31a7fc73224f".to_owned(),
        tree: tree(),
        index_header: header.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..PortageState::default()
    }
}

fn tree() -> TreeState {
    TreeState { timestamp: Some(1_795_449_600), id: "Mon, 23 Nov 2026 16:00:00 +0000".to_owned() }
}

fn vitals() -> Vitals {
    Vitals {
        load_1m: 7.25,
        cpu_percent: 45.5,
        mem_percent: 31.25,
        mem_available_bytes: 44 << 30,
        disk_build_free: 300 << 30,
        disk_build_total: 500 << 30,
        disk_packages_free: 300 << 30,
        psi_cpu: 4.5,
        psi_memory: 0.0,
        psi_io: 1.25,
        uptime_s: 86_400,
        agent_rss_bytes: 14 << 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_the_same_bytes_however_it_is_cut() {
        let fence = Fence::default();
        let whole = log_piece(fence, 0, 1000, 1000).bytes;
        let mut pieces = Vec::new();
        while pieces.len() < 1000 {
            let piece = log_piece(fence, pieces.len() as u64, 77, 1000);
            assert_eq!(piece.end, pieces.len() + piece.bytes.len() == 1000);
            pieces.extend(piece.bytes);
        }
        assert_eq!(pieces, whole);
    }
}
