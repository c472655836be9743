//! Giving out work: the line from its head, each package to the best of the free drones that may build it.

use std::collections::BTreeMap;

use swarm_protocol::{Attempt, BuildId, DroneId};

use super::eligible::{Reason, Rule};
use crate::rows::{Assignment, BuildState, Culprit, DroneRow, FailureMark};
use crate::state::Core;

/// Between two looks for packages nobody can build, milliseconds.
const LOOK_EVERY: u64 = 15_000;
/// Packages looked at each time.
const LOOK_AT: usize = 100;

impl Core {
    /// Gives out as much as fits.
    pub(crate) fn assign(&mut self) {
        if self.meta().paused.is_some() || !self.soft.graph.has_ready() {
            return;
        }
        let mut free: BTreeMap<DroneId, usize> = self
            .rows
            .drones
            .iter()
            .filter(|row| self.against_drone(&row.id).is_empty())
            .map(|row| {
                (
                    row.id.clone(),
                    (row.slots as usize).saturating_sub(self.soft.held.get(&row.id).map_or(0, |held| held.len())),
                )
            })
            .collect();
        if free.is_empty() {
            return;
        }
        let mut given = Vec::new();
        for id in self.soft.graph.ready() {
            let Some(drone) = self.best(id, free.keys()) else { continue };
            if let Some(slots) = free.get_mut(&drone) {
                *slots -= 1;
                if *slots == 0 {
                    free.remove(&drone);
                }
            }
            given.push((id, drone));
            if free.is_empty() {
                break;
            }
        }
        for (id, drone) in given {
            self.give(id, &drone);
        }
    }

    fn best<'a>(&self, id: BuildId, drones: impl Iterator<Item = &'a DroneId>) -> Option<DroneId> {
        let build = self.rows.builds.get(&id.0)?;
        let rows = drones.filter_map(|drone| self.rows.drones.get(&drone.0));
        // the long line is walked often, and most of what speaks against a drone are these three
        let fits =
            |row: &&DroneRow| row.build_profile == build.profile && row.base == build.base && row.tree == build.tree;
        let able = rows.filter(fits).filter(|row| self.against_package(row, build).is_empty());
        let total = |row: &&DroneRow| self.score(row, build).iter().map(|points| points.points).sum::<i64>();
        able.max_by_key(|row| (total(row), std::cmp::Reverse(row.name.clone()))).map(|row| row.id.clone())
    }

    fn give(&mut self, id: BuildId, drone: &DroneId) {
        let order = self.next_order(drone);
        let Some(row) = self.rows.builds.change(&id.0) else { return };
        row.attempt = Attempt(row.attempt.0 + 1);
        let atom = row.atom();
        let assignment = Assignment {
            drone: drone.clone(),
            order,
            assigned_at: self.now.wall,
            taken: false,
            building_since: None,
            cancelling: None,
        };
        self.set_state(id, BuildState::Delegated { assignment });
        let name = self.drone_name(drone);
        self.build_event("assign", id, format!("{atom} goes to {name}"), Some(name));
        self.send_build(id);
    }

    /// Ready packages that no drone may build, however free: announced after a while, and planned anew if the base or tree
    /// they were planned on exists no more.
    pub(crate) fn look_for_unplaceable(&mut self) {
        if self.now.at < self.soft.last_look + LOOK_EVERY || self.in_grace() {
            return;
        }
        self.soft.last_look = self.now.at;
        // reasons that end by themselves, like a failure of a drone some minutes ago
        self.soft.assign_due = true;
        // a part of the line each time, round and round
        let from = self.soft.look_from;
        let line: Vec<BuildId> = self.soft.graph.ready().skip(from).take(LOOK_AT).collect();
        self.soft.look_from = if line.len() < LOOK_AT { 0 } else { from + LOOK_AT };
        let mut outdated_builds = Vec::new();
        for id in line {
            let against = self.against_everywhere(id);
            if against.iter().any(|(_, reasons)| reasons.iter().all(|reason| reason.rule == Rule::FreeSlot)) {
                self.soft.unplaceable.remove(&id);
                continue;
            }
            let outdated =
                |reasons: &[Reason]| reasons.iter().any(|reason| matches!(reason.rule, Rule::Base | Rule::Tree));
            let online = |reasons: &[Reason]| {
                reasons.iter().all(|reason| reason.rule != Rule::Online && reason.rule != Rule::Profile)
            };
            let mut present = against.iter().filter(|(_, reasons)| online(reasons)).peekable();
            if present.peek().is_some() && present.all(|(_, reasons)| outdated(reasons)) {
                outdated_builds.push(id);
                continue;
            }
            self.announce_unplaceable(id, &against);
        }
        self.plan_anew(&outdated_builds);
    }

    fn announce_unplaceable(&mut self, id: BuildId, against: &[(String, Vec<Reason>)]) {
        let now = self.now.at;
        let entry = self.soft.unplaceable.entry(id).or_insert((now, false));
        if entry.1 || now < entry.0 + self.settings.unplaceable_after {
            return;
        }
        entry.1 = true;
        let failed_there = |reasons: &[Reason]| {
            reasons.iter().any(|reason| reason.rule == Rule::NotFailedHere)
                && reasons.iter().all(|reason| matches!(reason.rule, Rule::NotFailedHere | Rule::FreeSlot))
        };
        let lasting = |mark: &FailureMark| mark.culprit == Culprit::Package;
        if against.iter().any(|(_, reasons)| failed_there(reasons))
            && self.rows.builds.get(&id.0).is_some_and(|build| build.marks.iter().any(lasting))
        {
            return self.give_up_waiting(id);
        }
        let each = against.iter().take(5).map(|(name, reasons)| {
            let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
            format!("{name}: {}", texts.join(", "))
        });
        let each: Vec<String> = each.collect();
        let why = if each.is_empty() { "there is no drone".to_owned() } else { each.join("; ") };
        let atom = self.rows.builds.get(&id.0).map(|row| row.atom()).unwrap_or_default();
        self.build_event("warn", id, format!("nobody can build {atom}: {why}"), None);
    }

    /// For each drone by name, everything that speaks against it for a package.
    pub(crate) fn against_everywhere(&self, id: BuildId) -> Vec<(String, Vec<Reason>)> {
        let Some(build) = self.rows.builds.get(&id.0) else { return Vec::new() };
        self.rows
            .drones
            .iter()
            .map(|row| {
                let mut against = self.against_drone(&row.id);
                against.extend(self.against_package(row, build));
                (row.name.clone(), against)
            })
            .collect()
    }

    pub(crate) fn next_look(&self) -> Option<u64> {
        self.soft
            .graph
            .has_ready()
            .then(|| (self.soft.last_look + LOOK_EVERY).max(self.soft.started + self.settings.start_grace))
    }
}
