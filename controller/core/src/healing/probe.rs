//! Proof of life: each drone is pinged over the bus, spread evenly over time. Misses are counted here; what they mean is
//! the ladder's to say, and `ping` sends and takes what goes over the bus.

use std::collections::{BTreeMap, VecDeque};

use swarm_protocol::DroneId;
use swarm_protocol::machine::WorkerState;

use crate::input::{PingLoss, Pong};
use crate::now::Now;
use crate::timers::Timers;

/// Pings go out in ticks of this, so that a large fleet does not wake the engine for each; milliseconds.
const TICK: u64 = 100;
/// Round trips remembered: the last hour at one ping every 5 s.
const HISTORY: usize = 720;
/// Answers between two looks at the distribution of round trips.
const LATENCY_EVERY: u32 = 12;
/// An answer that neither came nor failed by then was lost on our side and says nothing; on top of the ping's own bound.
const OURS_AFTER: u64 = 5_000;

/// What is known of one drone by pinging it. Others read it; only [`Probes`] changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    /// Number of the last ping.
    seq: u64,
    /// The ping under way: its number and when it is given up.
    out: Option<(u64, u64)>,
    /// Wall clock of the last ping, Unix milliseconds; 0 if none.
    pub last_ping: u64,
    /// Wall clock of the last answer, Unix milliseconds; 0 if none.
    pub last_pong: u64,
    /// Microseconds of the last round trip.
    pub latency_us: Option<u64>,
    /// Misses in a row.
    pub misses: u32,
    /// When the first of them was sent, on the core's clock.
    pub first_miss: u64,
    /// Good answers in a row.
    pub good: u32,
    /// Why the last one was missed.
    pub loss: Option<PingLoss>,
    /// The drone's clock less the controller's, milliseconds.
    pub skew_ms: Option<i64>,
    /// Since when its worker has not worked, on the core's clock, and how.
    pub worker_bad: Option<(u64, WorkerState)>,
    /// Round trips of the last hour, microseconds.
    history: VecDeque<u32>,
    answers: u32,
    /// Their distribution, as last looked at.
    pub latency: Latency,
}

impl Probe {
    /// The supervisor answered.
    fn answered(&mut self, seq: u64, now: Now, latency_us: u64, pong: &Pong) {
        if seq == 0 {
            self.last_ping = now.wall;
        } else {
            self.out = None;
        }
        self.last_pong = now.wall;
        self.latency_us = Some(latency_us);
        self.skew_ms = Some(pong.at.cast_signed() - pong.middle.cast_signed());
        (self.misses, self.loss) = (0, None);
        let works = !matches!(pong.worker, WorkerState::Hung | WorkerState::Down | WorkerState::Failing);
        self.good = if works { self.good.saturating_add(1) } else { 0 };
        self.history.push_back(u32::try_from(latency_us).unwrap_or(u32::MAX));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        if self.answers % LATENCY_EVERY == 0 {
            self.latency = Latency::of(&self.history);
        }
        self.answers = self.answers.wrapping_add(1);
    }

    /// The ping under way was missed; `within` is how long its answer was waited for, milliseconds.
    fn missed(&mut self, why: PingLoss, now: u64, within: u64) {
        if self.misses == 0 {
            // the moment it was sent, near enough: who is absent is told at once
            let waited = if why == PingLoss::Absent { 0 } else { within };
            self.first_miss = now.saturating_sub(waited);
        }
        self.misses = self.misses.saturating_add(1);
        (self.good, self.loss) = (0, Some(why));
    }
}

/// Who is pinged when, and what that told.
#[derive(Debug, Default)]
pub(super) struct Probes {
    drones: BTreeMap<DroneId, Probe>,
    due: Timers<DroneId>,
}

impl Probes {
    /// Pings a drone from now on, at a place of its own within the interval `every`.
    pub(super) fn begin(&mut self, drone: &DroneId, now: u64, every: u64) {
        let every = every.max(TICK);
        let place = drone.0.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % every;
        self.drones.insert(drone.clone(), Probe::default());
        self.due.set(drone.clone(), on_tick(now + place));
    }

    /// A drone is forgotten.
    pub(super) fn forget(&mut self, drone: &DroneId) {
        self.drones.remove(drone);
        self.due.clear(drone);
    }

    /// What is known of a drone.
    pub(super) fn get(&self, drone: &DroneId) -> Option<&Probe> {
        self.drones.get(drone)
    }

