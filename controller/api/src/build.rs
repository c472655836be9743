//! One package's journey: its state and all its attempts.

use serde::{Deserialize, Serialize};
use swarm_core::forecast::Forecast;
use swarm_core::rows::{BuildRow, HistoryRow};
use swarm_core::view::View;
use utoipa::ToSchema;

use super::history::status_name;
use super::number::seconds;
use super::queue::{QueueEntry, drone_name};

/// A build with its attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildAnswer {
    /// Number of the build.
    pub build: u64,
    /// With `=`.
    pub package: String,
    /// Its entry in the queue; null once its session is forgotten.
    pub entry: Option<QueueEntry>,
    /// Enabled USE flags; empty if not known.
    pub use_flags: Vec<String>,
    /// Oldest first.
    pub attempts: Vec<BuildAttempt>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildAttempt {
    /// Counts from 1.
    pub attempt: u32,
    /// Name of the drone.
    pub drone: String,
    /// `running`, `success`, `failed` or `returned`.
    pub status: String,
    /// When it began, if that is known.
    pub started_at: Option<f64>,
    /// When it ended.
    pub built_at: Option<f64>,
    /// Seconds emerge took.
    pub duration_seconds: Option<f64>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// The line of the log that matters.
    pub log_line: Option<String>,
    /// Whose fault.
    pub culprit: Option<String>,
    /// Where its log is had.
    pub log: String,
}

fn log_path(build: u64, attempt: u32) -> String {
    format!("/api/v1/builds/{build}/{attempt}/log")
}

impl From<&HistoryRow> for BuildAttempt {
    fn from(row: &HistoryRow) -> Self {
        Self {
            attempt: row.fence.attempt.0,
            drone: row.drone_name.clone(),
            status: status_name(row.status).to_owned(),
            started_at: (row.duration_ms > 0).then(|| seconds(row.built_at.saturating_sub(row.duration_ms))),
            built_at: Some(seconds(row.built_at)),
            duration_seconds: Some(seconds(row.duration_ms)),
            error_message: row.error.clone(),
            log_line: row.log_line.clone(),
            culprit: row.culprit.map(|culprit| culprit.name().to_owned()),
            log: log_path(row.fence.build.0, row.fence.attempt.0),
        }
    }
}

impl BuildAnswer {
    /// A build; `None` if neither the queue nor the history knows it. `history` holds its rows, in any order.
    pub fn new(build: u64, row: Option<&BuildRow>, history: &[HistoryRow], view: &View) -> Option<Self> {
        let package = row.map(BuildRow::atom).or_else(|| history.first().map(|row| row.package.clone()))?;
        let mut attempts: Vec<BuildAttempt> = history.iter().map(BuildAttempt::from).collect();
        if let Some((row, assignment)) = row.and_then(|row| Some((row, row.assignment()?))) {
            attempts.push(BuildAttempt {
                attempt: row.attempt.0,
                drone: drone_name(view, &assignment.drone),
                status: "running".to_owned(),
                started_at: assignment.building_since.map(seconds),
                built_at: None,
                duration_seconds: None,
                error_message: None,
                log_line: None,
                culprit: None,
                log: log_path(build, row.attempt.0),
            });
        }
        attempts.sort_by_key(|attempt| attempt.attempt);
        attempts.dedup_by_key(|attempt| attempt.attempt);
        Some(Self {
            build,
            package,
            entry: row.map(|row| QueueEntry::new(row, view, &Forecast::default())),
            use_flags: row.map(|row| row.use_flags.clone()).unwrap_or_default(),
            attempts,
        })
    }
}
