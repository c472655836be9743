//! A topological order that is kept while edges come and go (Pearce and Kelly, "A dynamic topological sort algorithm for
//! directed acyclic graphs", 2007): an edge that fits the order costs nothing, one that does not moves the nodes between its
//! ends. It tells at once whether an edge would close a circle.

use std::collections::BTreeSet;

use swarm_protocol::BuildId;

use super::Graph;

impl Graph {
    /// An entry nobody waits for may stand above all others.
    pub(super) fn rise(&mut self, id: BuildId) {
        self.top += 1;
        let top = self.top;
        self.node(id).rank = top;
    }

    /// `id` waits for `need`; false if that would close a circle.
    pub(super) fn connect(&mut self, need: BuildId, id: BuildId) -> bool {
        self.work += 1;
        let (high, low) = (self.node(need).rank, self.node(id).rank);
        if need == id || (high > low && !self.make_room(need, id, low, high)) {
            return false;
        }
        self.node(need).dependents.insert(id);
        self.node(id).needs.insert(need);
        self.soil(need);
        true
    }

    /// Moves `need` and what it needs below `id` and who waits for it, as far as they stand between the two.
    fn make_room(&mut self, need: BuildId, id: BuildId, low: u64, high: u64) -> bool {
        let Some(above) = self.reach(id, |graph, node| graph.waiters_up_to(node, high), Some(need)) else {
            return false;
        };
        let below = self.reach(need, |graph, node| graph.needs_down_to(node, low), None).unwrap_or_default();
        let ranked = |graph: &Self, ids: &BTreeSet<BuildId>| {
            let mut ids: Vec<(u64, BuildId)> = ids.iter().map(|id| (graph.nodes[id].rank, *id)).collect();
            ids.sort_unstable();
            ids
        };
        let moved = [ranked(self, &below), ranked(self, &above)].concat();
        let mut ranks: Vec<u64> = moved.iter().map(|(rank, _)| *rank).collect();
        ranks.sort_unstable();
        for ((_, id), rank) in moved.into_iter().zip(ranks) {
            self.node(id).rank = rank;
        }
        true
    }

    /// Everything reached from `start`, itself included; `None` if `barred` is.
    fn reach(
        &mut self,
        start: BuildId,
        next: impl Fn(&Self, BuildId) -> Vec<BuildId>,
        barred: Option<BuildId>,
    ) -> Option<BTreeSet<BuildId>> {
        let mut found = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            let steps = next(self, node);
            self.work += 1 + steps.len() as u64;
            if barred.is_some_and(|barred| steps.contains(&barred)) {
                return None;
            }
            open.extend(steps.into_iter().filter(|step| found.insert(*step)));
        }
        Some(found)
    }

    fn waiters_up_to(&self, id: BuildId, high: u64) -> Vec<BuildId> {
        self.dependents(id).filter(|next| self.nodes[next].rank <= high).collect()
    }

    fn needs_down_to(&self, id: BuildId, low: u64) -> Vec<BuildId> {
        self.unmet(id).filter(|next| self.nodes[next].rank >= low).collect()
    }

    /// All edges at once, after a start: ranks are given afterwards, in one walk. Edges that close a circle are left out.
    pub(crate) fn load(&mut self, needs: impl IntoIterator<Item = (BuildId, Vec<BuildId>)>) {
        for (id, needs) in needs {
            for need in needs.into_iter().filter(|need| *need != id) {
                self.node(need).dependents.insert(id);
                self.node(id).needs.insert(need);
            }
        }
        let mut missing: std::collections::BTreeMap<BuildId, usize> =
            self.nodes.iter().map(|(id, node)| (*id, node.needs.len())).collect();
        let mut open: Vec<BuildId> = missing.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        self.top = 0;
        while !missing.is_empty() {
            // a circle: its lowest entry waits for none of what is left
            let Some(id) = open.pop().or_else(|| missing.first_key_value().map(|(id, _)| *id)) else { return };
            if missing.remove(&id).is_none() {
                continue;
            }
            let circle: Vec<BuildId> = self.unmet(id).filter(|need| missing.contains_key(need)).collect();
            for need in circle {
                self.node(need).dependents.remove(&id);
                self.node(id).needs.remove(&need);
            }
            self.rise(id);
            self.work += 1;
            for dependent in self.nodes[&id].dependents.iter() {
                self.work += 1;
                if let Some(count) = missing.get_mut(dependent) {
                    *count -= 1;
                    if *count == 0 {
                        open.push(*dependent);
                    }
                }
            }
        }
        self.dirty = self.nodes.iter().map(|(id, node)| (node.rank, *id)).collect();
    }
}
