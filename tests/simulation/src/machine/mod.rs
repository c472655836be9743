//! A drone: a disk, a supervisor, a worker with the real `drone-core`, and the attempts that outlive both. The supervisor's
//! and worker's plumbing is written here as the agent does it; every rule is asked of `drone-core`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drone_core::watchdog::{Act, Sign, Watchdog};
use drone_core::{AttemptStanding, Effect, Found, Input, Saved, Settings, Tomb, Uploaded, Worker};
use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk, ArtifactRef};
use swarm_protocol::envelope::open;
use swarm_protocol::machine::{DroneType, Machine as MachineFacts, PortageState, TreeState, Vitals, WorkerState};
use swarm_protocol::order::{BuildJob, Escalated, EscalationRefusal, Order, OrderAnswer, Rung, Task};
use swarm_protocol::plan::{Plan, PlanAnswer, PlanChunk};
use swarm_protocol::report::{
    AttemptStatus, BuildAnswer, BuildResult, Failure, FailureClass, Heartbeat, Hello, HelloAnswer, Phase, Role,
    SyncAnswer, SyncReport,
};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{ArtifactId, DroneId, Envelope, Fence, InstanceId, PlanId, StoreId, encode};

mod hearing;
mod worker;

use super::chance::Chance;
use super::packages::{LARGE, Temper, Tree};
use super::{MINUTE, Millis, SECOND};

/// How long a report waits for its answer.
const REPORT_TIMEOUT: Millis = 15 * SECOND;
/// Between two tries of an upload, as the agent has it.
const BETWEEN_TRIES: [Millis; 3] = [15 * SECOND, 105 * SECOND, 0];
/// How often the end of a sync is told.
const TRIES: u32 = 12;
/// Waits of a hello that was not answered.
const HELLO_AGAIN: Millis = 3 * SECOND;
/// Machines take so long to boot.
const BOOT: Millis = 25 * SECOND;

/// Which process of the drone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Process {
    Supervisor,
    Worker,
}

/// What a request was about, so that its answer finds its way.
#[derive(Debug, Clone)]
enum Asked {
    Hello(Role),
    Build { fence: Fence, store_id: StoreId, number: u32 },
    Ticket { fence: Fence, sha256: String },
    Put { fence: Fence, sha256: String },
    Plan { plan: PlanId, attempt: u32 },
    Sync { number: u64 },
}

/// What a machine wants of the world.
#[derive(Debug)]
pub(super) enum Want {
    /// Send a report; an answer comes back under the number, if there is one.
    Report { kind: ReportKind, bytes: Vec<u8>, ask: Option<u64> },
    /// Put a file; the answer comes back under the number.
    Put { artifact: ArtifactId, token: String, file: ArtifactRef, ask: u64 },
    /// Answer an order.
    Answer { reply: u64, bytes: Vec<u8> },
    /// Come back to it later.
    Later { after: Millis, what: Later },
}

/// What a machine has in hand.
#[derive(Debug, Clone)]
pub(super) enum Later {
    /// An input of a worker's life.
    Worker { life: u32, input: Box<Input> },
    /// The worker's core asked to be woken.
    WorkerWake { life: u32 },
    /// A look of the supervisor: heartbeat, watchdog.
    Beat { life: u32 },
    /// An attempt's emerge ends.
    Ends { boot: u32, fence: Fence },
    /// A request was not answered in time.
    Timeout { process: Process, life: u32, ask: u64 },
    /// A hello is due.
    Hello { role: Role, life: u32 },
    /// An upload is tried again.
    Ticket { life: u32, fence: Fence, sha256: String },
    /// A plan is delivered (again).
    Deliver { life: u32, plan: PlanId, attempt: u32 },
    /// The end of a sync is told (again).
    Synced { life: u32, number: u64 },
    /// The process is started again, by whoever watches it.
    Restart { process: Process, life: u32 },
    /// The machine is up again.
    Boot { boot: u32 },
}

