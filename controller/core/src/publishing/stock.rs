//! What the binhost holds, found without reading every artifact: by the file that was uploaded, by identity, by the signed
//! file; and the BUILD_IDs given so far. Derived from the rows; a restart rebuilds it.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::ArtifactId;

use crate::rows::{ArtifactRow, ArtifactState, Identity, IndexKey};

/// Finds artifacts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stock {
    /// By index and SHA-256 as the drone or person has the file.
    uploads: BTreeMap<(String, String), ArtifactId>,
    listed: BTreeMap<(String, Identity), BTreeSet<ArtifactId>>,
    signed: BTreeMap<(String, String), ArtifactId>,
    build_ids: BTreeMap<(String, String), u32>,
}

impl Stock {
    /// An artifact as it was stored.
    pub(crate) fn add(&mut self, row: &ArtifactRow) {
        if !matches!(row.state, ArtifactState::Retired { .. } | ArtifactState::Gone { .. }) {
            self.announce(&row.index, &row.sha_in, row.id);
        }
        match &row.state {
            ArtifactState::Ticketed {} => {}
            ArtifactState::Uploaded { build_id, .. }
            | ArtifactState::Retired { build_id, .. }
            | ArtifactState::Gone { build_id, .. } => self.took(row, *build_id),
            ArtifactState::Published { build_id, sha_out, .. } => {
                self.took(row, *build_id);
                self.sign(row, sha_out);
                if row.is_listed() {
                    self.list(row);
                }
            }
        }
    }

    /// A file with this SHA-256 is to come, or came, for an artifact.
    pub(crate) fn announce(&mut self, index: &IndexKey, sha256: &str, id: ArtifactId) {
        self.uploads.insert((index.to_string(), sha256.to_owned()), id);
    }

    /// The artifact whose file has this SHA-256 before it is signed.
    pub(crate) fn upload(&self, index: &IndexKey, sha256: &str) -> Option<ArtifactId> {
        self.uploads.get(&(index.to_string(), sha256.to_owned())).copied()
    }

    /// That file does not come any more.
    pub(crate) fn forget_upload(&mut self, index: &IndexKey, sha256: &str) {
        self.uploads.remove(&(index.to_string(), sha256.to_owned()));
    }

    fn took(&mut self, row: &ArtifactRow, build_id: u32) {
        let given = self.build_ids.entry((row.index.to_string(), row.cpv.clone())).or_default();
        *given = (*given).max(build_id);
    }

    /// BUILD_IDs rise per package within an index.
    pub(crate) fn next_build_id(&mut self, row: &ArtifactRow) -> u32 {
        let given = self.build_ids.entry((row.index.to_string(), row.cpv.clone())).or_default();
        *given += 1;
        *given
    }

    /// It has a signed file with this SHA-256.
    pub(crate) fn sign(&mut self, row: &ArtifactRow, sha_out: &str) {
        self.signed.insert((row.index.to_string(), sha_out.to_owned()), row.id);
    }

    /// A generation lists it.
    pub(crate) fn list(&mut self, row: &ArtifactRow) {
        self.listed.entry((row.index.to_string(), identity(row))).or_default().insert(row.id);
    }

    /// It is not published any more.
    pub(crate) fn forget(&mut self, row: &ArtifactRow) {
        let key = (row.index.to_string(), identity(row));
        if let Some(ids) = self.listed.get_mut(&key) {
            ids.remove(&row.id);
            if ids.is_empty() {
                self.listed.remove(&key);
            }
        }
        if let ArtifactState::Published { sha_out, .. } = &row.state {
            self.signed.remove(&(row.index.to_string(), sha_out.clone()));
        }
        // it may be here once more, as another artifact
        if self.upload(&row.index, &row.sha_in) == Some(row.id) {
            self.forget_upload(&row.index, &row.sha_in);
        }
    }

    /// Nothing with this BUILD_ID is left, and nobody remembers it.
    pub(crate) fn forget_build_id(&mut self, row: &ArtifactRow, build_id: u32) {
        let key = (row.index.to_string(), row.cpv.clone());
        if self.build_ids.get(&key) == Some(&build_id) {
            self.build_ids.remove(&key);
        }
    }

    /// The newest listed package of an identity.
    pub(crate) fn newest(&self, index: &IndexKey, identity: &Identity) -> Option<ArtifactId> {
        self.listed.get(&(index.to_string(), identity.clone()))?.last().copied()
    }

    /// All listed packages of an identity, oldest first.
    pub(crate) fn of(&self, index: &IndexKey, identity: &Identity) -> impl DoubleEndedIterator<Item = ArtifactId> {
        self.listed.get(&(index.to_string(), identity.clone())).into_iter().flatten().copied()
    }

    /// The listed packages of each identity, oldest first.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &BTreeSet<ArtifactId>> {
        self.listed.values()
    }

    /// The package whose signed file has this SHA-256.
    pub(crate) fn by_signed(&self, index: &IndexKey, sha256: &str) -> Option<ArtifactId> {
        self.signed.get(&(index.to_string(), sha256.to_owned())).copied()
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
