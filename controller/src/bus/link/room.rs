//! Room for requests in our hands: by bytes until they are read, by their number in all, and by drone. Who finds none is
//! let go, counted, and asks again. What was taken is given back by being dropped, so also when a task dies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use swarm_protocol::DroneId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of requests that wait to be read, all drones together; one request may have 1 MiB. A fleet that comes back has
/// thousands of small ones at once.
const UNREAD_BYTES: usize = 64 << 20;
/// Requests in our hands at one time, all drones together. Most wait: for an fsync, or with a finished build for the next
/// index, of which there is one a second. What waits was read and is small.
const SERVED: usize = 16 * 1024;
/// Requests of one drone in our hands; it asks one thing at a time per build.
const PER_DRONE: usize = 64;

/// Who holds how much.
pub(super) struct Room {
    unread: Arc<Semaphore>,
    places: Arc<Semaphore>,
    held: Arc<Mutex<BTreeMap<DroneId, usize>>>,
}

/// Bytes of a request that is not read yet.
pub(super) struct Bytes {
    _permit: OwnedSemaphorePermit,
}

/// A request in our hands.
pub(super) struct Place {
    drone: DroneId,
    held: Arc<Mutex<BTreeMap<DroneId, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            unread: Arc::new(Semaphore::new(UNREAD_BYTES)),
            places: Arc::new(Semaphore::new(SERVED)),
            held: Arc::default(),
        }
    }

    /// Room for one more request of a drone, of so many bytes; `None` when there is none.
    pub(super) fn take(&self, drone: &DroneId, bytes: usize) -> Option<(Bytes, Place)> {
        let bytes = u32::try_from(bytes).ok()?;
        let bytes = self.unread.clone().try_acquire_many_owned(bytes).ok()?;
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(drone.clone()).or_default();
        if *count == PER_DRONE {
            return None;
        }
        *count += 1;
        Some((Bytes { _permit: bytes }, Place { drone: drone.clone(), held: Arc::clone(&self.held), _place: place }))
    }
}

impl Drop for Place {
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

    const MIB: usize = 1 << 20;

    fn drone(number: usize) -> DroneId {
        DroneId(format!("d{number}"))
    }

    #[test]
    fn what_is_not_read_yet_is_bounded_in_bytes_and_reading_it_makes_room() {
        let room = Room::new();
        let mut taken: Vec<_> = (0..64).map(|number| room.take(&drone(number), MIB).unwrap()).collect();
        assert!(room.take(&drone(99), 1).is_none(), "64 MiB wait to be read");
        let (bytes, place) = taken.remove(0);
        drop(bytes);
        assert!(room.take(&drone(99), MIB + 1).is_none());
        assert!(room.take(&drone(99), MIB).is_some(), "one was read and is served on");
        drop(place);
    }

    #[test]
    fn one_drone_holds_sixty_four_and_the_others_are_served() {
        let room = Room::new();
        let mut taken: Vec<_> = (0..PER_DRONE).map(|_| room.take(&drone(1), 10).unwrap()).collect();
        assert!(room.take(&drone(1), 10).is_none());
        assert!(room.take(&drone(2), 10).is_some());
        taken.pop();
        assert!(room.take(&drone(1), 10).is_some());
        drop(taken);
        assert!(room.held.lock().unwrap().is_empty(), "nothing is remembered of who holds nothing");
        assert_eq!(room.unread.available_permits(), UNREAD_BYTES, "who was refused holds nothing");
    }

    #[test]
    fn all_drones_together_hold_so_many() {
        let room = Room::new();
        let taken: Vec<_> = (0..SERVED).map(|number| room.take(&drone(number / PER_DRONE), 10).unwrap()).collect();
        assert!(room.take(&drone(SERVED), 10).is_none());
        drop(taken);
        assert!(room.take(&drone(SERVED), 10).is_some());
    }
}
