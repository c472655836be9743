//! What files of binary packages say of themselves, as the plumbing has read it.

use std::collections::BTreeMap;

/// What an uploaded file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadedFile {
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// `category/name-version`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled flags of its IUSE, sorted.
    pub use_flags: Vec<String>,
    /// CHOST.
    pub chost: String,
    /// RESTRICT.
    pub restrict: String,
}

/// A signed file at its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedFile {
    /// Path below the index's folder.
    pub path: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Its block in the index.
    pub stanza: BTreeMap<String, String>,
}
