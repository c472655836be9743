//! What is written into indexes, and what follows from it: packages are listed, leave, complete entries of the queue. When a
//! generation is begun is `generation`'s to say.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{ArtifactId, DroneId};

use super::generation::Writing;
use super::stock;
use crate::core::Core;
use crate::effect::{BinhostWork, Effect};
use crate::rows::{ArtifactState, EventKind, IndexKey};

impl Core {
    /// Gives out generations of indexes that have something new.
    pub(crate) fn write_indexes(&mut self) {
        for key in self.soft.publishing.generations.due(self.now.at) {
            self.write_index(&key);
        }
    }

    fn write_index(&mut self, index: &IndexKey) {
        let Some(row) = self.rows.indexes.get(index) else {
            return self.soft.publishing.generations.postpone(index);
        };
        // it must rise; a wall clock that was set back must not stop publishing until it has caught up
        let timestamp = (self.now.wall / 1000).max(row.timestamp + 1);
        let header = row.header.clone();
        let generations = &self.soft.publishing.generations;
        let add: Vec<(ArtifactId, BTreeMap<String, String>)> = generations
            .unlisted(index)
            .filter_map(|id| match &self.rows.artifacts.get(&id)?.state {
                ArtifactState::Published { listed: None, stanza, .. } => Some((id, stanza.clone())),
                _ => None,
            })
            .collect();
        let (gone, remove) = generations.leaving(index).filter_map(|id| Some((id, self.block_of(id)?))).unzip();
        if let Some(row) = self.rows.indexes.change(index) {
            row.timestamp = timestamp;
        }
        let writing = Writing { timestamp, new: add.iter().map(|(id, _)| *id).collect(), gone };
        self.soft.publishing.generations.begin(index, writing, self.now.at);
        let work = BinhostWork::WriteIndex { index: index.clone(), timestamp, header, add, remove };
        self.effects.push(Effect::Binhost(work));
    }

    /// CPV and BUILD_ID under which a retired package is listed.
    fn block_of(&self, id: ArtifactId) -> Option<(String, u32)> {
        let row = self.rows.artifacts.get(&id)?;
        match row.state {
            ArtifactState::Retired { build_id, .. } => Some((row.cpv.clone(), build_id)),
            _ => None,
        }
    }

    pub(crate) fn index_written(&mut self, index: &IndexKey, timestamp: u64) {
        let Some(writing) = self.soft.publishing.generations.written(index, timestamp) else { return };
        for id in writing.gone {
            self.has_left(id);
        }
        let mut identities = BTreeSet::new();
        for id in writing.new {
            let Some(row) = self.rows.artifacts.change(&id) else { continue };
            // it may have been retired meanwhile
            let ArtifactState::Published { listed, .. } = &mut row.state else { continue };
            listed.get_or_insert(timestamp);
            let row = row.clone();
            self.soft.publishing.stock.list(&row);
            identities.insert(stock::identity(&row));
            self.made_on_the_side(id);
        }
        for identity in identities {
            self.keep_newest(index, &identity);
        }
        self.try_accept_all();
        self.soft.placement.work_may_be_given();
    }

    pub(crate) fn index_failed(&mut self, index: &IndexKey, reason: &str) {
        if !self.soft.publishing.generations.failed(index, self.now.at) {
            return;
        }
        self.event(EventKind::Warn, format!("the index {index} could not be written: {reason}"), |_| {});
    }

    /// Newest TIMESTAMP on disk of the index a drone installs from.
    pub(crate) fn listed_up_to(&self, drone: &DroneId) -> u64 {
        self.index_of(drone).map_or(0, |index| self.soft.publishing.listed_up_to(&index))
    }
}
