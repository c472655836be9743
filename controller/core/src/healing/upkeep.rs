//! What time and a restart do to healing: pings and notices go out, ailing drones are looked at in rounds. Called by the core's
//! turn, and by whatever comes or goes.

use swarm_protocol::DroneId;

use crate::core::Core;

impl Core {
    /// Everything that is soft about healing, after a start: who is pinged when, whose trouble goes on.
    pub(crate) fn rebuild_healing(&mut self) {
        let every = self.settings.healing.ping_every;
        for row in self.rows.drones.iter() {
            self.soft.healing.probes.begin(&row.id, self.now.at, every);
        }
        let open = self.rows.healing.iter().filter(|row| row.incident.is_some() || row.acting.is_some());
        let open: Vec<DroneId> = open.map(|row| row.drone.clone()).collect();
        open.iter().for_each(|drone| self.soft.healing.reboot_begins(drone));
        self.end_interrupted_acts();
        for drone in &open {
            self.look_later(drone);
        }
        self.resend_notices();
    }

    pub(crate) fn wake_healing(&mut self) {
        self.send_pings();
        self.send_notices();
        let next = self.soft.healing.next_round(self.meta().cut_off.is_some(), self.grace_end());
        if next.is_none_or(|at| at > self.now.at) {
            return;
        }
        self.soft.healing.ailing.round_begins(self.now.at);
        self.look_for_cut_off();
        for drone in self.soft.healing.ailing.take_due(self.now.at) {
            self.look_at(&drone);
            self.look_later(&drone);
        }
    }

    pub(crate) fn next_healing(&self) -> Option<u64> {
        self.soft.healing.next(self.meta().cut_off.is_some(), self.grace_end())
    }

    /// Sets when an ailing drone is looked at next, or sees that it is well. Called after whatever changes that.
    pub(super) fn look_later(&mut self, drone: &DroneId) {
        match self.next_look_at(drone) {
            Some(moment) => self.soft.healing.ailing.look_at(drone, moment),
            None => self.soft.healing.ailing.is_well(drone),
        }
    }

    /// A sign of a drone: it may have become worse or better.
    pub(super) fn look_again(&mut self, drone: &DroneId) {
        if self.soft.healing.ailing.contains(drone) || self.next_look_at(drone).is_some() {
            self.look_later(drone);
        }
    }

    /// A drone is known from now on.
    pub(crate) fn welcome_to_healing(&mut self, drone: &DroneId) {
        if self.soft.healing.probe(drone).is_none() {
            self.soft.healing.probes.begin(drone, self.now.at, self.settings.healing.ping_every);
        }
    }

    /// A drone is forgotten.
    pub(crate) fn forget_healing(&mut self, drone: &DroneId) {
        self.soft.healing.forget(drone);
        self.rows.healing.remove(drone);
        self.rows.wishes.remove(drone);
        self.look_again(drone);
    }
}
