//! Permits for work that drones ask for: so many in all, and so many for each, so that one that takes all it can get leaves
//! the others theirs. A permit is given back by being dropped, so also when a task dies. Used by `bus` and `http`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use swarm_protocol::DroneId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits there are.
#[derive(Debug)]
pub struct Permits {
    all: Arc<Semaphore>,
    each: usize,
    held: Arc<Mutex<BTreeMap<DroneId, usize>>>,
}

/// One of them, held by a drone.
#[derive(Debug)]
pub struct Permit {
    drone: DroneId,
    held: Arc<Mutex<BTreeMap<DroneId, usize>>>,
    _one_of_all: OwnedSemaphorePermit,
}

impl Permits {
    /// `all` together, `each` for one drone.
    pub fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, held: Arc::default() }
    }

    /// A permit for a drone; `None` when it has as many as one may, or all are taken.
    pub fn take(&self, drone: &DroneId) -> Option<Permit> {
        let one_of_all = self.all.clone().try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(drone.clone()).or_default();
        if *count == self.each {
            return None;
        }
        *count += 1;
        Some(Permit { drone: drone.clone(), held: Arc::clone(&self.held), _one_of_all: one_of_all })
    }

    /// Drones that hold one.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.drone) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.drone);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drone(number: usize) -> DroneId {
        DroneId(format!("d{number}"))
    }

    #[test]
    fn one_drone_has_its_share_and_the_others_theirs() {
        let permits = Permits::new(100, 4);
        let mut taken: Vec<_> = (0..4).map(|_| permits.take(&drone(1)).unwrap()).collect();
        assert!(permits.take(&drone(1)).is_none());
        assert!(permits.take(&drone(2)).is_some());
        taken.pop();
        assert!(permits.take(&drone(1)).is_some());
        drop(taken);
        assert_eq!(permits.holders(), 0, "nothing is remembered of who holds nothing");
    }

    #[test]
    fn all_drones_together_hold_so_many() {
        let permits = Permits::new(12, 4);
        let taken: Vec<_> = (0..12).map(|number| permits.take(&drone(number / 4)).unwrap()).collect();
        assert!(permits.take(&drone(99)).is_none());
        drop(taken);
        assert!(permits.take(&drone(99)).is_some());
    }
}
