//! What the binhost holds, found without reading every artifact: the newest listed package of an identity and the BUILD_IDs
//! given so far. Derived from the rows; a restart rebuilds it.

use std::collections::BTreeMap;

use swarm_protocol::ArtifactId;

use crate::rows::{ArtifactRow, ArtifactState, Identity, IndexKey};

/// Finds artifacts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stock {
    listed: BTreeMap<(String, Identity), ArtifactId>,
    build_ids: BTreeMap<(String, String), u32>,
}

impl Stock {
    /// An artifact as it was stored.
    pub(crate) fn add(&mut self, row: &ArtifactRow) {
        match row.state {
            ArtifactState::Ticketed {} => {}
            ArtifactState::Uploaded { build_id, .. } => self.took(row, build_id),
            ArtifactState::Published { build_id, listed, .. } => {
                self.took(row, build_id);
                if listed.is_some() {
                    self.list(Some(row));
                }
            }
        }
    }

    fn took(&mut self, row: &ArtifactRow, build_id: u32) {
        let given = self.build_ids.entry((row.index.to_string(), row.cpv.clone())).or_default();
        *given = (*given).max(build_id);
    }

    /// BUILD_IDs rise per package within an index (decision 5).
    pub(crate) fn next_build_id(&mut self, row: &ArtifactRow) -> u32 {
        let given = self.build_ids.entry((row.index.to_string(), row.cpv.clone())).or_default();
        *given += 1;
        *given
    }

    /// A generation lists it.
    pub(crate) fn list(&mut self, row: Option<&ArtifactRow>) {
        let Some(row) = row else { return };
        let newest = self.listed.entry((row.index.to_string(), identity(row))).or_insert(row.id);
        *newest = (*newest).max(row.id);
    }

    /// The newest listed package of an identity.
    pub(crate) fn newest(&self, index: &IndexKey, identity: &Identity) -> Option<ArtifactId> {
        self.listed.get(&(index.to_string(), identity.clone())).copied()
    }
}

/// What makes an artifact the same package as another.
pub(crate) fn identity(row: &ArtifactRow) -> Identity {
    Identity {
        profile: row.index.profile.clone(),
        cpv: row.cpv.clone(),
        slot: row.slot.clone(),
        repository: row.repository.clone(),
        use_flags: row.use_flags.clone(),
    }
}
