//! The queue, and requests to it.

use serde::{Deserialize, Serialize};
use swarm_core::rows::{BuildRow, BuildState, Origin};
use swarm_core::view::View;
use utoipa::ToSchema;

use super::seconds;

/// One entry of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueEntry {
    /// With `=`; as it was asked for while the version is not known.
    pub package: String,
    /// `needed`, `delegated`, `received`, `blocked` or `failed`.
    pub status: String,
    /// Name of the drone that has it.
    pub assigned_to: Option<String>,
    /// Failures since the marks were last cleared.
    pub failures: usize,
    /// The last failure or the reason it is blocked.
    pub error_message: Option<String>,
    /// When it was assigned.
    pub assigned_at: Option<f64>,
    /// When it was received, blocked or given up.
    pub completed_at: Option<f64>,
    /// Number of the build.
    pub id: u64,
    /// Last attempt; 0 before the first.
    pub attempt: u32,
    /// Session.
    pub session_id: u64,
    /// `asked` or `dependency`.
    pub origin: String,
    /// A drone resolves it first.
    pub planning: bool,
}

/// The name of a drone; its identity if it is not known any more.
pub fn drone_name(view: &View, id: &swarm_protocol::DroneId) -> String {
    view.drones.get(id).map_or_else(|| id.0.clone(), |drone| drone.row.name.clone())
}

/// `asked` or `dependency`.
pub fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Asked => "asked",
        Origin::Dependency => "dependency",
    }
}

/// Reasons for people: why it is blocked or given up, else its failures, oldest first.
pub fn reasons(row: &BuildRow) -> Vec<String> {
    match &row.state {
        BuildState::Blocked { reasons, .. } | BuildState::Failed { reasons, .. } if !reasons.is_empty() => {
            reasons.clone()
        }
        _ => row.marks.iter().map(|mark| format!("on {}: {}", mark.drone_name, mark.message)).collect(),
    }
}

/// Place of a state in the list: delegated, needed, blocked, failed, received.
fn place(row: &BuildRow) -> u8 {
    match row.state {
        BuildState::Delegated { .. } => 0,
        BuildState::Needed { .. } | BuildState::Planning { .. } => 1,
        BuildState::Blocked { .. } => 2,
        BuildState::Failed { .. } => 3,
        BuildState::Received { .. } => 4,
    }
}

impl QueueEntry {
    /// An entry.
    pub fn new(row: &BuildRow, view: &View) -> Self {
        let assignment = row.assignment();
        let completed_at = match &row.state {
            BuildState::Received { received } => Some(seconds(received.at)),
            BuildState::Blocked { since, .. } | BuildState::Failed { since, .. } => Some(seconds(*since)),
            BuildState::Planning { .. } | BuildState::Needed { .. } | BuildState::Delegated { .. } => None,
        };
        Self {
            package: row.atom(),
            status: row.state.name().to_owned(),
            assigned_to: assignment.map(|assignment| drone_name(view, &assignment.drone)),
            failures: row.marks.len(),
            error_message: reasons(row).pop(),
            assigned_at: assignment.map(|assignment| seconds(assignment.assigned_at)),
            completed_at,
            id: row.id.0,
            attempt: row.attempt.0,
            session_id: row.session.0,
            origin: origin_name(row.origin).to_owned(),
            planning: matches!(row.state, BuildState::Planning { .. }),
        }
    }

    /// Entries in the order of the contract; within a state by number.
    pub fn list(mut rows: Vec<BuildRow>, view: &View) -> Vec<Self> {
        rows.sort_by_key(|row| (place(row), row.id));
        rows.iter().map(|row| Self::new(row, view)).collect()
    }
}

/// Packages to queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueBody {
    /// Atoms.
    pub packages: Vec<String>,
    /// Joins the open session of this name or opens one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Unix seconds of the caller's ebuild tree; said back in the answer. Drones build from the tree they planned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub portage_timestamp: Option<serde_json::Value>,
    /// Build profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Lines of `package.use`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_use: Option<Vec<String>>,
    /// Build what the binhost has, too.
    #[serde(default)]
    pub rebuild: bool,
    /// A session of its own that lists every dependency.
    #[serde(default)]
    pub fresh: bool,
}

/// Packages were queued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuedAnswer {
    /// `ok`.
    pub status: String,
    /// How many are new in the queue.
    pub queued: usize,
    /// The session they are in.
    pub session_id: u64,
    /// Its name.
    pub session_name: String,
    /// The atoms of the new entries.
    pub packages: Vec<String>,
    /// Atoms that were waiting already.
    pub duplicates: Vec<String>,
    /// Numbers of the new entries.
    pub builds: Vec<u64>,
    /// As it was sent.
    #[schema(value_type = Option<f64>)]
    pub portage_timestamp: Option<serde_json::Value>,
}
