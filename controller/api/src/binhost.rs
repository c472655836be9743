//! The binhost's packages, what people do with them, and its checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A package of the binhost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BinhostPackage {
    /// Its number.
    pub id: u64,
    /// `arch/build profile/CHOST`.
    pub index: String,
    /// `category/name-version`.
    pub package: String,
    /// BUILD_ID; null until it is uploaded.
    pub build_id: Option<u32>,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled USE flags the package knows.
    pub use_flags: Vec<String>,
    /// Bytes of its file.
    pub size_bytes: u64,
    /// `announced`, `uploaded`, `signed`, `published`, `retired` (out of the index, its file waits to be removed) or
    /// `gone`.
    pub state: String,
    /// Why it was retired.
    pub reason: Option<String>,
    /// When it was signed.
    pub published_at: Option<f64>,
    /// Who pinned it: retention keeps it.
    pub pinned_by: Option<String>,
    /// Who brought it, if no drone of this swarm built it.
    pub imported_by: Option<String>,
    /// Its RESTRICT has `bindist`: the public has it neither in its index nor as a file.
    pub restricted: bool,
    /// Path below the index's address; null if it has no file.
    pub path: Option<String>,
}

/// A page of packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BinhostPackages {
    /// By number.
    pub packages: Vec<BinhostPackage>,
    /// How many fit, on all pages.
    pub total: u64,
    /// Send it as `after` for the next page; null on the last.
    pub next: Option<u64>,
}

/// Pins or unpins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PinBody {
    /// Number, `=category/name-version` or `category/name`.
    pub package: String,
    /// Keep it, whatever retention says; false lets it go.
    pub pinned: bool,
}

/// Takes a package out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RemoveBody {
    /// Number or `=category/name-version`.
    pub package: String,
    /// Also if an open session builds on it.
    #[serde(default)]
    pub force: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BinhostDone {
    /// `ok`
    pub status: String,
    /// How many packages were touched.
    pub touched: u64,
    /// Their names, at most 100.
    pub packages: Vec<String>,
}

/// Applies retention.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectBody {
    /// Only say what would go.
    #[serde(default)]
    pub dry_run: bool,
}

/// What retention took, or would take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectAnswer {
    /// Nothing was changed.
    pub dry_run: bool,
    /// How many packages.
    pub count: u64,
    /// Bytes of their files.
    pub size_bytes: u64,
    /// The first of them, at most 1,000.
    pub packages: Vec<CollectedPackage>,
    /// Packages that left their index earlier and whose files wait to be removed.
    pub waiting: u64,
    /// Bytes of those.
    pub waiting_bytes: u64,
}

/// A package retention takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectedPackage {
    /// Its number.
    pub id: u64,
    /// `arch/build profile/CHOST`.
    pub index: String,
    /// `category/name-version`.
    pub package: String,
    /// BUILD_ID.
    pub build_id: u32,
    /// Bytes of its file.
    pub size_bytes: u64,
}

/// A package somebody has: is it wanted?
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportBody {
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// `category/name-version`.
    pub package: String,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled USE flags the package knows, sorted.
    #[serde(default)]
    pub use_flags: Vec<String>,
    /// CHOST.
    pub chost: String,
    /// BUILD_TIME, as its metadata has it.
    pub build_time: String,
    /// Build profile whose index it goes into; `default` without it.
    #[serde(default)]
    pub profile: Option<String>,
    /// ARCH, needed while no index of that profile and CHOST is there.
    #[serde(default)]
    pub arch: Option<String>,
    /// Header of the `Packages` it comes from; becomes that of a new index.
    #[serde(default)]
    pub header: BTreeMap<String, String>,
    /// Only say what would become of it.
    #[serde(default)]
    pub dry_run: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportAnswer {
    /// `wanted`: put it to `/api/v1/artifacts/{id}` with the ticket in `X-Upload-Ticket` · `would_take`: it was only
    /// asked · `present`: the binhost has it.
    pub status: String,
    /// Number of the package; null if it was only asked.
    pub id: Option<u64>,
    /// The index it belongs to.
    pub index: String,
    /// The ticket.
    pub ticket: Option<String>,
    /// Seconds the ticket is good for.
    pub expires_s: Option<f64>,
}

/// Starts a check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerifyBody {
    /// Damaged packages are queued to be built again.
    #[serde(default)]
    pub rebuild: bool,
    /// Also when most files are gone.
    #[serde(default)]
    pub force: bool,
}

/// How a check stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerifyAnswer {
    /// `never`, `running`, `ended` or `stopped`.
    pub status: String,
    /// Packages to check.
    pub total: u64,
    /// Packages checked.
    pub checked: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Things found.
    pub found: u64,
    /// Of these mended.
    pub mended: u64,
    /// The first 1,000.
    pub findings: Vec<VerifyFinding>,
    /// Why it was broken off.
    pub reason: Option<String>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerifyFinding {
    /// Path below the binhost's folder, or the index's name.
    pub place: String,
    /// `category/name-version`.
    pub package: Option<String>,
    /// Number of the package.
    pub id: Option<u64>,
    /// What is wrong.
    pub problem: String,
    /// What was done about it; null if nothing could be.
    pub mended: Option<String>,
}

/// How somebody gets at restricted packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PrivateAnswer {
    /// User name for HTTP Basic authentication.
    pub user: String,
    /// Password.
    pub secret: String,
    /// A `wgetrc` with both.
    pub wgetrc: String,
    /// Every index.
    pub indexes: Vec<PrivateIndex>,
}

/// One complete index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PrivateIndex {
    /// `arch/build profile/CHOST`.
    pub index: String,
    /// `sync-uri`.
    pub url: String,
    /// A `binrepos.conf` section; the secret is not in it.
    pub snippet: String,
}
