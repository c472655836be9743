//! Attempts that ended, and sums over them.

use serde::{Deserialize, Serialize};
use swarm_core::rows::{HistoryRow, HistoryStatus, StatsRow};
use utoipa::ToSchema;

use super::number::{percent, seconds};

/// Answer to a question for the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Newest first.
    pub history: Vec<HistoryEntry>,
    /// The same list under its other name of 0.4.
    pub builds: Vec<HistoryEntry>,
    /// Sums over the whole history.
    pub stats: Timing,
}

/// One attempt that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// Number.
    pub id: u64,
    /// With `=`.
    pub package: String,
    /// Identity of the drone.
    pub drone_id: String,
    /// Its name then.
    pub drone_name: String,
    /// `success`, `failed` or `returned`.
    pub status: String,
    /// Seconds emerge took.
    pub duration_seconds: f64,
    /// Why it failed.
    pub error_message: Option<String>,
    /// Session.
    pub session_id: u64,
    /// When it ended.
    pub built_at: f64,
    /// Number of the build.
    pub build: u64,
    /// Attempt.
    pub attempt: u32,
    /// Whose fault: `package`, `drone`, `fleet` or `operator`.
    pub culprit: Option<String>,
    /// Kind of failure.
    pub class: Option<String>,
    /// The phase it failed in.
    pub phase: Option<String>,
    /// The line of the log that matters.
    pub log_line: Option<String>,
    /// Bytes of log.
    pub log_bytes: u64,
    /// Peak memory in bytes, if known.
    pub memory_peak_bytes: Option<u64>,
}

/// The public name of an end.
pub fn status_name(status: HistoryStatus) -> &'static str {
    match status {
        HistoryStatus::Success => "success",
        HistoryStatus::Failed => "failed",
        HistoryStatus::Returned => "returned",
    }
}

impl From<&HistoryRow> for HistoryEntry {
    fn from(row: &HistoryRow) -> Self {
        Self {
            id: row.id,
            package: row.package.clone(),
            drone_id: row.drone.0.clone(),
            drone_name: row.drone_name.clone(),
            status: status_name(row.status).to_owned(),
            duration_seconds: seconds(row.duration_ms),
            error_message: row.error.clone(),
            session_id: row.session.0,
            built_at: seconds(row.built_at),
            build: row.fence.build.0,
            attempt: row.fence.attempt.0,
            culprit: row.culprit.map(|culprit| culprit.name().to_owned()),
            class: row.class.map(|class| class.name().to_owned()),
            phase: row.phase.map(|phase| phase.name().to_owned()),
            log_line: row.log_line.clone(),
            log_bytes: row.log_bytes,
            memory_peak_bytes: (row.memory_peak_bytes > 0).then_some(row.memory_peak_bytes),
        }
    }
}

/// Sums over the whole history; numbers, never null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timing {
    /// Attempts that ended.
    pub total_builds: u64,
    /// Of them successes.
    pub successful: u64,
    /// The others.
    pub failed: u64,
    /// Successes in percent.
    pub success_rate: f64,
    /// Mean seconds.
    pub avg_duration_s: f64,
    /// Seconds of all.
    pub total_duration_s: f64,
    /// Per drone, by name.
    pub per_drone: Vec<DroneTiming>,
}

/// Sums of one drone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneTiming {
    /// Its name.
    pub drone_name: String,
    /// Attempts that ended.
    pub total: u64,
    /// Of them successes.
    pub success: u64,
    /// Mean seconds.
    pub avg_duration: f64,
    /// Successes in percent.
    pub success_rate: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a mean of seconds")]
fn mean(duration_ms: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { (duration_ms as f64 / count as f64).round() / 1000.0 }
}

impl Timing {
    /// Sums up what each drone did.
    pub fn new(stats: &[StatsRow]) -> Self {
        let total = stats.iter().map(|row| row.total).sum();
        let successful = stats.iter().map(|row| row.success).sum();
        let duration_ms = stats.iter().map(|row| row.duration_ms).sum();
        let per_drone = stats
            .iter()
            .map(|row| DroneTiming {
                drone_name: row.drone.clone(),
                total: row.total,
                success: row.success,
                avg_duration: mean(row.duration_ms, row.total),
                success_rate: percent(row.success, row.total),
            })
            .collect();
        Self {
            total_builds: total,
            successful,
            failed: total - successful.min(total),
            success_rate: percent(successful, total),
            avg_duration_s: mean(duration_ms, total),
            total_duration_s: seconds(duration_ms),
            per_drone,
        }
    }
}
