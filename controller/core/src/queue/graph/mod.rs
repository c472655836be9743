//! Who waits for whom, who is ready, in which order. Derived from the rows; a restart rebuilds it. Every entry that is not
//! in the binhost has a node; what is received or gone has none.
//!
//! The line is ordered by the longest path that is still to be gone: an entry's own duration and that of the longest chain
//! of entries that wait for it. Priority and the time an entry has waited add to that, so nothing starves.
//! Nothing here walks the whole graph for one change: `order` keeps a topological order, so that each node is looked at
//! most once per change (`paths`), and the lines are sorted sets (`line`).

mod line;
mod order;
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::place::Place;
use line::{At, Line};
use swarm_protocol::{BuildId, SessionId};

use crate::rows::BuildRow;

/// What the order of the line needs to know of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its session.
    pub session: SessionId,
    /// How long it is likely to take on an ordinary drone, milliseconds.
    pub duration: u64,
    /// What its priority and its age add to the length of its path, milliseconds; see [`lead`].
    pub lead: i64,
}

/// The graph over the entries of the queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    nodes: BTreeMap<BuildId, Node>,
    lines: BTreeMap<Arc<Place>, Line>,
    delayed: BTreeSet<(u64, BuildId)>,
    /// Entries in a line or in a backoff, per session.
    lined: BTreeMap<SessionId, usize>,
    /// Nodes whose path may have changed, by rank.
    dirty: BTreeSet<(u64, BuildId)>,
    /// Highest rank given.
    top: u64,
    /// Counts additions to lines.
    grown: u64,
    /// Nodes and edges looked at, ever.
    work: u64,
}

#[derive(Debug, Clone, Default)]
struct Node {
    needs: BTreeSet<BuildId>,
    dependents: BTreeSet<BuildId>,
    /// Its place in a topological order: above all it needs.
    rank: u64,
    session: SessionId,
    duration: u64,
    lead: i64,
    /// Longest way from the begin of this entry to the end of one that waits for it, milliseconds.
    path: u64,
    at: At,
}

impl Graph {
    /// An entry is there, or is another one than it was.
    pub(crate) fn open(&mut self, id: BuildId, entry: Entry) {
        let node = self.node(id);
        (node.session, node.duration, node.lead) = (entry.session, entry.duration, entry.lead);
        self.soil(id);
    }

    fn node(&mut self, id: BuildId) -> &mut Node {
        let top = &mut self.top;
        self.nodes.entry(id).or_insert_with(|| {
            *top += 1;
            Node { rank: *top, ..Node::default() }
        })
    }

    /// Sets what an entry still waits for; returns those it does wait for. What waits for the entry itself is left out: two
    /// plans may break a cycle at different places, and together they would wait for each other for ever.
    pub(crate) fn set_needs(&mut self, id: BuildId, needs: impl IntoIterator<Item = BuildId>) -> Vec<BuildId> {
        self.clear_needs(id);
        if self.node(id).dependents.is_empty() {
            self.rise(id);
        }
        let taken = needs.into_iter().filter(|need| self.connect(*need, id)).collect();
        self.soil(id);
        taken
    }

    /// An entry waits for nothing any more.
    pub(crate) fn clear_needs(&mut self, id: BuildId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        for need in std::mem::take(&mut node.needs) {
            if let Some(needed) = self.nodes.get_mut(&need) {
                needed.dependents.remove(&id);
            }
            self.soil(need);
        }
    }

    /// An entry need not be waited for any more: it is in the binhost, or gone. Returns whoever waits for nothing else.
    pub(crate) fn met(&mut self, id: BuildId) -> Vec<BuildId> {
        self.clear_needs(id);
        self.withdraw(id);
        let Some(node) = self.nodes.remove(&id) else { return Vec::new() };
        self.dirty.remove(&(node.rank, id));
        let mut free = Vec::new();
        for dependent in node.dependents {
            let Some(waiting) = self.nodes.get_mut(&dependent) else { continue };
            waiting.needs.remove(&id);
            if waiting.needs.is_empty() {
                free.push(dependent);
            }
        }
        free
    }

    /// Whether nothing is open that must come first.
    pub(crate) fn is_met(&self, id: BuildId) -> bool {
        self.nodes.get(&id).is_none_or(|node| node.needs.is_empty())
    }

    /// What an entry waits for.
    pub(crate) fn unmet(&self, id: BuildId) -> impl Iterator<Item = BuildId> {
        self.nodes.get(&id).into_iter().flat_map(|node| &node.needs).copied()
    }

    /// Who waits for an entry.
    pub(crate) fn dependents(&self, id: BuildId) -> impl Iterator<Item = BuildId> {
        self.nodes.get(&id).into_iter().flat_map(|node| &node.dependents).copied()
    }

    /// Everybody who waits for one of these, directly or not.
    pub(crate) fn behind(&self, ids: impl IntoIterator<Item = BuildId>) -> BTreeSet<BuildId> {
        let mut found = BTreeSet::new();
        let mut open: Vec<BuildId> = ids.into_iter().collect();
        while let Some(next) = open.pop() {
            open.extend(self.dependents(next).filter(|dependent| found.insert(*dependent)));
        }
        found
    }

    /// Everything that one of these waits for, directly or not.
    pub(crate) fn before(&self, ids: impl IntoIterator<Item = BuildId>) -> BTreeSet<BuildId> {
        let mut found = BTreeSet::new();
        let mut open: Vec<BuildId> = ids.into_iter().collect();
        while let Some(next) = open.pop() {
            open.extend(self.unmet(next).filter(|need| found.insert(*need)));
        }
        found
    }

    /// Nodes and edges looked at so far: what the bound of this module's work is measured by.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }
}

/// What priority and age add to the length of a package's path, milliseconds. The age of all rises alike, so only the moment
/// since which it waits is taken off: the order of the line stays right while time goes by.
pub(crate) fn lead(row: &BuildRow, priority_step: u64, age_weight: u32) -> i64 {
    let priority = i64::from(row.wishes.priority).saturating_mul(signed(priority_step));
    priority.saturating_sub(signed(row.queued_at / 100 * u64::from(age_weight)))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
