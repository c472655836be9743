//! Generations of an index: when one is written, what is new in it and what has left it. At most one a second is given out,
//! because TIMESTAMP counts seconds and must rise (decision 16).

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{ArtifactId, DroneId};

use crate::effect::{BinhostWork, Effect};
use crate::publish::TRY_AGAIN;
use crate::rows::{ArtifactState, IndexKey};
use crate::state::Core;

/// Between two generations of an index, milliseconds.
const ONE_GENERATION: u64 = 1_000;

/// State of an index's writing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generation {
    /// Something is to be listed, or to go.
    pub dirty: bool,
    /// The generation being written.
    pub writing: Option<Writing>,
    /// Signed packages no generation lists yet.
    pub unlisted: BTreeSet<ArtifactId>,
    /// Retired packages that generations on disk still list.
    pub leaving: BTreeSet<ArtifactId>,
    /// Not before this moment of the core's clock.
    pub not_before: u64,
    /// Newest TIMESTAMP that is on disk.
    pub listed_up_to: u64,
}

/// A generation on its way to the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writing {
    timestamp: u64,
    /// What it lists for the first time.
    new: Vec<ArtifactId>,
    /// What it lists no more.
    gone: Vec<ArtifactId>,
}

impl Core {
    /// Gives out generations of indexes that have something new; one at a time each.
    pub(crate) fn write_indexes(&mut self) {
        let due: Vec<IndexKey> = self
            .soft
            .generations
            .iter()
            .filter(|(_, generation)| {
                generation.dirty && generation.writing.is_none() && generation.not_before <= self.now.at
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.write_index(&key);
        }
    }

    fn write_index(&mut self, index: &IndexKey) {
        let Some(row) = self.rows.indexes.get(index) else {
            // comes back with the index's row
            self.soft.generations.entry(index.clone()).or_default().dirty = false;
            return;
        };
        // it must rise; a wall clock that was set back must not stop publishing until it has caught up
        let timestamp = (self.now.wall / 1000).max(row.timestamp + 1);
        let header = row.header.clone();
        let generation = self.soft.generations.get(index).cloned().unwrap_or_default();
        let add: Vec<(ArtifactId, BTreeMap<String, String>)> = generation
            .unlisted
            .into_iter()
            .filter_map(|id| match &self.rows.artifacts.get(&id)?.state {
                ArtifactState::Published { listed: None, stanza, .. } => Some((id, stanza.clone())),
                _ => None,
            })
            .collect();
        let (gone, remove) = generation.leaving.into_iter().filter_map(|id| Some((id, self.block_of(id)?))).unzip();
        if let Some(row) = self.rows.indexes.change(index) {
            row.timestamp = timestamp;
        }
        let generation = self.soft.generations.entry(index.clone()).or_default();
        generation.dirty = false;
        generation.not_before = self.now.at + ONE_GENERATION;
        generation.writing = Some(Writing { timestamp, new: add.iter().map(|(id, _)| *id).collect(), gone });
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
        let Some(generation) = self.soft.generations.get_mut(index) else { return };
        let Some(writing) = generation.writing.take_if(|writing| writing.timestamp == timestamp) else { return };
        generation.listed_up_to = generation.listed_up_to.max(timestamp);
        for id in &writing.new {
            generation.unlisted.remove(id);
        }
        for id in &writing.gone {
            generation.leaving.remove(id);
        }
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
            self.soft.stock.list(&row);
            identities.insert(crate::stock::identity(&row));
            self.made_on_the_side(id);
        }
        for identity in identities {
            self.keep_newest(index, &identity);
        }
        self.try_accept_all();
        self.soft.assign_due = true;
    }

    pub(crate) fn index_failed(&mut self, index: &IndexKey, reason: &str) {
        let not_before = self.now.at + TRY_AGAIN;
        let Some(generation) = self.soft.generations.get_mut(index) else { return };
        generation.writing = None;
        generation.dirty = true;
        generation.not_before = not_before;
        self.event("warn", format!("the index {index} could not be written: {reason}"), |_| {});
    }

    /// What the indexes' writing starts from, after a start: what is on disk, what is not listed yet, what has to leave.
    pub(crate) fn rebuild_generations(&mut self) {
        for artifact in self.rows.artifacts.iter() {
            let generation = self.soft.generations.entry(artifact.index.clone()).or_default();
            match artifact.state {
                ArtifactState::Published { listed: Some(timestamp), .. } => {
                    generation.listed_up_to = generation.listed_up_to.max(timestamp);
                }
                ArtifactState::Published { listed: None, .. } => drop(generation.unlisted.insert(artifact.id)),
                ArtifactState::Retired { delete_at: None, .. } => drop(generation.leaving.insert(artifact.id)),
                ArtifactState::Ticketed {}
                | ArtifactState::Uploaded { .. }
                | ArtifactState::Retired { .. }
                | ArtifactState::Gone { .. } => {}
            }
        }
    }

    /// After a start every index is written anew from the rows.
    pub(crate) fn restart_indexes(&mut self) {
        let keys: Vec<IndexKey> = self.rows.indexes.iter().map(|row| row.index.clone()).collect();
        for key in keys {
            self.soft.generations.entry(key).or_default().dirty = true;
        }
    }

    /// When the next generation can be given out.
    pub(crate) fn next_generation(&self) -> Option<u64> {
        let waiting = self.soft.generations.values().filter(|one| one.dirty && one.writing.is_none());
        waiting.map(|generation| generation.not_before.max(self.now.at + 1)).min()
    }

    /// Newest TIMESTAMP on disk of the index a drone installs from.
    pub(crate) fn listed_up_to(&self, drone: &DroneId) -> u64 {
        let generation = self.index_of(drone).and_then(|index| self.soft.generations.get(&index));
        generation.map_or(0, |generation| generation.listed_up_to)
    }
}
