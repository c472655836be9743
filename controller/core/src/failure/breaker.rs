//! Circuit breakers: a drone that fails again and again is kept from work for a while. The last drone that could build
//! something is never grounded.

use swarm_protocol::DroneId;
use swarm_protocol::report::FailureClass;

use crate::core::Core;
use crate::place::Place;
use crate::rows::{Culprit, DroneRow, EventKind, Fact, SWARM};

/// Packages of a line looked at for one that only a certain drone can build; a drone is grounded seldom and for minutes.
const LOOKED_AT: usize = 1_000;

impl Core {
    /// A success resets the streaks.
    pub(crate) fn succeeded_on(&mut self, drone: &DroneId) {
        if self.rows.drones.get(drone).is_some_and(|row| row.streaks.failures > 0 || row.streaks.uploads > 0)
            && let Some(row) = self.rows.drones.change(drone)
        {
            (row.streaks.failures, row.streaks.uploads) = (0, 0);
        }
    }

    /// Counts a failure against the drone it happened on, if it is the drone's.
    pub(crate) fn blame_drone(&mut self, drone: &DroneId, class: FailureClass, culprit: Culprit) {
        let Some(row) = self.rows.drones.change(drone) else { return };
        if culprit == Culprit::Drone {
            row.streaks.failures += 1;
        }
        if class == FailureClass::Upload {
            row.streaks.uploads += 1;
        }
        if culprit == Culprit::Drone || class == FailureClass::Upload {
            row.streaks.last_at = Some(self.now.wall);
        }
        let row = row.clone();
        self.soft.view.touch(drone);
        let settings = &self.settings;
        let (ground, impair) =
            (row.streaks.failures >= settings.failures_to_ground, row.streaks.uploads >= settings.uploads_to_impair);
        if !ground && !impair {
            return;
        }
        if self.is_last(&row) {
            // not with every single failure
            if row.streaks.failures % settings.failures_to_ground.max(1) != 0 && !impair {
                return;
            }
            let name = row.name.clone();
            let message = format!("{name} keeps failing; it is the last drone of its kind and goes on, last in line");
            return self.event(EventKind::Warn, message, |event| event.drone = Some(name));
        }
        let (now, wall) = (self.now.at, self.now.wall);
        let (ground_for, impair_for) = (settings.ground_for, settings.impair_for);
        let fact = |reason: String, length: u64| {
            Some(Fact { by: SWARM.to_owned(), reason, since: wall, until: Some(now + length) })
        };
        if ground && row.grounded.is_none() {
            let reason = format!("{} failures in a row that were its own", row.streaks.failures);
            self.keep_from_work(drone, EventKind::Grounded, &reason, |row| {
                row.grounded = fact(reason.clone(), ground_for)
            });
        }
        if impair && row.upload_impaired.is_none() {
            let reason = format!("{} uploads in a row failed", row.streaks.uploads);
            self.keep_from_work(drone, EventKind::Grounded, &reason, |row| {
                row.upload_impaired = fact(reason.clone(), impair_for)
            });
        }
    }

    fn keep_from_work(&mut self, drone: &DroneId, kind: EventKind, reason: &str, change: impl FnOnce(&mut DroneRow)) {
        let Some(row) = self.rows.drones.change(drone) else { return };
        change(row);
        (row.streaks.failures, row.streaks.uploads) = (0, 0);
        let name = row.name.clone();
        // what waits in its line is asked back
        self.soft.placement.work_may_be_given();
        self.event(kind, format!("{name} gets no work for a while: {reason}"), |event| event.drone = Some(name));
    }

    /// No other drone of the same profile and base could take over now: one does that would be given work if it had room. A
    /// sweeper takes nobody's place, and nobody a sweeper's.
    fn is_last(&self, row: &DroneRow) -> bool {
        let works = |other: &&DroneRow| self.may_be_given(other) && !other.is_sweeper();
        let same = |other: &&DroneRow| {
            other.id != row.id && other.build_profile == row.build_profile && other.base == row.base
        };
        let others: Vec<&DroneRow> = self.rows.drones.iter().filter(same).filter(works).collect();
        !row.is_sweeper() && (others.is_empty() || self.is_irreplaceable(row, &others))
    }

    /// Something in its hands, or among the first in the line of its place, asks for tags or FEATURES that it has and none of
    /// the others.
    fn is_irreplaceable(&self, row: &DroneRow, others: &[&DroneRow]) -> bool {
        let place = Place::of_drone(row);
        let held = self.soft.fleet.hands.of(&row.id);
        let builds = held.chain(self.soft.queue.graph().line(&place).take(LOOKED_AT));
        builds.filter_map(|id| self.rows.builds.get(&id)).any(|build| {
            self.has_what_it_asks(row, build) && !others.iter().any(|other| self.has_what_it_asks(other, build))
        })
    }
}
