//! A farm without machines: the real core, a store in memory, virtual time and scripted drones. Every input, effect and
//! event becomes a line of a transcript that a person can read and a test can keep.

mod binhost;
mod check;
mod days;
mod drone;
mod print;
mod store;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use binhost::Disk;
pub use days::{Days, Life};
pub use drone::{Drone, GIB, binary, sha};
pub use store::Store;
use swarm_core::effect::{self, BinhostWork, Ping, WantedLog};
use swarm_core::files::{SignedFile, UploadedFile};
use swarm_core::input::{PingLoss, RouteOutcome};
use swarm_core::request::{
    Control, ControlRequest, DroneAction, DroneRequest, HealAction, HealRequest, QueueRequest, WhyRequest,
};
use swarm_core::rows::{
    ArtifactRow, BuildRow, DroneRow, DroneWishesRow, DurationRow, EventRow, HealingRow, HistoryRow, MetaKey, MetaRow,
    NoticeRow, OrderedBy, RouteKind, Run,
};
use swarm_core::{Answer, Core, Effect, Input, Now, ReplyTo, Request, Settings, Sink, View};
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk, ArtifactRef};
use swarm_protocol::machine::DroneType;
use swarm_protocol::order::{BuildJob, Order, Rung, Task};
use swarm_protocol::report::{
    BuildAnswer, BuildNews, BuildReport, BuildResult, Failure, FailureClass, HelloAnswer, Phase, Role, SyncReport,
};
use swarm_protocol::{ArtifactId, BuildId, DroneId, Fence, PlanId, StoreId};
pub use tree::{Ebuild, Tree, cp, plan, tree};

/// The core's clock at the beginning; not 0, so that sums and moments cannot be mistaken for each other.
pub const BEGIN: u64 = 1_000;
const WALL: u64 = 1_700_000_000_000;
pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;

/// What the plumbing does not answer by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hold {
    pub sign: bool,
    pub index: bool,
    pub log: bool,
    pub escalate: bool,
    pub notify: bool,
    pub removal: bool,
}

/// Who asked what; decides what an answer does.
#[derive(Debug, Clone)]
enum Asked {
    Report(String, Fence),
    Other,
}

pub struct Farm {
    pub core: Core,
    pub store: Store,
    pub settings: Settings,
    pub now: Now,
    pub drones: BTreeMap<String, Drone>,
    pub tree: Tree,
    pub hold: Hold,
    /// What was held back.
    pub held: Vec<Input>,
    /// Every answer given, by its asker's number.
    pub answers: BTreeMap<u64, Answer>,
    /// Orders that were sent, with their receiver.
    pub orders: Vec<(DroneId, Order)>,
    asked: BTreeMap<u64, Asked>,
    todo: VecDeque<Input>,
    mail: VecDeque<(DroneId, Order)>,
    last_reply: u64,
    pub lives: u32,
    /// When the controller was started last.
    pub began: u64,
    /// Times a drone was asked back what had begun.
    pub begun_released: usize,
    pub transcript: String,
    pub events: Vec<EventRow>,
    /// Notices that were sent.
    pub notices: Vec<NoticeRow>,
    /// Drones that were rebooted, in order; they say hello when their turn comes.
    rebooted: Vec<String>,
    /// Orders of the ladder, with what a person would ask about each.
    pub escalations: Vec<Escalation>,
    /// The binhost's files and indexes.
    pub disk: Disk,
    /// Packages whose RESTRICT has `bindist`.
    pub restricted: BTreeSet<String>,
    /// IUSE of what is signed.
    pub iuse: String,
    /// Slots each drone had at the last check, and how many builds it held.
    had: BTreeMap<String, (u32, usize)>,
}

/// An order of the ladder, and how things stood when it left.
#[derive(Debug, Clone)]
pub struct Escalation {
    pub drone: DroneId,
    pub rung: Rung,
    pub route: RouteKind,
    pub by_hand: bool,
    pub protected: bool,
    pub override_forbids: bool,
    pub holds: usize,
    pub others_rebooting: Vec<String>,
    pub in_grace: bool,
    pub paused: bool,
    pub cut_off: bool,
}

