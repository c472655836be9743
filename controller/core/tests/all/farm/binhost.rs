//! The binhost's disk as far as clients see it: files, and what the index on disk lists. Panics when an index would list a
//! file that is not there, or a file goes that an index lists.

use std::collections::{BTreeMap, BTreeSet};

use swarm_core::Effect;
use swarm_core::effect::BinhostWork;
use swarm_core::rows::{ArtifactRow, ArtifactState};

use super::Store;

type Blocks = BTreeMap<(String, u32), String>;

/// Files and indexes.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// `index/path` of every signed file.
    pub files: BTreeSet<String>,
    /// What each index on disk lists: CPV and BUILD_ID to `index/path`.
    pub listed: BTreeMap<String, Blocks>,
    /// What the writer has in memory.
    memory: BTreeMap<String, Blocks>,
    /// Newest TIMESTAMP of each index.
    timestamps: BTreeMap<String, u64>,
}

impl Disk {
    /// The writer starts anew and takes up what the rows say.
    pub fn restart(&mut self, store: &Store) {
        self.memory.clear();
        for row in store.all::<ArtifactRow>() {
            let ArtifactState::Published { build_id, path, .. } = &row.state else { continue };
            let index = row.index.to_string();
            let file = format!("{index}/{path}");
            self.memory.entry(index).or_default().insert((row.cpv.clone(), *build_id), file);
        }
    }

    /// What an effect does to it.
    pub fn apply(&mut self, effect: &Effect, store: &Store) {
        match effect {
            Effect::Binhost(BinhostWork::Sign { index, path, .. }) => {
                self.files.insert(format!("{index}/{path}"));
            }
            Effect::Binhost(BinhostWork::WriteIndex { index, timestamp, add, remove, .. }) => {
                let index = index.to_string();
                let last = self.timestamps.insert(index.clone(), *timestamp).unwrap_or(0);
                assert!(*timestamp > last, "TIMESTAMP of {index} rises: {last}, {timestamp}");
                let blocks = self.memory.entry(index.clone()).or_default();
                for (id, _) in add {
                    let row: ArtifactRow = store.get(id).expect("what is listed has a row");
                    let ArtifactState::Published { build_id, path, .. } = &row.state else {
                        panic!("{row:?} is listed and not published")
                    };
                    blocks.insert((row.cpv.clone(), *build_id), format!("{index}/{path}"));
                }
                for block in remove {
                    blocks.remove(block);
                }
                for file in blocks.values() {
                    assert!(self.files.contains(file), "{index} lists {file}, which is not there");
                }
                self.listed.insert(index, blocks.clone());
            }
            Effect::Binhost(BinhostWork::RemovePackage { index, path, .. }) => {
                let file = format!("{index}/{path}");
                let lists = self.listed.values().any(|blocks| blocks.values().any(|listed| *listed == file));
                assert!(!lists, "{file} goes and is still listed");
                self.files.remove(&file);
            }
            _ => {}
        }
    }

    /// CPV and BUILD_ID of everything listed, in order.
    pub fn blocks(&self) -> Vec<String> {
        self.listed.values().flat_map(|blocks| blocks.keys().map(|(cpv, id)| format!("{cpv}-{id}"))).collect()
    }
}
