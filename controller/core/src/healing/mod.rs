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

use crate::core::Core;

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
        let open: Vec<DroneId> = open.map(|row| row.drone.clone()).collect();
        self.soft.rebooting = open.iter().cloned().collect();
        self.end_interrupted_acts();
        for drone in &open {
            self.look_later(drone);
        }
        self.resend_notices();
    }

    pub(crate) fn wake_healing(&mut self) {
        self.send_pings();
        self.send_notices();
        if self.next_round().is_none_or(|at| at > self.now.at) {
            return;
        }
        self.soft.next_look_healing = self.now.at + LOOK;
        self.look_for_cut_off();
        let later = (self.now.at + 1, DroneId::default());
        let not_yet = self.soft.looks_due.split_off(&later);
        for (_, drone) in std::mem::replace(&mut self.soft.looks_due, not_yet) {
            self.look_at(&drone);
            self.look_later(&drone);
        }
    }

    /// Sets when an ailing drone is looked at next, or sees that it is well. Called after whatever changes that.
    fn look_later(&mut self, drone: &DroneId) {
        let next = self.next_look_at(drone);
        let before = match next {
            Some(next) => self.soft.ailing.insert(drone.clone(), next),
            None => self.soft.ailing.remove(drone),
        };
        if let Some(before) = before.flatten() {
            self.soft.looks_due.remove(&(before, drone.clone()));
        }
        if let Some(at) = next.flatten() {
            self.soft.looks_due.insert((at, drone.clone()));
        }
    }

    /// A sign of a drone: it may have become worse or better.
    fn look_again(&mut self, drone: &DroneId) {
        if self.soft.ailing.contains_key(drone) || self.next_look_at(drone).is_some() {
            self.look_later(drone);
        }
    }

    pub(crate) fn next_healing(&self) -> Option<u64> {
        let ping = self.soft.pings_due.first().map(|(at, _)| *at);
        [ping, self.next_round(), self.next_notice()].into_iter().flatten().min()
    }

    /// When ailing drones are looked at next; while we are cut off, whether we still are.
    fn next_round(&self) -> Option<u64> {
        let first = self.soft.looks_due.first().map(|(at, _)| *at);
        let cut = self.meta().cut_off.map(|_| 0);
        let grace_end = self.soft.started + self.settings.start_grace;
        [first, cut].into_iter().flatten().min().map(|at| at.max(self.soft.next_look_healing).max(grace_end))
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
        self.rows.healing.remove(drone);
        self.rows.wishes.remove(drone);
        self.soft.rebooting.remove(drone);
        self.look_again(drone);
    }
}