/// An attempt on disk.
#[derive(Debug, Clone)]
struct OnDisk {
    job: BuildJob,
    order_number: u64,
    store_id: StoreId,
    slot: u32,
    standing: AttemptStanding,
    /// When it began, on the world's clock.
    began: Millis,
}

/// What survives the processes.
#[derive(Debug, Clone, Default)]
struct Disk {
    seen: Option<(u64, StoreId)>,
    tombs: Vec<Tomb>,
    attempts: BTreeMap<Fence, OnDisk>,
    /// Packages of attempts, by hash.
    results: BTreeMap<Fence, BuildResult>,
    /// Which state of the ebuild repository it has.
    tree: u64,
}

/// A sync under way or being told.
#[derive(Debug, Clone)]
struct Syncing {
    store_id: StoreId,
    /// The state it ends with; none if it fails.
    brings: Option<u64>,
    took: Millis,
    tries: u32,
}

/// The ebuild repository's state of a number.
fn tree_of(number: u64) -> TreeState {
    TreeState { timestamp: Some(1_795_449_600 + number), id: format!("tree-{number}") }
}

fn number_of(tree: &TreeState) -> Option<u64> {
    tree.id.strip_prefix("tree-")?.parse().ok()
}

/// The supervisor's process.
struct Supervisor {
    instance: InstanceId,
    seq: u64,
    welcomed: bool,
    heartbeat: Millis,
    dog: Watchdog,
    generation: u64,
}

/// The worker's process.
struct WorkerProcess {
    instance: InstanceId,
    core: Worker,
    uploads: BTreeMap<(Fence, String), usize>,
    plans: BTreeMap<(PlanId, u32), (Plan, StoreId)>,
    syncs: BTreeMap<u64, Syncing>,
    wake: Option<Millis>,
}

/// What kind of machine it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Make {
    pub kind: DroneType,
    pub cores: u32,
    pub ram: u64,
    pub version: &'static str,
}

/// A drone's machine.
pub(super) struct Machine {
    pub id: DroneId,
    pub name: String,
    pub kind: DroneType,
    pub cores: u32,
    pub ram: u64,
    pub version: &'static str,
    pub tree: Arc<Tree>,
    chance: Chance,
    disk: Disk,
    supervisor: Option<Supervisor>,
    worker: Option<WorkerProcess>,
    /// Lives of the processes and boots of the machine; what belongs to an earlier one counts no more.
    lives: (u32, u32),
    boot: u32,
    pub up: bool,
    /// Its worker takes no message and gives no answer.
    pub hung: bool,
    /// Its worker dies soon after each start.
    pub crashing: bool,
    pub disk_full: bool,
    /// Its supervisor is not started again by anybody.
    pub unmanned: bool,
    asked: BTreeMap<u64, (Process, u32, Asked)>,
    next_ask: u64,
    /// Attempts that were ever begun, for whoever checks.
    pub begun: BTreeMap<Fence, u32>,
    /// Results this drone was told are durable.
    pub acknowledged: BTreeSet<(StoreId, Fence)>,
    pub wants: Vec<Want>,
    pub reboots: u32,
    /// Reboots the swarm decided on: when the first order of each left, by the wall clock of the decision. For whoever checks.
    pub reboot_acts: BTreeMap<u64, Millis>,
}

impl Machine {
    pub(super) fn new(index: usize, seed: u64, tree: Arc<Tree>, make: Make) -> Self {
        let Make { kind, cores, ram, version } = make;
        Self {
            id: DroneId(format!("U{index:05}")),
            name: format!("d{index}"),
            kind,
            cores,
            ram,
            version,
            tree,
            chance: Chance::new(seed, 1_000 + index as u64),
            disk: Disk::default(),
            supervisor: None,
            worker: None,
            lives: (0, 0),
            boot: 0,
            up: false,
            hung: false,
            crashing: false,
            disk_full: false,
            unmanned: false,
            asked: BTreeMap::new(),
            next_ask: 0,
            begun: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            wants: Vec::new(),
            reboots: 0,
            reboot_acts: BTreeMap::new(),
        }
    }

