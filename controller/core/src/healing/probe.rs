//! Proof of life: each drone is pinged over the bus, spread evenly over time. Misses are counted here; what they mean is
//! the ladder's to say.

use std::collections::VecDeque;

use swarm_protocol::DroneId;
use swarm_protocol::machine::WorkerState;

use crate::core::Core;
use crate::effect::{Effect, Ping};
use crate::input::{PingLoss, Pong};
use crate::rows::ProbeRecord;

/// Pings go out in ticks of this, so that a large fleet does not wake the engine for each; milliseconds.
const TICK: u64 = 100;
/// Round trips remembered: the last hour at one ping every 5 s.
const HISTORY: usize = 720;
/// Answers between two looks at the distribution of round trips.
const LATENCY_EVERY: u32 = 12;
/// A stored answer is renewed when it is older than this, milliseconds.
const STORED_FOR: u64 = 60_000;
/// An answer that neither came nor failed by then was lost on our side and says nothing; on top of the ping's own bound.
const OURS_AFTER: u64 = 5_000;

/// What is known of one drone by pinging it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    /// When it is pinged next, on the core's clock.
    pub next_at: u64,
    /// Number of the last ping.
    pub seq: u64,
    /// The ping under way: its number and when it is given up.
    pub out: Option<(u64, u64)>,
    /// Wall clock of the last ping, Unix milliseconds; 0 if none.
    pub last_ping: u64,
    /// Wall clock of the last answer.
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
    /// Since when its worker has not worked, on the core's clock.
    pub worker_bad: Option<(u64, WorkerState)>,
    /// Round trips of the last hour, microseconds.
    history: VecDeque<u32>,
    answers: u32,
    /// Their distribution, as last looked at.
    pub latency: Latency,
}

/// Round trips of the last hour, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many.
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

impl Core {
    /// Pings a drone from now on, at a place of its own within the interval.
    pub(super) fn probe_from_now(&mut self, drone: &DroneId) {
        let every = self.settings.healing.ping_every.max(TICK);
        let place = drone.0.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % every;
        let next_at = on_tick(self.now.at + place);
        self.soft.probes.insert(drone.clone(), Probe { next_at, ..Probe::default() });
        self.soft.pings_due.insert((next_at, drone.clone()));
    }

    pub(super) fn send_pings(&mut self) {
        while let Some((at, drone)) = self.soft.pings_due.first().cloned() {
            if at > self.now.at {
                return;
            }
            self.soft.pings_due.pop_first();
            let (every, within) = (self.settings.healing.ping_every, self.settings.healing.ping_within);
            let Some(probe) = self.soft.probes.get_mut(&drone) else { continue };
            probe.next_at = on_tick(self.now.at + every.max(TICK));
            self.soft.pings_due.insert((probe.next_at, drone.clone()));
            if probe.out.is_some_and(|(_, until)| self.now.at < until) {
                continue;
            }
            probe.seq += 1;
            probe.out = Some((probe.seq, self.now.at + within + OURS_AFTER));
            probe.last_ping = self.now.wall;
            let seq = probe.seq;
            self.effects.push(Effect::Ping(Ping { drone, seq, within }));
        }
    }

    pub(crate) fn pong(&mut self, drone: &DroneId, seq: u64, latency_us: u64, pong: &Pong) {
        // another run with the same key says nothing of the one that was welcomed (decision 7)
        if self.rows.drones.get(drone).is_none_or(|row| row.supervisor != pong.instance) {
            return;
        }
        let now = self.now;
        let Some(probe) = self.soft.probes.get_mut(drone) else { return };
        if seq != 0 && probe.out.is_none_or(|(out, _)| out != seq) {
            return;
        }
        if seq != 0 {
            probe.out = None;
        } else {
            probe.last_ping = now.wall;
        }
        probe.last_pong = now.wall;
        probe.latency_us = Some(latency_us);
        probe.skew_ms = Some(pong.at.cast_signed() - pong.middle.cast_signed());
        (probe.misses, probe.loss) = (0, None);
        probe.history.push_back(u32::try_from(latency_us).unwrap_or(u32::MAX));
        if probe.history.len() > HISTORY {
            probe.history.pop_front();
        }
        if probe.answers % LATENCY_EVERY == 0 {
            probe.latency = Latency::of(&probe.history);
        }
        probe.answers = probe.answers.wrapping_add(1);
        self.soft.view.touch(drone);
        self.worker_is(drone, pong.worker);
        let good = !matches!(pong.worker, WorkerState::Hung | WorkerState::Down | WorkerState::Failing);
        if let Some(probe) = self.soft.probes.get_mut(drone) {
            probe.good = if good { probe.good.saturating_add(1) } else { 0 };
        }
        self.keep_probe(drone, latency_us, pong);
        if self.soft.ailing.contains_key(drone) {
            self.may_have_recovered(drone);
            self.look_again(drone);
        }
    }

    pub(crate) fn ping_lost(&mut self, drone: &DroneId, seq: u64, why: PingLoss) {
        let within = self.settings.healing.ping_within;
        let Some(probe) = self.soft.probes.get_mut(drone) else { return };
        if seq == 0 || probe.out.is_none_or(|(out, _)| out != seq) {
            return;
        }
        probe.out = None;
        if why == PingLoss::NoBus {
            return;
        }
        if probe.misses == 0 {
            // the moment it was sent, near enough: who is absent is told at once
            let waited = if why == PingLoss::Absent { 0 } else { within };
            probe.first_miss = self.now.at.saturating_sub(waited);
        }
        probe.misses = probe.misses.saturating_add(1);
        (probe.good, probe.loss) = (0, Some(why));
        self.soft.view.touch(drone);
        self.look_again(drone);
    }

    /// What a heartbeat or an answer says of the worker. `Starting` and what is not known are neither good nor bad.
    pub(crate) fn worker_is(&mut self, drone: &DroneId, state: WorkerState) {
        let now = self.now.at;
        let Some(probe) = self.soft.probes.get_mut(drone) else { return };
        match state {
            WorkerState::Alive => probe.worker_bad = None,
            WorkerState::Hung | WorkerState::Down | WorkerState::Failing => {
                let since = probe.worker_bad.map_or(now, |(since, _)| since);
                probe.worker_bad = Some((since, state));
            }
            WorkerState::Starting | WorkerState::Unknown => return,
        }
        self.look_again(drone);
    }

    /// Keeps the answer in the drone's row, once a minute.
    fn keep_probe(&mut self, drone: &DroneId, latency_us: u64, pong: &Pong) {
        let known = self.rows.healing.get(drone);
        let fresh = |probe: &ProbeRecord| self.now.wall < probe.at + STORED_FOR;
        if known.and_then(|row| row.probe.as_ref()).is_some_and(fresh) {
            return;
        }
        let vitals = &pong.vitals;
        let taken = vitals.disk_build_total.saturating_sub(vitals.disk_build_free);
        let mut row = known.cloned().unwrap_or_default();
        row.drone = drone.clone();
        row.probe = Some(ProbeRecord {
            at: self.now.wall,
            latency_us,
            load_1m: vitals.load_1m,
            mem_percent: vitals.mem_percent,
            disk_percent: percent(taken, vitals.disk_build_total),
            uptime_s: vitals.uptime_s,
            builds: u32::try_from(pong.attempts.len()).unwrap_or(u32::MAX),
            worker: pong.worker,
        });
        self.rows.healing.put(row);
    }
}

/// A part in percent, with one decimal; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 1000.0 / whole as f64).round() / 10.0 }
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
}
