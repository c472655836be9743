//! Generations of indexes: what is new in each and what has to leave it, which one is being written. At most one a second is
//! begun, because TIMESTAMP counts seconds and must rise. `indexes` says what is written and what follows.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::ArtifactId;

use crate::rows::{ArtifactRow, ArtifactState, IndexKey};

/// Between two generations of an index, milliseconds.
const ONE_GENERATION: u64 = 1_000;
/// Wait before an index that could not be written is tried again, milliseconds.
const TRY_AGAIN: u64 = 5_000;

/// Every index's writing.
#[derive(Debug, Clone, Default)]
pub(super) struct Generations {
    indexes: BTreeMap<IndexKey, Generation>,
}

/// One index's writing.
#[derive(Debug, Clone, Default)]
struct Generation {
    /// Something is to be listed, or to go.
    dirty: bool,
    writing: Option<Writing>,
    /// Signed packages no generation lists yet.
    unlisted: BTreeSet<ArtifactId>,
    /// Retired packages that generations on disk still list.
    leaving: BTreeSet<ArtifactId>,
    not_before: u64,
    /// Newest TIMESTAMP that is on disk.
    listed_up_to: u64,
}

/// A generation on its way to the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Writing {
    pub timestamp: u64,
    /// What it lists for the first time.
    pub new: Vec<ArtifactId>,
    /// What it lists no more.
    pub gone: Vec<ArtifactId>,
}

impl Generations {
    fn of(&mut self, index: &IndexKey) -> &mut Generation {
        self.indexes.entry(index.clone()).or_default()
    }

    /// An artifact as it was stored.
    pub(super) fn know(&mut self, row: &ArtifactRow) {
        let generation = self.of(&row.index);
        match row.state {
            ArtifactState::Published { listed: Some(timestamp), .. } => {
                generation.listed_up_to = generation.listed_up_to.max(timestamp);
            }
            ArtifactState::Published { listed: None, .. } => drop(generation.unlisted.insert(row.id)),
            ArtifactState::Retired { delete_at: None, .. } => drop(generation.leaving.insert(row.id)),
            ArtifactState::Ticketed {}
            | ArtifactState::Uploaded { .. }
            | ArtifactState::Retired { .. }
            | ArtifactState::Gone { .. } => {}
        }
    }

    /// The index is to be written anew.
    pub(super) fn renew(&mut self, index: &IndexKey) {
        self.of(index).dirty = true;
    }

    /// The index has no row yet, so it can't be written; it comes back with its row.
    pub(super) fn postpone(&mut self, index: &IndexKey) {
        self.of(index).dirty = false;
    }

    /// A package is signed and waits to be listed.
    pub(super) fn signed(&mut self, index: &IndexKey, id: ArtifactId) {
        let generation = self.of(index);
        generation.dirty = true;
        generation.unlisted.insert(id);
    }

    /// A package is to be listed no more.
    pub(super) fn retired(&mut self, index: &IndexKey, id: ArtifactId) {
        let generation = self.of(index);
        generation.dirty = true;
        generation.unlisted.remove(&id);
        generation.leaving.insert(id);
    }

    /// Indexes of which a generation can be begun at `now`; one at a time each.
    pub(super) fn due(&self, now: u64) -> Vec<IndexKey> {
        let due = |one: &Generation| one.dirty && one.writing.is_none() && one.not_before <= now;
        self.indexes.iter().filter(|(_, one)| due(one)).map(|(key, _)| key.clone()).collect()
    }

    /// Packages that wait to be listed.
    pub(super) fn unlisted(&self, index: &IndexKey) -> impl Iterator<Item = ArtifactId> {
        self.indexes.get(index).into_iter().flat_map(|one| &one.unlisted).copied()
    }

    /// Packages that have to leave.
    pub(super) fn leaving(&self, index: &IndexKey) -> impl Iterator<Item = ArtifactId> {
        self.indexes.get(index).into_iter().flat_map(|one| &one.leaving).copied()
    }

    /// A generation is being written.
    pub(super) fn begin(&mut self, index: &IndexKey, writing: Writing, now: u64) {
        let generation = self.of(index);
        generation.dirty = false;
        generation.not_before = now + ONE_GENERATION;
        generation.writing = Some(writing);
    }

    /// The generation with this TIMESTAMP is on disk; `None` if it is not the one that is being written.
    pub(super) fn written(&mut self, index: &IndexKey, timestamp: u64) -> Option<Writing> {
        let generation = self.indexes.get_mut(index)?;
        let writing = generation.writing.take_if(|writing| writing.timestamp == timestamp)?;
        generation.listed_up_to = generation.listed_up_to.max(timestamp);
        for id in &writing.new {
            generation.unlisted.remove(id);
        }
        for id in &writing.gone {
            generation.leaving.remove(id);
        }
        Some(writing)
    }

    /// The generation could not be written and is tried again; false if the index is not known.
    pub(super) fn failed(&mut self, index: &IndexKey, now: u64) -> bool {
        let Some(generation) = self.indexes.get_mut(index) else { return false };
        generation.writing = None;
        generation.dirty = true;
        generation.not_before = now + TRY_AGAIN;
        true
    }

    /// When the next generation can be begun.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let waiting = self.indexes.values().filter(|one| one.dirty && one.writing.is_none());
        waiting.map(|generation| generation.not_before.max(now + 1)).min()
    }

    /// Newest TIMESTAMP on disk.
    pub(super) fn listed_up_to(&self, index: &IndexKey) -> u64 {
        self.indexes.get(index).map_or(0, |generation| generation.listed_up_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_of_an_index_follow_one_another_a_second_apart() {
        let index = IndexKey { arch: "amd64".to_owned(), profile: "default".to_owned(), chost: "x".to_owned() };
        let mut generations = Generations::default();
        generations.signed(&index, ArtifactId(1));
        assert_eq!(generations.due(1_000), std::slice::from_ref(&index));
        let writing = Writing { timestamp: 7, new: vec![ArtifactId(1)], gone: Vec::new() };
        generations.begin(&index, writing, 1_000);
        // what comes while one is being written waits for the next
        generations.signed(&index, ArtifactId(2));
        generations.retired(&index, ArtifactId(1));
        assert_eq!((generations.due(9_000), generations.next(9_000)), (vec![], None));
        assert!(generations.written(&index, 6).is_none(), "another one than is being written");
        assert_eq!(generations.written(&index, 7).map(|writing| writing.new), Some(vec![ArtifactId(1)]));
        assert_eq!((generations.next(1_000), generations.listed_up_to(&index)), (Some(2_000), 7));
        assert_eq!(generations.unlisted(&index).collect::<Vec<_>>(), [ArtifactId(2)]);
        assert_eq!(generations.leaving(&index).collect::<Vec<_>>(), [ArtifactId(1)]);
    }
}
