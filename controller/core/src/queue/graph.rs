//! Who waits for whom, who is ready, in which order. Derived from the rows; a restart rebuilds it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::BuildId;

/// The graph over the entries of the queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    unmet: BTreeMap<BuildId, BTreeSet<BuildId>>,
    dependents: BTreeMap<BuildId, BTreeSet<BuildId>>,
    waiting: BTreeSet<BuildId>,
    ready: BTreeSet<(Reverse<usize>, BuildId)>,
    ready_rank: BTreeMap<BuildId, usize>,
    delayed: BTreeSet<(u64, BuildId)>,
    delayed_at: BTreeMap<BuildId, u64>,
}

impl Graph {
    /// Sets what an entry still waits for.
    pub(crate) fn set(&mut self, id: BuildId, needs: &[BuildId]) {
        self.forget_needs(id);
        for need in needs {
            self.dependents.entry(*need).or_default().insert(id);
        }
        if !needs.is_empty() {
            self.unmet.insert(id, needs.iter().copied().collect());
        }
    }

    fn forget_needs(&mut self, id: BuildId) {
        for need in self.unmet.remove(&id).unwrap_or_default() {
            if let Some(dependents) = self.dependents.get_mut(&need) {
                dependents.remove(&id);
            }
        }
    }

    /// Removes an entry: it waits for nothing, and stands in no line.
    pub(crate) fn remove(&mut self, id: BuildId) {
        self.forget_needs(id);
        self.withdraw(id);
        self.waiting.remove(&id);
    }

    /// Whether nothing is open that must come first.
    pub(crate) fn is_met(&self, id: BuildId) -> bool {
        !self.unmet.contains_key(&id)
    }

    /// What an entry waits for.
    pub(crate) fn unmet(&self, id: BuildId) -> impl Iterator<Item = BuildId> {
        self.unmet.get(&id).into_iter().flatten().copied()
    }

    /// Who waits for an entry.
    pub(crate) fn dependents(&self, id: BuildId) -> impl Iterator<Item = BuildId> {
        self.dependents.get(&id).into_iter().flatten().copied()
    }

    /// Everybody who waits for an entry, directly or not.
    pub(crate) fn behind(&self, id: BuildId) -> BTreeSet<BuildId> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            open.extend(self.dependents(next).filter(|dependent| found.insert(*dependent)));
        }
        found
    }

    /// An entry need not be waited for any more; returns whoever waits for nothing else.
    pub(crate) fn met(&mut self, id: BuildId) -> Vec<BuildId> {
        let dependents = self.dependents.remove(&id).unwrap_or_default();
        let mut free = Vec::new();
        for dependent in dependents {
            let Some(unmet) = self.unmet.get_mut(&dependent) else { continue };
            unmet.remove(&id);
            if unmet.is_empty() {
                self.unmet.remove(&dependent);
                free.push(dependent);
            }
        }
        free
    }

    /// Notes whether an entry is waiting; tells whether that is news.
    pub(crate) fn mark_waiting(&mut self, id: BuildId, waits: bool) -> bool {
        if waits { self.waiting.insert(id) } else { self.waiting.remove(&id) }
    }

    /// Puts an entry in line: what most others wait for comes first, then the older one.
    pub(crate) fn line_up(&mut self, id: BuildId, not_before: u64, now: u64) {
        self.withdraw(id);
        if not_before > now {
            self.delayed.insert((not_before, id));
            self.delayed_at.insert(id, not_before);
            return;
        }
        let rank = self.dependents.get(&id).map_or(0, BTreeSet::len);
        self.ready.insert((Reverse(rank), id));
        self.ready_rank.insert(id, rank);
    }

    /// Takes an entry out of every line.
    pub(crate) fn withdraw(&mut self, id: BuildId) {
        if let Some(rank) = self.ready_rank.remove(&id) {
            self.ready.remove(&(Reverse(rank), id));
        }
        if let Some(at) = self.delayed_at.remove(&id) {
            self.delayed.remove(&(at, id));
        }
    }

    /// Entries whose backoff is over join the line; tells whether any did.
    pub(crate) fn promote(&mut self, now: u64) -> bool {
        let mut any = false;
        while let Some((at, id)) = self.delayed.first().copied() {
            if at > now {
                break;
            }
            self.line_up(id, 0, now);
            any = true;
        }
        any
    }

    /// When the next backoff ends.
    pub(crate) fn next(&self) -> Option<u64> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// The line, first first.
    pub(crate) fn ready(&self) -> impl Iterator<Item = BuildId> {
        self.ready.iter().map(|(_, id)| *id)
    }

    /// Entries in the line or in a backoff.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = BuildId> {
        self.ready().chain(self.delayed.iter().map(|(_, id)| *id))
    }

    /// Whether anything is ready.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u64]) -> Vec<BuildId> {
        numbers.iter().copied().map(BuildId).collect()
    }

    #[test]
    fn an_entry_is_free_when_the_last_need_is_met() {
        let mut graph = Graph::default();
        graph.set(BuildId(3), &ids(&[1, 2]));
        assert!(!graph.is_met(BuildId(3)));
        assert_eq!(graph.met(BuildId(1)), vec![]);
        assert_eq!(graph.met(BuildId(2)), ids(&[3]));
        assert!(graph.is_met(BuildId(3)));
    }

    #[test]
    fn what_most_others_wait_for_comes_first_then_the_older() {
        let mut graph = Graph::default();
        graph.set(BuildId(10), &ids(&[2, 3]));
        graph.set(BuildId(11), &ids(&[3]));
        for id in ids(&[1, 2, 3, 4]) {
            graph.line_up(id, 0, 5);
        }
        assert_eq!(graph.ready().collect::<Vec<_>>(), ids(&[3, 2, 1, 4]));
    }

    #[test]
    fn a_backoff_keeps_an_entry_out_of_line_until_it_is_over() {
        let mut graph = Graph::default();
        graph.line_up(BuildId(1), 100, 50);
        assert!(!graph.has_ready());
        assert_eq!(graph.next(), Some(100));
        assert!(!graph.promote(99));
        assert!(graph.promote(100));
        assert_eq!(graph.ready().collect::<Vec<_>>(), ids(&[1]));
    }

    #[test]
    fn a_withdrawn_entry_stands_in_no_line() {
        let mut graph = Graph::default();
        graph.line_up(BuildId(1), 0, 0);
        graph.line_up(BuildId(2), 9, 0);
        graph.withdraw(BuildId(1));
        graph.withdraw(BuildId(2));
        assert_eq!(graph.in_line().count(), 0);
    }
}
