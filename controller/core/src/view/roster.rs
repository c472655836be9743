//! Drones as readers see them, in a shape whose copy is cheap: each commit publishes a copy, and a fleet has thousands.
//! Published as part of [`crate::View`]; changed by the core alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_protocol::DroneId;

/// Drones kept together: a copy of the roster is one pointer for so many drones, and a change of one drone copies so many.
const TOGETHER: usize = 64;

/// The fleet by identity. Copies share everything that did not change since.
#[derive(Clone)]
pub struct Roster<V> {
    /// Where each drone is; changes only when one joins or is forgotten.
    places: Arc<BTreeMap<DroneId, usize>>,
    groups: Vec<Arc<Vec<Arc<V>>>>,
}

impl<V> Default for Roster<V> {
    fn default() -> Self {
        Self { places: Arc::default(), groups: Vec::new() }
    }
}

impl<V> Roster<V> {
    /// A drone.
    pub fn get(&self, drone: &DroneId) -> Option<&Arc<V>> {
        self.at(*self.places.get(drone)?)
    }

    fn at(&self, place: usize) -> Option<&Arc<V>> {
        self.groups.get(place / TOGETHER)?.get(place % TOGETHER)
    }

    /// All drones, in the order of their identities.
    pub fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.places.values().filter_map(|place| self.at(*place))
    }

    /// All drones with their identities, in the order of those.
    pub fn iter(&self) -> impl Iterator<Item = (&DroneId, &Arc<V>)> {
        self.places.iter().filter_map(|(drone, place)| Some((drone, self.at(*place)?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts a drone in, new or not.
    pub fn insert(&mut self, drone: DroneId, view: Arc<V>) {
        if let Some(place) = self.places.get(&drone) {
            let group = &mut self.groups[place / TOGETHER];
            Arc::make_mut(group)[place % TOGETHER] = view;
            return;
        }
        let place = self.places.len();
        Arc::make_mut(&mut self.places).insert(drone, place);
        match self.groups.last_mut().filter(|group| group.len() < TOGETHER) {
            Some(group) => Arc::make_mut(group).push(view),
            None => self.groups.push(Arc::new(vec![view])),
        }
    }

    /// Takes a drone out: the last one gets its place, so that none is empty.
    pub fn remove(&mut self, drone: &DroneId) {
        let Some(place) = Arc::make_mut(&mut self.places).remove(drone) else { return };
        let last = self.places.len();
        let Some(group) = self.groups.last_mut() else { return };
        let moved = Arc::make_mut(group).pop();
        if group.is_empty() {
            self.groups.pop();
        }
        if place == last {
            return;
        }
        if let Some(moved) = moved {
            Arc::make_mut(&mut self.groups[place / TOGETHER])[place % TOGETHER] = moved;
            if let Some(other) = Arc::make_mut(&mut self.places).values_mut().find(|other| **other == last) {
                *other = place;
            }
        }
    }
}

impl<V: PartialEq> PartialEq for Roster<V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<V> std::ops::Index<&DroneId> for Roster<V> {
    type Output = Arc<V>;

    /// A drone that is there.
    ///
    /// # Panics
    /// When it is not.
    fn index(&self, drone: &DroneId) -> &Arc<V> {
        self.get(drone).expect("the drone is in the roster")
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Roster<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<V, const N: usize> From<[(DroneId, Arc<V>); N]> for Roster<V> {
    fn from(drones: [(DroneId, Arc<V>); N]) -> Self {
        let mut roster = Self::default();
        for (drone, view) in drones {
            roster.insert(drone, view);
        }
        roster
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_and_shares_what_did_not_change() {
        let mut roster = Roster::<u64>::default();
        for number in 0..200 {
            roster.insert(DroneId(format!("U{number:03}")), Arc::new(number));
        }
        let before = roster.clone();
        roster.insert(DroneId::from("U070"), Arc::new(7_000));
        assert_eq!(before.get(&DroneId::from("U070")).map(|seen| **seen), Some(70));
        assert_eq!(roster.get(&DroneId::from("U070")).map(|seen| **seen), Some(7_000));
        assert!(Arc::ptr_eq(&before.places, &roster.places));
        let shared = before.groups.iter().zip(&roster.groups).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(shared.count(), before.groups.len() - 1, "only the group of the changed drone was copied");
        assert_ne!(before, roster);
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(steps in proptest::collection::vec((0u16..150, proptest::option::of(0u64..9)), 0..600)) {
            let (mut roster, mut map) = (Roster::<u64>::default(), BTreeMap::new());
            for (drone, step) in steps {
                let drone = DroneId(format!("U{drone:03}"));
                match step {
                    Some(number) => {
                        roster.insert(drone.clone(), Arc::new(number));
                        map.insert(drone, number);
                    }
                    None => {
                        roster.remove(&drone);
                        map.remove(&drone);
                    }
                }
            }
            prop_assert_eq!(roster.values().map(|seen| **seen).collect::<Vec<_>>(), map.values().copied().collect::<Vec<_>>());
            prop_assert_eq!((roster.len(), roster.is_empty()), (map.len(), map.is_empty()));
            for drone in map.keys() {
                prop_assert_eq!(roster.get(drone).map(|seen| **seen), map.get(drone).copied());
            }
        }
    }
}
