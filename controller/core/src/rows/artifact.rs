//! Binary packages and the indexes that list them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use swarm_protocol::{ArtifactId, Cpv, DroneId, Fence};

use super::Fact;
use crate::table::{Row, RowKey};

/// Which index a package belongs to: one per (arch, build profile, CHOST).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexKey {
    /// Gentoo's ARCH.
    pub arch: String,
    /// Build profile.
    pub profile: String,
    /// CHOST.
    pub chost: String,
}

impl fmt::Display for IndexKey {
    /// `arch/profile/chost`: the folder below the binhost's root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.arch, self.profile, self.chost)
    }
}

impl IndexKey {
    fn text(&self) -> impl Iterator<Item = u8> {
        [self.arch.as_str(), "/", &self.profile, "/", &self.chost].into_iter().flat_map(str::bytes)
    }
}

/// As its text, which is its key in the store.
impl Ord for IndexKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(other.text())
    }
}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl RowKey for IndexKey {
    fn bytes(&self) -> Vec<u8> {
        self.text().collect()
    }
}

/// Whether a package with this RESTRICT (its conditionals evaluated) must not be given to the public: `bindist` is in it.
pub fn is_restricted(restrict: &str) -> bool {
    restrict.split_whitespace().any(|word| word == "bindist")
}

/// A binary package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRow {
    /// Number.
    pub id: ArtifactId,
    /// Where it is listed.
    pub index: IndexKey,
    /// The attempt that made it; 0.0 for one a person brought.
    pub fence: Fence,
    /// Who made it; empty for one a person brought.
    pub drone: DroneId,
    /// `category/name-version`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled flags of its IUSE, sorted.
    pub use_flags: Vec<String>,
    /// SHA-256 of the file as the drone has it.
    pub sha_in: String,
    /// Bytes of the file as the drone has it.
    pub size_in: u64,
    /// Where it stands.
    pub state: ArtifactState,
    /// A person keeps it, whatever retention says.
    #[serde(default)]
    pub pinned: Option<Fact>,
    /// A person brought it; no drone of this swarm built it.
    #[serde(default)]
    pub imported: Option<Fact>,
}

impl ArtifactRow {
    /// Whether it must not be given to the public.
    pub fn is_restricted(&self) -> bool {
        match &self.state {
            ArtifactState::Ticketed {} | ArtifactState::Gone { .. } => false,
            ArtifactState::Uploaded { restrict, .. } => is_restricted(restrict),
            ArtifactState::Published { stanza, .. } => stanza.get("RESTRICT").is_some_and(|value| is_restricted(value)),
            ArtifactState::Retired { restricted, .. } => *restricted,
        }
    }

    /// Where its file is below its index's folder: where it will be put while it waits for its signature, then where it lies.
    /// `None` while or after it has none.
    pub fn path(&self) -> Option<String> {
        match &self.state {
            ArtifactState::Ticketed {} | ArtifactState::Gone { .. } => None,
            ArtifactState::Uploaded { build_id, .. } => {
                let cpv: Cpv = self.cpv.parse().ok()?;
                Some(format!("{}/{}-{build_id}.gpkg.tar", cpv.cp(), cpv.pf()))
            }
            ArtifactState::Published { path, .. } | ArtifactState::Retired { path, .. } => Some(path.clone()),
        }
    }

    /// In an index that is on disk.
    pub fn is_listed(&self) -> bool {
        matches!(self.state, ArtifactState::Published { listed: Some(_), .. })
    }
}

/// The life of an artifact: ticketed → uploaded → published → retired → gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ArtifactState {
    /// A ticket was given; the file is not here.
    Ticketed {},
    /// The file lies in `incoming`, verified; it waits for its signature.
    Uploaded {
        /// BUILD_ID it will have.
        build_id: u32,
        /// RESTRICT, as the package says.
        restrict: String,
    },
    /// Signed and at its place.
    Published {
        /// BUILD_ID.
        build_id: u32,
        /// Path below the index's folder.
        path: String,
        /// SHA-256 of the signed file.
        sha_out: String,
        /// Bytes of the signed file.
        size_out: u64,
        /// Its block in the index, key → value.
        stanza: BTreeMap<String, String>,
        /// TIMESTAMP of the first index that lists it; `None` until then.
        listed: Option<u64>,
        /// Wall clock, Unix milliseconds.
        at: u64,
    },
    /// Not wanted any more: it leaves its index with the next generation, and its file goes when no client that still has
    /// an older generation can ask for it.
    Retired {
        /// BUILD_ID.
        build_id: u32,
        /// Path below the index's folder.
        path: String,
        /// Bytes of its file.
        size: u64,
        /// It was never given to the public.
        restricted: bool,
        /// Why, for people.
        why: String,
        /// When its file goes, on the core's clock; `None` until an index without it is on disk.
        delete_at: Option<u64>,
    },
    /// Its file is gone. It stands for its BUILD_ID, which is not given again while a client may remember it.
    Gone {
        /// BUILD_ID.
        build_id: u32,
        /// When the row goes, on the core's clock.
        until: u64,
    },
}

impl Row for ArtifactRow {
    type Key = ArtifactId;
    const TABLE: &'static str = "artifacts";
    fn key(&self) -> ArtifactId {
        self.id
    }
}

/// An index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexRow {
    /// Its folder in the binhost.
    pub index: IndexKey,
    /// Header from a drone of its base.
    pub header: BTreeMap<String, String>,
    /// TIMESTAMP of the last generation given out to be written; always rises.
    pub timestamp: u64,
}

impl Row for IndexRow {
    type Key = IndexKey;
    const TABLE: &'static str = "indexes";
    fn key(&self) -> IndexKey {
        self.index.clone()
    }
}
