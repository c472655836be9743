//! Plans: who resolves what, and what becomes of the answer. A plan turns atoms into exact entries and their dependencies
//! into entries of their own, each with what it must wait for.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlanAnswer, PlannedPackage};
use swarm_protocol::{BuildId, Cpv, DroneId, PlanId};

use super::request::blank;
use crate::effect::Answer;
use crate::input::ReplyTo;
use crate::rows::{BlockedBy, BuildRow, BuildState, Identity, IndexKey, Origin, Outcome, PlanRow, PlanState, Received};
use crate::state::Core;

/// Wait before a plan whose planner failed is tried elsewhere, milliseconds.
const PLANNER_BACKOFF: u64 = 30_000;
/// Characters of a resolver's complaint that are kept.
const MAX_COMPLAINT: usize = 4_000;

impl Core {
    pub(crate) fn planned(&mut self, drone: &DroneId, id: PlanId, attempt: u32, plan: Plan, reply: ReplyTo) {
        let answer = match self.rows.plans.get(&id.0).cloned() {
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

    /// A plan is settled.
    pub(crate) fn forget_plan(&mut self, id: u64) {
        self.rows.plans.remove(&id);
        self.soft.gave_up.remove(&id);
    }

    fn take_plan(&mut self, drone: &DroneId, row: &PlanRow, plan: Plan) -> PlanAnswer {
        if let Some(complaint) = &plan.complaint {
            self.complained(drone, row, complaint);
            return PlanAnswer::Durable {};
        }
        if let Err(reason) = well_formed(&plan, row.builds.len()) {
            let name = self.drone_name(drone);
            self.event("warn", format!("{name} sent a plan that cannot be used: {reason}"), |event| {
                event.drone = Some(name)
            });
            self.plan_later(row.id.0, drone);
            return PlanAnswer::Refused { reason };
        }
        self.forget_plan(row.id.0);
        self.apply(drone, row, &plan);
        PlanAnswer::Durable {}
    }

    fn plan_later(&mut self, id: u64, failed: &DroneId) {
        self.soft.gave_up.insert(id, failed.clone());
        let not_before = self.now.at + PLANNER_BACKOFF;
        if let Some(plan) = self.rows.plans.change(&id) {
            plan.not_before = not_before;
            plan.state = PlanState::Waiting {};
        }
    }

    /// The resolver could not: several atoms are asked for again in two halves, so that a bad one does not stop the good
    /// ones; a single one is blocked with the resolver's words.
    fn complained(&mut self, drone: &DroneId, row: &PlanRow, complaint: &Complaint) {
        if complaint.kind == ComplaintKind::Planner {
            let name = self.drone_name(drone);
            let message = format!("{name} could not plan: {}", first_line(&complaint.text));
            self.event("warn", message, |event| event.drone = Some(name));
            self.plan_later(row.id.0, drone);
            return;
        }
        self.forget_plan(row.id.0);
        if let [only] = row.builds[..] {
            let text: String = complaint.text.chars().take(MAX_COMPLAINT).collect();
            self.build_event("blocked", only, format!("cannot be resolved: {}", first_line(&text)), None);
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
        let Some(planner) = self.rows.drones.get(&drone.0) else { return };
        let place = Place {
            index: IndexKey {
                arch: planner.arch.clone(),
                profile: planner.build_profile.clone(),
                chost: planner.chost.clone(),
            },
            base: planner.base.clone(),
            tree: planner.tree.clone(),
        };
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
            if let Some((entry, is_new)) = self.entry_for(row, package, &place, &askers) {
                entries.insert(*index, entry);
                if is_new {
                    new.insert(*index);
                }
            }
        }
        let before = waits(plan);
        // what they waited for by an earlier plan counts no more
        for index in &new {
            self.soft.graph.set(entries[index], &[]);
        }
        // in merge order, so that nobody waits yet for an entry whose needs are set
        for index in plan.order.iter().copied().filter(|index| new.contains(index)) {
            let after = before[index as usize].iter().filter_map(|need| entries.get(need).copied()).collect();
            let entry = entries[&index];
            self.set_after(entry, after);
            if matches!(self.rows.builds.get(&entry.0).map(|row| &row.state), Some(BuildState::Planning { .. })) {
                self.set_state(entry, BuildState::Needed { not_before: 0 });
            }
        }
    }

    /// The entry that stands for a planned package, and whether this plan made or resolved it; `None` if the binhost has it
    /// and nobody asked for it by name.
    fn entry_for(
        &mut self,
        row: &PlanRow,
        package: &PlannedPackage,
        place: &Place,
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
        let rebuild = askers.iter().any(|id| self.rows.builds.get(&id.0).is_some_and(|build| build.rebuild));
        let known = self.soft.identities.get(&key).copied().filter(|id| !askers.contains(id));
        let reuse = known.filter(|id| !rebuild || self.is_open(*id));
        if let Some(entry) = reuse {
            for asker in askers {
                self.join(*asker, entry);
            }
            return Some((entry, false));
        }
        let present = self.present_size(&place.index, &key.0);
        self.build_on(row.session, &place.index, &key.0);
        let entry = match askers.first() {
            Some(first) => *first,
            None if present.is_some() && !row.fresh => return None,
            None => self.next_build(),
        };
        let known_row = self.rows.builds.get(&entry.0).cloned();
        self.forget_identity(entry);
        let origin = if askers.is_empty() { Origin::Dependency } else { Origin::Asked };
        let born = || {
            blank(
                entry,
                row.session,
                &row.profile,
                format!("={}", package.cpv),
                row.package_use.clone(),
                origin,
                row.id,
                self.now.wall,
            )
        };
        let build = BuildRow {
            cpv: Some(package.cpv.clone()),
            slot: package.slot.clone(),
            repository: package.repository.clone(),
            use_flags: package.use_flags.clone(),
            restrict: package.restrict.clone(),
            base: place.base.clone(),
            tree: place.tree.clone(),
            ..known_row.clone().unwrap_or_else(born)
        };
        if known_row.is_some() {
            self.rows.builds.put(build)
        } else {
            self.add_build(build)
        }
        self.soft.identities.insert(key, entry);
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

    /// A plan makes another package of an entry: by its old identity it is not found any more.
    pub(crate) fn forget_identity(&mut self, id: BuildId) {
        let Some(row) = self.rows.builds.get(&id.0) else { return };
        let Some(key) = row.identity().map(|identity| (identity, row.session)) else { return };
        if self.soft.identities.get(&key) == Some(&id) {
            self.soft.identities.remove(&key);
        }
    }

    /// An entry turned out to be the same package as another: the other stands for both.
    fn join(&mut self, duplicate: BuildId, entry: BuildId) {
        let Some(row) = self.rows.builds.get(&duplicate.0) else { return };
        let asked = row.asked.clone();
        if let Some(kept) = self.rows.builds.change(&entry.0) {
            kept.origin = Origin::Asked;
        }
        let atom = self.rows.builds.get(&entry.0).map(BuildRow::atom).unwrap_or_default();
        self.build_event("control", entry, format!("{asked} is {atom}, which is in the queue already"), None);
        let waiting: Vec<BuildId> = self.soft.graph.dependents(duplicate).collect();
        for dependent in waiting {
            self.wait_for_instead(dependent, duplicate, entry);
        }
        self.drop_build(duplicate);
    }

    fn received_without_build(&mut self, id: BuildId, why: &str) {
        self.build_event("control", id, format!("nothing to build: {why}"), None);
        let received =
            Received { at: self.now.wall, drone: None, duration_ms: 0, how: Outcome::AlreadyPresent, size: 0 };
        self.set_state(id, BuildState::Received { received });
    }
}

/// Where a plan was made.
struct Place {
    index: IndexKey,
    base: String,
    tree: String,
}

/// A planner is not trusted to be right: indices, names and sizes are checked.
fn well_formed(plan: &Plan, atoms: usize) -> Result<(), String> {
    let count = plan.packages.len();
    let inside = |index: u32| (index as usize) < count;
    if plan.targets.len() != atoms {
        return Err(format!("{} targets for {atoms} atoms", plan.targets.len()));
    }
    if let Some(bad) = plan.packages.iter().find(|package| package.cpv.parse::<Cpv>().is_err()) {
        return Err(format!("{:?} is no package", bad.cpv));
    }
    let ordered: BTreeSet<u32> = plan.order.iter().copied().collect();
    if ordered.len() != count || plan.order.len() != count || !ordered.iter().all(|index| inside(*index)) {
        return Err("the merge order does not name each package once".to_owned());
    }
    if !plan.edges.iter().all(|edge| inside(edge.from) && inside(edge.to))
        || !plan.targets.iter().flatten().all(|index| inside(*index))
    {
        return Err("an index is out of range".to_owned());
    }
    Ok(())
}

/// For each package what must be in the binhost before it is built: its build-time and run-time dependencies (emerge merges
/// the package, so a missing run-time dependency would be compiled on the side, one after the other) and their run-time closure, as far as they come earlier in the merge order (that breaks cycles as Portage does; decision 16).
fn waits(plan: &Plan) -> Vec<BTreeSet<u32>> {
    let mut place = vec![0usize; plan.packages.len()];
    for (at, index) in plan.order.iter().enumerate() {
        place[*index as usize] = at;
    }
    let mut build_time = vec![Vec::new(); plan.packages.len()];
    let mut run_time = vec![Vec::new(); plan.packages.len()];
    for edge in &plan.edges {
        if edge.build_time {
            build_time[edge.from as usize].push(edge.to);
        }
        if edge.run_time {
            run_time[edge.from as usize].push(edge.to);
        }
    }
    let closure = |package: usize| {
        let mut found = BTreeSet::new();
        let mut open: Vec<u32> = build_time[package].iter().chain(&run_time[package]).copied().collect();
        while let Some(need) = open.pop() {
            if found.insert(need) {
                open.extend(&run_time[need as usize]);
            }
        }
        found.retain(|need| place[*need as usize] < place[package]);
        found
    };
    (0..plan.packages.len()).map(closure).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim()
}

#[cfg(test)]
mod tests {
    use swarm_protocol::plan::PlannedEdge;

    use super::*;

    fn plan(names: &[&str], edges: &[(u32, u32, bool, bool)]) -> Plan {
        Plan {
            packages: names
                .iter()
                .map(|cpv| PlannedPackage { cpv: (*cpv).to_owned(), ..PlannedPackage::default() })
                .collect(),
            edges: edges
                .iter()
                .map(|&(from, to, build_time, run_time)| PlannedEdge { from, to, build_time, run_time })
                .collect(),
            order: (0..names.len() as u32).collect(),
            targets: vec![],
            ..Plan::default()
        }
    }

    #[test]
    fn build_dependencies_bring_their_run_time_closure() {
        let plan = plan(
            &["a/lib-1", "a/data-1", "a/tool-1", "a/app-1"],
            &[(2, 1, false, true), (3, 2, true, false), (3, 0, false, true)],
        );
        let waits = waits(&plan);
        assert_eq!(
            waits[3],
            BTreeSet::from([0, 1, 2]),
            "the tool and what it needs to run, and what the app needs to run: emerge would build it on the side"
        );
    }

    #[test]
    fn cycles_are_broken_in_merge_order() {
        let plan = plan(&["a/one-1", "a/two-1"], &[(0, 1, true, true), (1, 0, true, true)]);
        let waits = waits(&plan);
        assert_eq!((waits[0].len(), waits[1].clone()), (0, BTreeSet::from([0])));
    }

    #[test]
    fn a_planner_is_not_trusted() {
        let mut bad = plan(&["a/one-1"], &[(0, 9, true, false)]);
        bad.targets = vec![Some(0)];
        assert!(well_formed(&bad, 1).unwrap_err().contains("out of range"));
        bad.edges.clear();
        assert_eq!(well_formed(&bad, 1), Ok(()));
        assert!(well_formed(&bad, 2).unwrap_err().contains("targets"));
        bad.order = vec![0, 0];
        assert!(well_formed(&bad, 1).unwrap_err().contains("merge order"));
        bad.order = vec![0];
        bad.packages[0].cpv = "../../etc".to_owned();
        assert!(well_formed(&bad, 1).unwrap_err().contains("no package"));
    }
}