    /// When the next ping is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.next()
    }

    /// The next drone that is to be pinged now, with the ping's number. One whose last ping is still out is left out.
    pub(super) fn ping(&mut self, now: Now, every: u64, within: u64) -> Option<(DroneId, u64)> {
        while let Some(drone) = self.due.pop(now.at) {
            let Some(probe) = self.drones.get_mut(&drone) else { continue };
            self.due.set(drone.clone(), on_tick(now.at + every.max(TICK)));
            if probe.out.is_some_and(|(_, until)| now.at < until) {
                continue;
            }
            probe.seq += 1;
            probe.out = Some((probe.seq, now.at + within + OURS_AFTER));
            probe.last_ping = now.wall;
            return Some((drone, probe.seq));
        }
        None
    }

    /// A drone answered a ping, one of ours or (`seq` 0) a person's. False if nobody waits for the answer.
    pub(super) fn answered(&mut self, drone: &DroneId, seq: u64, now: Now, latency_us: u64, pong: &Pong) -> bool {
        let Some(probe) = self.drones.get_mut(drone) else { return false };
        if seq != 0 && probe.out.is_none_or(|(out, _)| out != seq) {
            return false;
        }
        probe.answered(seq, now, latency_us, pong);
        true
    }

    /// A ping was not answered within `within` milliseconds. False if that says nothing of the drone.
    pub(super) fn lost(&mut self, drone: &DroneId, seq: u64, why: PingLoss, now: u64, within: u64) -> bool {
        let Some(probe) = self.drones.get_mut(drone) else { return false };
        if seq == 0 || probe.out.is_none_or(|(out, _)| out != seq) {
            return false;
        }
        probe.out = None;
        if why == PingLoss::NoBus {
            return false;
        }
        probe.missed(why, now, within);
        true
    }

    /// What a heartbeat or an answer says of the worker. `Starting` and what is not known are neither good nor bad: false.
    pub(super) fn worker_is(&mut self, drone: &DroneId, state: WorkerState, now: u64) -> bool {
        let Some(probe) = self.drones.get_mut(drone) else { return false };
        match state {
            WorkerState::Alive => probe.worker_bad = None,
            WorkerState::Hung | WorkerState::Down | WorkerState::Failing => {
                let since = probe.worker_bad.map_or(now, |(since, _)| since);
                probe.worker_bad = Some((since, state));
            }
            WorkerState::Starting | WorkerState::Unknown => return false,
        }
        true
    }

    /// What speaks against a drone is forgotten.
    pub(super) fn reset(&mut self, drone: &DroneId) {
        if let Some(probe) = self.drones.get_mut(drone) {
            (probe.misses, probe.good, probe.worker_bad) = (0, 0, None);
        }
    }
}

/// Round trips of the last hour, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many round trips these numbers rest on.
    pub count: usize,
    /// The shortest.
    pub min_us: u32,
    /// The middle one.
    pub median_us: u32,
    /// 99 of 100 are not longer.
    pub p99_us: u32,
}

impl Latency {
    fn of(history: &VecDeque<u32>) -> Self {
        let mut sorted: Vec<u32> = history.iter().copied().collect();
        sorted.sort_unstable();
        let at = |part: usize| sorted.get((sorted.len() * part).div_ceil(100).saturating_sub(1)).copied();
        Self {
            count: sorted.len(),
            min_us: sorted.first().copied().unwrap_or_default(),
            median_us: at(50).unwrap_or_default(),
            p99_us: at(99).unwrap_or_default(),
        }
    }
}

fn on_tick(at: u64) -> u64 {
    at.div_ceil(TICK) * TICK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_of_round_trips_is_that_of_the_last_hour() {
        assert_eq!(Latency::of(&VecDeque::new()), Latency::default());
        let hundred: VecDeque<u32> = (1..=100).rev().collect();
        assert_eq!(Latency::of(&hundred), Latency { count: 100, min_us: 1, median_us: 50, p99_us: 99 });
        assert_eq!(Latency::of(&VecDeque::from([7])), Latency { count: 1, min_us: 7, median_us: 7, p99_us: 7 });
    }

    #[test]
    fn only_the_answer_that_is_waited_for_counts_and_misses_count_from_when_the_first_was_sent() {
        let (mut probes, drone) = (Probes::default(), DroneId::from("a"));
        let at = |at: u64| Now { at, wall: 1_700_000_000_000 + at };
        probes.begin(&drone, 0, 5_000);
        let first = probes.next().unwrap();
        assert_eq!(first % TICK, 0);
        assert_eq!(probes.ping(at(first), 5_000, 4_000), Some((drone.clone(), 1)));
        assert_eq!(probes.ping(at(first), 5_000, 4_000), None);
        assert!(!probes.answered(&drone, 7, at(first), 900, &Pong::default()), "nobody waits for that number");
        assert!(probes.lost(&drone, 1, PingLoss::Silent, first + 4_000, 4_000));
        let missed = |probes: &Probes| probes.get(&drone).map(|probe| (probe.misses, probe.first_miss));
        assert_eq!(missed(&probes), Some((1, first)));
        assert_eq!(probes.ping(at(first + 5_000), 5_000, 4_000), Some((drone.clone(), 2)));
        assert!(!probes.lost(&drone, 2, PingLoss::NoBus, first + 5_000, 4_000), "that is ours, not the drone's");
        assert_eq!(missed(&probes), Some((1, first)));
        assert_eq!(probes.ping(at(first + 10_000), 5_000, 4_000), Some((drone.clone(), 3)));
        assert_eq!(probes.ping(at(first + 15_000), 5_000, 4_000), None, "the last one is still out");
        assert!(probes.answered(&drone, 3, at(first + 15_000), 900, &Pong::default()));
        assert_eq!((missed(&probes), probes.get(&drone).unwrap().good), (Some((0, first)), 1));
        probes.forget(&drone);
        assert_eq!((probes.next(), probes.get(&drone).is_none()), (None, true));
    }

    #[test]
    fn a_worker_is_bad_since_it_was_first_said_to_be() {
        let (mut probes, drone) = (Probes::default(), DroneId::from("a"));
        probes.begin(&drone, 0, 5_000);
        assert!(
            probes.worker_is(&drone, WorkerState::Down, 1_000) && probes.worker_is(&drone, WorkerState::Hung, 2_000)
        );
        assert!(!probes.worker_is(&drone, WorkerState::Starting, 3_000));
        assert_eq!(probes.get(&drone).unwrap().worker_bad, Some((1_000, WorkerState::Hung)));
        assert!(probes.worker_is(&drone, WorkerState::Alive, 4_000));
        assert_eq!(probes.get(&drone).unwrap().worker_bad, None);
    }
}
