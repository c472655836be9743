//! Giving out work: each line from its head, each package to the best of the free drones of its place that may build it.
//! First into free slots, then into the places beyond them, so that a drone begins its next package at once.

use std::collections::BTreeMap;

use swarm_protocol::{Attempt, BuildId, DroneId};

use super::score::{DroneScore, total};
use crate::core::Core;
use crate::place::Place;
use crate::rows::{Assignment, BlockedBy, BuildRow, BuildState, DroneRow, EventKind, Sweep};

/// A drone with room for so many orders.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub drone: DroneId,
    pub room: usize,
    score: DroneScore,
}

/// Of so many drones with the highest score and as many with the lowest the best is chosen: the fastest for what is long, the
/// slowest for what is short, and no package is compared with a whole fleet.
const COMPARED: usize = 32;

impl Core {
    /// Gives out as much as fits.
    pub(crate) fn assign(&mut self) {
        self.soft.queue.order_lines();
        self.recall();
        if self.meta().paused.is_some() {
            return;
        }
        // most inputs come when there is nothing to give, and the fleet may be large
        if self.soft.queue.graph().has_ready() || self.soft.placement.has_lines() {
            for (place, drones) in self.able_drones(false) {
                let idle = self.give_out(&place, self.seats(&drones, |core, row| core.free_slots(row)));
                self.give_out(&place, self.seats(&drones, |core, row| core.free_beyond_slots(row)));
                self.even_out(&idle, &drones);
            }
        }
        if self.soft.queue.graph().has_swept() {
            self.sweep();
        }
    }

    /// Drones that may work, sweepers or the others, by place.
    pub(super) fn able_drones(&self, sweepers: bool) -> BTreeMap<Place, Vec<DroneId>> {
        let mut places: BTreeMap<[&str; 3], Vec<DroneId>> = BTreeMap::new();
        for row in self.rows.drones.iter().filter(|row| row.is_sweeper() == sweepers) {
            if self.is_around(row) && self.may_be_given(row) {
                places.entry([&row.build_profile, &row.base, &row.tree]).or_default().push(row.id.clone());
            }
        }
        let owned = |place: [&str; 3]| {
            let [profile, base, tree] = place.map(str::to_owned);
            Place { profile, base, tree }
        };
        places.into_iter().map(|(place, drones)| (owned(place), drones)).collect()
    }

    /// Nothing but want of room speaks against it.
    pub(crate) fn may_be_given(&self, row: &DroneRow) -> bool {
        let mut may = true;
        self.check_drone(row, &mut |rule, _| may &= rule == crate::explanation::Rule::FreeSlot);
        may
    }

    /// Seats, the highest score first.
    fn seats(&self, drones: &[DroneId], room: impl Fn(&Self, &DroneRow) -> usize) -> Vec<Seat> {
        let rows = drones.iter().filter_map(|drone| self.rows.drones.get(drone));
        let free = rows.map(|row| (row, room(self, row))).filter(|(_, room)| *room > 0);
        let seat = |(row, room): (&DroneRow, usize)| Seat { drone: row.id.clone(), room, score: self.drone_score(row) };
        let mut seats: Vec<Seat> = free.map(seat).collect();
        seats.sort_by_key(|seat| std::cmp::Reverse(seat.score.total()));
        seats
    }

    pub(super) fn free_slots(&self, row: &DroneRow) -> usize {
        (row.slots as usize).saturating_sub(self.held_count(&row.id))
    }

    /// How many orders beyond its slots a drone is to get now. None behind a build that is known to take long: another drone
    /// may be free first.
    fn free_beyond_slots(&self, row: &DroneRow) -> usize {
        let slots = row.slots as usize;
        let beyond = self.held_count(&row.id).saturating_sub(slots);
        let room = self.beyond_slots(row).saturating_sub(beyond);
        let far = room > 0 && self.known_wait_ms(row).is_some_and(|wait| wait > self.settings.prefetch_within);
        if far { 0 } else { room }
    }

    /// Gives out the line of a place to these seats. Returns the seats that have room left: they may build nothing of it.
    fn give_out(&mut self, place: &Place, seats: Vec<Seat>) -> Vec<Seat> {
        let grown = self.soft.queue.graph().grown(place);
        let in_vain = |seat: &Seat| self.soft.placement.is_in_vain(&seat.drone, grown);
        let (vain, mut seats): (Vec<Seat>, Vec<Seat>) = seats.into_iter().partition(in_vain);
        let mut last = None;
        while !seats.is_empty() {
            last = self.soft.queue.graph().after(place, last);
            let Some((_, id)) = last else { break };
            let Some(at) = self.best(id, &seats) else { continue };
            self.give(id, &seats[at].drone.clone());
            self.renew_seat(&mut seats, at);
        }
        for seat in &seats {
            self.soft.placement.asked_in_vain(&seat.drone, grown);
        }
        seats.extend(vain);
        seats
    }

    /// A drone got an order, which may be a long one. Looks whether it is to have more.
    fn renew_seat(&self, seats: &mut Vec<Seat>, at: usize) {
        let mut seat = seats.remove(at);
        seat.room -= 1;
        let Some(row) = self.rows.drones.get(&seat.drone) else { return };
        if seat.room == 0 || self.free_slots(row) + self.free_beyond_slots(row) == 0 {
            return;
        }
        seat.score = self.drone_score(row);
        let place = seats.partition_point(|other| other.score.total() >= seat.score.total());
        seats.insert(place, seat);
    }

    /// The best of the seats for an entry, if any may build it.
    fn best(&mut self, id: BuildId, seats: &[Seat]) -> Option<usize> {
        let build = self.rows.builds.get(&id)?;
        let want = self.want(build);
        let steps = std::cell::Cell::new(0);
        let fits = |at: &usize| {
            steps.set(steps.get() + 1);
            self.rows.drones.get(&seats[*at].drone).is_some_and(|row| self.is_fit(row, &want))
        };
        let mut able: Vec<usize> = (0..seats.len()).filter(fits).take(COMPARED).collect();
        if let Some(rest) = able.last().filter(|_| able.len() == COMPARED).map(|last| last + 1..seats.len()) {
            able.extend(rest.clone().rev().filter(fits).take(COMPARED));
            let built = |at: &usize| want.runs.iter().any(|run| run.drone == seats[*at].drone);
            able.extend(rest.filter(built).filter(fits));
        }
        let total = |at: &usize| {
            let row = self.rows.drones.get(&seats[*at].drone)?;
            Some((total(row, seats[*at].score, &want), std::cmp::Reverse(&row.name)))
        };
        let best = able.into_iter().max_by_key(total);
        self.soft.placement.looked_at(steps.get());
        best
    }

    pub(super) fn give(&mut self, id: BuildId, drone: &DroneId) {
        let order = self.next_order(drone);
        let disk_free = self.soft.fleet.pulse(drone).map_or(0, |pulse| pulse.vitals.disk_build_free);
        let Some(row) = self.rows.builds.change(&id) else { return };
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
        self.build_event(EventKind::Assign, id, format!("{atom} goes to {name}{last_resort}"), Some(name));
        self.send_build(id);
    }

    /// Whether an entry belongs to the place a drone is in.
    pub(super) fn is_at_home(&self, build: &BuildRow, row: &DroneRow) -> bool {
        build.profile == row.build_profile && build.base == row.base && build.tree == row.tree
    }
}
