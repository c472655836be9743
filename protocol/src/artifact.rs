//! Binary packages on their way from a drone to the binhost.

use serde::{Deserialize, Serialize};

use crate::ids::{ArtifactId, Fence, InstanceId, StoreId};

/// A binary package as the drone has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// `category/name-version`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Repository it came from.
    pub repository: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Enabled USE flags that the package knows (in its IUSE), sorted.
    #[serde(default)]
    pub use_flags: Vec<String>,
}

/// Uploads of one drone at one time: the controller takes no more, and a drone begins no more.
pub const UPLOADS_AT_A_TIME: usize = 4;

/// `report.artifact`: a ticket for one upload is wanted. Size and hash are known only after the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactAsk {
    /// The worker's run.
    pub instance: InstanceId,
    /// The store whose order made it.
    pub store_id: StoreId,
    /// The attempt that made it.
    pub fence: Fence,
    /// The file.
    pub artifact: ArtifactRef,
}

/// Answer to [`ArtifactAsk`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ArtifactAnswer {
    /// Upload it: `PUT {http_url}/api/v1/artifacts/{artifact}` with the token in the header `X-Upload-Ticket`.
    Ticket {
        /// Number of the artifact.
        artifact: ArtifactId,
        /// The secret, good for this file and attempt only.
        token: String,
        /// Milliseconds it is good for.
        expires_ms: u64,
    },
    /// The controller has it already.
    Have {},
    /// The attempt counts no more.
    Superseded {
        /// Why.
        reason: String,
    },
    /// Not wanted.
    Refused {
        /// Why.
        reason: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Debug for ArtifactAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ticket { artifact, expires_ms, .. } => {
                write!(f, "Ticket {{ artifact: {artifact}, expires_ms: {expires_ms} }}")
            }
            Self::Have {} => f.write_str("Have"),
            Self::Superseded { reason } => write!(f, "Superseded {{ reason: {reason:?} }}"),
            Self::Refused { reason } => write!(f, "Refused {{ reason: {reason:?} }}"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}
