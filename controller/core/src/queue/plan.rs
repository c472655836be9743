//! Plans: who resolves what, and what becomes of the answer. A plan turns atoms into exact entries and their dependencies
//! into entries of their own, each with what it must wait for.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlanAnswer, PlannedPackage};
use swarm_protocol::{BuildId, DroneId, PlanId};

use super::request::blank;
use super::waits::{waits, well_formed};
use crate::answer::{Answer, ReplyTo};
use crate::core::Core;
use crate::rows::{
    BlockedBy, BuildRow, BuildState, BuildWishes, EventKind, Identity, IndexKey, Origin, Outcome, PlanRow, PlanState,
    Received,
};

/// Wait before a plan whose planner failed is tried elsewhere, milliseconds.
const PLANNER_BACKOFF: u64 = 30_000;
/// Characters of a resolver's complaint that are kept.
const MAX_COMPLAINT: usize = 4_000;

impl Core {
    pub(crate) fn planned(&mut self, drone: &DroneId, id: PlanId, attempt: u32, plan: Plan, reply: ReplyTo) {
        let answer = match self.rows.plans.get(&id).cloned() {
            Some(row)
                if row.attempt == attempt
                    && matches!(&row.state, PlanState::Sent { drone: who, .. } if who == drone) =>
            {
                self.take_plan(drone, &row, plan)
            }
            Some(_) => PlanAnswer::Superseded { reason: "another planner was asked since".to_owned() },
            None => PlanAnswer::Superseded { reason: "the request is settled".to_owned() },
        };
        self.reply(reply, Answer::Plan(answer));
    }

    fn take_plan(&mut self, drone: &DroneId, row: &PlanRow, plan: Plan) -> PlanAnswer {
        if let Some(complaint) = &plan.complaint {
            self.complained(drone, row, complaint);
            return PlanAnswer::Durable {};
        }
        if let Err(reason) = well_formed(&plan, row.builds.len()) {
            let name = self.drone_name(drone);
            self.event(EventKind::Warn, format!("{name} sent a plan that cannot be used: {reason}"), |event| {
                event.drone = Some(name)
            });
            self.plan_later(row.id, drone);
            return PlanAnswer::Refused { reason };
        }
        self.forget_plan(row.id);
        self.apply(drone, row, &plan);
        PlanAnswer::Durable {}
    }

    fn plan_later(&mut self, id: PlanId, failed: &DroneId) {
        self.soft.queue.plans.gave_up(id, failed);
        let not_before = self.now.at + PLANNER_BACKOFF;
        self.change_plan(id, |plan| {
            plan.not_before = not_before;
            plan.state = PlanState::Waiting {};
        });
    }

    /// The resolver could not: several atoms are asked for again in two halves, so that a bad one does not stop the good
    /// ones; a single one is blocked with the resolver's words.
    fn complained(&mut self, drone: &DroneId, row: &PlanRow, complaint: &Complaint) {
        if complaint.kind == ComplaintKind::Planner {
            let name = self.drone_name(drone);
            let message = format!("{name} could not plan: {}", first_line(&complaint.text));
            self.event(EventKind::Warn, message, |event| event.drone = Some(name));
            self.plan_later(row.id, drone);
            return;
        }
        self.forget_plan(row.id);
        if let [only] = row.builds[..] {
            if self.rows.builds.get(&only).is_some_and(|row| row.origin == Origin::Dependency) {
                return self.drop_unknown(only, first_line(&complaint.text));
            }
            let text: String = complaint.text.chars().take(MAX_COMPLAINT).collect();
            self.build_event(EventKind::Blocked, only, format!("cannot be resolved: {}", first_line(&text)), None);
            let (reasons, since, by) = (vec![text], self.now.wall, BlockedBy::Resolver);
            let state = match self.retry_moment(only) {
                Some(at) => BuildState::Blocked { by, reasons, since, retry_at: Some(at) },
                None => BuildState::Failed { reasons, since },
            };
            return self.set_state(only, state);
        }
        let (one, other) = row.builds.split_at(row.builds.len() / 2);
        for half in [one, other] {
            self.plan_together(PlanRow { builds: half.to_vec(), not_before: 0, ..row.clone() });
        }
    }

