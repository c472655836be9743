use super::*;

fn ids(numbers: &[u64]) -> Vec<BuildId> {
    numbers.iter().copied().map(BuildId).collect()
}

/// Entries that take a second each.
fn graph(entries: &[u64]) -> Graph {
    let mut graph = Graph::default();
    for id in ids(entries) {
        graph.open(id, Entry { session: SessionId(1), duration: 1_000, lead: 0 });
    }
    graph
}

fn line(graph: &mut Graph) -> Vec<u64> {
    graph.relax();
    graph.line(&Place::default()).map(|id| id.0).collect()
}

#[test]
fn an_entry_is_free_when_the_last_need_is_met() {
    let mut graph = graph(&[1, 2, 3]);
    graph.set_needs(BuildId(3), ids(&[1, 2]));
    assert!(!graph.is_met(BuildId(3)));
    assert_eq!(graph.met(BuildId(1)), vec![]);
    assert_eq!(graph.met(BuildId(2)), ids(&[3]));
    assert!(graph.is_met(BuildId(3)));
}

#[test]
fn the_longest_path_comes_first_then_the_older() {
    let mut graph = graph(&[1, 2, 3, 4, 10, 11, 12]);
    // 3 is waited for by a chain of two, 2 by one, 1 and 4 by nobody
    graph.set_needs(BuildId(10), ids(&[2, 3]));
    graph.set_needs(BuildId(11), ids(&[10]));
    graph.set_needs(BuildId(12), ids(&[2]));
    for id in ids(&[1, 2, 3, 4]) {
        graph.line_up(id, Place::default(), 0, 5);
    }
    assert_eq!(line(&mut graph), [2, 3, 1, 4]);
    // one that takes long itself comes first, and once it is known to be short, last
    graph.set_duration(BuildId(4), 10_000);
    assert_eq!(line(&mut graph), [4, 2, 3, 1]);
    graph.set_duration(BuildId(4), 10);
    assert_eq!(line(&mut graph), [2, 3, 1, 4]);
    // what nobody waits for any more is as long as itself
    drop(graph.met(BuildId(11)));
    drop(graph.met(BuildId(10)));
    assert_eq!(line(&mut graph), [2, 1, 3, 4]);
    assert_eq!(graph.path(BuildId(2)), 2_000);
}

#[test]
fn what_age_and_priority_add_counts_as_path() {
    let mut graph = graph(&[1, 2, 3]);
    for id in ids(&[1, 2, 3]) {
        graph.line_up(id, Place::default(), 0, 5);
    }
    graph.set_lead(BuildId(3), 500);
    graph.set_lead(BuildId(2), -500);
    assert_eq!(line(&mut graph), [3, 1, 2]);
}

#[test]
fn a_backoff_keeps_an_entry_out_of_line_until_it_is_over() {
    let mut graph = graph(&[1]);
    graph.line_up(BuildId(1), Place::default(), 100, 50);
    assert!(!graph.has_ready() && graph.has_lined(SessionId(1)));
    assert_eq!(graph.next(), Some(100));
    assert!(!graph.promote(99));
    assert!(graph.promote(100));
    assert_eq!(line(&mut graph), [1]);
}

#[test]
fn a_withdrawn_entry_stands_in_no_line() {
    let mut graph = graph(&[1, 2, 3]);
    graph.line_up(BuildId(1), Place::default(), 0, 0);
    graph.line_up(BuildId(2), Place::default(), 9, 0);
    graph.offer_to_sweepers(BuildId(3), Place::default());
    ids(&[1, 2, 3]).into_iter().for_each(|id| graph.withdraw(id));
    assert!(!graph.has_lined(SessionId(1)) && graph.lines.is_empty() && graph.delayed.is_empty());
}

#[test]
fn what_would_close_a_circle_is_left_out() {
    let mut graph = graph(&[1, 2, 3]);
    assert_eq!(graph.set_needs(BuildId(2), ids(&[1])), ids(&[1]));
    assert_eq!(graph.set_needs(BuildId(3), ids(&[2])), ids(&[2]));
    assert_eq!(graph.set_needs(BuildId(1), ids(&[3, 2, 1])), vec![]);
    graph.relax();
    assert_eq!(graph.path(BuildId(1)), 3_000);
}

/// Small pseudo-random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn longest(graph: &Graph, id: BuildId) -> u64 {
    let behind = graph.dependents(id).map(|next| longest(graph, next)).max().unwrap_or(0);
    graph.nodes[&id].duration + behind
}

#[test]
fn after_any_changes_ranks_are_an_order_and_paths_are_the_longest() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let all: Vec<u64> = (1..=12).collect();
        let mut graph = graph(&all);
        for _ in 0..60 {
            let id = BuildId(dice.below(12) + 1);
            match dice.below(6) {
                0..3 => {
                    let needs: Vec<BuildId> = (0..dice.below(4)).map(|_| BuildId(dice.below(12) + 1)).collect();
                    graph.set_needs(id, needs);
                }
                3 => graph.set_duration(id, dice.below(5_000)),
                4 => graph.clear_needs(id),
                _ => {
                    drop(graph.met(id));
                    graph.open(id, Entry { session: SessionId(1), duration: dice.below(5_000), lead: 0 });
                }
            }
            graph.relax();
            for (id, node) in &graph.nodes {
                assert!(node.needs.iter().all(|need| graph.nodes[need].rank < node.rank), "seed {seed}");
                assert_eq!(node.path, longest(&graph, *id), "seed {seed}, entry {id}");
            }
        }
        // a restart finds the same
        let mut again = Graph::default();
        for (id, node) in &graph.nodes {
            again.open(*id, Entry { session: node.session, duration: node.duration, lead: 0 });
        }
        again.load(graph.nodes.iter().map(|(id, node)| (*id, node.needs.iter().copied().collect())));
        again.relax();
        for (id, node) in &graph.nodes {
            assert_eq!((again.path(*id), &again.nodes[id].needs), (node.path, &node.needs), "seed {seed}");
        }
    }
}

#[test]
fn a_stored_circle_is_cut_and_everything_else_kept() {
    let mut graph = graph(&[1, 2, 3, 4]);
    graph.load([(BuildId(1), ids(&[3])), (BuildId(2), ids(&[1])), (BuildId(3), ids(&[2])), (BuildId(4), ids(&[3, 4]))]);
    graph.relax();
    assert!(graph.is_met(BuildId(1)));
    assert_eq!(graph.unmet(BuildId(4)).collect::<Vec<_>>(), ids(&[3]));
    assert_eq!(graph.path(BuildId(1)), 4_000);
}

#[test]
fn fifty_thousand_entries_cost_a_few_steps_for_each_change() {
    let count = 50_000u64;
    let mut graph = Graph::default();
    let mut dice = Dice(7);
    for id in (1..=count).map(BuildId) {
        graph.open(id, Entry { session: SessionId(1), duration: 1_000, lead: 0 });
        // a chain of fifty each, and two needs anywhere before
        let chain = (id.0 % 50 != 0).then_some(id.0 - 1);
        let needs = chain.into_iter().chain([dice.below(id.0), dice.below(id.0)]).filter(|need| *need > 0).map(BuildId);
        graph.set_needs(id, needs.collect::<Vec<_>>());
    }
    graph.relax();
    let built = graph.work();
    assert!(built < 20 * count, "{built} steps to build it");
    // everything is built in order; each success teaches something
    for id in (1..=count).map(BuildId) {
        drop(graph.met(id));
        graph.relax();
    }
    let done = graph.work() - built;
    assert!(done < 10 * count, "{done} steps to build all of it");
}
