//! Ready packages that no drone may build, however free, and plans that no drone may make: announced after a while. Lines
//! whose base or tree exists no more are planned anew.
//!
//! Everything that waits is looked at in the order it is due, a bounded number at a time; while more are due, the next round
//! follows after a second. So 50,000 ready packages are all looked at within 100 s, what nobody can build among them is told
//! of within six minutes, and no round walks the queue.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, DroneId, PlanId};

use super::state::LOOK_EVERY;
use super::watch::{Chance, Subject};
use crate::core::Core;
use crate::explanation::{Reason, Rule};
use crate::place::Place;
use crate::rows::{BuildRow, Culprit, DroneRow, EventKind, FailureMark};

/// Between two looks at what somebody may take, or what people know of, milliseconds.
const LOOK_AGAIN: u64 = 60_000;
/// Packages and plans looked at in a round.
const LOOK_AT: usize = 500;
/// Pairs of a package and a drone compared in a round: only with a large fleet are there more. One package more is finished.
const LOOK_AT_PAIRS: u64 = 50_000;
/// Packages of one line planned anew in a round, besides those that wait for them.
const OUTDATED: usize = 500;
/// Drones named in an announcement.
const NAMED: usize = 5;

/// The fleet as a round finds it.
struct Fleet {
    able: BTreeMap<Place, Vec<DroneId>>,
    /// Places with packages but without drones.
    outdated: BTreeSet<Place>,
    /// Build profiles that somebody may plan for.
    planned: BTreeSet<String>,
}

impl Core {
    /// A round: looks at what is due.
    pub(crate) fn look_for_unplaceable(&mut self) {
        let now = self.now.at;
        if !self.soft.placement.is_look_due(now) || self.in_grace() {
            return;
        }
        if self.soft.placement.renew(now) {
            self.plan_outdated();
        }
        let is_done = self.look_at_due();
        self.soft.placement.round_ended(is_done, now);
    }

    /// When no drone has the base or tree of a line any more, its packages are planned anew, a part of the line at a time.
    fn plan_outdated(&mut self) {
        if !self.soft.queue.graph().has_ready() {
            return;
        }
        let outdated = self.outdated(&self.able_drones(false));
        let line = |place: &Place| self.soft.queue.graph().line(place).take(OUTDATED).collect::<Vec<_>>();
        let ids: Vec<BuildId> = outdated.iter().flat_map(line).collect();
        self.plan_anew(&ids);
    }

    /// Whether nothing is due any more.
    fn look_at_due(&mut self) -> bool {
        let mut fleet = None;
        let (mut looks, before) = (0, self.soft.placement.candidates());
        while let Some((subject, chance)) = self.soft.placement.watch.first_due(self.now.at) {
            if looks == LOOK_AT || self.soft.placement.candidates() - before >= LOOK_AT_PAIRS {
                return false;
            }
            looks += 1;
            let fleet = fleet.get_or_insert_with(|| self.fleet());
            let is_fair = match subject {
                Subject::Entry(id) => self.may_be_built(id, fleet),
                Subject::Plan(id) => self.rows.plans.get(&id).is_some_and(|plan| fleet.planned.contains(&plan.profile)),
            };
            self.note_chance(subject, chance, is_fair);
        }
        true
    }

    /// What follows from one look, and when the next one is.
    fn note_chance(&mut self, subject: Subject, known: Chance, is_fair: bool) {
        let now = self.now.at;
        let (at, chance) = match known {
            _ if is_fair => (now + LOOK_AGAIN, Chance::Fair),
            Chance::Fair => (now + LOOK_EVERY, Chance::None { since: now }),
            Chance::None { since } if now < since + self.settings.unplaceable_after => (now + LOOK_EVERY, known),
            Chance::None { .. } | Chance::Told => (now + LOOK_AGAIN, Chance::Told),
        };
        let is_news = chance == Chance::Told && known != Chance::Told;
        self.soft.placement.watch.put(subject, at, chance);
        match subject {
            Subject::Entry(id) if is_news => self.announce_unplaceable(id),
            Subject::Plan(id) if is_news => self.announce_unplanned(id),
            Subject::Entry(_) | Subject::Plan(_) => {}
        }
    }

    fn fleet(&self) -> Fleet {
        let able = self.able_drones(false);
        let outdated = self.outdated(&able);
        let planners =
            self.rows.drones.iter().filter(|row| self.against_planning(&row.id, &row.build_profile).is_empty());
        Fleet { outdated, planned: planners.map(|row| row.build_profile.clone()).collect(), able }
    }

