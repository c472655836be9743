//! Controls and their answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One of the controls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ControlBody {
    /// `pause`, `resume`, `unblock`, `block`, `reclaim`, `unground`, `reset_upload`, `reset`, `rebalance` (or `optimize`),
    /// `clear_failures`, `retry_failures`, `clear_history`.
    pub action: String,
    /// Only this package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Only this drone, by name or identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drone: Option<String>,
    /// The same by the name 0.4's clients use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drone_id: Option<String>,
}

/// Something was done with a drone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneDone {
    /// `paused`, `resumed`, `draining` or `forgotten`.
    pub status: String,
    /// Its name.
    pub name: String,
}

/// Entries were taken out of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// `removed`.
    pub status: String,
    /// As it was asked for.
    pub package: String,
    /// How many entries.
    pub removed: u64,
}
