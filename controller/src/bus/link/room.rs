//! Room for requests in our hands: by bytes until they are read, by their number in all, and by drone. Who finds none is
//! let go, counted, and asks again.

use std::sync::Arc;

use swarm_protocol::DroneId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::permits::{Permit, Permits};

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
    permits: Permits,
}

/// Bytes of a request that is not read yet.
pub(super) struct Bytes {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { unread: Arc::new(Semaphore::new(UNREAD_BYTES)), permits: Permits::new(SERVED, PER_DRONE) }
    }

    /// Room for one more request of a drone, of so many bytes; `None` when there is none.
    pub(super) fn take(&self, drone: &DroneId, bytes: usize) -> Option<(Bytes, Permit)> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = self.unread.clone().try_acquire_many_owned(bytes).ok()?;
        Some((Bytes { _permit: permit }, self.permits.take(drone)?))
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
        let (bytes, permit) = taken.remove(0);
        drop(bytes);
        assert!(room.take(&drone(99), MIB + 1).is_none());
        assert!(room.take(&drone(99), MIB).is_some(), "one was read and is served on");
        drop(permit);
    }

    #[test]
    fn who_is_let_go_for_want_of_a_permit_holds_no_bytes() {
        let room = Room::new();
        let taken: Vec<_> = (0..PER_DRONE).map(|_| room.take(&drone(1), 10).unwrap()).collect();
        assert!(room.take(&drone(1), 10).is_none() && room.take(&drone(2), 10).is_some());
        drop(taken);
        assert_eq!((room.permits.holders(), room.unread.available_permits()), (0, UNREAD_BYTES));
    }
}
