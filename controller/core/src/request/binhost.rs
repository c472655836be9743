//! What is asked about the packages the binhost has. A package is named by its number, `=category/name-version`,
//! `category/name-version` or `category/name`.

use std::collections::BTreeMap;

use swarm_protocol::{ArtifactId, Secret};

use crate::files::UploadedFile;
use crate::rows::IndexKey;

/// Keep packages whatever retention says, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinRequest {
    /// The package.
    pub package: String,
    /// Keep it.
    pub pinned: bool,
}

/// Take packages out of the binhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpublishRequest {
    /// The package; not by `category/name` alone.
    pub package: String,
    /// Also those an open session builds on.
    pub force: bool,
}

/// Apply retention now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectRequest {
    /// Only say what would go.
    pub dry_run: bool,
}

/// A person has a package: is it wanted?
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportRequest {
    /// What its file says of itself.
    pub file: UploadedFile,
    /// When it was built, as its file says; equal for copies of one build.
    pub build_time: String,
    /// Build profile whose index it goes into.
    pub profile: String,
    /// ARCH, needed while no index of that profile and CHOST is known.
    pub arch: Option<String>,
    /// Header of the `Packages` it comes from; the index's, while no drone has given it one.
    pub header: BTreeMap<String, String>,
    /// Only say what would become of it.
    pub dry_run: bool,
    /// A fresh secret from the plumbing; becomes the ticket's token.
    pub token: Secret,
}

/// A published file is not what its row says. Nothing is touched if the package is not published any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRequest {
    /// The package.
    pub artifact: ArtifactId,
    /// What is wrong with its file.
    pub reason: String,
    /// Queue it to be built again.
    pub rebuild: bool,
}

/// An index on disk is not what the rows say: write it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReindexRequest {
    /// The index.
    pub index: IndexKey,
}

/// What a ticket is good for; the caller compares the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketRequest {
    /// The artifact it was given for.
    pub artifact: ArtifactId,
}
