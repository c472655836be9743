//! A drone that stops working comes back by itself, and nothing that works is harmed (rules.md §4).
//!
//! `probe`: pings and what their answers mean · `ladder`: from trouble to recovery, rung by rung · `brakes`: what holds the
//! ladder back · `routes`: the ways to a drone · `trust`: the SSH host keys it is known by · `manual`: what people do · `notice`: what
//! people are told.
//!
//! Every decision is an event that says why, and so is every decision not to act that a person would wonder about. It never
//! touches a build: the lower rungs leave running attempts alive, and the highest waits for them.

mod brakes;
mod ladder;
mod manual;
mod notice;
mod probe;
mod routes;
mod trust;

pub use probe::Latency;
pub(crate) use probe::Probe;
use swarm_protocol::DroneId;

use crate::state::Core;

/// How often a held or open incident is looked at again, milliseconds.
const LOOK: u64 = 1_000;

impl Core {
    /// Everything that is soft about healing, after a start: who is pinged when, whose trouble goes on.
    pub(crate) fn rebuild_healing(&mut self) {
        let drones: Vec<DroneId> = self.rows.drones.iter().map(|row| row.id.clone()).collect();
        for drone in drones {
            self.probe_from_now(&drone);
        }
        let open = self.rows.healing.iter().filter(|row| row.incident.is_some() || row.acting.is_some());
        self.soft.ailing = open.map(|row| row.drone.clone()).collect();
        self.end_interrupted_acts();
        self.resend_notices();
    }

    pub(crate) fn wake_healing(&mut self) {
        self.send_pings();
        self.send_notices();
        if self.in_grace() || self.now.at < self.soft.next_look_healing {
            return;
        }
        self.soft.next_look_healing = self.now.at + LOOK;
        self.look_for_cut_off();
        self.end_late_acts();
        for drone in self.soft.ailing.clone() {
            self.look_at(&drone);
        }
    }

    pub(crate) fn next_healing(&self) -> Option<u64> {
        let ping = self.soft.pings_due.first().map(|(at, _)| *at);
        let look = (!self.soft.ailing.is_empty() || self.meta().cut_off.is_some())
            .then(|| self.soft.next_look_healing.max(self.soft.started + self.settings.start_grace));
        [ping, look, self.next_notice()].into_iter().flatten().min()
    }

    /// A drone is known from now on.
    pub(crate) fn welcome_to_healing(&mut self, drone: &DroneId) {
        if !self.soft.probes.contains_key(drone) {
            self.probe_from_now(drone);
        }
    }

    /// A drone is forgotten.
    pub(crate) fn forget_healing(&mut self, drone: &DroneId) {
        if let Some(probe) = self.soft.probes.remove(drone) {
            self.soft.pings_due.remove(&(probe.next_at, drone.clone()));
        }
        self.soft.ailing.remove(drone);
        self.rows.healing.remove(&drone.0);
        self.rows.wishes.remove(&drone.0);
    }
}
