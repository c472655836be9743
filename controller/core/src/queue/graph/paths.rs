//! The longest paths, renewed where something changed: from the entries nobody waits for downwards, so that each node is
//! looked at once, and no further than paths do change.

use swarm_protocol::BuildId;

use super::Graph;

/// Paths are no longer than this, milliseconds: a hundred years, so that sums with what age and priority add fit.
const LONGEST: u64 = 100 * 366 * 24 * 3_600_000;

impl Graph {
    /// A node's path may be another one now.
    pub(super) fn soil(&mut self, id: BuildId) {
        if let Some(node) = self.nodes.get(&id) {
            self.dirty.insert((node.rank, id));
        }
    }

    /// An entry is likely to take another time than was thought.
    pub(crate) fn set_duration(&mut self, id: BuildId, duration: u64) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.duration != duration) {
            node.duration = duration;
            self.soil(id);
        }
    }

    /// What priority and age add is another thing than it was.
    pub(crate) fn set_lead(&mut self, id: BuildId, lead: i64) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.lead != lead) {
            node.lead = lead;
            self.reweigh(id);
        }
    }

    /// Renews the paths that may have changed, and with them the order of the lines.
    pub(crate) fn relax(&mut self) {
        while let Some((_, id)) = self.dirty.pop_last() {
            let Some(node) = self.nodes.get(&id) else { continue };
            let behind = node.dependents.iter().filter_map(|next| Some(self.nodes.get(next)?.path)).max();
            self.work += 1 + node.dependents.len() as u64;
            let path = node.duration.saturating_add(behind.unwrap_or(0)).min(LONGEST);
            if path == node.path {
                continue;
            }
            let needs: Vec<BuildId> = node.needs.iter().copied().collect();
            if let Some(node) = self.nodes.get_mut(&id) {
                node.path = path;
            }
            self.reweigh(id);
            for need in needs {
                self.soil(need);
            }
        }
    }

    /// The longest way from the begin of an entry to the end of one that waits for it, milliseconds.
    pub(crate) fn path(&self, id: BuildId) -> u64 {
        self.nodes.get(&id).map_or(0, |node| node.path)
    }
}
