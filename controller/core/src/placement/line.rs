//! What waits in drones' lines and has not begun: how long it will wait, when it is asked back, and for whom. Started work is
//! never taken, and a drone that may work is never asked for what it merely has not begun yet, unless another one has
//! nothing to do.

use std::cmp::Reverse;

use swarm_protocol::{BuildId, DroneId};

use super::assign::Seat;
use super::eligible::facts;
use crate::core::Core;
use crate::rows::{Assignment, BuildRow, Cancelling, DroneRow, EventKind};

/// After so many idle drones for which nothing was found, the others wait for the next time.
const TRIES: usize = 32;

impl Core {
    /// Asks back what has not begun and may not begin where it is: on a drone that is paused, drained, grounded or can't
    /// upload, while the swarm is paused, or with a tree or base that moved since.
    pub(super) fn recall(&mut self) {
        let paused = self.meta().paused.is_some();
        let moved = self.soft.placement.take_moved();
        let mut recalled = Vec::new();
        for row in self.soft.fleet.hands.drones().filter_map(|drone| self.rows.drones.get(drone)) {
            let kept = paused || facts(row).next().is_some();
            if !kept && !moved.contains(&row.id) {
                continue;
            }
            let waiting = self.unbegun(&row.id).filter(|build| kept || !self.is_at_home(build, row));
            recalled.extend(waiting.filter(|build| !is_leaving(build)).map(|build| build.id));
        }
        for id in recalled {
            self.cancel(id, Cancelling::GiveBack {});
        }
    }

    /// What a drone has and has not begun, in the order in which it will begin it.
    fn unbegun(&self, drone: &DroneId) -> impl Iterator<Item = &BuildRow> {
        let mut waiting: Vec<&BuildRow> = self
            .soft
            .fleet
            .hands
            .of(drone)
            .filter_map(|id| self.rows.builds.get(&id))
            .filter(|build| build.assignment().is_some_and(|a| !a.has_begun()))
            .collect();
        waiting.sort_by_key(|build| build.assignment().map(|a| a.order));
        waiting.into_iter()
    }

    /// A drone with nothing to do gets what waits in another one's line: of the one that has the most waiting, the last.
    /// One that waits alone stays, so that its drone begins it at once; only where no end of the build before it is in sight
    /// it is moved, too. Every entry is moved at most once, and ends there only when its drone says so.
    pub(super) fn even_out(&mut self, idle: &[Seat], drones: &[DroneId]) {
        if idle.is_empty() {
            return;
        }
        // what is on its way back already is for the first of them
        let unbegun = drones.iter().flat_map(|drone| self.unbegun(drone));
        let mut expected = unbegun.filter(|build| is_leaving(build)).count();
        let mut tries = TRIES;
        for seat in idle {
            let taken = expected.min(seat.room);
            expected -= taken;
            for _ in taken..seat.room {
                let holders = self.holders(drones, &seat.drone);
                if holders.is_empty() || tries == 0 {
                    return;
                }
                let Some(id) = self.movable(&seat.drone, &holders) else {
                    tries -= 1;
                    break;
                };
                self.move_to(id, &seat.drone);
            }
        }
    }

    fn move_to(&mut self, id: BuildId, idle: &DroneId) {
        let Some(row) = self.rows.builds.change(&id) else { return };
        row.moved = true;
        let holder = row.assignment().map(|assignment| assignment.drone.clone());
        let from = holder.map_or_else(String::new, |drone| self.drone_name(&drone));
        let message = format!("asked back from {from}: {} has nothing to do", self.drone_name(idle));
        self.build_event(EventKind::Rebalance, id, message, Some(from));
        self.cancel(id, Cancelling::GiveBack {});
    }

    /// Drones that have something to spare, the longest line first.
    fn holders(&self, drones: &[DroneId], idle: &DroneId) -> Vec<DroneId> {
        let others = drones.iter().filter(|drone| *drone != idle);
        let rows = others.filter(|drone| self.held_count(drone) > 0).filter_map(|drone| self.rows.drones.get(drone));
        let lines = rows.map(|row| (self.in_line(row), row));
        let long = |(count, row): &(usize, &DroneRow)| *count > 1 || (*count == 1 && self.is_stuck(row));
        let mut holders: Vec<(Reverse<usize>, DroneId)> =
            lines.filter(long).map(|(count, row)| (Reverse(count), row.id.clone())).collect();
        holders.sort_unstable();
        holders.into_iter().map(|(_, drone)| drone).collect()
    }

