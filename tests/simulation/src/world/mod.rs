//! The heap of timed messages, and the loop over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_core::effect::Route;
use swarm_core::input::{Pong, RouteOutcome};
use swarm_core::request::{
    Control, ControlRequest, DroneAction, DroneRequest, DroneWishes, HealAction, HealRequest, QueueRequest,
    RemoveRequest, WishRequest,
};
use swarm_core::rows::{BuildRow, BuildState, HealingRow};
use swarm_core::settings::Healing;
use swarm_core::{Answer, Input, Request, Settings};
use swarm_protocol::artifact::{ArtifactAsk, ArtifactRef};
use swarm_protocol::envelope::open;
use swarm_protocol::machine::DroneType;
use swarm_protocol::order::{Escalated, Order, OrderAnswer, Rung, Task};
use swarm_protocol::plan::PlanChunk;
use swarm_protocol::report::{BuildReport, Heartbeat, Hello, SyncReport};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{ArtifactId, DroneId, Envelope, InstanceId, StoreId, encode};

mod hands;
mod weather;

use super::chance::Chance;
use super::check::{self, Violation};
use super::controller::{self, Controller, Crash, HANDS, Out, Waiter};
use super::faults::{Ended, Fault, Weather, timetable};
use super::machine::{Later, Machine, Make, Process, Want};
use super::network::{Network, Way};
use super::packages::Tree;
use super::{HOUR, MINUTE, Millis, SECOND};

/// A journey.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// Drones.
    pub drones: usize,
    /// Packages in the tree.
    pub packages: usize,
    /// How long things go wrong and people ask.
    pub length: Millis,
    /// How long everything may take to come to rest after that.
    pub rest: Millis,
    /// How much goes wrong.
    pub weather: Weather,
}

impl Plan {
    /// A journey drawn from its seed alone, small enough to make many of them.
    pub fn of_seed(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0);
        let weather = match chance.below(10) {
            0 => Weather::Calm,
            1..7 => Weather::Rough,
            _ => Weather::Storm,
        };
        Self {
            seed,
            drones: usize::try_from(chance.between(1, 9)).unwrap_or(1),
            packages: usize::try_from(chance.between(5, 40)).unwrap_or(5),
            length: chance.between(20, 90) * MINUTE,
            rest: 8 * HOUR,
            weather,
        }
    }
}

/// What became of a journey.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The journey.
    pub plan: Plan,
    /// Virtual milliseconds it took, rest included.
    pub took: Millis,
    /// Steps made.
    pub steps: u64,
    /// Hash over every step.
    pub trace: u64,
    /// Packages by the public name of their state.
    pub packages: BTreeMap<&'static str, usize>,
    /// Events by kind.
    pub events: BTreeMap<String, u64>,
    /// Starts of the controller.
    pub controllers: u32,
    /// Reboots of drones by the ladder.
    pub reboots: u32,
    /// Milliseconds from the first sign to the recovery, for each recovery.
    pub recoveries: Vec<u64>,
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// The last events before the end.
    pub tail: Vec<String>,
}

impl Outcome {
    /// Drones times the virtual hours they were there.
    #[expect(clippy::cast_precision_loss, reason = "a sum for people")]
    pub fn fleet_hours(&self) -> f64 {
        self.plan.drones as f64 * self.took as f64 / HOUR as f64
    }
}

enum Event {
    Report { drone: usize, kind: ReportKind, bytes: Vec<u8>, ask: Option<u64> },
    Put { drone: usize, artifact: ArtifactId, token: String, file: ArtifactRef, ask: u64 },
    OrderAnswer { bytes: Vec<u8>, reply: u64 },
    Order { drone: usize, bytes: Vec<u8>, reply: u64 },
    Answer { drone: usize, ask: u64, bytes: Vec<u8> },
    Machine { drone: usize, what: Later },
    Hand { life: u32, input: Box<Input> },
    OrderTimeout { reply: u64 },
    Wake { life: u32 },
    Person { request: Box<Request> },
    Fault(Fault),
}