    fn apply(&mut self, drone: &DroneId, row: &PlanRow, plan: &Plan) {
        let Some(planner) = self.rows.drones.get(drone) else { return };
        let ground = Ground {
            index: IndexKey {
                arch: planner.arch.clone(),
                profile: planner.build_profile.clone(),
                chost: planner.chost.clone(),
            },
            base: planner.base.clone(),
            tree: planner.tree.clone(),
            wishes: self.wishes_of(&row.builds),
        };
        let former = self.soft.queue.graph.before(row.builds.iter().copied());
        let mut targets: BTreeMap<u32, Vec<BuildId>> = BTreeMap::new();
        for (build, target) in row.builds.iter().zip(&plan.targets) {
            match target {
                Some(index) => targets.entry(*index).or_default().push(*build),
                None => self.received_without_build(*build, "the base has it installed"),
            }
        }
        let mut entries: BTreeMap<u32, BuildId> = BTreeMap::new();
        let mut new = BTreeSet::new();
        for index in &plan.order {
            let package = &plan.packages[*index as usize];
            let askers = targets.remove(index).unwrap_or_default();
            if let Some((entry, is_new)) = self.entry_for(row, package, &ground, &askers) {
                entries.insert(*index, entry);
                if is_new {
                    new.insert(*index);
                }
            }
        }
        let before = waits(plan, &new);
        // what they waited for by an earlier plan counts no more
        for index in &new {
            self.soft.queue.graph.clear_needs(entries[index]);
        }
        // in merge order, so that nobody waits yet for an entry whose needs are set
        for index in plan.order.iter().copied().filter(|index| new.contains(index)) {
            let needs = before.get(&index).into_iter().flatten();
            let after = needs.filter_map(|need| entries.get(need).copied()).collect();
            let entry = entries[&index];
            self.set_after(entry, after);
            match self.rows.builds.get(&entry).map(|row| &row.state) {
                Some(BuildState::Planning { .. }) => self.set_state(entry, BuildState::Needed { not_before: 0 }),
                // it stood in the line of another place
                Some(&BuildState::Needed { not_before }) => self.set_state(entry, BuildState::Needed { not_before }),
                _ => {}
            }
        }
        self.drop_superseded(former, &entries.into_values().collect(), plan);
    }

    /// What the entries of a plan were asked for with; they come from one request. Dependencies get the same.
    fn wishes_of(&self, builds: &[BuildId]) -> BuildWishes {
        let first = builds.iter().find_map(|id| self.rows.builds.get(id));
        // how long the packages asked for may take says nothing of what they need
        first.map_or_else(BuildWishes::default, |row| BuildWishes {
            memory_bytes: 0,
            total_ms: None,
            silence_ms: None,
            ..row.wishes.clone()
        })
    }

    /// The entry that stands for a planned package, and whether this plan made or resolved it; `None` if the binhost has it
    /// and nobody asked for it by name.
    fn entry_for(
        &mut self,
        row: &PlanRow,
        package: &PlannedPackage,
        ground: &Ground,
        askers: &[BuildId],
    ) -> Option<(BuildId, bool)> {
        let identity = Identity {
            profile: row.profile.clone(),
            cpv: package.cpv.clone(),
            slot: package.slot.clone(),
            repository: package.repository.clone(),
            use_flags: package.use_flags.clone(),
        };
        let key = (identity, row.session);
        let rebuild = askers.iter().any(|id| self.rows.builds.get(id).is_some_and(|build| build.rebuild));
        let known = self.soft.queue.identities.get(&key).filter(|id| !askers.contains(id));
        let moved = known.filter(|id| self.is_left_elsewhere(*id, ground));
        let askers: Vec<BuildId> = moved.into_iter().chain(askers.iter().copied()).collect();
        if let Some(entry) = moved {
            self.raise(entry, ground.wishes.priority);
        }
        let reuse = known.filter(|id| moved.is_none() && (!rebuild || self.is_open(*id)));
        if let Some(entry) = reuse {
            for asker in askers {
                self.join(asker, entry);
            }
            self.raise(entry, ground.wishes.priority);
            return Some((entry, false));
        }
        let present = self.present_size(&ground.index, &key.0);
        self.build_on(row.session, &ground.index, &key.0);
        let entry = match askers.first() {
            Some(first) => *first,
            None if present.is_some() && !row.fresh => return None,
            None => self.next_build(),
        };
        let origin = if askers.is_empty() { Origin::Dependency } else { Origin::Asked };
        self.become_planned(entry, row, package, ground, origin);
        self.soft.queue.identities.note(key.0, key.1, entry);
        for duplicate in askers.iter().skip(1) {
            self.join(*duplicate, entry);
        }
        match present {
            Some(size) if !rebuild => {
                let received =
                    Received { at: self.now.wall, drone: None, duration_ms: 0, how: Outcome::AlreadyPresent, size };
                self.set_state(entry, BuildState::Received { received });
                Some((entry, false))
            }
            _ => Some((entry, true)),
        }
    }