    // power and processes

    /// The machine comes up: its init system starts the supervisor.
    pub(super) fn power_on(&mut self, now: Millis) {
        if self.up {
            return;
        }
        self.up = true;
        self.boot += 1;
        for attempt in self.disk.attempts.values_mut() {
            if matches!(attempt.standing, AttemptStanding::Running { .. }) {
                attempt.standing = AttemptStanding::Vanished;
            }
        }
        self.start_supervisor(now);
    }

    /// Power is cut: processes and what runs are gone, the disk stays.
    pub(super) fn power_off(&mut self) {
        self.up = false;
        self.kill(Process::Worker);
        self.kill(Process::Supervisor);
    }

    /// The machine boots anew.
    pub(super) fn reboot(&mut self) {
        if !self.up {
            return;
        }
        self.reboots += 1;
        self.power_off();
        self.boot_later(BOOT);
    }

    pub(super) fn boot_later(&mut self, after: Millis) {
        let boot = self.boot;
        self.later(after, Later::Boot { boot });
    }

    /// One process dies. A worker is started again by its supervisor, a supervisor by the init system.
    pub(super) fn crash(&mut self, process: Process) {
        if !self.up {
            return;
        }
        self.kill(process);
        if process == Process::Supervisor {
            // a worker without its supervisor ends itself
            self.kill(Process::Worker);
            if !self.unmanned {
                let life = self.lives.0;
                self.later(2 * SECOND, Later::Restart { process, life });
            }
        }
    }

    fn kill(&mut self, process: Process) {
        match process {
            Process::Supervisor => {
                self.supervisor = None;
                self.lives.0 += 1;
            }
            Process::Worker => {
                if self.worker.take().is_some() {
                    self.lives.1 += 1;
                }
            }
        }
        self.asked.retain(|_, (of, _, _)| *of != process);
    }

    pub(super) fn start_supervisor(&mut self, now: Millis) {
        if !self.up || self.supervisor.is_some() {
            return;
        }
        let instance = self.fresh_instance("s");
        self.supervisor = Some(Supervisor {
            instance,
            seq: 0,
            welcomed: false,
            heartbeat: 5 * SECOND,
            dog: Watchdog::new(now, drone_core::watchdog::Bounds::default()),
            generation: 0,
        });
        let life = self.lives.0;
        self.later(0, Later::Hello { role: Role::Supervisor, life });
        let first = self.chance.between(1, 2 * SECOND);
        self.later(first, Later::Beat { life });
        self.watch(now, None);
    }

    fn start_worker(&mut self, now: Millis) {
        if !self.up || self.worker.is_some() {
            return;
        }
        let instance = self.fresh_instance("w");
        let settings = Settings { instance: instance.clone(), slots: 1, max_waiting: 4 };
        let saved = Saved {
            store_id: self.disk.seen.as_ref().map(|(_, store)| store.clone()),
            orders_seen: self.disk.seen.as_ref().map_or(0, |(number, _)| *number),
            tombs: self.disk.tombs.clone(),
        };
        let found = self.disk.attempts.iter().map(|(fence, on_disk)| Found {
            fence: *fence,
            cpv: on_disk.job.cpv.clone(),
            store_id: on_disk.store_id.clone(),
            order_number: on_disk.order_number,
            slot: on_disk.slot,
            standing: on_disk.standing.clone(),
        });
        let (core, effects) = Worker::restore(now, settings, saved, found.collect());
        self.worker = Some(WorkerProcess {
            instance,
            core,
            uploads: BTreeMap::new(),
            plans: BTreeMap::new(),
            syncs: BTreeMap::new(),
            wake: None,
        });
        let life = self.lives.1;
        self.later(0, Later::Hello { role: Role::Worker, life });
        self.carry_out(now, effects);
        if self.crashing {
            self.later(SECOND, Later::Restart { process: Process::Worker, life });
        }
    }

    fn fresh_instance(&mut self, role: &str) -> InstanceId {
        InstanceId(format!("{}{role}{:08x}", self.name, self.chance.below(1 << 32)))
    }