    /// What a drone that has nothing to do may be given of what waits with these.
    fn movable(&mut self, idle: &DroneId, holders: &[DroneId]) -> Option<BuildId> {
        let row = self.rows.drones.get(idle)?;
        let mut steps = 0;
        let found = holders.iter().filter_map(|holder| self.rows.drones.get(holder)).find_map(|holder| {
            let mut waiting: Vec<&BuildRow> = self.unbegun(&holder.id).collect();
            steps += waiting.len() as u64;
            // what is about to fill a slot of its own drone stays
            let own = (holder.slots as usize).saturating_sub(self.held_count(&holder.id) - waiting.len());
            waiting.drain(..own.min(waiting.len()));
            let fits = |build: &&BuildRow| {
                !build.moved
                    && !is_leaving(build)
                    && self.is_fit(row, &self.want(build))
                    && self.is_sooner(build, holder, row)
            };
            waiting.into_iter().rev().find(fits).map(|build| build.id)
        });
        self.soft.placement.looked_at(steps);
        found
    }

    /// Orders a drone has beyond its slots and that stay with it.
    fn in_line(&self, row: &DroneRow) -> usize {
        let leaving = self.unbegun(&row.id).filter(|build| is_leaving(build)).count();
        self.held_count(&row.id).saturating_sub(row.slots as usize + leaving)
    }

    /// Every slot is taken by a build that has run for long, and no end of it is in sight.
    fn is_stuck(&self, row: &DroneRow) -> bool {
        let (known, after) = (self.known_wait_ms(row), self.settings.steal_after);
        let begun = self.begun(&row.id);
        known.is_none_or(|wait| wait > after)
            && begun.len() >= row.slots as usize
            && begun.iter().all(|(_, elapsed)| *elapsed > after)
    }

    /// The idle drone would probably be done with it before its holder is.
    fn is_sooner(&self, build: &BuildRow, holder: &DroneRow, idle: &DroneRow) -> bool {
        match (self.estimate_ms(build, idle), self.estimate_ms(build, holder)) {
            (Some(there), Some(here)) => there <= here.saturating_add(self.wait_ms(holder)),
            _ => true,
        }
    }

    /// What runs on a drone, and for how long, milliseconds.
    fn begun(&self, drone: &DroneId) -> Vec<(&BuildRow, u64)> {
        let held = self.soft.fleet.hands.of(drone).filter_map(|id| self.rows.builds.get(&id));
        held.filter_map(|build| Some((build, self.elapsed_ms(build, build.assignment()?)?))).collect()
    }

    /// For how long a build has run, milliseconds; `None` if it has not begun. By the drone's own measure where there is one:
    /// its wall clock may be another.
    pub(crate) fn elapsed_ms(&self, build: &BuildRow, assignment: &Assignment) -> Option<u64> {
        let since = assignment.building_since?;
        let told = self.soft.fleet.pulse(&assignment.drone).and_then(|pulse| {
            let status = pulse.attempts.iter().find(|status| status.fence == build.fence())?;
            (status.elapsed_ms > 0)
                .then(|| status.elapsed_ms.saturating_add(self.now.at.saturating_sub(pulse.last_beat)))
        });
        Some(told.unwrap_or_else(|| self.now.wall.saturating_sub(since)))
    }

    /// Milliseconds until a drone is likely to begin one more order.
    pub(crate) fn wait_ms(&self, row: &DroneRow) -> u64 {
        self.waits_ms(row).0
    }

    /// The same, if everything before it was built before and keeps to what was learned.
    pub(super) fn known_wait_ms(&self, row: &DroneRow) -> Option<u64> {
        let (wait, known) = self.waits_ms(row);
        known.then_some(wait)
    }

    fn waits_ms(&self, row: &DroneRow) -> (u64, bool) {
        let mut slots = vec![0u64; row.slots.max(1) as usize];
        if self.held_count(&row.id) < slots.len() {
            return (0, true);
        }
        let mut known = true;
        let take = |slots: &mut Vec<u64>, length: u64| {
            if let Some(first) = slots.iter_mut().min() {
                *first = first.saturating_add(length);
            }
        };
        for (build, elapsed) in self.begun(&row.id) {
            let estimate = self.estimate_ms(build, row);
            known &= estimate.is_some_and(|estimate| estimate >= elapsed);
            take(&mut slots, estimate.unwrap_or(self.settings.default_duration).saturating_sub(elapsed));
        }
        for build in self.unbegun(&row.id).filter(|build| !is_leaving(build)) {
            let estimate = self.estimate_ms(build, row);
            known &= estimate.is_some();
            take(&mut slots, estimate.unwrap_or(self.settings.default_duration));
        }
        (slots.into_iter().min().unwrap_or(0), known)
    }
}

/// It is asked back or ended already.
fn is_leaving(build: &BuildRow) -> bool {
    build.assignment().is_some_and(|a| a.cancelling.is_some())
}
