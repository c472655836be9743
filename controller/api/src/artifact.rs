//! Uploads, and how a client uses the binhost.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An upload was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactAnswer {
    /// `taken`: durable, it will be signed and published.
    pub status: String,
    /// Number of the artifact.
    pub artifact: u64,
}

/// How a client uses the binhost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BinhostAnswer {
    /// `sync-uri` of the first index; null while nothing is published.
    pub url: Option<String>,
    /// Every index.
    pub indexes: Vec<BinhostIndex>,
    /// Fingerprint of the signing key, upper-case hex.
    pub fingerprint: String,
    /// The signing key's public half, ASCII-armoured.
    pub public_key: String,
    /// Where the public half is had by itself.
    pub key_url: String,
    /// Packages listed in all indexes.
    #[serde(default)]
    pub packages: u64,
    /// Bytes of them.
    #[serde(default)]
    pub size_bytes: u64,
    /// Packages out of their index whose files wait to be removed.
    #[serde(default)]
    pub retired: u64,
    /// Bytes of those.
    #[serde(default)]
    pub retired_bytes: u64,
}

/// One index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BinhostIndex {
    /// `arch/build profile/CHOST`.
    pub index: String,
    /// Gentoo's ARCH.
    pub arch: String,
    /// Build profile.
    pub profile: String,
    /// CHOST.
    pub chost: String,
    /// `sync-uri`.
    pub url: String,
    /// TIMESTAMP of its newest generation.
    pub timestamp: u64,
    /// Packages it lists, those the public may not have included.
    pub packages: u64,
    /// Bytes of them.
    pub size_bytes: u64,
    /// Of the packages, those only the complete index lists: their RESTRICT has `bindist`.
    #[serde(default)]
    pub restricted: u64,
    /// The one signed last.
    #[serde(default)]
    pub newest: Option<NewestPackage>,
    /// A `binrepos.conf` section.
    pub snippet: String,
    /// Commands that make Portage trust the key.
    pub commands: Vec<String>,
}

/// The package an index got last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewestPackage {
    /// `category/name-version`.
    pub package: String,
    /// BUILD_ID.
    pub build_id: u32,
    /// When it was signed.
    pub published_at: f64,
}
