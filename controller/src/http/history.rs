//! Attempts that ended: one by one, by build, by package.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use swarm_api::{BuildAnswer, ErrorBody, History, HistoryEntry, PackageStats, Timing};
use swarm_core::rows::{HistoryRow, HistoryStatus};
use swarm_protocol::BuildId;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::cache::Aged;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::{AppState, Asking, Reading, journals};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(history)).routes(routes!(show)).routes(routes!(by_package))
}

/// Sums by package, shared by all who ask. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tallies(Arc<Aged<PackageStats>>);

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
    State(reading): State<Reading>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let status = query.status.as_deref().filter(|status| !status.is_empty()).map(parse_status).transpose()?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let fits = move |row: &HistoryRow| {
        query.session.is_none_or(|session| row.session.0 == session)
            && status.is_none_or(|status| row.status == status)
            && query.drone.as_ref().is_none_or(|drone| row.drone_name == *drone || row.drone.0 == *drone)
    };
    let answer = reading
        .read(move |snapshot| {
            let found = journals::history(snapshot, limit, fits, |_| false)?;
            let history: Vec<HistoryEntry> = found.iter().map(HistoryEntry::from).collect();
            Ok(History { builds: history.clone(), history, stats: Timing::new(&snapshot.rows()?) })
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

/// A build with all its attempts
#[utoipa::path(
    get,
    path = "/api/v1/builds/{build}",
    operation_id = "build_show",
    tag = "history",
    params(("build" = u64, Path, description = "Number of the build")),
    responses((status = 200, body = BuildAnswer), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    Path(build): Path<u64>,
) -> Result<Json<BuildAnswer>, ApiError> {
    let view = asking.view();
    let answer = reading
        .read(move |snapshot| {
            let (row, history) = journals::attempts(snapshot, BuildId(build))?;
            Ok(BuildAnswer::new(build, row.as_ref(), &history, &view))
        })
        .await?;
    answer.map(Json).ok_or_else(|| {
        ApiError::not_found(format!("there is no build {build}"))
            .hint("see /api/v1/queue and /api/v1/history for numbers")
    })
}

/// How old the sums by package may be.
const STATS_AGE: Duration = Duration::from_secs(5);

/// Attempts the sums by package look at.
const STATS_ATTEMPTS: usize = 50_000;

/// Attempts by package
///
/// Of the newest 50,000 attempts; at most 5 s old.
#[utoipa::path(
    get,
    path = "/api/v1/build-stats/by-package",
    operation_id = "build_stats_by_package",
    tag = "history",
    responses((status = 200, body = PackageStats))
)]
pub async fn by_package(
    State(reading): State<Reading>,
    State(tallies): State<Tallies>,
) -> Result<Json<PackageStats>, ApiError> {
    let read = async || {
        reading
            .read(|snapshot| Ok(PackageStats::new(&journals::history(snapshot, STATS_ATTEMPTS, |_| true, |_| false)?)))
            .await
    };
    let stats = tallies.0.get(STATS_AGE, read).await?;
    Ok(Json(PackageStats::clone(&stats)))
}
