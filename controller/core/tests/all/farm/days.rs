//! Whole days of a fleet without faults: a queue, drones with their speed, and how long each package takes.

use std::collections::BTreeMap;

use swarm_core::Settings;
use swarm_core::rows::BuildRow;
use swarm_core::settings::Healing;
use swarm_protocol::Fence;
use swarm_protocol::report::BuildResult;

use super::{Drone, Ebuild, Farm, MINUTE, SECOND, binary, cp, done};

/// A queue and a fleet.
#[derive(Debug, Clone)]
pub struct Days {
    /// What each package needs, as numbers of earlier ones, and how many seconds it takes on an ordinary drone.
    pub packages: Vec<(Vec<usize>, u64)>,
    /// Speed in tenths of an ordinary drone's, and slots.
    pub drones: Vec<(u64, u32)>,
    /// In so many requests.
    pub requests: usize,
    /// How long each package takes is known from before.
    pub known: bool,
}

/// The package of that number.
pub fn package(n: usize) -> &'static str {
    Box::leak(format!("app-misc/p{n}x-1").into_boxed_str())
}

fn drone(n: usize) -> String {
    format!("d{n}")
}

/// The farm that lives through it.
pub struct Life {
    pub farm: Farm,
    pub days: Days,
    /// The core's clock when everything was queued.
    pub began: u64,
    /// When what runs will end.
    ends: BTreeMap<Fence, u64>,
    /// Moments at which a drone had nothing while another one had more than one order waiting that was never moved.
    pub unfair: Vec<String>,
}

impl Life {
    /// Everything is queued, nothing has begun.
    pub fn new(days: Days) -> Self {
        // it is about who builds what: few pings, so that long days stay quick
        let healing = Healing { ping_every: 60 * SECOND, ..Healing::default() };
        let mut farm = Farm::with(Settings { healing, ..Settings::default() });
        farm.tree.clear();
        for (n, (needs, seconds)) in days.packages.iter().enumerate() {
            let mut needs: Vec<&'static str> = needs
                .iter()
                .filter(|_| n > 0)
                .map(|need| &*Box::leak(cp(package(need % n)).into_boxed_str()))
                .collect();
            needs.dedup();
            let ebuild = Ebuild { cpv: package(n), build: Box::leak(needs.into_boxed_slice()), ..Ebuild::default() };
            farm.tree.insert(cp(ebuild.cpv), ebuild);
            if days.known {
                farm.teach(package(n), seconds * SECOND);
            }
        }
        farm.restart();
        for (n, (_, slots)) in days.drones.iter().enumerate() {
            farm.join(Drone { slots: *slots, ..Drone::new(&drone(n)) });
        }
        farm.pass(farm.settings.start_grace);
        let atoms: Vec<String> = (0..days.packages.len()).map(|n| format!("={}", package(n))).collect();
        for some in atoms.chunks(atoms.len().div_ceil(days.requests)) {
            farm.queue(&some.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let began = farm.now.at;
        Self { farm, days, began, ends: BTreeMap::new(), unfair: Vec::new() }
    }

    /// Drones build what they have, in the order they got it, until nothing is left.
    pub fn run(mut self) -> Self {
        while self.farm.view().session.is_some() {
            assert!(self.farm.now.at < self.began + 400 * 60 * MINUTE, "it does not end\n{}", self.farm.transcript);
            self.begin_what_can();
            self.look_for_unfairness();
            let next = self.ends.values().min().copied().unwrap_or(u64::MAX).min(self.farm.now.at + 5 * SECOND);
            self.farm.pass(next.saturating_sub(self.farm.now.at).max(1));
            self.end_what_is_over();
        }
        self
    }

    fn begin_what_can(&mut self) {
        for (n, (speed, slots)) in self.days.drones.clone().into_iter().enumerate() {
            for (fence, job) in self.farm.may_begin(&drone(n), slots as usize) {
                let number =
                    (0..self.days.packages.len()).find(|n| package(*n) == job.cpv).expect("one of the queue's");
                self.farm.starts(&drone(n), &job.cpv);
                let length = (self.days.packages[number].1 * SECOND * 10 / speed).max(1);
                self.ends.insert(fence, self.farm.now.at + length);
            }
        }
    }

    fn end_what_is_over(&mut self) {
        let now = self.farm.now.at;
        let over: Vec<Fence> = self.ends.iter().filter(|(_, at)| **at <= now).map(|(fence, _)| *fence).collect();
        for fence in over {
            let at = self.ends.remove(&fence).expect("it was there");
            let holder = self.farm.drones.values().find(|drone| drone.running.contains_key(&fence));
            let holder = holder.expect("what began is never taken");
            let (name, (job, since)) = (holder.name.clone(), holder.running[&fence].clone());
            let artifact = binary(&job);
            self.farm.upload(&name, fence, artifact.clone());
            let duration_ms = at - since.expect("it began");
            self.farm.ends(&name, fence, BuildResult { artifacts: vec![artifact], duration_ms, ..done() });
        }
    }

    fn look_for_unfairness(&mut self) {
        let farm = &self.farm;
        // where durations are known it may be right that a slow drone gets nothing
        // what has ended is still its drone's until its packages are in an index, at most a second later
        let builds = farm.store.all::<BuildRow>();
        let has = |drone: &Drone| builds.iter().any(|row| row.assignment().is_some_and(|a| a.drone == drone.id));
        if self.days.known || !farm.drones.values().any(|drone| drone.running.is_empty() && !has(drone)) {
            return;
        }
        let moved: Vec<Fence> = builds.iter().filter(|row| row.moved).map(BuildRow::fence).collect();
        for (n, (_, slots)) in self.days.drones.iter().enumerate() {
            let drone = &farm.drones[&drone(n)];
            let takes = drone.running.iter().any(|(fence, (_, since))| since.is_none() && !moved.contains(fence));
            if drone.running.len() > *slots as usize + 1 && takes {
                self.unfair.push(format!("{} has {} at {}", drone.name, drone.running.len(), farm.now.at));
            }
        }
    }
}