impl Farm {
    /// Drones get no orders beyond their slots, so that each story tells one thing; see [`Farm::with`] for the others.
    pub fn new() -> Self {
        Self::with(Settings { prefetch: 0, ..Settings::default() })
    }

    pub fn with(settings: Settings) -> Self {
        let now = Now { at: BEGIN, wall: WALL + BEGIN };
        let store = Store::default();
        let core = load(&settings, &store);
        let mut farm = Self {
            core,
            store,
            settings,
            now,
            drones: BTreeMap::new(),
            tree: tree(),
            hold: Hold::default(),
            held: Vec::new(),
            answers: BTreeMap::new(),
            orders: Vec::new(),
            asked: BTreeMap::new(),
            todo: VecDeque::new(),
            mail: VecDeque::new(),
            last_reply: 0,
            lives: 1,
            began: BEGIN,
            begun_released: 0,
            transcript: String::new(),
            events: Vec::new(),
            notices: Vec::new(),
            rebooted: Vec::new(),
            escalations: Vec::new(),
            disk: Disk::default(),
            restricted: BTreeSet::new(),
            iuse: String::new(),
            had: BTreeMap::new(),
        };
        let effects = farm.core.start(now);
        farm.after("controller starts", effects);
        farm
    }

    /// A farm past its grace, with drones of these names.
    pub fn of(names: &[&str]) -> Self {
        Self::of_with(names, Settings { prefetch: 0, ..Settings::default() })
    }

    /// The same with other numbers.
    pub fn of_with(names: &[&str], settings: Settings) -> Self {
        let mut farm = Self::with(settings);
        for name in names {
            farm.join(Drone::new(name));
        }
        farm.pass(farm.settings.start_grace);
        farm.transcript.clear();
        farm
    }

    /// A comment in the transcript.
    pub fn say(&mut self, text: &str) {
        self.transcript.push_str(&format!("# {text}\n"));
    }

    // time

    /// Lets time pass: heartbeats every 5 s, wakes when the core asks for them.
    pub fn pass(&mut self, length: u64) {
        let end = self.now.at + length;
        while self.now.at < end {
            let beat = self.now.at - self.now.at % (5 * SECOND) + 5 * SECOND;
            let due = self.core.next_wake().unwrap_or(u64::MAX).max(self.now.at + 1);
            self.clock_to(due.min(beat).min(end));
            if due <= self.now.at {
                self.wake();
            }
            if beat <= self.now.at {
                self.beats();
            }
        }
    }

    pub fn clock_to(&mut self, at: u64) {
        self.now = Now { at, wall: self.now.wall + (at - self.now.at) };
    }

    pub fn wake(&mut self) {
        let effects = self.core.wake(self.now);
        self.after("time passes", effects);
        self.deliver();
    }

    /// The controller dies and comes back with what its store holds.
    pub fn restart(&mut self) {
        self.reload();
        self.deliver();
    }

