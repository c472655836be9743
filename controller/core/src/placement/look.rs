//! Ready packages that no drone may build, however free: announced after a while, and planned anew if the base or tree they
//! were planned on exists no more.

use swarm_protocol::{BuildId, DroneId};

use super::eligible::{Reason, Rule};
use crate::rows::{Culprit, FailureMark};
use crate::state::Core;

/// Between two looks for packages nobody can build, milliseconds.
const LOOK_EVERY: u64 = 15_000;
/// Packages looked at each time.
const LOOK_AT: usize = 100;

impl Core {
    /// Looks at a part of the lines.
    pub(crate) fn look_for_unplaceable(&mut self) {
        if self.now.at < self.soft.last_look + LOOK_EVERY || self.in_grace() {
            return;
        }
        self.soft.last_look = self.now.at;
        // reasons that end by themselves, like a failure of a drone some minutes ago
        self.soft.assign_due = true;
        self.soft.vain.clear();
        self.soft.swept_until.retain(|_, until| *until > self.now.at);
        // round and round
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
            let has = |reasons: &[Reason], rules: &[Rule]| reasons.iter().any(|reason| rules.contains(&reason.rule));
            // one that brings its tree up to date may have the right one in a moment
            let outdated =
                |reasons: &[Reason]| has(reasons, &[Rule::Base, Rule::Tree]) && !has(reasons, &[Rule::NotSyncing]);
            let present = |reasons: &[Reason]| !has(reasons, &[Rule::Online, Rule::Profile, Rule::NotSweeper]);
            let mut present = against.iter().filter(|(_, reasons)| present(reasons)).peekable();
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

    /// While something waits, in a line or with a sweeper's rest, time alone may let it be given out.
    pub(crate) fn next_look(&self) -> Option<u64> {
        let waits =
            self.soft.graph.has_ready() || !self.soft.swept_until.is_empty() || !self.soft.with_lines.is_empty();
        waits.then(|| (self.soft.last_look + LOOK_EVERY).max(self.soft.started + self.settings.start_grace))
    }

    /// Notes whether a drone has more than its slots hold.
    pub(crate) fn note_line(&mut self, drone: &DroneId) {
        let slots = self.rows.drones.get(&drone.0).map_or(0, |row| row.slots as usize);
        if self.held_count(drone) > slots {
            self.soft.with_lines.insert(drone.clone());
        } else {
            self.soft.with_lines.remove(drone);
        }
    }
}