    /// An entry, which may be new, is the package that was planned.
    fn become_planned(
        &mut self,
        entry: BuildId,
        row: &PlanRow,
        package: &PlannedPackage,
        ground: &Ground,
        origin: Origin,
    ) {
        let known_row = self.rows.builds.get(&entry).cloned();
        self.forget_identity(entry);
        let born = || BuildRow {
            package_use: row.package_use.clone(),
            wishes: ground.wishes.clone(),
            ..blank(entry, row.session, &row.profile, format!("={}", package.cpv), origin, row.id, self.now)
        };
        let build = BuildRow {
            cpv: Some(package.cpv.clone()),
            slot: package.slot.clone(),
            repository: package.repository.clone(),
            use_flags: package.use_flags.clone(),
            restrict: package.restrict.clone(),
            sources: sorted(&package.sources),
            arch: ground.index.arch.clone(),
            base: ground.base.clone(),
            tree: ground.tree.clone(),
            ..known_row.clone().unwrap_or_else(born)
        };
        if known_row.is_some() { self.rewrite(build) } else { self.add_build(build) }
    }

    /// A dependency that was planned for another base or tree and waits there: it is built where those are built who need it.
    fn is_left_elsewhere(&self, id: BuildId, ground: &Ground) -> bool {
        self.rows.builds.get(&id).is_some_and(|row| {
            row.origin == Origin::Dependency
                && matches!(row.state, BuildState::Needed { .. })
                && (row.base != ground.base || row.tree != ground.tree)
        })
    }

    /// A plan makes another package of an entry: by its old identity it is not found any more.
    pub(crate) fn forget_identity(&mut self, id: BuildId) {
        let Some(row) = self.rows.builds.get(&id) else { return };
        let Some(identity) = row.identity() else { return };
        self.soft.queue.identities.forget(identity, row.session, id);
    }

    /// Somebody with a higher priority needs an entry, too.
    fn raise(&mut self, entry: BuildId, priority: i32) {
        let Some(row) = self.rows.builds.get(&entry).filter(|row| row.wishes.priority < priority) else { return };
        let mut row = row.clone();
        row.wishes.priority = priority;
        self.soft.queue.graph.set_lead(entry, self.lead(&row));
        self.rows.builds.put(row);
    }

    /// An entry turned out to be the same package as another: the other stands for both. What was asked for once more is
    /// tried once more, unless a person blocked it.
    fn join(&mut self, duplicate: BuildId, entry: BuildId) {
        let Some(row) = self.rows.builds.get(&duplicate) else { return };
        let asked = row.asked.clone();
        if let Some(kept) = self.rows.builds.change(&entry) {
            kept.origin = Origin::Asked;
        }
        let atom = self.rows.builds.get(&entry).map(BuildRow::atom).unwrap_or_default();
        self.build_event(EventKind::Control, entry, format!("{asked} is {atom}, which is in the queue already"), None);
        let waiting: Vec<BuildId> = self.soft.queue.graph.dependents(duplicate).collect();
        for dependent in waiting {
            self.wait_for_instead(dependent, duplicate, entry);
        }
        self.drop_build(duplicate);
        let given_up = |state: &BuildState| match state {
            BuildState::Blocked { by, .. } => !matches!(by, BlockedBy::Person { .. }),
            other => matches!(other, BuildState::Failed { .. }),
        };
        if self.rows.builds.get(&entry).is_some_and(|row| given_up(&row.state)) {
            self.start_anew(entry);
        }
    }

    fn received_without_build(&mut self, id: BuildId, why: &str) {
        self.build_event(EventKind::Control, id, format!("nothing to build: {why}"), None);
        let received =
            Received { at: self.now.wall, drone: None, duration_ms: 0, how: Outcome::AlreadyPresent, size: 0 };
        self.set_state(id, BuildState::Received { received });
    }
}

/// Where a plan was made, and what its entries were asked for with.
struct Ground {
    index: IndexKey,
    base: String,
    tree: String,
    wishes: BuildWishes,
}

/// Source files kept of a package.
const MAX_SOURCES: usize = 64;

fn sorted(sources: &[u32]) -> Vec<u32> {
    let mut sources: Vec<u32> = sources.iter().copied().take(MAX_SOURCES).collect();
    sources.sort_unstable();
    sources
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim()
}