    /// The controller comes back with other numbers.
    pub fn core_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.restart();
        self.pass(3 * SECOND);
    }

    /// The same, before anybody has heard of it.
    pub fn reload(&mut self) {
        self.lives += 1;
        self.began = self.now.at;
        self.todo.clear();
        self.mail.clear();
        self.held.clear();
        self.asked.clear();
        self.core = load(&self.settings, &self.store);
        self.disk.restart(&self.store);
        let effects = self.core.start(self.now);
        self.after("controller restarts", effects);
    }

    // drones

    pub fn join(&mut self, drone: Drone) {
        let name = drone.name.clone();
        self.drones.insert(name.clone(), drone);
        self.greet(&name);
    }

    /// Both processes say hello, then the first heartbeat. Says whether both are welcome.
    pub fn greet(&mut self, name: &str) -> bool {
        let [supervisor, worker] = [Role::Supervisor, Role::Worker].map(|role| self.hello(name, role));
        self.beat(name);
        let welcome = |answer| matches!(answer, Some(Answer::Hello(HelloAnswer::Welcome { .. })));
        welcome(supervisor) && welcome(worker)
    }

    pub fn hello(&mut self, name: &str, role: Role) -> Option<Answer> {
        let drone = &self.drones[name];
        let (id, hello) = (drone.id.clone(), Box::new(drone.hello(role)));
        let reply = self.ask(Asked::Other);
        self.input(Input::Hello { drone: id, hello, reply });
        self.answers.get(&reply.0).cloned()
    }

    pub fn beat(&mut self, name: &str) {
        let now = self.now.at;
        let Some(drone) = self.drones.get_mut(name) else { return };
        let input = Input::Heartbeat { drone: drone.id.clone(), beat: Box::new(drone.heartbeat(now)) };
        self.input(input);
        self.repeat(name);
    }

    /// Heartbeats of everybody who is not silent.
    pub fn beats(&mut self) {
        for name in std::mem::take(&mut self.rebooted) {
            if !self.drones[&name].silent && !self.greet(&name) {
                // who is refused says hello again
                self.rebooted.push(name);
            }
        }
        let names: Vec<String> = self.drones.values().filter(|d| !d.silent).map(|d| d.name.clone()).collect();
        for name in names {
            self.beat(&name);
        }
    }

    /// Results that are not acknowledged and not under way are reported again.
    fn repeat(&mut self, name: &str) {
        let under_way: Vec<Fence> = self
            .asked
            .values()
            .filter_map(|asked| match asked {
                Asked::Report(who, fence) if who == name => Some(*fence),
                _ => None,
            })
            .collect();
        let again: Vec<(Fence, BuildResult)> = self.drones[name]
            .finished
            .iter()
            .filter(|(fence, _)| !under_way.contains(fence))
            .map(|(fence, result)| (*fence, result.clone()))
            .collect();
        for (fence, result) in again {
            self.report(name, fence, BuildNews::Finished { result });
        }
    }

    pub fn report(&mut self, name: &str, fence: Fence, news: BuildNews) -> u64 {
        let drone = &self.drones[name];
        let report = BuildReport {
            instance: drone.instance(Role::Worker),
            store_id: self.core.store_id().clone(),
            fence,
            number: 1,
            news,
        };
        let id = drone.id.clone();
        let reply = self.ask(Asked::Report(name.to_owned(), fence));
        self.input(Input::Build { drone: id, report: Box::new(report), reply });
        reply.0
    }

    /// The fence of the attempt a drone has of a package.
    pub fn attempt(&self, name: &str, cpv: &str) -> Fence {
        let running = &self.drones[name].running;
        let hit = running.iter().find(|(_, (job, _))| job.cpv == cpv);
        let have = || running.values().map(|(job, _)| job.cpv.clone()).collect::<Vec<_>>();
        *hit.unwrap_or_else(|| panic!("{name} does not have {cpv}; it has {:?}\n{}", have(), self.transcript)).0
    }

    /// What a drone with so many slots would begin now, in the order it got it.
    pub fn may_begin(&self, name: &str, slots: usize) -> Vec<(Fence, BuildJob)> {
        let drone = &self.drones[name];
        let begun = drone.running.values().filter(|(_, since)| since.is_some()).count();
        let mut waiting: Vec<(&u64, &Fence)> = drone.line.iter().map(|(fence, number)| (number, fence)).collect();
        waiting.sort_unstable();
        let waiting = waiting.into_iter().filter_map(|(_, fence)| {
            drone.running.get(fence).filter(|(_, since)| since.is_none()).map(|(job, _)| (*fence, job.clone()))
        });
        waiting.take(slots.saturating_sub(begun)).collect()
    }

    /// What a package took before, on an ordinary drone; counts from the next start of the controller.
    pub fn teach(&mut self, cpv: &str, usual_ms: u64) {
        let run = Run { drone: "U-elsewhere".into(), duration_ms: usual_ms, usual_ms, memory_bytes: 0 };
        self.store.put(&DurationRow { cp: cp(cpv), runs: vec![run] });
    }

    /// Whoever has a package.
    pub fn holder(&self, cpv: &str) -> Option<String> {
        let has = |drone: &&Drone| drone.running.values().any(|(job, _)| job.cpv == cpv);
        self.drones.values().find(has).map(|drone| drone.name.clone())
    }

    /// emerge begins.
    pub fn starts(&mut self, name: &str, cpv: &str) -> Fence {
        let fence = self.attempt(name, cpv);
        let at = self.now.at;
        if let Some(entry) = self.drones.get_mut(name).and_then(|drone| drone.running.get_mut(&fence)) {
            entry.1 = Some(at);
        }
        self.report(name, fence, BuildNews::Started { at: self.now.wall });
        fence
    }

    /// The attempt ends well: its binary is uploaded, then the result is reported.
    pub fn builds(&mut self, name: &str, cpv: &str) -> u64 {
        let fence = self.attempt(name, cpv);
        let artifact = binary(&self.drones[name].running[&fence].0);
        self.upload(name, fence, artifact.clone());
        self.ends(name, fence, BuildResult { artifacts: vec![artifact], ..done() })
    }

    /// The attempt fails.
    pub fn fails(&mut self, name: &str, cpv: &str, class: FailureClass, message: &str) -> u64 {
        let fence = self.attempt(name, cpv);
        let failure = Failure {
            class,
            cpv: Some(cpv.to_owned()),
            phase: (class == FailureClass::Phase).then_some(Phase::Compile),
            message: message.to_owned(),
            log_line: None,
        };
        self.ends(name, fence, BuildResult { failure: Some(failure), ..done() })
    }

    /// An attempt is over: from now on the drone reports its result until it is durable.
    pub fn ends(&mut self, name: &str, fence: Fence, result: BuildResult) -> u64 {
        if let Some(drone) = self.drones.get_mut(name) {
            drone.running.remove(&fence);
            drone.finished.insert(fence, result.clone());
        }
        self.report(name, fence, BuildNews::Finished { result })
    }

    /// Asks for a ticket and uploads, unless the controller has the file.
    pub fn upload(&mut self, name: &str, fence: Fence, artifact: ArtifactRef) -> Option<ArtifactAnswer> {
        let drone = &self.drones[name];
        if drone.no_upload {
            return None;
        }
        let ask = ArtifactAsk {
            instance: drone.instance(Role::Worker),
            store_id: self.core.store_id().clone(),
            fence,
            artifact: artifact.clone(),
        };
        let (id, reply) = (drone.id.clone(), self.ask(Asked::Other));
        self.input(Input::Artifact { drone: id, ask: Box::new(ask), token: format!("token-{}", reply.0), reply });
        let Some(Answer::Artifact(answer)) = self.answers.get(&reply.0).cloned() else { return None };
        if let ArtifactAnswer::Ticket { artifact: id, .. } = &answer {
            self.uploaded(*id, &artifact);
        }
        Some(answer)
    }

    pub fn uploaded(&mut self, id: ArtifactId, artifact: &ArtifactRef) -> Option<Answer> {
        let reply = self.ask(Asked::Other);
        let restrict = if self.restricted.contains(&artifact.cpv) { "bindist" } else { "" };
        let file = UploadedFile { restrict: restrict.to_owned(), ..file_of(artifact) };
        self.input(Input::Uploaded { artifact: id, file, reply });
        self.answers.get(&reply.0).cloned()
    }

    // people

    pub fn request(&mut self, request: Request) -> Answer {
        let reply = self.ask(Asked::Other);
        self.input(Input::Request { actor: "kim".to_owned(), request, reply });
        self.answers[&reply.0].clone()
    }

    pub fn queue(&mut self, packages: &[&str]) -> Answer {
        let packages = packages.iter().map(|text| (*text).to_owned()).collect();
        self.request(Request::Queue(QueueRequest { packages, ..QueueRequest::default() }))
    }

    pub fn control(&mut self, action: Control, package: Option<&str>) -> Answer {
        self.request(Request::Control(ControlRequest { action, package: package.map(str::to_owned), drone: None }))
    }

    pub fn binhost(&mut self, request: Request) -> Answer {
        self.request(request)
    }

    pub fn order_drone(&mut self, name: &str, action: DroneAction) -> Answer {
        self.request(Request::Drone(DroneRequest { drone: name.to_owned(), action }))
    }

    pub fn heal(&mut self, name: &str, action: HealAction) -> Answer {
        self.request(Request::Heal(HealRequest { drone: name.to_owned(), action }))
    }

    /// What is stored of a drone's health.
    pub fn healing(&self, name: &str) -> HealingRow {
        self.store.get(&self.drones[name].id).unwrap_or_default()
    }

    /// The drone's machine is gone: no heartbeat, no answer.
    pub fn dies(&mut self, name: &str, cure: Option<Rung>) {
        let drone = self.drones.get_mut(name).expect("a drone of this farm");
        (drone.silent, drone.mute, drone.cure) = (true, true, cure);
        self.say(&format!("{name} falls silent"));
    }

    pub fn why(&mut self, package: &str) -> Answer {
        self.request(Request::Why(WhyRequest { package: package.to_owned() }))
    }

    // looking

    /// Entries of a package, oldest first.
    pub fn entries(&self, cpv: &str) -> Vec<BuildRow> {
        let all = self.store.all::<BuildRow>();
        all.into_iter().filter(|row| row.cpv.as_deref() == Some(cpv) || row.asked == cpv).collect()
    }

    /// The newest entry of a package.
    pub fn entry(&self, cpv: &str) -> BuildRow {
        self.entries(cpv).pop().unwrap_or_else(|| panic!("{cpv} is not in the queue\n{}", self.transcript))
    }

    /// Its state's public name.
    pub fn state(&self, cpv: &str) -> &'static str {
        self.entry(cpv).state.name()
    }

    pub fn artifacts(&self) -> Vec<ArtifactRow> {
        self.store.all()
    }

    pub fn history(&self) -> Vec<HistoryRow> {
        self.store.all()
    }

    pub fn view(&mut self) -> View {
        self.core.view()
    }

    /// Messages of events of a kind.
    pub fn told(&self, kind: &str) -> Vec<&str> {
        self.events.iter().filter(|event| event.kind == kind).map(|event| event.message.as_str()).collect()
    }

    /// Build orders that were sent for a package.
    pub fn ordered(&self, cpv: &str) -> usize {
        let is = |order: &&(DroneId, Order)| matches!(&order.1.task, Task::Build { job } if job.cpv == cpv);
        self.orders.iter().filter(is).count()
    }

    /// Atoms that planners were asked for, in order.
    pub fn asked_for(&self) -> Vec<&str> {
        let atoms = self.orders.iter().filter_map(|(_, order)| match &order.task {
            Task::Plan { job } => Some(job.atoms.iter().map(String::as_str)),
            _ => None,
        });
        atoms.flatten().collect()
    }

    // the machinery

    fn ask(&mut self, asked: Asked) -> ReplyTo {
        self.last_reply += 1;
        self.asked.insert(self.last_reply, asked);
        ReplyTo(self.last_reply)
    }

    pub fn next_reply(&mut self) -> ReplyTo {
        self.ask(Asked::Other)
    }

    /// Takes an input and everything that follows from it by itself.
    pub fn input(&mut self, input: Input) {
        self.step(input);
        self.deliver();
    }

    /// What was held back happens now.
    pub fn release(&mut self) {
        self.hold = Hold::default();
        for input in std::mem::take(&mut self.held) {
            self.input(input);
        }
    }

    fn step(&mut self, input: Input) {
        let line = self.describe(&input);
        let effects = self.core.handle(self.now, input);
        self.after(&line, effects);
    }

    /// Rows first, then effects, as the engine does.
    fn after(&mut self, line: &str, effects: Vec<Effect>) {
        let seen = self.events.len();
        let mut fresh = Events::default();
        self.core.drain(self.now, &mut Both { store: &mut self.store, fresh: &mut fresh });
        self.events.extend(fresh.0);
        let quiet = effects.iter().all(|effect| matches!(effect, Effect::Ping(_))) && self.events.len() == seen;
        let often = ["time passes", "heartbeat", "pong", "ping missed", "has notice"];
        if !(quiet && often.iter().any(|end| line.ends_with(end))) {
            self.print(line, &effects, seen);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        self.disk.apply(&effect, &self.store);
        let (input, hold) = match effect {
            Effect::Reply { to, answer } => return self.answered(to, answer),
            Effect::Order { drone, order } => {
                self.orders.push((drone.clone(), (*order).clone()));
                return self.mail.push_back((drone, *order));
            }
            Effect::Ping(Ping { drone, seq, .. }) => {
                let asked = self.drones.values().find(|known| known.id == drone);
                let input = match asked.map_or(Err(PingLoss::Absent), |known| known.ping(self.now)) {
                    Ok(pong) => Input::Pong { drone, seq, latency_us: 400, pong: Box::new(pong) },
                    Err(why) => Input::PingLost { drone, seq, why },
                };
                (input, false)
            }
            Effect::Escalate(effect::Escalation { drone, generation, rung, route, .. }) => {
                self.escalations.push(self.seen_escalation(&drone, rung, route.kind()));
                let known = self.drones.values_mut().find(|known| known.id == drone);
                let outcome = known.map(|known| known.escalate(rung, &route));
                let gone = || RouteOutcome::Failed { detail: "nobody is there".to_owned() };
                let rebooted = rung == Rung::RebootContainer && matches!(outcome, Some(RouteOutcome::Done { .. }));
                let name = self.drones.values().find(|known| known.id == drone).map(|known| known.name.clone());
                if let Some(name) = name.filter(|_| rebooted) {
                    self.rebooted.push(name);
                }
                (Input::Escalated { drone, generation, outcome: outcome.unwrap_or_else(gone) }, self.hold.escalate)
            }
            Effect::Notify(notice) => {
                self.notices.push(*notice.clone());
                let delivered = vec!["mail".to_owned()];
                (Input::Notified { notice: notice.id, delivered, failed: Vec::new() }, self.hold.notify)
            }
            Effect::Binhost(BinhostWork::RemovePackage { artifact, .. }) => {
                (Input::PackageRemoved { artifact }, self.hold.removal)
            }
            Effect::Binhost(BinhostWork::Sign { artifact, path, build_id, restricted, .. }) => {
                let mut stanza = BTreeMap::from([("BUILD_ID".to_owned(), build_id.to_string())]);
                if restricted {
                    stanza.insert("RESTRICT".to_owned(), "bindist".to_owned());
                }
                stanza.insert("BUILD_TIME".to_owned(), "1700000000".to_owned());
                stanza.insert("IUSE".to_owned(), self.iuse.clone());
                let file = SignedFile { path, sha256: sha(&artifact.to_string()), size: 1100, stanza };
                (Input::Signed { artifact, file }, self.hold.sign)
            }
            Effect::Binhost(BinhostWork::WriteIndex { index, timestamp, .. }) => {
                (Input::IndexWritten { index, timestamp }, self.hold.index)
            }
            Effect::CompleteLog(WantedLog { fence, .. }) => (Input::LogStored { fence, complete: true }, self.hold.log),
            // nobody waits to hear what became of the others
            _ => return,
        };
        if hold { self.held.push(input) } else { self.todo.push_back(input) }
    }

    /// From the stored rows, which are on disk before the order leaves.
    fn seen_escalation(&self, drone: &DroneId, rung: Rung, route: RouteKind) -> Escalation {
        let row = self.store.get::<DroneRow>(drone).expect("a known drone");
        let healing = self.store.get::<HealingRow>(drone).unwrap_or_default();
        let wishes = self.store.get::<DroneWishesRow>(drone).unwrap_or_default();
        let meta = self.store.get::<MetaRow>(&MetaKey).unwrap_or_default();
        let may = |kind: DroneType| matches!(kind, DroneType::Lxc | DroneType::Qemu);
        let rebooting = |other: &HealingRow| {
            let acts = other.acting.as_ref().is_some_and(|acting| acting.rung == Rung::RebootContainer);
            let waits = other.incident.as_ref().is_some_and(|i| i.level == 3 && self.now.at < i.wait_until);
            other.drone != *drone && (acts || waits)
        };
        let others = self.store.all::<HealingRow>().into_iter().filter(rebooting);
        let held = |build: &BuildRow| build.assignment().is_some_and(|a| a.drone == *drone);
        Escalation {
            drone: drone.clone(),
            rung,
            route,
            by_hand: healing.acting.as_ref().is_some_and(|acting| acting.ordered_by() != OrderedBy::Swarm),
            protected: wishes.protected || wishes.auto_reboot == Some(false),
            override_forbids: row.type_override.is_some_and(|kind| !may(kind)),
            holds: self.store.all::<BuildRow>().iter().filter(|build| held(build)).count(),
            others_rebooting: others.map(|other| other.drone.0).collect(),
            in_grace: self.now.at < self.began + self.settings.start_grace,
            paused: row.paused.is_some() || row.draining.is_some(),
            cut_off: meta.cut_off.is_some(),
        }
    }

    fn answered(&mut self, to: ReplyTo, answer: Answer) {
        let before = self.answers.insert(to.0, answer.clone());
        assert!(before.is_none(), "{to:?} was answered twice\n{}", self.transcript);
        let Some(Asked::Report(name, fence)) = self.asked.remove(&to.0) else { return };
        let Answer::Build(answer) = answer else { panic!("a report is answered as one") };
        let Some(drone) = self.drones.get_mut(&name) else { return };
        match answer {
            BuildAnswer::Durable {} | BuildAnswer::Superseded { .. } => {
                let over = matches!(answer, BuildAnswer::Superseded { .. });
                drone.finished.remove(&fence);
                if over {
                    drone.running.remove(&fence);
                }
            }
            BuildAnswer::NeedArtifacts { sha256 } => {
                let made = drone.finished.get(&fence).map(|result| result.artifacts.clone()).unwrap_or_default();
                for artifact in made.into_iter().filter(|made| sha256.contains(&made.sha256)) {
                    self.upload(&name, fence, artifact);
                }
            }
            BuildAnswer::Pending { .. } | BuildAnswer::NotUnderstood { .. } | BuildAnswer::Unknown => {}
        }
    }

    pub fn deliver(&mut self) {
        for _ in 0..100_000 {
            if let Some(input) = self.todo.pop_front() {
                self.step(input);
            } else if let Some((drone, order)) = self.mail.pop_front() {
                self.obey(&drone, order);
            } else {
                return;
            }
        }
        panic!("the farm does not come to rest\n{}", &self.transcript[self.transcript.len().saturating_sub(4000)..]);
    }

    fn obey(&mut self, id: &DroneId, order: Order) {
        let Some(drone) = self.drones.values_mut().find(|drone| drone.id == *id) else { return };
        if drone.deaf || order.instance != drone.instance(Role::Worker) {
            return;
        }
        drone.orders_seen = drone.orders_seen.max(order.number);
        let name = drone.name.clone();
        match order.task {
            Task::Build { job } => {
                let fence = job.fence;
                if drone.finished.contains_key(&fence) {
                    return;
                }
                let news = !drone.running.contains_key(&fence);
                drone.line.entry(fence).or_insert(order.number);
                drone.running.entry(fence).or_insert((job, None));
                if news {
                    self.report(&name, fence, BuildNews::Taken {});
                }
            }
            Task::Cancel { fence, .. } if !drone.finished.contains_key(&fence) => {
                drone.running.remove(&fence);
                self.report(&name, fence, BuildNews::Dropped { reason: "cancelled".to_owned() });
            }
            Task::Release { fence, .. } => {
                // as drone-core does: what has begun goes on
                let begun = drone.running.get(&fence).is_some_and(|(_, since)| since.is_some());
                self.begun_released += usize::from(begun);
                if !begun && !drone.finished.contains_key(&fence) {
                    drone.running.remove(&fence);
                    self.report(&name, fence, BuildNews::Dropped { reason: "asked back".to_owned() });
                }
            }
            Task::Sync { job } => drone.syncing = Some((order.number, job)),
            Task::Plan { job } if !drone.dull => {
                let result = plan(&self.tree, &job.atoms, &job.package_use);
                self.planned(&name, job.plan, job.attempt, result);
            }
            // a dull drone's plans, and what the farm has no story of
            _ => {}
        }
    }

    /// The drone has carried out the sync it was told, and has this tree now.
    pub fn syncs(&mut self, name: &str, tree: u64, failure: Option<&str>) -> Answer {
        let reply = self.ask(Asked::Other);
        let drone = self.drones.get_mut(name).expect("a drone of the farm");
        let (number, _) = drone.syncing.take().expect("it was told to");
        drone.tree = format!("tree-{tree}");
        drone.tree_timestamp = Some(tree);
        let report = SyncReport {
            instance: drone.instance(Role::Worker),
            store_id: self.core.store_id().clone(),
            number,
            failure: failure.map(str::to_owned),
            tree: drone.tree_state(),
            duration_ms: 3_000,
        };
        let id = drone.id.clone();
        self.input(Input::Synced { drone: id, report: Box::new(report), reply });
        self.answers[&reply.0].clone()
    }

    pub fn planned(&mut self, name: &str, id: PlanId, attempt: u32, result: swarm_protocol::plan::Plan) -> Answer {
        let drone = self.drones[name].id.clone();
        let reply = self.ask(Asked::Other);
        self.input(Input::Planned { drone, plan: id, attempt, result: Box::new(result), reply });
        self.answers[&reply.0].clone()
    }
}

