//! Sweepers: drones that take blocked packages as the last resort, and nothing else. What they can build is received; what
//! they can't stays blocked, with one reason more.

use swarm_protocol::{BuildId, DroneId};

use crate::core::Core;
use crate::place::Place;
use crate::rows::{BlockedBy, BuildRow, BuildState, Sweep};

impl Core {
    /// Gives blocked packages to sweepers that have nothing to do and have not tried them yet.
    pub(super) fn sweep(&mut self) {
        for (place, drones) in self.able_drones(true) {
            for drone in drones {
                while let Some(id) = self.sweepable(&place, &drone) {
                    if let Some(session) = self.rows.builds.get(&id).map(|row| row.session) {
                        self.reopen(session);
                    }
                    self.give(id, &drone);
                }
            }
        }
    }

    fn sweepable(&mut self, place: &Place, drone: &DroneId) -> Option<BuildId> {
        let row = self.rows.drones.get(drone).filter(|row| self.free_slots(row) > 0)?;
        let mut steps = 0;
        let fits = |id: &BuildId| {
            steps += 1;
            let rested = self.soft.placement.is_rested(*id, self.now.at);
            let tried = |build: &BuildRow| build.marks.iter().any(|mark| mark.drone == row.id);
            rested && self.rows.builds.get(id).is_some_and(|build| !tried(build) && self.is_fit(row, &self.want(build)))
        };
        let found = self.soft.queue.graph().swept(place).find(fits);
        self.soft.placement.looked_at(steps);
        found
    }

    /// A sweeper did not manage: the entry is blocked as it was before, with what the sweeper met if that is the package's
    /// fault.
    pub(crate) fn end_sweep(&mut self, id: BuildId, sweep: Sweep, reason: Option<String>) {
        let Sweep { culprit, mut reasons, since, retry_at } = sweep;
        reasons.extend(reason);
        self.soft.placement.rest(id, self.now.at + self.settings.drone_retry_after);
        self.set_state(id, BuildState::Blocked { by: BlockedBy::Failures { culprit }, reasons, since, retry_at });
    }
}