    /// Places with packages but without drones, because the drones of that build profile have a newer base or tree by now.
    fn outdated(&self, able: &BTreeMap<Place, Vec<DroneId>>) -> BTreeSet<Place> {
        let is_outdated = |(place, first): &(&Place, BuildId)| {
            let Some(build) = self.rows.builds.get(first) else { return false };
            let mut present = self.rows.drones.iter().filter(|row| self.is_present(row, place)).peekable();
            // one that brings its tree up to date may have the right one in a moment
            let ahead = |row: &DroneRow| {
                (build.arch.is_empty() || row.arch == build.arch)
                    && (row.base != place.base || row.tree != place.tree)
                    && row.syncing.is_none()
            };
            present.peek().is_some() && present.all(ahead)
        };
        let lines = self.soft.queue.graph().lines().filter(|(place, _)| !able.contains_key(*place));
        lines.filter(is_outdated).map(|(place, _)| place.clone()).collect()
    }

    /// It is online and serves the build profile.
    fn is_present(&self, row: &DroneRow, place: &Place) -> bool {
        row.build_profile == place.profile && !row.is_sweeper() && self.is_online(row)
    }

    /// Some drone may build it, be it full; or it will be planned anew.
    fn may_be_built(&mut self, id: BuildId, fleet: &Fleet) -> bool {
        let Some(build) = self.rows.builds.get(&id) else { return true };
        let place = Place::of(build);
        if !self.soft.queue.graph().is_ready(id) || fleet.outdated.contains(&place) {
            return true;
        }
        let want = self.want(build);
        let mut steps = 1;
        let is_fair = fleet.able.get(&place).into_iter().flatten().any(|drone| {
            steps += 1;
            self.rows.drones.get(drone).is_some_and(|row| self.is_fit(row, &want))
        });
        self.soft.placement.looked_at(steps);
        is_fair
    }

    fn announce_unplaceable(&mut self, id: BuildId) {
        let Some(build) = self.rows.builds.get(&id) else { return };
        let against = |row: &DroneRow| {
            let mut against = self.against_drone(&row.id);
            against.extend(self.against_package(row, build));
            against
        };
        let failed_there = |mark: &FailureMark| {
            let reasons = self.rows.drones.get(&mark.drone).map(against).unwrap_or_default();
            reasons.iter().any(|reason| reason.rule == Rule::NotFailedHere)
                && reasons.iter().all(|reason| matches!(reason.rule, Rule::NotFailedHere | Rule::FreeSlot))
        };
        let lasting = |mark: &FailureMark| mark.culprit == Culprit::Package;
        if build.marks.iter().any(lasting) && build.marks.iter().any(failed_there) {
            return self.give_up_waiting(id);
        }
        let message = format!("nobody can build {}: {}", build.atom(), self.each_against(&build.profile, against));
        self.build_event(EventKind::Warn, id, message, None);
    }

    fn announce_unplanned(&mut self, id: PlanId) {
        let Some(plan) = self.rows.plans.get(&id) else { return };
        let Some(first) = plan.builds.first().copied() else { return };
        let atom = self.rows.builds.get(&first).map(BuildRow::atom).unwrap_or_default();
        let more = match plan.builds.len() - 1 {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let why = self.each_against(&plan.profile, |row| self.against_planning(&row.id, &plan.profile));
        self.build_event(EventKind::Warn, first, format!("nobody can plan {atom}{more}: {why}"), None);
    }

    /// What speaks against some drones, those of the build profile first.
    fn each_against(&self, profile: &str, against: impl Fn(&DroneRow) -> Vec<Reason>) -> String {
        let of = |same: bool| self.rows.drones.iter().filter(move |row| (row.build_profile == profile) == same);
        let each = of(true).chain(of(false)).take(NAMED).map(|row| {
            let texts: Vec<String> = against(row).into_iter().map(|reason| reason.text).collect();
            format!("{}: {}", row.name, texts.join(", "))
        });
        let each: Vec<String> = each.collect();
        if each.is_empty() { "there is no drone".to_owned() } else { each.join("; ") }
    }

    /// Notes whether a drone has more than its slots hold.
    pub(crate) fn note_line(&mut self, drone: &DroneId) {
        let slots = self.rows.drones.get(drone).map_or(0, |row| row.slots as usize);
        let has_line = self.held_count(drone) > slots;
        self.soft.placement.note_line(drone, has_line);
    }
}
