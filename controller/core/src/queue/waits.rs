//! What the packages of a plan wait for, and whether a plan can be used at all. Pure functions of the planner's answer; `plan`
//! makes entries of it.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::Cpv;
use swarm_protocol::plan::Plan;

/// A planner is not trusted to be right: indices, names and sizes are checked.
pub(super) fn well_formed(plan: &Plan, atoms: usize) -> Result<(), String> {
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
/// run-time closure, as far as they come earlier in the merge order (that breaks cycles as Portage does).
///
/// A dependency that is new itself and comes after all of its own closure waits for that closure; whoever waits for it need
/// not be told again. So a chain of n packages has n edges and not n²/2.
pub(super) fn waits(plan: &Plan, new: &BTreeSet<u32>) -> BTreeMap<u32, BTreeSet<u32>> {
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

#[cfg(test)]
mod tests {
    use swarm_protocol::plan::{PlannedEdge, PlannedPackage};

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
