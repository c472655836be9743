//! Attempts that ended.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use swarm_api::{ErrorBody, History, HistoryEntry, Timing};
use swarm_core::rows::{HistoryRow, HistoryStatus};
use utoipa::IntoParams;

use super::super::error::ApiError;
use super::super::extract::Query;
use super::super::{AppState, reads};

/// Attempts in one answer if nothing else is said.
const DEFAULT_LIMIT: usize = 100;
/// Most attempts in one answer.
const MAX_LIMIT: usize = 2000;

/// Which attempts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// At most so many; 100 if not given, 2000 at most.
    limit: Option<usize>,
    /// Only this session.
    session: Option<u64>,
    /// `success`, `failed` or `returned`.
    status: Option<String>,
    /// Only this drone, by name or identity.
    drone: Option<String>,
}

/// Attempts that ended, newest first
///
/// Filters look at the newest 50,000 attempts.
#[utoipa::path(
    get,
    path = "/api/v1/history",
    tag = "history",
    params(HistoryQuery),
    responses((status = 200, body = History), (status = 400, body = ErrorBody))
)]
pub async fn history(
    State(state): State<AppState>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let status = query.status.as_deref().filter(|status| !status.is_empty()).map(parse_status).transpose()?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let fits = move |row: &HistoryRow| {
        query.session.is_none_or(|session| row.session.0 == session)
            && status.is_none_or(|status| row.status == status)
            && query.drone.as_ref().is_none_or(|drone| row.drone_name == *drone || row.drone.0 == *drone)
    };
    let answer = state
        .read(move |rows| {
            let found = reads::history(rows, limit, fits, |_| false)?;
            let history: Vec<HistoryEntry> = found.iter().map(HistoryEntry::from).collect();
            Ok(History { builds: history.clone(), history, stats: Timing::new(&rows.stats()?) })
        })
        .await?;
    Ok(Json(answer))
}

fn parse_status(status: &str) -> Result<HistoryStatus, ApiError> {
    match status {
        "success" | "ok" => Ok(HistoryStatus::Success),
        "failed" => Ok(HistoryStatus::Failed),
        "returned" => Ok(HistoryStatus::Returned),
        _ => {
            Err(ApiError::bad_request(format!("there is no status {:?}", status.chars().take(40).collect::<String>()))
                .hint("there are: success, failed, returned"))
        }
    }
}
