//! Random journeys of three drones, a sweeper and a person, with losses, copies, late messages and restarts in between: what
//! must hold after each step, and what must have happened when the faults stop. And random queues on a fleet without faults:
//! nothing that was given out is lost or goes to and fro.
#![expect(clippy::needless_range_loop, reason = "drones are numbered in these journeys")]

use proptest::prelude::*;
use swarm_core::request::{
    CollectRequest, Control, DamagedRequest, DroneAction, PinRequest, QueueRequest, RemoveRequest, UnpublishRequest,
};
use swarm_core::rows::{BuildRow, BuildState};
use swarm_core::settings::Healing;
use swarm_core::{Input, Request, Settings};
use swarm_protocol::artifact::ArtifactAsk;
use swarm_protocol::plan::Plan;
use swarm_protocol::report::{BuildNews, BuildReport, BuildResult, FailureClass, Heartbeat, Hello, Role};
use swarm_protocol::{ArtifactId, Attempt, DroneId, Fence, PlanId};

use crate::farm::*;

const NAMES: [&str; 4] = ["anna", "ben", "cleo", "sweeper-1"];
const PACKAGES: [&str; 8] = [
    "app-misc/hello",
    "app-misc/other",
    "app-misc/calc",
    "app-misc/abacus",
    "app-misc/fancy",
    "app-misc/on-broken",
    "app-misc/masked",
    "dev-libs/ring-a",
];
const CLASSES: [FailureClass; 9] = [
    FailureClass::Phase,
    FailureClass::OutOfMemory,
    FailureClass::MissingTool,
    FailureClass::Fetch,
    FailureClass::Upload,
    FailureClass::IndexTooOld,
    FailureClass::Busy,
    FailureClass::Cancelled,
    FailureClass::Unknown,
];

#[derive(Debug, Clone)]
enum Step {
    Queue { package: usize, greet: bool, rebuild: bool },
    Control { action: usize, package: Option<usize> },
    Remove(usize),
    Action { drone: usize, action: usize },
    Pass(u64),
    Start(usize),
    Build { drone: usize, upload: bool },
    Fail { drone: usize, class: usize },
    Drop(usize),
    Lose(usize),
    Deaf(usize, bool),
    Silent(usize, bool),
    Dull(usize, bool),
    Replay(usize),
    Restart,
    AgentRestart(usize),
    Tree(usize),
    Sync { drone: usize, well: bool },
    Hold,
    Release,
    SignFails,
    Binhost { artifact: usize, action: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let drone = 0..NAMES.len();
    let package = 0..PACKAGES.len();
    prop_oneof![
        4 => (package.clone(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(package, greet, rebuild)| Step::Queue { package, greet, rebuild }),
        2 => (0..11usize, prop::option::of(package.clone())).prop_map(|(action, package)| Step::Control { action, package }),
        1 => package.prop_map(Step::Remove),
        1 => (drone.clone(), 0..4usize).prop_map(|(drone, action)| Step::Action { drone, action }),
        5 => prop_oneof![Just(1), Just(700), Just(5_000), Just(20_000), Just(60_000), Just(650_000), Just(1_900_000)]
            .prop_map(Step::Pass),
        3 => drone.clone().prop_map(Step::Start),
        6 => (drone.clone(), prop::bool::weighted(0.8)).prop_map(|(drone, upload)| Step::Build { drone, upload }),
        3 => (drone.clone(), 0..CLASSES.len()).prop_map(|(drone, class)| Step::Fail { drone, class }),
        1 => drone.clone().prop_map(Step::Drop),
        1 => drone.clone().prop_map(Step::Lose),
        1 => (drone.clone(), any::<bool>()).prop_map(|(drone, on)| Step::Deaf(drone, on)),
        1 => (drone.clone(), any::<bool>()).prop_map(|(drone, on)| Step::Silent(drone, on)),
        1 => (drone.clone(), any::<bool>()).prop_map(|(drone, on)| Step::Dull(drone, on)),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::Replay(at.index(1000))),
        2 => Just(Step::Restart),
        1 => drone.clone().prop_map(Step::AgentRestart),
        1 => drone.clone().prop_map(Step::Tree),
        1 => (drone, any::<bool>()).prop_map(|(drone, well)| Step::Sync { drone, well }),
        1 => Just(Step::Hold),
        1 => Just(Step::Release),
        1 => Just(Step::SignFails),
        3 => (0..12usize, 0..6usize).prop_map(|(artifact, action)| Step::Binhost { artifact, action }),
    ]
}

/// The farm and the messages that may come once more, late.
struct Journey {
    farm: Farm,
    past: Vec<(DroneId, Past)>,
}

#[derive(Clone)]
enum Past {
    Beat(Box<Heartbeat>),
    Report(Fence, BuildNews),
}

impl Journey {
    fn new() -> Self {
        // these journeys are about the queue: few pings, so that long waits stay quick
        let healing = Healing { ping_every: 60 * SECOND, ..Healing::default() };
        let settings = Settings { healing, keep_builds: 1, delete_after: 30 * SECOND, ..Settings::default() };
        let mut farm = Farm::with(settings);
        for name in NAMES {
            farm.join(Drone { tree_timestamp: Some(1), ..Drone::new(name) });
        }
        farm.pass(farm.settings.start_grace);
        farm.transcript.clear();
        Self { farm, past: Vec::new() }
    }