    // the supervisor

    /// Signs of the worker go to the watchdog, and what it says is done.
    fn watch(&mut self, now: Millis, sign: Option<Sign>) {
        let Some(supervisor) = &mut self.supervisor else { return };
        let act = match sign {
            Some(sign) => supervisor.dog.handle(now, sign),
            None => supervisor.dog.wake(now),
        };
        match act {
            Some(Act::Start) => {
                self.start_worker(now);
                self.watch(now, Some(Sign::Started));
            }
            // a hung process takes no TERM; KILL follows by the watchdog's own clock
            Some(Act::Terminate) if self.hung => {}
            Some(Act::Terminate | Act::Kill) => {
                self.hung = false;
                self.kill(Process::Worker);
                self.watch(now, Some(Sign::Exited));
            }
            Some(Act::Sweep) => self.watch(now, Some(Sign::Swept)),
            None => {}
        }
    }

    fn beat(&mut self, now: Millis, wall: u64) {
        let answers = self.worker.is_some() && !self.hung;
        if answers {
            self.watch(now, Some(Sign::Answered));
        } else if self.worker.is_none() {
            self.watch(now, Some(Sign::Exited));
        }
        self.watch(now, None);
        let status = |(fence, on_disk): (&Fence, &OnDisk)| {
            let begun = matches!(on_disk.standing, AttemptStanding::Running { .. });
            AttemptStatus {
                fence: *fence,
                cpv: on_disk.job.cpv.clone(),
                phase: if begun { Phase::Compile } else { Phase::Queued },
                elapsed_ms: if begun { now - on_disk.began } else { 0 },
                ..AttemptStatus::default()
            }
        };
        let lives =
            |on_disk: &OnDisk| matches!(on_disk.standing, AttemptStanding::Waiting | AttemptStanding::Running { .. });
        let attempts = self.disk.attempts.iter().filter(|(_, on_disk)| lives(on_disk)).map(status).collect();
        let finished = self.disk.attempts.iter().filter(|(_, d)| !lives(d)).map(|(fence, _)| *fence).collect();
        let (vitals, tree) = (self.vitals(), self.tree_state());
        let worker_instance = self.worker.as_ref().map(|worker| worker.instance.clone());
        let orders_seen = self.disk.seen.as_ref().map_or(0, |(number, _)| *number);
        let Some(supervisor) = &mut self.supervisor else { return };
        let (life, every) = (self.lives.0, supervisor.heartbeat);
        if supervisor.welcomed {
            supervisor.seq += 1;
            let beat = Heartbeat {
                instance: supervisor.instance.clone(),
                seq: supervisor.seq,
                orders_seen,
                vitals,
                worker: supervisor.dog.state(),
                worker_instance,
                attempts,
                finished,
                tree,
            };
            self.report(ReportKind::Heartbeat, "report.heartbeat", wall, &beat, None);
        }
        self.later(every, Later::Beat { life });
    }

    fn vitals(&self) -> Vitals {
        let free = if self.disk_full { 1 << 20 } else { 200 << 30 };
        Vitals {
            load_1m: 1.0,
            mem_percent: 40.0,
            disk_build_free: free,
            disk_build_total: 400 << 30,
            disk_packages_free: free,
            ..Vitals::default()
        }
    }

    fn tree_state(&self) -> TreeState {
        tree_of(self.disk.tree)
    }

