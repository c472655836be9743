//! What healing remembers besides the rows. A restart makes it anew: pings begin again, and what was wrong shows itself again.

use std::collections::BTreeSet;

use swarm_protocol::DroneId;

use super::ailing::Ailing;
use super::probe::{Probe, Probes};
use crate::timers::Timers;

/// What is soft about proof of life and the ladder.
#[derive(Debug, Default)]
pub(crate) struct HealingState {
    pub(super) probes: Probes,
    pub(super) ailing: Ailing,
    /// When each notice is tried next.
    pub(super) notices: Timers<u64>,
    /// Drones that may be between their reboot and the end of the wait after it; no others are.
    rebooting: BTreeSet<DroneId>,
    /// After a silence of the fleet nobody is helped before this moment.
    settled_at: u64,
}

impl HealingState {
    /// What pinging tells of a drone.
    pub(crate) fn probe(&self, drone: &DroneId) -> Option<&Probe> {
        self.probes.get(drone)
    }

    /// Drones that may be between their reboot and the end of the wait after it.
    pub(super) fn rebooting(&self) -> impl Iterator<Item = &DroneId> {
        self.rebooting.iter()
    }

    /// A drone is being rebooted.
    pub(super) fn reboot_begins(&mut self, drone: &DroneId) {
        self.rebooting.insert(drone.clone());
    }

    /// The wait after a drone's reboot is over.
    pub(super) fn reboot_ended(&mut self, drone: &DroneId) {
        self.rebooting.remove(drone);
    }

    /// The fleet has come back from a silence; nobody is helped before this moment.
    pub(super) fn settle_until(&mut self, at: u64) {
        self.settled_at = at;
    }

    /// Whether the fleet came back from a silence a while ago, if it was ever silent.
    pub(super) fn is_settled(&self, now: u64) -> bool {
        now >= self.settled_at
    }

    /// A drone is forgotten.
    pub(super) fn forget(&mut self, drone: &DroneId) {
        self.probes.forget(drone);
        self.rebooting.remove(drone);
    }

    /// When ailing drones are looked at next.
    pub(super) fn next_round(&self, cut_off: bool, grace_end: u64) -> Option<u64> {
        self.ailing.next_round(cut_off).map(|at| at.max(grace_end))
    }

    /// When the next of these rules is due.
    pub(crate) fn next(&self, cut_off: bool, grace_end: u64) -> Option<u64> {
        let moments = [self.probes.next(), self.next_round(cut_off, grace_end), self.notices.next()];
        moments.into_iter().flatten().min()
    }

    /// Looks at one drone, ever.
    pub(crate) fn looked_at(&self) -> u64 {
        self.ailing.looked_at()
    }
}