    fn first(&self, drone: usize) -> Option<(Fence, swarm_protocol::order::BuildJob)> {
        let running = &self.farm.drones[NAMES[drone]].running;
        running.iter().next().map(|(fence, (job, _))| (*fence, job.clone()))
    }

    fn drone(&mut self, drone: usize) -> &mut Drone {
        self.farm.drones.get_mut(NAMES[drone]).expect("one of the three")
    }

    fn remember(&mut self, drone: usize, past: Past) {
        let id = self.farm.drones[NAMES[drone]].id.clone();
        self.past.push((id, past));
    }

    fn ends(&mut self, drone: usize, fence: Fence, result: BuildResult) {
        self.remember(drone, Past::Report(fence, BuildNews::Finished { result: result.clone() }));
        self.farm.ends(NAMES[drone], fence, result);
    }

    fn go(&mut self, step: &Step) {
        match step {
            Step::Queue { package, greet, rebuild } => {
                let lines = greet.then(|| "app-misc/fancy greet".to_owned());
                self.farm.request(Request::Queue(QueueRequest {
                    packages: vec![PACKAGES[*package].to_owned()],
                    package_use: lines.into_iter().collect(),
                    rebuild: *rebuild,
                    ..QueueRequest::default()
                }));
            }
            Step::Control { action, package } => {
                let all = [
                    Control::Pause,
                    Control::Resume,
                    Control::Unblock,
                    Control::Block,
                    Control::Reclaim,
                    Control::Unground,
                    Control::Reset,
                    Control::Rebalance,
                    Control::ClearFailures,
                    Control::RetryFailures,
                    Control::ClearHistory,
                ];
                self.farm.control(all[*action], package.map(|package| PACKAGES[package]));
            }
            Step::Remove(package) => {
                self.farm.request(Request::Remove(RemoveRequest { package: PACKAGES[*package].to_owned() }));
            }
            Step::Action { drone, action } => {
                let all = [DroneAction::Pause, DroneAction::Resume, DroneAction::Drain, DroneAction::Forget];
                self.farm.order_drone(NAMES[*drone], all[*action]);
            }
            Step::Pass(length) => self.farm.pass(*length),
            Step::Start(drone) => {
                if let Some((_, job)) = self.first(*drone) {
                    self.farm.starts(NAMES[*drone], &job.cpv);
                }
            }
            Step::Build { drone, upload } => {
                let Some((fence, job)) = self.first(*drone) else { return };
                let artifact = binary(&job);
                if *upload {
                    self.farm.upload(NAMES[*drone], fence, artifact.clone());
                }
                self.ends(*drone, fence, BuildResult { artifacts: vec![artifact], ..done() });
            }
            Step::Fail { drone, class } => {
                let Some((fence, job)) = self.first(*drone) else { return };
                let failure = swarm_protocol::report::Failure {
                    class: CLASSES[*class],
                    cpv: Some(if *class == 0 { "dev-libs/libcalc-3".to_owned() } else { job.cpv }),
                    message: "it failed".to_owned(),
                    ..Default::default()
                };
                self.ends(*drone, fence, BuildResult { failure: Some(failure), ..done() });
            }
            Step::Drop(drone) => {
                let Some((fence, _)) = self.first(*drone) else { return };
                self.drone(*drone).running.remove(&fence);
                let news = BuildNews::Dropped { reason: "shutting down".to_owned() };
                self.remember(*drone, Past::Report(fence, news.clone()));
                self.farm.report(NAMES[*drone], fence, news);
            }
            Step::Lose(drone) => self.drone(*drone).running.clear(),
            Step::Deaf(drone, on) => self.drone(*drone).deaf = *on,
            Step::Silent(drone, on) => self.drone(*drone).silent = *on,
            Step::Dull(drone, on) => self.drone(*drone).dull = *on,
            Step::Replay(at) => self.replay(*at),
            Step::Restart => self.restart(),
            Step::AgentRestart(drone) => {
                let name = NAMES[*drone];
                let agent = self.drone(*drone);
                agent.starts += 1;
                agent.seq = 0;
                for role in [Role::Supervisor, Role::Worker] {
                    self.farm.hello(name, role);
                }
            }
            Step::Tree(drone) => {
                let agent = self.drone(*drone);
                let other = if agent.tree == "tree-1" { 2 } else { 1 };
                (agent.tree, agent.tree_timestamp) = (format!("tree-{other}"), Some(other));
                // what others need is another version there
                let cpv = if other == 1 { "dev-libs/libcalc-3" } else { "dev-libs/libcalc-4" };
                self.farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
            }
            Step::Sync { drone, well } => {
                if self.farm.drones[NAMES[*drone]].syncing.is_some() {
                    let tree = if *well { 2 } else { 1 };
                    self.farm.syncs(NAMES[*drone], tree, (!well).then_some("the mirror does not answer"));
                }
            }
            Step::Hold => {
                self.farm.hold =
                    Hold { sign: true, index: true, log: true, removal: true, escalate: true, notify: true };
            }
            Step::Release => self.farm.release(),
            Step::Binhost { artifact, action } => self.binhost(*artifact as u64 + 1, *action),
            Step::SignFails => {
                for row in self.farm.artifacts() {
                    self.farm.input(Input::SigningFailed { artifact: row.id, reason: "no key".to_owned() });
                }
            }
        }
        for drone in 0..NAMES.len() {
            let now = self.farm.now.at;
            let beat = self.farm.drones[NAMES[drone]].clone().heartbeat(now);
            if self.past.len() < 1000 {
                self.remember(drone, Past::Beat(Box::new(beat)));
            }
        }
    }

