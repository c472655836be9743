//! Whatever the order of inputs, copies, losses and crashes: an attempt is started at most once, a result is dropped only
//! after the controller's word, what has begun is never released, and nothing runs while the ebuild repositories change.

use std::collections::{BTreeMap, BTreeSet};

use drone_core::{AttemptStanding, Effect, Found, Input, Saved, Settings, Tomb, Uploaded, Worker};
use proptest::prelude::*;
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::order::{BuildJob, Order, SyncJob, Task};
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildReport, BuildResult};
use swarm_protocol::{Attempt, BuildId, Fence, InstanceId, StoreId};

const BUILDS: u64 = 5;

/// What chance does next.
#[derive(Debug, Clone)]
enum Step {
    /// The controller sends (again) the order to build or to cancel.
    Build(u64),
    Cancel(u64),
    /// It asks back what has not begun.
    Release(u64),
    /// It has the ebuild repositories brought up to date.
    Sync(u64),
    /// A pending effect, picked by number, is carried out; `twice`: its input comes twice.
    Carry {
        pick: usize,
        twice: bool,
    },
    /// A report, picked by number, is answered; it stays and may be answered again, differently.
    Answer {
        pick: usize,
        with: u8,
    },
    /// An attempt's process ends.
    Exit {
        build: u64,
        packages: bool,
    },
    /// An attempt's process is killed from outside.
    Vanish(u64),
    /// Time passes.
    Pass(u64),
    /// The worker process dies and is started again.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..=BUILDS).prop_map(Step::Build),
        1 => (1..=BUILDS).prop_map(Step::Cancel),
        1 => (1..=BUILDS).prop_map(Step::Release),
        1 => (1u64..4).prop_map(Step::Sync),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(pick, twice)| Step::Carry { pick, twice }),
        3 => (any::<usize>(), 0u8..5).prop_map(|(pick, with)| Step::Answer { pick, with }),
        2 => (1..=BUILDS, any::<bool>()).prop_map(|(build, packages)| Step::Exit { build, packages }),
        1 => (1..=BUILDS).prop_map(Step::Vanish),
        2 => (0u64..20_000).prop_map(Step::Pass),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The drone around the core: its disk and processes, and what the controller heard.
struct World {
    now: u64,
    run: u32,
    worker: Worker,
    disk: BTreeMap<Fence, (u64, AttemptStanding)>,
    tombs: Vec<Tomb>,
    seen: u64,
    pending: Vec<Effect>,
    reports: Vec<BuildReport>,
    started: BTreeMap<Fence, u32>,
    /// Attempts whose end (result or dropped) the controller acknowledged or superseded.
    settled: BTreeSet<Fence>,
    /// Attempts that were cancelled: they may be dropped while no result exists.
    cancelled: BTreeSet<Fence>,
    /// Attempts whose result the core was told.
    results: BTreeSet<Fence>,
    /// Attempts whose process was killed and whose emerge lives on.
    orphans: BTreeSet<Fence>,
}

fn fence(build: u64) -> Fence {
    Fence { build: BuildId(build), attempt: Attempt(1) }
}

fn settings(run: u32) -> Settings {
    Settings { instance: InstanceId(format!("run-{run}")), slots: 1, max_waiting: 3 }
}

fn store() -> StoreId {
    StoreId::from("s")
}

impl World {
    fn new() -> Self {
        let (worker, _) = Worker::restore(0, settings(0), Saved::default(), Vec::new());
        let mut world = Self {
            now: 0,
            run: 0,
            worker,
            disk: BTreeMap::new(),
            tombs: Vec::new(),
            seen: 0,
            pending: Vec::new(),
            reports: Vec::new(),
            started: BTreeMap::new(),
            settled: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            results: BTreeSet::new(),
            orphans: BTreeSet::new(),
        };
        world.input(Input::Welcomed { store_id: store(), superseded: Vec::new() });
        world
    }