/// An order whose answer is waited for.
enum Pending {
    Ping { life: u32, drone: DroneId, seq: u64, sent: Millis },
    Escalate { life: u32, drone: DroneId, generation: u64 },
}

/// Everything.
pub struct World {
    plan: Plan,
    now: Millis,
    heap: BTreeMap<(Millis, u64), Event>,
    number: u64,
    controller: Controller,
    machines: Vec<Machine>,
    places: BTreeMap<DroneId, usize>,
    network: Network,
    hands: Chance,
    pending: BTreeMap<u64, Pending>,
    next_order: u64,
    armed: Option<u8>,
    away: Millis,
    wake: Option<Millis>,
    steps: u64,
    look_every: u64,
    trace: u64,
    violation: Option<Violation>,
}

/// Steps between two looks at all rows: more of them where a look costs more.
fn between_looks(plan: &Plan) -> u64 {
    60 + 4 * (plan.drones + plan.packages) as u64
}

/// Makes a journey.
pub fn run(plan: Plan) -> Outcome {
    let mut world = World::new(plan);
    world.travel();
    world.outcome()
}

impl World {
    /// The world before its first step.
    pub fn new(plan: Plan) -> Self {
        let seed = plan.seed;
        let tempers = plan.weather != Weather::Calm;
        let tree = Arc::new(Tree::grown(&mut Chance::new(seed, 1), plan.packages, tempers));
        let mut cast = Chance::new(seed, 2);
        let machines = (0..plan.drones).map(|index| {
            let kinds = [DroneType::Lxc, DroneType::Lxc, DroneType::Qemu, DroneType::BareMetal, DroneType::Unknown];
            let make = Make {
                kind: *cast.of(&kinds),
                cores: *cast.of(&[2, 4, 8, 16]),
                ram: *cast.of(&[4, 8, 16, 64]) << 30,
                version: if cast.below(3) == 2 { "0.4.9" } else { "0.5.0" },
            };
            Machine::new(index, seed, tree.clone(), make)
        });
        let machines: Vec<Machine> = machines.collect();
        let hypervisor = [(Rung::RebootContainer, ["pct", "reboot", "{vmid}"].map(str::to_owned).to_vec())];
        let healing = Healing { hypervisor: hypervisor.into(), ..Healing::default() };
        let settings = Settings { healing, ..Settings::default() };
        let network = Network::new(Chance::new(seed, 3), plan.drones);
        let mut world = Self {
            now: 0,
            heap: BTreeMap::new(),
            number: 0,
            controller: Controller::new(settings),
            places: machines.iter().enumerate().map(|(at, machine)| (machine.id.clone(), at)).collect(),
            machines,
            network,
            hands: Chance::new(seed, 4),
            pending: BTreeMap::new(),
            next_order: 0,
            armed: None,
            away: 0,
            wake: None,
            steps: 0,
            look_every: between_looks(&plan),
            trace: 0xcbf2_9ce4_8422_2325,
            violation: None,
            plan,
        };
        world.set_out(&tree);
        world
    }

