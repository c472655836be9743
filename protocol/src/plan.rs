//! What a planner returns: exact versions, USE, edges and merge order, or the resolver's complaint. A plan may be larger
//! than a message, so it travels as chunks of its encoding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::{InstanceId, PlanId, StoreId};

/// Bytes of encoding per chunk.
pub const CHUNK: usize = 512 * 1024;
/// Most chunks a plan may have: 32 MiB.
pub const MAX_CHUNKS: u32 = 64;
/// Most packages a plan may have; a queue has half of that.
pub const MAX_PACKAGES: usize = 100_000;
/// Most edges.
pub const MAX_EDGES: usize = 2_000_000;

/// `report.plan`: one chunk of an encoded [`Plan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanChunk {
    /// The worker's run.
    pub instance: InstanceId,
    /// The store that asked.
    pub store_id: StoreId,
    /// The request.
    pub plan: PlanId,
    /// Which try of it.
    pub attempt: u32,
    /// This chunk, from 0.
    pub chunk: u32,
    /// Chunks in all.
    pub chunks: u32,
    /// SHA-256 of the whole encoding, lower-case hex.
    pub sha256: String,
    /// The piece.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Answer to [`PlanChunk`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum PlanAnswer {
    /// Send the next chunk.
    Next {},
    /// The whole plan is on disk.
    Durable {},
    /// The request counts no more.
    Superseded {
        /// Why.
        reason: String,
    },
    /// It can't be used; the planner need not repeat it.
    Refused {
        /// Why.
        reason: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}

/// A resolved request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the Portage that resolved it.
    pub portage: String,
    /// What it could not do; then the graph may be partial.
    #[serde(default)]
    pub complaint: Option<Complaint>,
    /// Packages to be built, dependencies included; what the base has installed is left out.
    #[serde(default, deserialize_with = "bounded::list::<_, _, MAX_PACKAGES>")]
    pub packages: Vec<PlannedPackage>,
    /// Who needs whom; indices into `packages`.
    #[serde(default, deserialize_with = "bounded::list::<_, _, MAX_EDGES>")]
    pub edges: Vec<PlannedEdge>,
    /// Merge order; indices into `packages`.
    #[serde(default)]
    pub order: Vec<u32>,
    /// For each atom of the request, in its order, the package it resolved to; `None` if the base has it.
    #[serde(default)]
    pub targets: Vec<Option<u32>>,
    /// Milliseconds it took.
    #[serde(default)]
    pub duration_ms: u64,
}

/// A package of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlannedPackage {
    /// `category/name-version`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Sub-slot.
    #[serde(default)]
    pub subslot: String,
    /// Repository.
    pub repository: String,
    /// Enabled flags of its IUSE, sorted.
    #[serde(default)]
    pub use_flags: Vec<String>,
    /// RESTRICT, as it stands.
    #[serde(default)]
    pub restrict: String,
    /// Bytes of sources.
    #[serde(default)]
    pub distfile_bytes: u64,
    /// Names of its source files, hashed with [`source_hash`]; the first 64.
    #[serde(default)]
    pub sources: Vec<u32>,
}

/// The hash by which a source file's name is told: FNV-1a, 32 bits. Two names may share one; it is a hint for placement.
pub fn source_hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// An edge of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlannedEdge {
    /// Who needs.
    pub from: u32,
    /// Who is needed.
    pub to: u32,
    /// Needed before `from` can be built: DEPEND or BDEPEND.
    pub build_time: bool,
    /// Needed for `from` to be of use: RDEPEND, IDEPEND; PDEPEND is in neither.
    pub run_time: bool,
}

/// The resolver's complaint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Complaint {
    /// What kind.
    pub kind: ComplaintKind,
    /// Readable text: what, and what could be done.
    pub text: String,
    /// USE changes that would help: cpv → flag → wanted.
    #[serde(default)]
    pub use_changes: BTreeMap<String, BTreeMap<String, bool>>,
}

/// Kinds of complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComplaintKind {
    /// No such package.
    NotFound,
    /// Masked by keyword, licence or mask.
    Masked,
    /// A USE change is needed.
    UseChange,
    /// REQUIRED_USE is not met.
    RequiredUse,
    /// Circular dependencies.
    Circular,
    /// Not an atom.
    BadAtom,
    /// Slot conflicts, blockers and the rest.
    Conflict,
    /// The planner itself failed: not the packages' fault.
    Planner,
    /// Not known to this reader.
    #[default]
    #[serde(other)]
    Other,
}
