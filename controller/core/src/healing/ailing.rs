//! Drones that gave a sign of trouble or are being helped, and when each is looked at next without a further sign. What a look
//! means is the ladder's to say.

use std::collections::BTreeSet;

use swarm_protocol::DroneId;

use crate::timers::Timers;

/// Between two rounds of looks, milliseconds: what holds an incident back may end without telling.
const LOOK: u64 = 1_000;

/// Drones that may need help.
#[derive(Debug, Default)]
pub(super) struct Ailing {
    drones: BTreeSet<DroneId>,
    looks: Timers<DroneId>,
    /// No round of looks before this moment.
    not_before: u64,
    /// Looks at one drone, ever.
    looked_at: u64,
}

impl Ailing {
    /// A drone may need help; it is looked at at this moment, or with the next sign if there is none.
    pub(super) fn look_at(&mut self, drone: &DroneId, moment: Option<u64>) {
        if !self.drones.contains(drone) {
            self.drones.insert(drone.clone());
        }
        match moment {
            Some(at) => self.looks.set(drone.clone(), at),
            None => self.looks.clear(drone),
        }
    }

    /// Nothing is wrong with a drone.
    pub(super) fn is_well(&mut self, drone: &DroneId) {
        self.drones.remove(drone);
        self.looks.clear(drone);
    }

    /// Whether a drone may need help.
    pub(super) fn contains(&self, drone: &DroneId) -> bool {
        self.drones.contains(drone)
    }

    /// Drones that may need help.
    pub(super) fn iter(&self) -> impl Iterator<Item = &DroneId> {
        self.drones.iter()
    }

    /// A round begins: takes the drones that are due for a look.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<DroneId> {
        self.looks.take_due(now)
    }

    /// No other round follows for a while.
    pub(super) fn round_begins(&mut self, now: u64) {
        self.not_before = now + LOOK;
    }

    /// When the next round is due; while we are cut off, as soon as it may be, to see whether we still are.
    pub(super) fn next_round(&self, cut_off: bool) -> Option<u64> {
        let first = if cut_off { Some(0) } else { self.looks.next() };
        first.map(|at| at.max(self.not_before))
    }

    /// One drone was looked at.
    pub(super) fn count_look(&mut self) {
        self.looked_at += 1;
    }

    /// Looks at one drone, ever.
    pub(super) fn looked_at(&self) -> u64 {
        self.looked_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_back_is_looked_at_again_in_the_next_round_and_not_in_the_same() {
        let (mut ailing, drone) = (Ailing::default(), DroneId::from("a"));
        ailing.look_at(&drone, Some(500));
        assert_eq!(ailing.next_round(false), Some(500));
        ailing.round_begins(2_000);
        for due in ailing.take_due(2_000) {
            ailing.look_at(&due, Some(500));
        }
        assert_eq!((ailing.next_round(false), ailing.contains(&drone)), (Some(3_000), true));
        ailing.look_at(&drone, None);
        assert_eq!((ailing.next_round(false), ailing.next_round(true)), (None, Some(3_000)));
        ailing.is_well(&drone);
        assert!(!ailing.contains(&drone));
    }
}