    fn input(&mut self, input: Input) {
        let effects = self.worker.handle(self.now, input);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Report { report } => self.reports.push(report),
                Effect::Answer { .. } | Effect::Greet => {}
                other => self.pending.push(other),
            }
        }
        // what the core asks for sooner or later happens; only a bounded number is under way
        assert!(self.pending.len() < 1_000, "effects without end: {:?}", self.pending);
    }

    /// Asks back what has not begun: only that may be dropped.
    fn release(&mut self, build: u64) {
        let fence = fence(build);
        let begun = self.disk.get(&fence).is_some_and(|(_, standing)| *standing != AttemptStanding::Waiting);
        let starting = self.pending.contains(&Effect::Start { fence });
        if !begun && !starting {
            self.cancelled.insert(fence);
        }
        let instance = settings(self.run).instance;
        let task = Task::Release { fence, reason: String::new() };
        let order = Order { number: 0, store_id: store(), instance, task };
        let before = self.pending.len();
        self.input(Input::Order { reply: 0, order });
        let ended = |effect: &Effect| matches!(effect, Effect::End { fence: ended } if *ended == fence);
        assert!(!self.pending[before..].iter().any(ended), "{fence} had begun and was ended");
    }

    fn sync(&mut self, number: u64) {
        let instance = settings(self.run).instance;
        let task = Task::Sync { job: SyncJob::default() };
        self.input(Input::Order { reply: 0, order: Order { number: 100 + number, store_id: store(), instance, task } });
    }

    fn order(&mut self, build: u64, cancel: bool) {
        let task = if cancel {
            self.cancelled.insert(fence(build));
            Task::Cancel { fence: fence(build), reason: String::new() }
        } else {
            Task::Build { job: BuildJob { fence: fence(build), ..BuildJob::default() } }
        };
        let instance = settings(self.run).instance;
        self.input(Input::Order { reply: 0, order: Order { number: build, store_id: store(), instance, task } });
    }

    fn carry(&mut self, pick: usize, twice: bool) {
        if self.pending.is_empty() {
            return;
        }
        let effect = self.pending.remove(pick % self.pending.len());
        let input = match effect {
            Effect::Keep { job, order_number, .. } => {
                self.disk.insert(job.fence, (order_number, AttemptStanding::Waiting));
                Input::Kept { fence: job.fence }
            }
            Effect::Start { fence } => {
                *self.started.entry(fence).or_default() += 1;
                if let Some((_, standing)) = self.disk.get_mut(&fence) {
                    *standing = AttemptStanding::Running { since: self.now };
                }
                Input::Started { fence, at: self.now }
            }
            Effect::End { fence } => {
                self.orphans.remove(&fence);
                if let Some((_, standing @ AttemptStanding::Running { .. })) = self.disk.get_mut(&fence) {
                    *standing = AttemptStanding::Vanished;
                }
                Input::Ended { fence }
            }
            Effect::Upload { fence, sha256 } => Input::Uploaded { fence, sha256, outcome: Uploaded::Done },
            Effect::Forget { tomb } => {
                let fence = tomb.fence;
                let unwanted = self.cancelled.contains(&fence) && !self.results.contains(&fence);
                assert!(self.settled.contains(&fence) || unwanted, "{fence} dropped without the controller's word");
                self.tombs.push(tomb);
                self.disk.remove(&fence);
                Input::Forgotten { fence }
            }
            Effect::Seen { number, .. } => {
                self.seen = self.seen.max(number);
                return;
            }
            Effect::Sync { number, .. } => Input::Synced { number },
            Effect::Plan { .. } | Effect::Report { .. } | Effect::Answer { .. } | Effect::Greet => return,
        };
        if twice {
            self.input(input.clone());
        }
        self.input(input);
    }

    fn answer(&mut self, pick: usize, with: u8) {
        if self.reports.is_empty() {
            return;
        }
        let report = self.reports[pick % self.reports.len()].clone();
        let end =
            matches!(report.news, BuildNews::Finished { .. } | BuildNews::Dropped { .. } | BuildNews::Refused { .. });
        let (fence, number) = (report.fence, report.number);
        let answer = match with {
            0 => {
                if end {
                    self.settled.insert(fence);
                }
                BuildAnswer::Durable {}
            }
            1 if end => {
                self.settled.insert(fence);
                BuildAnswer::Superseded { reason: String::new() }
            }
            2 => BuildAnswer::Pending { retry_ms: 500 },
            3 => BuildAnswer::NeedArtifacts { sha256: vec!["aa".to_owned()] },
            _ => return self.input(Input::Unanswered { fence, number }),
        };
        self.input(Input::Answered { fence, store_id: store(), number, answer });
    }

    fn exit(&mut self, build: u64, packages: bool, leaves_result: bool) {
        let fence = fence(build);
        let Some((_, standing)) = self.disk.get_mut(&fence) else { return };
        if !matches!(standing, AttemptStanding::Running { .. }) {
            return;
        }
        if self.worker.running().contains(&fence) {
            self.results.insert(fence);
        }
        if !leaves_result {
            *standing = AttemptStanding::Vanished;
            self.orphans.insert(fence);
            return self.input(Input::Vanished { fence });
        }
        let artifact = ArtifactRef { sha256: "aa".to_owned(), ..ArtifactRef::default() };
        let result = BuildResult { artifacts: vec![artifact; usize::from(packages)], ..BuildResult::default() };
        *standing = AttemptStanding::Finished { result: result.clone() };
        self.input(Input::Exited { fence, result });
    }

    fn crash(&mut self) {
        self.run += 1;
        self.pending.clear();
        let over = |s: &AttemptStanding| matches!(s, AttemptStanding::Finished { .. } | AttemptStanding::Vanished);
        self.results.extend(self.disk.iter().filter(|(_, (_, s))| over(s)).map(|(fence, _)| *fence));
        let found = self.disk.iter().map(|(&fence, (order_number, standing))| Found {
            fence,
            cpv: String::new(),
            store_id: store(),
            order_number: *order_number,
            slot: 0,
            standing: standing.clone(),
        });
        let saved = Saved { store_id: Some(store()), orders_seen: self.seen, tombs: self.tombs.clone() };
        let (worker, effects) = Worker::restore(self.now, settings(self.run), saved, found.collect());
        self.worker = worker;
        self.take(effects);
        self.input(Input::Welcomed { store_id: store(), superseded: Vec::new() });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Build(build) => self.order(build, false),
            Step::Cancel(build) => self.order(build, true),
            Step::Release(build) => self.release(build),
            Step::Sync(number) => self.sync(number),
            Step::Carry { pick, twice } => self.carry(pick, twice),
            Step::Answer { pick, with } => self.answer(pick, with),
            Step::Exit { build, packages } => self.exit(build, packages, true),
            Step::Vanish(build) => self.exit(build, false, false),
            Step::Pass(ms) => {
                self.now += ms;
                let effects = self.worker.wake(self.now);
                self.take(effects);
            }
            Step::Crash => self.crash(),
        }
        for (fence, times) in &self.started {
            assert!(*times <= 1, "{fence} was started {times} times");
        }
        let syncs = self.pending.iter().filter(|effect| matches!(effect, Effect::Sync { .. })).count();
        let occupied = self.worker.running().len()
            + self.pending.iter().filter(|e| matches!(e, Effect::Start { .. } | Effect::End { .. })).count();
        assert!(syncs <= 1 && (syncs == 0 || occupied == 0), "{syncs} syncs beside {occupied} builds");
        let runs = self.disk.values().filter(|(_, s)| matches!(s, AttemptStanding::Running { .. })).count();
        assert!(runs + self.orphans.len() <= 1, "{runs} emerges and {:?} in one root", self.orphans);
    }

    /// Nothing is lost any more and the controller answers: everything must come to an end.
    fn calm(&mut self) {
        for _ in 0..400 {
            while !self.pending.is_empty() {
                self.carry(0, false);
            }
            let running: Vec<Fence> = self.worker.running().into_iter().collect();
            for fence in running {
                self.exit(fence.build.0, false, true);
            }
            for report in std::mem::take(&mut self.reports) {
                let (fence, number) = (report.fence, report.number);
                self.settled.insert(fence);
                let answer = BuildAnswer::Durable {};
                self.input(Input::Answered { fence, store_id: store(), number, answer });
            }
            if self.worker.is_idle() && self.pending.is_empty() {
                return;
            }
            self.now = self.worker.next_wake().unwrap_or(self.now).max(self.now);
            let effects = self.worker.wake(self.now);
            self.take(effects);
        }
        panic!("never came to an end: {:?}", self.worker);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn an_attempt_starts_at_most_once_and_a_result_waits_for_the_controllers_word(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.calm();
        prop_assert!(world.disk.is_empty(), "left on disk: {:?}", world.disk);
    }
}