    /// A person does something with a package the binhost may have.
    fn binhost(&mut self, number: u64, action: usize) {
        let package = number.to_string();
        self.farm.binhost(match action {
            0 => Request::Pin(PinRequest { package, pinned: true }),
            1 => Request::Pin(PinRequest { package, pinned: false }),
            2 => Request::Unpublish(UnpublishRequest { package, force: false }),
            3 => Request::Unpublish(UnpublishRequest { package, force: true }),
            4 => Request::Damaged(DamagedRequest {
                artifact: ArtifactId(number),
                reason: "is not there".to_owned(),
                rebuild: number.is_multiple_of(2),
            }),
            _ => Request::Collect(CollectRequest { dry_run: false }),
        });
    }

    /// Something from the past comes once more.
    fn replay(&mut self, at: usize) {
        if self.past.is_empty() {
            return;
        }
        let (id, past) = self.past[at % self.past.len()].clone();
        match past {
            Past::Beat(beat) => self.farm.input(Input::Heartbeat { drone: id, beat }),
            Past::Report(fence, news) => {
                let reply = self.farm.next_reply();
                let sender = self.farm.drones.values().find(|drone| drone.id == id);
                let report = BuildReport {
                    instance: sender.map_or("gone".into(), |drone| drone.instance(Role::Worker)),
                    store_id: self.farm.core.store_id().clone(),
                    fence,
                    number: 1,
                    news,
                };
                self.farm.input(Input::Build { drone: id, report: Box::new(report), reply });
            }
        }
    }

    /// A restart changes nothing that can be seen from outside.
    fn restart(&mut self) {
        let before = self.farm.outward();
        self.farm.reload();
        let after = self.farm.outward();
        let lost: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
        let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(lost.is_empty() && new.is_empty(), "a restart shows\nbefore {lost:#?}\nafter {new:#?}");
        self.farm.deliver();
    }

