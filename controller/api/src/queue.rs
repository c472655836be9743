//! The queue, and requests to it.

use serde::{Deserialize, Serialize};
use swarm_core::forecast::{Forecast, forecast};
use swarm_core::rows::{BuildRow, BuildState, BuildWishes, Origin};
use swarm_core::view::View;
use swarm_protocol::SessionId;
use utoipa::ToSchema;

use super::number::seconds;

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
    /// As it was asked for; counts in the line.
    pub priority: i32,
    /// Seconds its build is likely to take where it is or on an ordinary drone, if it was ever built.
    pub estimated_s: Option<f64>,
    /// Seconds until its build is likely to begin; 0 when it has, null if that can't be told.
    pub starts_in_s: Option<f64>,
    /// Seconds until its build is likely to have ended; null if that can't be told.
    pub eta_s: Option<f64>,
}

/// Seconds a package is likely to take: of what a drone has, there; else on an ordinary drone.
pub fn estimated_s(row: &BuildRow, view: &View) -> Option<f64> {
    let task = row.assignment().and_then(|assignment| {
        let tasks = &view.drones.get(&assignment.drone)?.tasks;
        tasks.iter().find(|task| task.fence.build == row.id)?.estimated_ms
    });
    let usual = || view.medians.get(&row.cp()?).copied();
    task.or_else(usual).map(seconds)
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
    /// An entry with its forecast.
    pub fn new(row: &BuildRow, view: &View, forecast: &Forecast) -> Self {
        let (assignment, span) = (row.assignment(), forecast.entries.get(&row.id));
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
            priority: row.wishes.priority,
            estimated_s: estimated_s(row, view).filter(|_| completed_at.is_none()),
            starts_in_s: span.map(|span| seconds(span.start_ms)),
            eta_s: span.map(|span| seconds(span.end_ms)),
        }
    }

    /// Entries of a session, or all, in the order of the contract; within a state by number. `rows` are all entries of the
    /// queue, since others are built before or beside them.
    pub fn list(rows: &[BuildRow], session: Option<SessionId>, view: &View, now: u64) -> Vec<Self> {
        let forecast = forecast(rows, view, now);
        let mut shown: Vec<&BuildRow> =
            rows.iter().filter(|row| session.is_none_or(|session| row.session == session)).collect();
        shown.sort_by_key(|row| (place(row), row.id));
        shown.into_iter().map(|row| Self::new(row, view, &forecast)).collect()
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
    /// From -100 to 100; counts in the line.
    #[serde(default)]
    pub priority: i32,
    /// Operator's tags a drone must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Portage FEATURES a drone must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Memory a drone must have, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Seconds an attempt may take in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// Seconds an attempt may go without a new line of log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_s: Option<u64>,
}

impl QueueBody {
    /// What is wished of the builds.
    pub fn wishes(&self) -> BuildWishes {
        let ms = |seconds: Option<u64>| seconds.map(|seconds| seconds.saturating_mul(1000));
        BuildWishes {
            priority: self.priority,
            tags: self.tags.clone(),
            features: self.features.clone(),
            memory_bytes: self.memory_bytes.unwrap_or(0),
            total_ms: ms(self.timeout_s),
            silence_ms: ms(self.silence_s),
        }
    }
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
