//! A queue of fifty thousand entries stays quick: what each input costs, counted in steps and not in time.

use std::collections::BTreeMap;

use swarm_core::effect::{self, BinhostWork, Ping, WantedLog};
use swarm_core::files::{SignedFile, UploadedFile};
use swarm_core::input::{PingLoss, RouteOutcome};
use swarm_core::request::{Control, ControlRequest, QueueRequest, RemoveRequest, WhyRequest};
use swarm_core::table::{Row, Sink, Source};
use swarm_core::{Answer, Core, Effect, Input, Now, ReplyTo, Request, Settings, Work};
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::machine::DroneType;
use swarm_protocol::order::{BuildJob, Task};
use swarm_protocol::plan::{Plan, PlannedEdge, PlannedPackage};
use swarm_protocol::report::{BuildNews, BuildReport, BuildResult, Role};
use swarm_protocol::{PlanId, StoreId};

use crate::farm::{Drone, SECOND, binary, done, sha};

const ENTRIES: u64 = 50_000;

/// Keeps nothing but the number of rows written.
#[derive(Default)]
struct Counted(u64);

impl Sink for Counted {
    fn put<R: Row>(&mut self, _: &R) {
        self.0 += 1;
    }
    fn delete(&mut self, _: &'static str, _: &[u8]) {
        self.0 += 1;
    }
}

struct Nothing;

impl Source for Nothing {
    type Error = std::convert::Infallible;
    fn rows<R: Row>(&self) -> Result<Vec<R>, Self::Error> {
        Ok(Vec::new())
    }
}

/// What inputs of one kind cost.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    inputs: u64,
    steps: u64,
    most: u64,
    rows: u64,
}

/// The core alone, with drones that answer at once.
struct Swarm {
    core: Core,
    now: Now,
    drones: Vec<Drone>,
    jobs: Vec<Vec<BuildJob>>,
    plans: Vec<(usize, PlanId, u32, Vec<String>)>,
    costs: BTreeMap<&'static str, Cost>,
    replies: u64,
    answer: Option<Answer>,
    /// So many of the first drones answer no ping, though they are heard.
    deaf: usize,
    notices: usize,
}

impl Swarm {
    fn of(drones: usize) -> Self {
        Self::with_deaf(drones, 0)
    }

    /// The first `deaf` answer no ping, and are never rebooted.
    fn with_deaf(drones: usize, deaf: usize) -> Self {
        let Ok(core) = Core::load(Settings::default(), &Nothing, StoreId::from("s"));
        let now = Now { at: 1_000, wall: 1_700_000_000_000 };
        let mut swarm = Self {
            core,
            now,
            drones: (0..drones).map(|n| Drone::new(&format!("d{n}"))).collect(),
            jobs: vec![Vec::new(); drones],
            plans: Vec::new(),
            costs: BTreeMap::new(),
            replies: 0,
            answer: None,
            deaf,
            notices: 0,
        };
        for drone in &mut swarm.drones[..deaf] {
            drone.kind = DroneType::BareMetal;
        }
        let effects = swarm.core.start(now);
        swarm.carry_out(effects);
        for n in 0..drones {
            for role in [Role::Supervisor, Role::Worker] {
                let (drone, hello) = (swarm.drones[n].id.clone(), Box::new(swarm.drones[n].hello(role)));
                let reply = swarm.reply();
                swarm.input("hello", Input::Hello { drone, hello, reply });
            }
        }
        swarm.beats();
        swarm
    }

    fn reply(&mut self) -> ReplyTo {
        self.replies += 1;
        ReplyTo(self.replies)
    }

    fn measured(&mut self, kind: &'static str, act: impl FnOnce(&mut Core, Now) -> Vec<Effect>) {
        let before = self.core.work();
        let effects = act(&mut self.core, self.now);
        let mut rows = Counted::default();
        self.core.drain(self.now, &mut rows);
        let _ = (self.core.view(), self.core.next_wake());
        let steps = since(before, self.core.work());
        let cost = self.costs.entry(kind).or_default();
        cost.inputs += 1;
        cost.steps += steps;
        cost.most = cost.most.max(steps);
        cost.rows += rows.0;
        self.carry_out(effects);
    }