    /// Faults stop: everybody listens, talks and builds what it gets.
    fn calm(&mut self) {
        self.farm.release();
        for drone in 0..NAMES.len() {
            let agent = self.drone(drone);
            (agent.deaf, agent.silent, agent.dull) = (false, false, false);
            (agent.tree, agent.tree_timestamp) = ("tree-9".to_owned(), Some(9));
            self.farm.order_drone(NAMES[drone], DroneAction::Resume);
        }
        self.farm.control(Control::Resume, None);
        self.farm.pass(10 * SECOND);
        for name in NAMES {
            self.farm.greet(name);
        }
        for _ in 0..400 {
            self.farm.pass(2 * MINUTE);
            for (drone, name) in NAMES.iter().enumerate() {
                while let Some((fence, job)) = self.first(drone) {
                    let artifact = binary(&job);
                    self.farm.upload(name, fence, artifact.clone());
                    self.farm.ends(name, fence, BuildResult { artifacts: vec![artifact], ..done() });
                }
            }
            if self.farm.view().session.is_none() {
                break;
            }
        }
    }
}

/// `PROPTEST_CASES` asks for a longer hunt.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn received(farm: &Farm) -> Vec<swarm_protocol::BuildId> {
    let rows = farm.store.all::<BuildRow>();
    rows.iter().filter(|row| matches!(row.state, BuildState::Received { .. })).map(|row| row.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(150), max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_contradicts_itself_and_everything_ends_when_the_faults_stop(steps in prop::collection::vec(step(), 1..60)) {
        let mut journey = Journey::new();
        for step in &steps {
            let before = received(&journey.farm);
            journey.go(step);
            let farm = &mut journey.farm;
            let after = received(farm);
            let gone = |id: &&swarm_protocol::BuildId| {
                !after.contains(id) && farm.store.get::<BuildRow>(id).is_some()
            };
            prop_assert_eq!(before.iter().find(gone), None, "what was received stays so");
            farm.wake();
            let (seen, events) = (farm.outward(), farm.events.len());
            farm.wake();
            farm.check();
            prop_assert!(seen == farm.outward(), "waking twice shows after {:?}\n{}", step, farm.transcript);
            prop_assert_eq!(events, farm.events.len(), "waking twice tells something");
            let next = farm.core.next_wake();
            prop_assert!(next.is_none_or(|at| at > farm.now.at), "the next wake is always ahead: {:?} at {}", next, farm.now.at);
        }
        journey.calm();
        let farm = &mut journey.farm;
        farm.check();
        let open: Vec<_> = farm
            .store
            .all::<BuildRow>()
            .into_iter()
            .filter(|row| matches!(row.state.name(), "needed" | "delegated"))
            .map(|row| (row.id, row.atom(), row.after, row.state))
            .collect();
        let stuck = farm.view().counts;
        prop_assert!(
            farm.view().session.is_none() && open.len() as u64 == farm.view().sessions.values().map(|c| c.waiting).sum::<u64>(),
            "not at rest: {:?} {:?}\n{}", open, stuck, &farm.transcript[farm.transcript.len().saturating_sub(5000)..]
        );
    }

    #[test]
    fn the_same_journey_twice_is_the_same(steps in prop::collection::vec(step(), 1..30)) {
        let run = || {
            let mut journey = Journey::new();
            for step in &steps {
                journey.go(step);
            }
            journey.farm.transcript
        };
        prop_assert_eq!(run(), run());
    }
}

fn days() -> impl Strategy<Value = Days> {
    let package = (prop::collection::vec(0..100usize, 0..3), prop_oneof![1..30u64, 30..200u64, 200..1_500u64]);
    let packages = prop::collection::vec(package, 1..25);
    let drones = prop::collection::vec((2..20u64, 1..3u32), 1..5);
    (packages, drones, 1..4usize, any::<bool>()).prop_map(|(packages, drones, requests, known)| Days {
        packages,
        drones,
        requests,
        known,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(60), max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// 0.4 took queued work back from healthy drones every five minutes.
    #[test]
    fn a_healthy_fleet_loses_no_work_and_nothing_goes_to_and_fro(days in days()) {
        let Life { mut farm, unfair, .. } = Life::new(days).run();
        farm.check();
        for row in farm.store.all::<BuildRow>() {
            prop_assert_eq!(row.state.name(), "received");
            prop_assert_eq!(row.attempt.0, 1 + u32::from(row.moved), "{} was given out again and again\n{}", row.atom(), farm.transcript);
        }
        let moved = farm.store.all::<BuildRow>().iter().filter(|row| row.moved).count();
        prop_assert_eq!(farm.told("rebalance").len(), moved);
        prop_assert_eq!(farm.told("return").len(), moved, "only what an idle drone took was given back");
        for bad in ["reclaim", "stale", "fail", "warn", "blocked", "offline"] {
            prop_assert_eq!(farm.told(bad), Vec::<&str>::new(), "{}", farm.transcript);
        }
        prop_assert_eq!(farm.begun_released, 0, "nobody was asked for what had begun");
        prop_assert_eq!(unfair, Vec::<String>::new(), "somebody had nothing to do\n{}", farm.transcript);
    }
}

/// Any message: valid shapes with arbitrary content, as a hostile or broken drone could send them.
fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// Fills a message with arbitrary values by changing leaves of its JSON form.
fn twist<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T, bytes: &[u8]) -> Option<T> {
    fn leaves(value: &mut serde_json::Value, bytes: &mut impl Iterator<Item = u8>) {
        use serde_json::Value;
        match value {
            Value::Array(all) => {
                if let (Some(b), Some(one)) = (bytes.next(), all.first().cloned())
                    && b % 4 == 0
                {
                    all.push(one);
                }
                all.iter_mut().for_each(|inner| leaves(inner, bytes));
            }
            Value::Object(all) => all.iter_mut().for_each(|(_, inner)| leaves(inner, bytes)),
            leaf => {
                let Some(b) = bytes.next() else { return };
                *leaf = match (leaf.clone(), b % 8) {
                    (Value::Number(_), 0) => Value::from(u64::MAX),
                    (Value::Number(_), 1) => Value::from(0),
                    (Value::Number(n), 2) => Value::from(n.as_u64().unwrap_or(0).wrapping_add(1)),
                    (Value::Number(_), 3) => Value::from(u32::MAX),
                    (Value::String(_), 0) => Value::from(""),
                    (Value::String(_), 1) => Value::from("../../x"),
                    (Value::String(s), 2) => Value::from(s.repeat(50)),
                    (Value::String(_), 3) => Value::from("\u{0}\u{202e}=a/b-1"),
                    (other, _) => other,
                }
            }
        }
    }
    let mut json = serde_json::to_value(value).ok()?;
    leaves(&mut json, &mut bytes.iter().copied());
    serde_json::from_value(json).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), ..ProptestConfig::default() })]

    #[test]
    fn no_message_of_a_drone_makes_the_core_panic(
        rounds in prop::collection::vec((0..5usize, nonsense(), any::<bool>()), 1..25),
    ) {
        let mut farm = Farm::of(&["anna"]);
        farm.drones.get_mut("anna").unwrap().slots = 3;
        farm.greet("anna");
        farm.queue(&["app-misc/calc", "app-misc/hello", "app-misc/fancy"]);
        let id = farm.drones["anna"].id.clone();
        let fence = Fence { build: build(2), attempt: Attempt(1) };
        let job = swarm_protocol::order::BuildJob { fence, cpv: "app-misc/hello-1.0".to_owned(), slot: "0".to_owned(), repository: "demo".to_owned(), ..Default::default() };
        for (kind, bytes, known) in rounds {
            let drone = if known { id.clone() } else { DroneId(format!("U-{}", bytes.len())) };
            let reply = farm.next_reply();
            let now = farm.now.at;
            let input = match kind {
                0 => twist(&farm.drones["anna"].hello(if bytes.len() % 2 == 0 { Role::Worker } else { Role::Supervisor }), &bytes)
                    .map(|hello: Hello| Input::Hello { drone, hello: Box::new(hello), reply }),
                1 => twist(&farm.drones.get_mut("anna").unwrap().heartbeat(now), &bytes)
                    .map(|beat: Heartbeat| Input::Heartbeat { drone, beat: Box::new(beat) }),
                2 => {
                    let news = BuildNews::Finished { result: BuildResult { artifacts: vec![binary(&job)], ..done() } };
                    let report = BuildReport { instance: farm.drones["anna"].instance(Role::Worker), store_id: farm.core.store_id().clone(), fence, number: 1, news };
                    twist(&report, &bytes).map(|report| Input::Build { drone, report: Box::new(report), reply })
                }
                3 => {
                    let ask = ArtifactAsk { instance: farm.drones["anna"].instance(Role::Worker), store_id: farm.core.store_id().clone(), fence, artifact: binary(&job) };
                    twist(&ask, &bytes).map(|ask| Input::Artifact { drone, ask: Box::new(ask), token: "t".to_owned(), reply })
                }
                _ => {
                    farm.queue(&["app-misc/other"]);
                    let plan = plan(&farm.tree, &["app-misc/calc".to_owned(), "app-misc/fancy".to_owned()], &[]);
                    twist(&plan, &bytes).map(|plan: Plan| Input::Planned { drone, plan: PlanId(u64::from(bytes.len() as u32 % 4)), attempt: 1, result: Box::new(plan), reply })
                }
            };
            if let Some(input) = input {
                farm.input(input);
                farm.wake();
                farm.check();
            }
            farm.pass(3 * SECOND);
        }
        farm.restart();
        farm.check();
    }
}
