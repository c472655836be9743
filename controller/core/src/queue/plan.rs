//! Plans: who resolves what, and what becomes of the answer. A plan turns atoms into exact entries and their dependencies
//! into entries of their own, each with what it must wait for.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::plan::{Complaint, ComplaintKind, Plan, PlanAnswer, PlannedPackage};
use swarm_protocol::{BuildId, Cpv, DroneId, PlanId};

use super::request::blank;
use crate::core::Core;
use crate::effect::Answer;
use crate::input::ReplyTo;
use crate::rows::{
    BlockedBy, BuildRow, BuildState, Identity, IndexKey, Origin, Outcome, PlanRow, PlanState, Received, Wishes,
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
            self.event("warn", format!("{name} sent a plan that cannot be used: {reason}"), |event| {
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
        self.soft.gave_up.insert(id, failed.clone());
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
            self.event("warn", message, |event| event.drone = Some(name));
            self.plan_later(row.id, drone);
            return;
        }
        self.forget_plan(row.id);
        if let [only] = row.builds[..] {
            if self.rows.builds.get(&only).is_some_and(|row| row.origin == Origin::Dependency) {
                return self.drop_unknown(only, first_line(&complaint.text));
            }
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
        let Some(planner) = self.rows.drones.get(drone) else { return };
        let place = Place {
            index: IndexKey {
                arch: planner.arch.clone(),
                profile: planner.build_profile.clone(),
                chost: planner.chost.clone(),
            },
            base: planner.base.clone(),
            tree: planner.tree.clone(),
            wishes: self.wishes_of(&row.builds),
        };
        let former = self.soft.graph.before(row.builds.iter().copied());
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
        let before = waits(plan, &new);
        // what they waited for by an earlier plan counts no more
        for index in &new {
            self.soft.graph.clear_needs(entries[index]);
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
    fn wishes_of(&self, builds: &[BuildId]) -> Wishes {
        let first = builds.iter().find_map(|id| self.rows.builds.get(id));
        // how long the packages asked for may take says nothing of what they need
        first.map_or_else(Wishes::default, |row| Wishes {
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
        let rebuild = askers.iter().any(|id| self.rows.builds.get(id).is_some_and(|build| build.rebuild));
        let known = self.soft.identities.get(&key).copied().filter(|id| !askers.contains(id));
        let moved = known.filter(|id| self.is_left_elsewhere(*id, place));
        let askers: Vec<BuildId> = moved.into_iter().chain(askers.iter().copied()).collect();
        if let Some(entry) = moved {
            self.raise(entry, place.wishes.priority);
        }
        let reuse = known.filter(|id| moved.is_none() && (!rebuild || self.is_open(*id)));
        if let Some(entry) = reuse {
            for asker in askers {
                self.join(asker, entry);
            }
            self.raise(entry, place.wishes.priority);
            return Some((entry, false));
        }
        let present = self.present_size(&place.index, &key.0);
        self.build_on(row.session, &place.index, &key.0);
        let entry = match askers.first() {
            Some(first) => *first,
            None if present.is_some() && !row.fresh => return None,
            None => self.next_build(),
        };
        let origin = if askers.is_empty() { Origin::Dependency } else { Origin::Asked };
        self.become_planned(entry, row, package, place, origin);
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

    /// An entry, which may be new, is the package that was planned.
    fn become_planned(
        &mut self,
        entry: BuildId,
        row: &PlanRow,
        package: &PlannedPackage,
        place: &Place,
        origin: Origin,
    ) {
        let known_row = self.rows.builds.get(&entry).cloned();
        self.forget_identity(entry);
        let born = || BuildRow {
            package_use: row.package_use.clone(),
            wishes: place.wishes.clone(),
            ..blank(entry, row.session, &row.profile, format!("={}", package.cpv), origin, row.id, self.now)
        };
        let build = BuildRow {
            cpv: Some(package.cpv.clone()),
            slot: package.slot.clone(),
            repository: package.repository.clone(),
            use_flags: package.use_flags.clone(),
            restrict: package.restrict.clone(),
            sources: sorted(&package.sources),
            arch: place.index.arch.clone(),
            base: place.base.clone(),
            tree: place.tree.clone(),
            ..known_row.clone().unwrap_or_else(born)
        };
        if known_row.is_some() { self.rewrite(build) } else { self.add_build(build) }
    }

    /// A dependency that was planned for another base or tree and waits there: it is built where those are built who need it.
    fn is_left_elsewhere(&self, id: BuildId, place: &Place) -> bool {
        self.rows.builds.get(&id).is_some_and(|row| {
            row.origin == Origin::Dependency
                && matches!(row.state, BuildState::Needed { .. })
                && (row.base != place.base || row.tree != place.tree)
        })
    }

    /// A plan makes another package of an entry: by its old identity it is not found any more.
    pub(crate) fn forget_identity(&mut self, id: BuildId) {
        let Some(row) = self.rows.builds.get(&id) else { return };
        let Some(key) = row.identity().map(|identity| (identity, row.session)) else { return };
        if self.soft.identities.get(&key) == Some(&id) {
            self.soft.identities.remove(&key);
        }
    }

    /// Somebody with a higher priority needs an entry, too.
    fn raise(&mut self, entry: BuildId, priority: i32) {
        let Some(row) = self.rows.builds.get(&entry).filter(|row| row.wishes.priority < priority) else { return };
        let mut row = row.clone();
        row.wishes.priority = priority;
        self.soft.graph.set_lead(entry, self.lead(&row));
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
        self.build_event("control", entry, format!("{asked} is {atom}, which is in the queue already"), None);
        let waiting: Vec<BuildId> = self.soft.graph.dependents(duplicate).collect();
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
        self.build_event("control", id, format!("nothing to build: {why}"), None);
        let received =
            Received { at: self.now.wall, drone: None, duration_ms: 0, how: Outcome::AlreadyPresent, size: 0 };
        self.set_state(id, BuildState::Received { received });
    }
}

/// Where a plan was made, and what its entries were asked for with.
struct Place {
    index: IndexKey,
    base: String,
    tree: String,
    wishes: Wishes,
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

/// Steps taken to find what packages wait for; a plan so entangled that they do not suffice gets the direct needs alone for
/// the rest, and emerge builds what is missing on the side.
const MAX_STEPS: usize = 20_000_000;

/// For each of the `new` packages what must be in the binhost before it is built: its build-time and run-time dependencies
/// (emerge merges the package, so a missing run-time dependency would be compiled on the side, one after the other) and their
/// run-time closure, as far as they come earlier in the merge order (that breaks cycles as Portage does; decision 16).
///
/// A dependency that is new itself and comes after all of its own closure waits for that closure; whoever waits for it need
/// not be told again. So a chain of n packages has n edges and not n²/2.
fn waits(plan: &Plan, new: &BTreeSet<u32>) -> BTreeMap<u32, BTreeSet<u32>> {
    let count = plan.packages.len();
    let mut place = vec![0usize; count];
    for (at, index) in plan.order.iter().enumerate() {
        place[*index as usize] = at;
    }
    let mut direct = vec![Vec::new(); count];
    let mut run_time = vec![Vec::new(); count];
    for edge in plan.edges.iter().filter(|edge| edge.build_time || edge.run_time) {
        direct[edge.from as usize].push(edge.to);
        if edge.run_time {
            run_time[edge.from as usize].push(edge.to);
        }
    }
    let last = last_of_closure(&plan.order, &place, &run_time);
    let closed = |package: u32| new.contains(&package) && last[package as usize] < Some(place[package as usize]);
    let mut steps = 0;
    let mut closure = |package: u32| {
        let own = place[package as usize];
        let mut found = BTreeSet::new();
        let mut open: Vec<u32> = direct[package as usize].clone();
        while let Some(need) = open.pop() {
            steps += 1;
            let waits_itself = closed(need) && place[need as usize] < own;
            if found.insert(need) && !waits_itself && steps < MAX_STEPS {
                open.extend(&run_time[need as usize]);
            }
        }
        found.retain(|need| place[*need as usize] < own);
        found
    };
    new.iter().map(|package| (*package, closure(*package))).collect()
}

/// For each package the latest place in the merge order of anything in its run-time closure; `None` if that is empty.
fn last_of_closure(order: &[u32], place: &[usize], run_time: &[Vec<u32>]) -> Vec<Option<usize>> {
    let mut needed_by = vec![Vec::new(); run_time.len()];
    for (from, needs) in run_time.iter().enumerate() {
        for need in needs {
            needed_by[*need as usize].push(from);
        }
    }
    let mut last = vec![None; run_time.len()];
    // from the end of the order: what reaches a package and was not reached yet has it as its latest
    for target in order.iter().rev() {
        let target = *target as usize;
        let mut open = vec![target];
        while let Some(next) = open.pop() {
            for from in &needed_by[next] {
                if last[*from].is_none() {
                    last[*from] = Some(place[target]);
                    open.push(*from);
                }
            }
        }
    }
    last
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

    fn all_new(plan: &Plan) -> BTreeSet<u32> {
        plan.order.iter().copied().collect()
    }

    #[test]
    fn build_dependencies_bring_their_run_time_closure() {
        let plan = plan(
            &["a/lib-1", "a/data-1", "a/tool-1", "a/app-1"],
            &[(2, 1, false, true), (3, 2, true, false), (3, 0, false, true)],
        );
        let tool_is_there = waits(&plan, &BTreeSet::from([0, 1, 3]));
        assert_eq!(
            tool_is_there[&3],
            BTreeSet::from([0, 1, 2]),
            "the tool and what it needs to run, and what the app needs to run: emerge would build it on the side"
        );
        let waits = waits(&plan, &all_new(&plan));
        assert_eq!(waits[&2], BTreeSet::from([1]));
        assert_eq!(waits[&3], BTreeSet::from([0, 2]), "the tool waits for its data itself");
    }

    #[test]
    fn cycles_are_broken_in_merge_order() {
        let plan = plan(&["a/one-1", "a/two-1"], &[(0, 1, true, true), (1, 0, true, true)]);
        let waits = waits(&plan, &all_new(&plan));
        assert_eq!((waits[&0].len(), waits[&1].clone()), (0, BTreeSet::from([0])));
    }

    #[test]
    fn what_comes_late_in_a_cycle_is_waited_for_by_whoever_needs_the_cycle() {
        // one is built without two, which it needs to run: the app must wait for two as well
        let plan =
            plan(&["a/one-1", "a/two-1", "a/app-1"], &[(0, 1, false, true), (1, 0, true, true), (2, 0, true, true)]);
        let waits = waits(&plan, &all_new(&plan));
        assert_eq!(
            (waits[&0].len(), waits[&1].clone(), waits[&2].clone()),
            (0, BTreeSet::from([0]), BTreeSet::from([0, 1]))
        );
    }

    #[test]
    fn what_is_waited_for_by_way_of_others_is_the_whole_closure_and_no_more() {
        // every plan of a few packages with pseudo-random edges: the reduced needs reach what the full ones say
        let mut seed = 1u64;
        let mut next = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..2_000 {
            let names: Vec<String> = (0..7).map(|n| format!("a/p{n}x-1")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let edges: Vec<(u32, u32, bool, bool)> =
                (0..next(14)).map(|_| (next(7) as u32, next(7) as u32, next(2) == 0, next(2) == 0)).collect();
            let plan = plan(&names, &edges);
            let new: BTreeSet<u32> = (0..7).filter(|_| next(4) > 0).collect();
            let reduced = waits(&plan, &new);
            for package in &new {
                let mut full = BTreeSet::new();
                let direct = edges.iter().filter(|e| e.0 == *package && (e.2 || e.3)).map(|e| e.1);
                let mut open: Vec<u32> = direct.collect();
                while let Some(need) = open.pop() {
                    if full.insert(need) {
                        open.extend(edges.iter().filter(|e| e.0 == need && e.3).map(|e| e.1));
                    }
                }
                full.retain(|need| need < package && new.contains(need));
                let mut reached = BTreeSet::new();
                let mut open: Vec<u32> = reduced[package].iter().copied().collect();
                while let Some(need) = open.pop() {
                    if new.contains(&need) && reached.insert(need) {
                        open.extend(&reduced[&need]);
                    }
                }
                assert!(
                    reached.is_superset(&full),
                    "{package} of {edges:?}, new {new:?}: {reached:?} lacks of {full:?}"
                );
            }
        }
    }

    #[test]
    fn a_chain_of_run_time_dependencies_has_as_many_edges_as_links() {
        let count = 3_000u32;
        let names: Vec<String> = (0..count).map(|n| format!("a/p{n}x-1")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let edges: Vec<(u32, u32, bool, bool)> = (1..count).map(|n| (n, n - 1, true, true)).collect();
        let plan = plan(&names, &edges);
        let edges: usize = waits(&plan, &all_new(&plan)).values().map(BTreeSet::len).sum();
        assert_eq!(edges, count as usize - 1);
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