    fn input(&mut self, kind: &'static str, input: Input) {
        self.measured(kind, |core, now| core.handle(now, input));
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { answer, .. } => self.answer = Some(answer),
                Effect::Order { drone, order } => {
                    let n = self.drones.iter().position(|one| one.id == drone).expect("a drone of ours");
                    self.drones[n].orders_seen = self.drones[n].orders_seen.max(order.number);
                    match order.task {
                        Task::Build { job } => self.jobs[n].push(job),
                        Task::Plan { job } => self.plans.push((n, job.plan, job.attempt, job.atoms)),
                        Task::Release { fence, .. } | Task::Cancel { fence, .. } => {
                            self.jobs[n].retain(|job| job.fence != fence);
                            let report = BuildReport {
                                instance: self.drones[n].instance(Role::Worker),
                                store_id: StoreId::from("s"),
                                fence,
                                number: 3,
                                news: BuildNews::Dropped { reason: "as ordered".to_owned() },
                            };
                            let reply = self.reply();
                            self.input("dropped", Input::Build { drone, report: Box::new(report), reply });
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Effect::Binhost(BinhostWork::Sign { artifact, path, .. }) => {
                    let file = SignedFile { path, sha256: sha("x"), size: 1, stanza: BTreeMap::new() };
                    self.input("signed", Input::Signed { artifact, file });
                }
                Effect::Binhost(BinhostWork::WriteIndex { index, timestamp, .. }) => {
                    self.input("index written", Input::IndexWritten { index, timestamp });
                }
                Effect::CompleteLog(WantedLog { fence, .. }) => {
                    self.input("log stored", Input::LogStored { fence, complete: true });
                }
                Effect::Ping(Ping { drone, seq, .. }) => {
                    let n = self.drones.iter().position(|one| one.id == drone).expect("a drone of ours");
                    if n < self.deaf {
                        self.input("ping lost", Input::PingLost { drone, seq, why: PingLoss::Silent });
                        continue;
                    }
                    let pong = Box::new(self.drones[n].ping(self.now).expect("it answers"));
                    self.input("pong", Input::Pong { drone, seq, latency_us: 300, pong });
                }
                Effect::Escalate(effect::Escalation { drone, rung, generation, .. }) => {
                    let n = self.drones.iter().position(|one| one.id == drone).expect("a drone of ours");
                    assert!(n < self.deaf, "{} of {drone}, and nothing is wrong", rung.name());
                    let outcome = RouteOutcome::Failed { detail: "no answer".to_owned() };
                    self.input("escalated", Input::Escalated { drone, generation, outcome });
                }
                Effect::Notify(notice) => {
                    assert!(self.deaf > 0, "{}, and nothing is wrong", notice.subject);
                    self.notices += 1;
                    let (id, delivered) = (notice.id, vec!["mail".to_owned()]);
                    self.input("notified", Input::Notified { notice: id, delivered, failed: Vec::new() });
                }
                Effect::Binhost(BinhostWork::RemovePackage { artifact, .. }) => {
                    self.input("package removed", Input::PackageRemoved { artifact });
                }
                // nobody waits to hear what became of the others
                _ => {}
            }
        }
    }

    fn beats(&mut self) {
        for n in 0..self.drones.len() {
            let now = self.now.at;
            self.drones[n].running = self.jobs[n].iter().map(|job| (job.fence, (job.clone(), None))).collect();
            let input =
                Input::Heartbeat { drone: self.drones[n].id.clone(), beat: Box::new(self.drones[n].heartbeat(now)) };
            self.input("heartbeat", input);
        }
    }

    fn pass(&mut self, length: u64) {
        self.now = Now { at: self.now.at + length, wall: self.now.wall + length };
        self.measured("wake", |core, now| core.wake(now));
    }

    fn request(&mut self, kind: &'static str, request: Request) -> Answer {
        let reply = self.reply();
        self.input(kind, Input::Request { actor: "kim".to_owned(), request, reply });
        self.answer.take().expect("a request is answered")
    }

    fn plan(&mut self) {
        while let Some((n, plan, attempt, atoms)) = self.plans.pop() {
            let (drone, result, reply) = (self.drones[n].id.clone(), Box::new(planned(&atoms)), self.reply());
            self.input("plan of 500", Input::Planned { drone, plan, attempt, result, reply });
        }
    }

    fn build_one(&mut self, n: usize) {
        let job = self.jobs[n].remove(0);
        let (fence, artifact) = (job.fence, binary(&job));
        let (drone, instance) = (self.drones[n].id.clone(), self.drones[n].instance(Role::Worker));
        let store_id = StoreId::from("s");
        let report = |news, number| {
            Box::new(BuildReport { instance: instance.clone(), store_id: store_id.clone(), fence, number, news })
        };
        let reply = self.reply();
        let started = report(BuildNews::Started { at: self.now.wall }, 2);
        self.input("started", Input::Build { drone: drone.clone(), report: started, reply });
        let ask =
            ArtifactAsk { instance: instance.clone(), store_id: store_id.clone(), fence, artifact: artifact.clone() };
        let reply = self.reply();
        self.input(
            "artifact",
            Input::Artifact { drone: drone.clone(), ask: Box::new(ask), token: "t".to_owned(), reply },
        );
        let Some(Answer::Artifact(ArtifactAnswer::Ticket { artifact: id, .. })) = self.answer.take() else {
            panic!("no ticket")
        };
        let file = UploadedFile {
            sha256: artifact.sha256.clone(),
            size: artifact.size,
            cpv: artifact.cpv.clone(),
            slot: artifact.slot.clone(),
            repository: artifact.repository.clone(),
            use_flags: Vec::new(),
            chost: "x86_64-pc-linux-gnu".to_owned(),
            restrict: String::new(),
        };
        let reply = self.reply();
        self.input("uploaded", Input::Uploaded { artifact: id, file, reply });
        let result = BuildResult { artifacts: vec![artifact], duration_ms: 60_000, ..done() };
        let reply = self.reply();
        self.input("finished", Input::Build { drone, report: report(BuildNews::Finished { result }, 3), reply });
    }

    /// For people: `cargo test -p swarm-core --test all scale:: -- --nocapture`.
    fn print(&self) {
        println!("{:<16} {:>7} {:>10} {:>10} {:>8}", "input", "inputs", "steps each", "most", "rows");
        for (kind, cost) in &self.costs {
            let each = |sum: u64| sum / cost.inputs;
            let (steps, rows) = (each(cost.steps), each(cost.rows));
            println!("{kind:<16} {:>7} {steps:>10} {:>10} {rows:>8}", cost.inputs, cost.most);
        }
    }

    fn most(&self, kind: &str) -> u64 {
        self.costs.get(kind).unwrap_or_else(|| panic!("no {kind}")).most
    }
}

fn since(before: Work, after: Work) -> u64 {
    after.total() - before.total()
}

fn name(n: u64) -> String {
    format!("app-misc/p{n}x")
}

fn number(atom: &str) -> u64 {
    let digits = atom.trim_start_matches("app-misc/p").trim_end_matches('x');
    digits.parse().expect("a name of ours")
}

/// Each ten packages are a chain, and every hundredth is needed by the hundred after it.
fn planned(atoms: &[String]) -> Plan {
    let numbers: Vec<u64> = atoms.iter().map(|atom| number(atom)).collect();
    let place: BTreeMap<u64, u32> = numbers.iter().zip(0..).map(|(n, at)| (*n, at)).collect();
    let package = |n: &u64| PlannedPackage {
        cpv: format!("{}-1", name(*n)),
        slot: "0".to_owned(),
        repository: "demo".to_owned(),
        ..PlannedPackage::default()
    };
    let needs = |n: u64| {
        [(!n.is_multiple_of(10)).then(|| n - 1), Some(n - n % 100)].into_iter().flatten().filter(move |need| *need != n)
    };
    let edges = numbers.iter().flat_map(|n| {
        let from = place[n];
        needs(*n).filter_map(|need| place.get(&need).copied()).map(move |to| PlannedEdge {
            from,
            to,
            build_time: true,
            run_time: true,
        })
    });
    Plan {
        packages: numbers.iter().map(package).collect(),
        edges: edges.collect(),
        order: (0..numbers.len() as u32).collect(),
        targets: (0..numbers.len() as u32).map(Some).collect(),
        ..Plan::default()
    }
}

#[test]
fn no_input_walks_a_queue_of_fifty_thousand() {
    let mut swarm = Swarm::of(20);
    swarm.pass(70 * SECOND);
    swarm.beats();
    let packages = (0..ENTRIES).map(name).collect();
    swarm.request("queue 50000", Request::Queue(QueueRequest { packages, ..QueueRequest::default() }));
    swarm.plan();
    for round in 0..40 {
        swarm.pass(5 * SECOND);
        swarm.beats();
        for n in 0..20 {
            if !swarm.jobs[n].is_empty() {
                swarm.build_one(n);
            }
        }
        let one = vec![name(ENTRIES + round)];
        swarm.request("queue one", Request::Queue(QueueRequest { packages: one, ..QueueRequest::default() }));
        swarm.plan();
        swarm.request("why", Request::Why(WhyRequest { package: name(40_000 + round) }));
        swarm.request(
            "block",
            Request::Control(ControlRequest {
                action: Control::Block,
                package: Some(name(45_000 + round)),
                drone: None,
            }),
        );
        swarm.request("remove", Request::Remove(RemoveRequest { package: name(30_000 + 10 * round + 9) }));
        swarm.request(
            "rebalance",
            Request::Control(ControlRequest { action: Control::Pause, package: None, drone: None }),
        );
        swarm.request(
            "rebalance",
            Request::Control(ControlRequest { action: Control::Resume, package: None, drone: None }),
        );
    }
    swarm.pass(2 * SECOND);
    let counts = swarm.core.view().counts;
    assert!(counts.received > 500 && counts.total() > ENTRIES - 100, "it works: {counts:?}");
    swarm.print();
    // what grows with the request is bounded by it; nothing else knows how long the queue is
    assert!(swarm.most("queue 50000") <= 10 * ENTRIES);
    assert!(swarm.most("plan of 500") <= 20_000, "{}", swarm.most("plan of 500"));
    for kind in
        ["heartbeat", "wake", "started", "artifact", "uploaded", "signed", "log stored", "why", "block", "remove"]
    {
        assert!(swarm.most(kind) <= 2_000, "{kind}: {}", swarm.most(kind));
    }
    for kind in ["finished", "index written", "queue one", "rebalance"] {
        assert!(swarm.most(kind) <= 4_000, "{kind}: {}", swarm.most(kind));
    }
}

#[test]
fn fifty_thousand_packages_nobody_can_build_are_told_of_within_minutes_a_bounded_number_at_a_time() {
    let mut swarm = Swarm::of(20);
    for drone in &mut swarm.drones {
        drone.vitals.disk_build_free = 0;
    }
    // past the grace, in steps: a clock that jumps begins another one
    for _ in 0..14 {
        swarm.pass(5 * SECOND);
        swarm.beats();
    }
    let packages = (0..ENTRIES).map(|n| name(100 * n)).collect();
    swarm.request("queue 50000", Request::Queue(QueueRequest { packages, ..QueueRequest::default() }));
    swarm.plan();
    swarm.costs.clear();
    let before = swarm.core.last_event();
    let told = |swarm: &Swarm| swarm.core.last_event() - before;
    for _ in 0..66 {
        swarm.beats();
        for _ in 0..5 {
            swarm.pass(SECOND);
        }
    }
    swarm.print();
    assert!(told(&swarm) >= ENTRIES, "{} were told of", told(&swarm));
    assert!(swarm.most("wake") <= 1_000, "{}", swarm.most("wake"));
}

#[test]
fn no_package_is_compared_with_a_whole_fleet() {
    let mut swarm = Swarm::of(400);
    swarm.pass(70 * SECOND);
    swarm.beats();
    let packages = (0..4_000).map(|n| name(100 * n)).collect();
    swarm.request("queue 4000", Request::Queue(QueueRequest { packages, ..QueueRequest::default() }));
    let before = swarm.core.work().candidates;
    swarm.plan();
    let orders: usize = swarm.jobs.iter().map(Vec::len).sum();
    assert_eq!(orders, 400 * 3, "all slots and lines are full");
    let each = (swarm.core.work().candidates - before) / orders as u64;
    assert!(each <= 70, "{each} drones were looked at for each order");
    swarm.beats();
    for n in 0..50 {
        swarm.build_one(n);
    }
    swarm.pass(2 * SECOND);
    swarm.print();
    for kind in ["heartbeat", "finished", "started", "index written"] {
        assert!(swarm.most(kind) <= 5_000, "{kind}: {}", swarm.most(kind));
    }
    // with nothing left in the line, idle drones cost nothing
    let mut idle = Swarm::of(400);
    idle.pass(70 * SECOND);
    for _ in 0..3 {
        idle.pass(20 * SECOND);
        idle.beats();
    }
    assert_eq!(idle.most("heartbeat"), 0);
}

#[test]
fn a_result_that_leaves_nothing_to_give_walks_the_fleet_for_trees_and_drains_alone() {
    let mut swarm = Swarm::of(1_000);
    swarm.pass(70 * SECOND);
    swarm.beats();
    swarm.request("queue 1", Request::Queue(QueueRequest { packages: vec![name(0)], ..QueueRequest::default() }));
    swarm.plan();
    let before = swarm.core.work().fleet;
    let builder = swarm.jobs.iter().position(|jobs| !jobs.is_empty()).expect("somebody got the order");
    swarm.build_one(builder);
    let walked = swarm.core.work().fleet - before;
    assert!(walked <= 3_000, "{walked} drones were looked at: nobody is to be given anything");
}

/// Time passes in steps of a tenth of a second, and nothing but pings happens in it. Answers drones looked at.
fn only_pings(swarm: &mut Swarm, seconds: u64) -> u64 {
    let before = swarm.core.work().fleet;
    for _ in 0..10 * seconds {
        swarm.pass(SECOND / 10);
    }
    swarm.core.work().fleet - before
}

#[test]
fn pings_of_a_large_fleet_look_at_nobody_else() {
    let mut swarm = Swarm::of(1_000);
    swarm.pass(70 * SECOND);
    swarm.beats();
    swarm.pass(SECOND);
    let pings = |swarm: &Swarm| swarm.costs.get("pong").map_or(0, |cost| cost.inputs);
    let before = pings(&swarm);
    let walked = only_pings(&mut swarm, 10);
    assert!(pings(&swarm) >= before + 2_000, "each is pinged every 5 s");
    assert!(walked <= 1_000, "{walked} drones were looked at");
}

#[test]
fn drones_in_a_persons_hands_cost_nothing_while_they_wait() {
    let mut swarm = Swarm::with_deaf(300, 100);
    swarm.pass(70 * SECOND);
    let minutes = 10;
    for _ in 0..minutes * 12 {
        swarm.pass(5 * SECOND);
        swarm.beats();
    }
    assert!(swarm.notices >= 100, "{} were told of", swarm.notices);
    let walked = only_pings(&mut swarm, 4);
    assert!(walked <= 600, "{walked} drones were looked at");
}
