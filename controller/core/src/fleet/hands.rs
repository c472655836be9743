//! What is in drones' hands: which attempts each drone is to have, until when without a heartbeat that lists them, and how
//! often they should have been listed and were not. Follows the entries' states; what a loss means is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, DroneId};

/// Heartbeats in a row that must miss an attempt before it is lost.
const MISSES_TO_LOSE: u32 = 2;

/// Attempts in drones' hands.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    held: BTreeMap<DroneId, BTreeSet<BuildId>>,
    /// When each attempt is lost, unless a heartbeat lists it.
    leases: BTreeMap<BuildId, u64>,
    /// Heartbeats in a row that should have listed an attempt and did not.
    missing: BTreeMap<BuildId, u32>,
    /// When an attempt's order was last sent.
    sent: BTreeMap<BuildId, u64>,
}

impl Hands {
    /// A drone is to have an attempt, at least until its lease ends.
    pub(crate) fn take(&mut self, drone: &DroneId, id: BuildId, lease_end: u64) {
        self.held.entry(drone.clone()).or_default().insert(id);
        self.leases.insert(id, lease_end);
    }

    /// It is not to have it any more.
    pub(crate) fn give_back(&mut self, drone: &DroneId, id: BuildId) {
        if let Some(held) = self.held.get_mut(drone) {
            held.remove(&id);
        }
        self.leases.remove(&id);
        self.missing.remove(&id);
        self.sent.remove(&id);
    }

    /// A drone is forgotten; what it had was given back before.
    pub(super) fn forget(&mut self, drone: &DroneId) {
        self.held.remove(drone);
    }

    /// What a drone is to have.
    pub(crate) fn of(&self, drone: &DroneId) -> impl Iterator<Item = BuildId> {
        self.held.get(drone).into_iter().flatten().copied()
    }

    /// How many that are.
    pub(crate) fn count(&self, drone: &DroneId) -> usize {
        self.held.get(drone).map_or(0, BTreeSet::len)
    }

    /// What all drones are to have, drone by drone.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&DroneId, BuildId)> {
        self.held.iter().flat_map(|(drone, builds)| builds.iter().map(move |id| (drone, *id)))
    }

    /// Drones that are to have something.
    pub(crate) fn drones(&self) -> impl Iterator<Item = &DroneId> {
        self.held.iter().filter(|(_, builds)| !builds.is_empty()).map(|(drone, _)| drone)
    }

    /// The drone said that it has it: its lease begins anew.
    pub(crate) fn listed(&mut self, id: BuildId, lease_end: u64) {
        self.missing.remove(&id);
        self.leases.insert(id, lease_end);
    }

    /// A heartbeat should have listed it and did not; whether it counts as gone now.
    pub(super) fn missed(&mut self, id: BuildId) -> bool {
        let misses = self.missing.entry(id).or_default();
        *misses += 1;
        *misses >= MISSES_TO_LOSE
    }

    /// Its order is sent.
    pub(super) fn sent(&mut self, id: BuildId, now: u64) {
        self.sent.insert(id, now);
    }

    /// Whether its order was last sent so long ago, or never.
    pub(super) fn may_be_sent(&self, id: BuildId, now: u64, after: u64) -> bool {
        self.sent.get(&id).is_none_or(|at| now >= at + after)
    }

    /// Attempts whose lease has ended.
    pub(super) fn ended(&self, now: u64) -> Vec<BuildId> {
        self.leases.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect()
    }

    /// Nobody has it any more.
    pub(super) fn forget_lease(&mut self, id: BuildId) {
        self.leases.remove(&id);
    }

    /// Every lease begins anew: the silence was not the drones'.
    pub(super) fn renew_all(&mut self, lease_end: u64) {
        self.leases.values_mut().for_each(|until| *until = lease_end);
    }

    /// No lease ends before this moment.
    pub(super) fn extend_all(&mut self, lease_end: u64) {
        self.leases.values_mut().for_each(|until| *until = lease_end.max(*until));
    }

    /// When the first lease ends. Looks at all of them.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.leases.values().copied().min()
    }

    /// Whether no drone has anything.
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_lost_by_two_misses_in_a_row_or_by_the_end_of_its_lease() {
        let (mut hands, drone, id) = (Hands::default(), DroneId::from("a"), BuildId(1));
        hands.take(&drone, id, 600);
        assert!(!hands.missed(id));
        hands.listed(id, 700);
        assert!(!hands.missed(id) && hands.missed(id));
        assert_eq!((hands.ended(699), hands.ended(700)), (vec![], vec![id]));
        hands.extend_all(650);
        assert_eq!(hands.first_end(), Some(700));
        hands.renew_all(650);
        assert_eq!(hands.first_end(), Some(650));
        hands.give_back(&drone, id);
        assert_eq!((hands.count(&drone), hands.is_empty(), hands.drones().count()), (0, true, 0));
    }

    #[test]
    fn an_order_is_sent_again_only_after_a_while() {
        let (mut hands, id) = (Hands::default(), BuildId(1));
        assert!(hands.may_be_sent(id, 0, 5_000));
        hands.sent(id, 1_000);
        assert!(!hands.may_be_sent(id, 5_999, 5_000) && hands.may_be_sent(id, 6_000, 5_000));
    }
}