    /// An order for the supervisor.
    fn supervise(&mut self, now: Millis, wall: u64, order: &Order, reply: u64) {
        let state = self.supervisor.as_ref().map_or(WorkerState::Unknown, |supervisor| supervisor.dog.state());
        let Some(instance) = self.supervisor.as_ref().map(|supervisor| supervisor.instance.clone()) else { return };
        let answer = match &order.task {
            Task::Ping { seq, .. } => {
                let attempts =
                    self.disk.attempts.iter().filter(|(_, d)| matches!(d.standing, AttemptStanding::Running { .. }));
                let attempts = attempts.map(|(fence, _)| AttemptStatus { fence: *fence, ..AttemptStatus::default() });
                let attempts = attempts.collect();
                OrderAnswer::Pong { seq: *seq, instance, at: wall, vitals: self.vitals(), worker: state, attempts }
            }
            Task::Escalate { rung, generation, .. } => {
                let outcome = self.escalate(now, *rung, *generation);
                OrderAnswer::Escalated { generation: *generation, outcome }
            }
            _ => OrderAnswer::Refused { reason: "not for the supervisor".to_owned() },
        };
        self.answer(reply, wall, &answer);
    }

    /// A rung, by whichever way it came.
    pub(super) fn escalate(&mut self, now: Millis, rung: Rung, generation: u64) -> Escalated {
        if let Some(supervisor) = &mut self.supervisor {
            if generation != 0 && generation <= supervisor.generation {
                return Escalated::Done { detail: "done already".to_owned() };
            }
            supervisor.generation = supervisor.generation.max(generation);
        }
        match rung {
            Rung::RestartService | Rung::HardRestart => {
                self.hung = false;
                self.kill(Process::Worker);
                self.watch(now, Some(Sign::Exited));
                Escalated::Done { detail: "the worker was started anew".to_owned() }
            }
            Rung::RebootContainer if matches!(self.kind, DroneType::Lxc | DroneType::Qemu) => {
                self.reboot();
                Escalated::Done { detail: "rebooting".to_owned() }
            }
            Rung::RebootContainer => {
                Escalated::Refused { why: EscalationRefusal::Type, detail: self.kind.name().to_owned() }
            }
            Rung::Unknown => Escalated::Refused { why: EscalationRefusal::Failed, detail: "unknown".to_owned() },
        }
    }

    // what goes out

    fn report<B: Serialize>(&mut self, kind: ReportKind, name: &str, wall: u64, body: &B, ask: Option<u64>) {
        let bytes = encode(&Envelope::new(name, self.next_ask, wall, body)).expect("a report fits a message");
        self.wants.push(Want::Report { kind, bytes, ask });
    }

    fn answer(&mut self, reply: u64, wall: u64, answer: &OrderAnswer) {
        let bytes = encode(&Envelope::new("answer.order", reply, wall, answer)).expect("an answer fits a message");
        self.wants.push(Want::Answer { reply, bytes });
    }

    fn ask(&mut self, process: Process, asked: Asked, within: Millis) -> u64 {
        self.next_ask += 1;
        let (ask, life) = (self.next_ask, self.life(process));
        self.asked.insert(ask, (process, life, asked));
        self.later(within, Later::Timeout { process, life, ask });
        ask
    }

    fn later(&mut self, after: Millis, what: Later) {
        self.wants.push(Want::Later { after, what });
    }

    /// Nothing is held and nothing is to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.disk.attempts.is_empty()
    }

    /// Whether its worker is there.
    pub(super) fn works(&self) -> bool {
        self.worker.is_some() && !self.hung
    }
}

fn process_of(role: Role) -> Process {
    match role {
        Role::Worker => Process::Worker,
        Role::Supervisor | Role::Unknown => Process::Supervisor,
    }
}

fn body<B: DeserializeOwned>(bytes: &[u8]) -> Option<B> {
    open::<B>(bytes).ok().map(|envelope| envelope.body)
}

fn failure(class: FailureClass, message: &str) -> Failure {
    Failure { class, message: message.to_owned(), ..Failure::default() }
}

/// The package an attempt leaves; its hash is its own.
fn made(cpv: &str, use_flags: &[String], fence: Fence) -> ArtifactRef {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in format!("{cpv} {fence} {use_flags:?}").bytes() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    ArtifactRef {
        cpv: cpv.to_owned(),
        slot: "0".to_owned(),
        repository: "gentoo".to_owned(),
        sha256: format!("{sum:016x}").repeat(4),
        size: 20_480,
        use_flags: use_flags.to_vec(),
    }
}
