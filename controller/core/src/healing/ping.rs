//! Pings go out, answers come in, and a drone's last answer is kept in its row.

use swarm_protocol::DroneId;
use swarm_protocol::machine::WorkerState;

use crate::core::Core;
use crate::effect::{Effect, Ping};
use crate::input::{PingLoss, Pong};
use crate::rows::ProbeRecord;

/// A stored answer is renewed when it is older than this, milliseconds.
const STORED_FOR: u64 = 60_000;

impl Core {
    pub(super) fn send_pings(&mut self) {
        let (every, within) = (self.settings.healing.ping_every, self.settings.healing.ping_within);
        while let Some((drone, seq)) = self.soft.healing.probes.ping(self.now, every, within) {
            self.effects.push(Effect::Ping(Ping { drone, seq, within }));
        }
    }

    pub(crate) fn pong(&mut self, drone: &DroneId, seq: u64, latency_us: u64, pong: &Pong) {
        // another run with the same key says nothing of the one that was welcomed
        if self.rows.drones.get(drone).is_none_or(|row| row.supervisor != pong.instance) {
            return;
        }
        if !self.soft.healing.probes.answered(drone, seq, self.now, latency_us, pong) {
            return;
        }
        self.soft.view.touch(drone);
        self.worker_is(drone, pong.worker);
        self.keep_probe(drone, latency_us, pong);
        if self.soft.healing.ailing.contains(drone) {
            self.may_have_recovered(drone);
            self.look_again(drone);
        }
    }

    pub(crate) fn ping_lost(&mut self, drone: &DroneId, seq: u64, why: PingLoss) {
        let within = self.settings.healing.ping_within;
        if self.soft.healing.probes.lost(drone, seq, why, self.now.at, within) {
            self.soft.view.touch(drone);
            self.look_again(drone);
        }
    }

    /// What a heartbeat or an answer says of the worker.
    pub(crate) fn worker_is(&mut self, drone: &DroneId, state: WorkerState) {
        if self.soft.healing.probes.worker_is(drone, state, self.now.at) {
            self.look_again(drone);
        }
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