    /// What happens by itself: starts, people, faults.
    fn set_out(&mut self, tree: &Tree) {
        let out = self.controller.start(0);
        self.release(out);
        for drone in 0..self.machines.len() {
            self.machines[drone].power_on(0);
            self.serve(drone);
        }
        let mut people = Chance::new(self.plan.seed, 5);
        let length = self.plan.length;
        for drone in 0..self.machines.len() {
            let some = |chance: &mut Chance, text: String| Some((chance.below(2) == 0).then_some(text));
            let wishes = DroneWishes {
                protected: Some(people.below(6) == 0),
                vmid: some(&mut people, format!("{}", 100 + drone)),
                ssh_user: some(&mut people, "root".to_owned()),
                ..DroneWishes::default()
            };
            let request = Request::Wish(WishRequest { drone: format!("d{drone}"), wishes: Box::new(wishes) });
            self.at(20 * SECOND, Event::Person { request: Box::new(request) });
        }
        let asks = people.between(1, 6);
        for _ in 0..asks {
            // people with a large fleet have much for it to do
            let count = people.between(1, (tree.ebuilds.len() as u64 / 4).max(12));
            let packages: Vec<String> = (0..count).map(|_| name(&people.of(&tree.ebuilds).cpv)).collect();
            let fresh = people.below(3) == 0;
            let rebuild = people.below(8) == 0;
            let request = Request::Queue(QueueRequest { packages, fresh, rebuild, ..QueueRequest::default() });
            let at = 30 * SECOND + people.below(length / 2);
            self.at(at, Event::Person { request: Box::new(request) });
        }
        if self.plan.weather != Weather::Calm {
            for (at, request) in meddling(&mut people, self.machines.len(), tree, length) {
                self.at(at, Event::Person { request: Box::new(request) });
            }
        }
        let mut faults = Chance::new(self.plan.seed, 6);
        for (at, fault) in timetable(&mut faults, self.plan.weather, self.machines.len(), length) {
            self.at(at, Event::Fault(fault));
        }
    }

    /// Until everything has come to rest, or a promise was broken, or the time is over.
    fn travel(&mut self) {
        let end = self.plan.length + self.plan.rest;
        let mut healed = false;
        while self.violation.is_none() {
            let Some((&(at, _), _)) = self.heap.first_key_value() else { break };
            if at > end {
                break;
            }
            if !healed && at > self.plan.length {
                healed = true;
                self.make_whole();
                continue;
            }
            let Some((_, event)) = self.heap.pop_first() else { break };
            self.now = at;
            self.step(event);
            if healed && self.steps.is_multiple_of(500) && check::at_rest(&self.controller, &self.machines) {
                break;
            }
        }
        let ended = check::end(&self.controller, &self.machines, self.plan.weather);
        self.judge(ended);
    }

    /// The faults stop: whatever is still broken is mended by hand.
    fn make_whole(&mut self) {
        self.now = self.plan.length;
        self.network.drop_ppm = 0;
        self.network.double_ppm = 0;
        self.network.down = false;
        self.armed = None;
        for link in &mut self.network.links {
            *link = Default::default();
        }
        for drone in 0..self.machines.len() {
            let now = self.now;
            let machine = &mut self.machines[drone];
            (machine.disk_full, machine.crashing, machine.unmanned) = (false, false, false);
            machine.power_on(now);
            machine.start_supervisor(now);
            self.serve(drone);
            let request = Request::Drone(DroneRequest { drone: format!("d{drone}"), action: DroneAction::Resume });
            self.at(self.now + 90 * SECOND, Event::Person { request: Box::new(request) });
        }
        if !self.controller.is_up() {
            self.at(self.now, Event::Fault(Fault::Over(Ended::Controller)));
        }
        let resume = Request::Control(ControlRequest { action: Control::Resume, package: None, drone: None });
        self.at(self.now + 90 * SECOND, Event::Person { request: Box::new(resume) });
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.number += 1;
        self.heap.insert((at.max(self.now), self.number), event);
    }

