//! Giving out work: each line from its head, each package to the best of the free drones of its place that may build it.
//! First into free slots, then into the places beyond them, so that a drone begins its next package at once.

use std::collections::BTreeMap;

use swarm_protocol::{Attempt, BuildId, DroneId};

use crate::queue::{Place, place_of};
use crate::rows::{Assignment, BlockedBy, BuildState, DroneRow, Sweep};
use crate::state::Core;

/// What a free drone has room for.
pub(super) type Seats = BTreeMap<DroneId, usize>;

impl Core {
    /// Gives out as much as fits.
    pub(crate) fn assign(&mut self) {
        self.soft.graph.relax();
        self.recall();
        if self.meta().paused.is_some() {
            return;
        }
        for (place, drones) in self.able_drones(false) {
            let idle = self.give_out(&place, self.seats(&drones, |core, row| core.free_slots(row)));
            self.give_out(&place, self.seats(&drones, |core, row| core.free_places(row)));
            self.even_out(&place, &idle, &drones);
        }
        self.sweep();
    }

    /// Drones that may work, sweepers or the others, by place.
    pub(super) fn able_drones(&self, sweepers: bool) -> BTreeMap<Place, Vec<DroneId>> {
        let mut places: BTreeMap<Place, Vec<DroneId>> = BTreeMap::new();
        for row in self.rows.drones.iter().filter(|row| row.is_sweeper() == sweepers) {
            if self.is_around(row) && self.may_be_given(row) {
                places.entry(home(row)).or_default().push(row.id.clone());
            }
        }
        places
    }

    /// Nothing but want of room speaks against it.
    fn may_be_given(&self, row: &DroneRow) -> bool {
        self.rules_against(row).iter().all(|rule| *rule == super::Rule::FreeSlot)
    }

    fn seats(&self, drones: &[DroneId], room: impl Fn(&Self, &DroneRow) -> usize) -> Seats {
        let rows = drones.iter().filter_map(|drone| self.rows.drones.get(&drone.0));
        rows.map(|row| (row.id.clone(), room(self, row))).filter(|(_, room)| *room > 0).collect()
    }

    pub(super) fn free_slots(&self, row: &DroneRow) -> usize {
        (row.slots as usize).saturating_sub(self.held_count(&row.id))
    }

    /// Places in a drone's line that are to be filled now: none behind a build that is known to take long, since another
    /// drone may be free first.
    fn free_places(&self, row: &DroneRow) -> usize {
        let slots = row.slots as usize;
        let beyond = self.held_count(&row.id).saturating_sub(slots);
        let room = self.places(row).saturating_sub(beyond);
        let far = room > 0 && self.known_wait_ms(row).is_some_and(|wait| wait > self.settings.prefetch_within);
        if far { 0 } else { room }
    }

    /// Gives out the line of a place to these seats; returns who has some left, since nothing in the line is for them.
    fn give_out(&mut self, place: &Place, mut seats: Seats) -> Seats {
        let grown = self.soft.graph.grown(place);
        let (vain, mut known): (Seats, Seats) =
            seats.into_iter().partition(|(drone, _)| self.soft.vain.get(drone).is_some_and(|seen| *seen >= grown));
        seats = std::mem::take(&mut known);
        let mut last = None;
        while !seats.is_empty() {
            let Some((key, id)) = self.soft.graph.after(place, last) else { break };
            last = Some((key, id));
            let Some(drone) = self.best(id, &seats) else { continue };
            self.give(id, &drone);
            let left = seats.get(&drone).map_or(0, |room| room - 1);
            // what this one has just got may be long: whether it is to have more is looked at anew
            let more = left > 0
                && self.rows.drones.get(&drone.0).is_some_and(|row| self.free_slots(row) + self.free_places(row) > 0);
            if more {
                seats.insert(drone, left);
            } else {
                seats.remove(&drone);
            }
        }
        for drone in seats.keys() {
            self.soft.vain.insert(drone.clone(), grown);
        }
        seats.extend(vain);
        seats
    }

    fn best(&mut self, id: BuildId, seats: &Seats) -> Option<DroneId> {
        self.soft.candidates += seats.len() as u64;
        let build = self.rows.builds.get(&id.0)?;
        let rows = seats.keys().filter_map(|drone| self.rows.drones.get(&drone.0));
        let able = rows.filter(|row| self.is_fit(row, build));
        able.max_by_key(|row| (self.total(row, build), std::cmp::Reverse(row.name.clone()))).map(|row| row.id.clone())
    }

    pub(super) fn give(&mut self, id: BuildId, drone: &DroneId) {
        let order = self.next_order(drone);
        let disk_free = self.soft.pulses.get(drone).map_or(0, |pulse| pulse.vitals.disk_build_free);
        let Some(row) = self.rows.builds.change(&id.0) else { return };
        row.attempt = Attempt(row.attempt.0 + 1);
        let atom = row.atom();
        let sweep = match &row.state {
            BuildState::Blocked { by: BlockedBy::Failures { culprit }, reasons, since, retry_at } => {
                Some(Sweep { culprit: *culprit, reasons: reasons.clone(), since: *since, retry_at: *retry_at })
            }
            _ => None,
        };
        let last_resort = if sweep.is_some() { ", as the last resort" } else { "" };
        let assignment = Assignment {
            drone: drone.clone(),
            order,
            assigned_at: self.now.wall,
            taken: false,
            building_since: None,
            cancelling: None,
            disk_free,
            sweep,
        };
        self.set_state(id, BuildState::Delegated { assignment });
        let name = self.drone_name(drone);
        self.build_event("assign", id, format!("{atom} goes to {name}{last_resort}"), Some(name));
        self.send_build(id);
    }
}

/// The place a drone belongs to.
pub(super) fn home(row: &DroneRow) -> Place {
    Place { profile: row.build_profile.clone(), base: row.base.clone(), tree: row.tree.clone() }
}

impl Core {
    /// Whether an entry belongs to the place a drone is in.
    pub(super) fn is_at_home(&self, id: BuildId, row: &DroneRow) -> bool {
        self.rows.builds.get(&id.0).is_some_and(|build| place_of(build) == home(row))
    }
}