/// What a file says of itself.
pub fn file_of(artifact: &ArtifactRef) -> UploadedFile {
    UploadedFile {
        sha256: artifact.sha256.clone(),
        size: artifact.size,
        cpv: artifact.cpv.clone(),
        slot: artifact.slot.clone(),
        repository: artifact.repository.clone(),
        use_flags: artifact.use_flags.clone(),
        chost: "x86_64-pc-linux-gnu".to_owned(),
        restrict: String::new(),
    }
}

/// A result of two seconds without a failure and without packages.
pub fn done() -> BuildResult {
    BuildResult { duration_ms: 2_000, log_bytes: 10, exit_status: Some(0), ..BuildResult::default() }
}

pub fn build(id: u64) -> BuildId {
    BuildId(id)
}

fn load(settings: &Settings, store: &Store) -> Core {
    match Core::load(settings.clone(), store, StoreId::from("store-1")) {
        Ok(core) => core,
        Err(never) => match never {},
    }
}

#[derive(Default)]
struct Events(Vec<EventRow>);

/// Stores rows and keeps the events aside for the transcript.
struct Both<'a> {
    store: &'a mut Store,
    fresh: &'a mut Events,
}

impl swarm_core::Sink for Both<'_> {
    fn put<R: swarm_core::table::Row>(&mut self, row: &R) {
        self.store.put(row);
        if R::TABLE == "events" {
            let text = serde_json::to_string(row).expect("an event can be stored");
            self.fresh.0.push(serde_json::from_str(&text).expect("an event is readable"));
        }
    }

    fn delete(&mut self, table: &'static str, key: &[u8]) {
        self.store.delete(table, key);
    }
}