    fn judge(&mut self, checked: Result<(), (&'static str, String)>) {
        if let Err((promise, what)) = checked
            && self.violation.is_none()
        {
            self.violation = Some(Violation { promise, what, at: self.now });
        }
    }

    // steps

    fn step(&mut self, event: Event) {
        self.steps += 1;
        self.note(&event);
        let touched = match event {
            Event::Report { drone, kind, bytes, ask } => {
                self.report(drone, kind, &bytes, ask);
                Some(drone)
            }
            Event::Put { drone, artifact, token, file, ask } => {
                self.put(drone, artifact, &token, &file, ask);
                Some(drone)
            }
            Event::OrderAnswer { bytes, reply } => {
                self.order_answered(&bytes, reply);
                None
            }
            Event::Order { drone, bytes, reply } => {
                let (now, wall) = (self.now, self.wall(drone));
                self.machines[drone].order(now, wall, &bytes, reply);
                Some(drone)
            }
            Event::Answer { drone, ask, bytes } => {
                let now = self.now;
                self.machines[drone].answered(now, ask, &bytes);
                Some(drone)
            }
            Event::Machine { drone, what } => {
                let (now, wall) = (self.now, self.wall(drone));
                self.machines[drone].due(now, wall, what);
                Some(drone)
            }
            Event::Hand { life, input } => {
                if life == self.controller.life {
                    self.handle(*input);
                }
                None
            }
            Event::OrderTimeout { reply } => {
                self.order_lost(reply);
                None
            }
            Event::Wake { life } => {
                // a nearer moment was set after this one: that one counts, and sets the next
                if life == self.controller.life && self.wake == Some(self.now) {
                    self.wake = None;
                    let out = self.controller.wake(self.now);
                    self.release(out);
                }
                None
            }
            Event::Person { request } => {
                self.person(*request);
                None
            }
            Event::Fault(fault) => {
                self.fault(fault);
                None
            }
        };
        if let Some(drone) = touched {
            self.serve(drone);
        }
        self.arm_wake();
        let checked = check::step(&mut self.controller, touched.map(|drone| &mut self.machines[drone]));
        self.judge(checked);
        if self.steps.is_multiple_of(self.look_every) {
            let checked = check::rows(&mut self.controller);
            self.judge(checked);
        }
    }

    /// The trace is a hash over every step in its order.
    fn note(&mut self, event: &Event) {
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        mix(&self.now.to_le_bytes());
        match event {
            Event::Report { drone, bytes, .. } => {
                mix(&[1, *drone as u8]);
                mix(bytes);
            }
            Event::Put { drone, artifact, .. } => {
                mix(&[2, *drone as u8]);
                mix(&artifact.0.to_le_bytes());
            }
            Event::OrderAnswer { bytes, .. } => {
                mix(&[3]);
                mix(bytes);
            }
            Event::Order { drone, bytes, .. } => {
                mix(&[4, *drone as u8]);
                mix(bytes);
            }
            Event::Answer { drone, bytes, .. } => {
                mix(&[5, *drone as u8]);
                mix(bytes);
            }
            Event::Machine { drone, what } => {
                mix(&[6, *drone as u8]);
                mix(format!("{:?}", std::mem::discriminant(what)).as_bytes());
            }
            Event::Hand { .. } => mix(&[7]),
            Event::OrderTimeout { reply } => mix(&reply.to_le_bytes()),
            Event::Wake { .. } => mix(&[8]),
            Event::Person { .. } => mix(&[9]),
            Event::Fault(fault) => mix(format!("{fault:?}").as_bytes()),
        }
    }

    fn wall(&self, drone: usize) -> u64 {
        // clocks of drones are a little off, each in its own way
        self.controller.wall(self.now).saturating_add((drone as u64 * 137) % 2_000)
    }

    /// Sends what a machine wants sent.
    fn serve(&mut self, drone: usize) {
        for want in std::mem::take(&mut self.machines[drone].wants) {
            match want {
                Want::Later { after, what } => self.at(self.now + after, Event::Machine { drone, what }),
                Want::Report { kind, bytes, ask } => {
                    for delay in self.network.route(drone, Way::Up) {
                        self.at(self.now + delay, Event::Report { drone, kind, bytes: bytes.clone(), ask });
                    }
                }
                Want::Put { artifact, token, file, ask } => {
                    // HTTP goes another way, and is cut as well
                    for delay in self.network.route(drone, Way::Up).into_iter().take(1) {
                        let took = delay + self.hands.spread(20, 4 * SECOND);
                        let event = Event::Put { drone, artifact, token: token.clone(), file: file.clone(), ask };
                        self.at(self.now + took, event);
                    }
                }
                Want::Answer { reply, bytes } => {
                    for delay in self.network.route(drone, Way::Up) {
                        self.at(self.now + delay, Event::OrderAnswer { bytes: bytes.clone(), reply });
                    }
                }
            }
        }
    }

    fn outcome(self) -> Outcome {
        let mut packages = BTreeMap::new();
        for row in self.controller.store.all::<BuildRow>() {
            let waits = matches!(row.state, BuildState::Needed { .. }) && !row.after.is_empty();
            *packages.entry(if waits { "waiting" } else { row.state.name() }).or_default() += 1;
        }
        let recovered = self.controller.store.all::<HealingRow>();
        Outcome {
            took: self.now,
            steps: self.steps,
            trace: self.trace,
            packages,
            events: self.controller.store.kinds.clone(),
            controllers: self.controller.starts,
            reboots: self.machines.iter().map(|machine| machine.reboots).sum(),
            recoveries: recovered.iter().filter_map(|row| row.recovered).map(|last| last.took_ms).collect(),
            violation: self.violation,
            tail: self.controller.store.tail.iter().cloned().collect(),
            plan: self.plan,
        }
    }
}

/// What people do besides asking for packages.
fn meddling(people: &mut Chance, drones: usize, tree: &Tree, length: Millis) -> Vec<(Millis, Request)> {
    let mut all = Vec::new();
    for _ in 0..people.below(8) {
        let at = MINUTE + people.below(length);
        let drone = format!("d{}", people.below(drones as u64));
        let package = name(&people.of(&tree.ebuilds).cpv);
        let control =
            |action, package: Option<String>| Request::Control(ControlRequest { action, package, drone: None });
        let request = match people.below(12) {
            0 => Request::Drone(DroneRequest { drone, action: DroneAction::Pause }),
            1 => Request::Drone(DroneRequest { drone, action: DroneAction::Drain }),
            2 | 3 => Request::Drone(DroneRequest { drone, action: DroneAction::Resume }),
            4 => control(Control::Pause, None),
            5 => control(Control::Resume, None),
            6 => control(Control::RetryFailures, None),
            7 => control(Control::Rebalance, None),
            8 => Request::Remove(RemoveRequest { package }),
            9 => Request::Heal(HealRequest { drone, action: HealAction::Restart }),
            10 => Request::Heal(HealRequest { drone, action: HealAction::Reboot }),
            _ => Request::Heal(HealRequest { drone, action: HealAction::Reset }),
        };
        all.push((at, request));
    }
    all
}

fn name(cpv: &str) -> String {
    cpv.rsplit_once('-').map_or(cpv, |(name, _)| name).to_owned()
}

fn told(outcome: Escalated) -> RouteOutcome {
    match outcome {
        Escalated::Done { detail } => RouteOutcome::Done { detail },
        Escalated::DryRun { detail } => RouteOutcome::DryRun { detail },
        Escalated::Refused { why, detail } => RouteOutcome::Refused { why, detail },
        Escalated::Unknown => RouteOutcome::Failed { detail: "an outcome of a later version".to_owned() },
    }
}

/// An answer as its bytes.
fn sealed(answer: &Answer) -> Option<Vec<u8>> {
    let bytes = match answer {
        Answer::Hello(answer) => encode(&Envelope::new("answer.hello", 0, 0, answer)),
        Answer::Build(answer) => encode(&Envelope::new("answer.build", 0, 0, answer)),
        Answer::Artifact(answer) => encode(&Envelope::new("answer.artifact", 0, 0, answer)),
        Answer::Plan(answer) => encode(&Envelope::new("answer.plan", 0, 0, answer)),
        _ => return None,
    };
    Some(bytes.expect("an answer fits a message"))
}
