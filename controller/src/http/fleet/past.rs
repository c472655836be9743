//! What a drone did, and the log of a package it built.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use swarm_api::{DroneLog, ErrorBody, Event, HistoryEntry};
use swarm_core::view::DroneView;
use swarm_protocol::{Cpv, Fence};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::known;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::logs::builds;
use crate::http::logs::builds::LogQuery;
use crate::http::{AppState, Asking, BuildLogs, Reading, Streams, journals};

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(log)).routes(routes!(build_log))
}

/// Events and builds given if nothing else is said.
const DEFAULT_LIMIT: usize = 100;

/// Most of each.
const MAX_LIMIT: usize = 1000;

/// How much.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DroneLogQuery {
    /// At most so many events, and so many builds; 100 if not given, 1000 at most.
    limit: Option<usize>,
}

/// What a drone did: its events and its builds
#[utoipa::path(
    get,
    path = "/admin/api/drones/{name}/log",
    operation_id = "admin_drone_log",
    tag = "admin",
    params(("name" = String, Path, description = "Name or identity"), DroneLogQuery),
    responses((status = 200, body = DroneLog), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn log(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    Path(name): Path<String>,
    Query(query): Query<DroneLogQuery>,
) -> Result<Json<DroneLog>, ApiError> {
    let drone = known(&asking.view(), &name)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let answer = reading
        .read(move |snapshot| {
            let name = &drone.row.name;
            let events = journals::events_newest(snapshot, limit, |row| row.drone.as_ref() == Some(name))?.events;
            let builds = journals::history(snapshot, limit, |row| row.drone == drone.row.id, |_| false)?;
            Ok(DroneLog {
                drone: name.clone(),
                events: events.iter().map(Event::from).collect(),
                builds: builds.iter().map(HistoryEntry::from).collect(),
            })
        })
        .await?;
    Ok(Json(answer))
}

/// The log of the newest attempt of a package on a drone
///
/// As `/api/v1/builds/{build}/{attempt}/log`.
#[utoipa::path(
    get,
    path = "/admin/api/logs/build/{name}/{category}/{package}",
    operation_id = "admin_build_log",
    tag = "admin",
    params(
        ("name" = String, Path, description = "Name or identity of the drone"),
        ("category" = String, Path, description = "Category, with or without a leading ="),
        ("package" = String, Path, description = "name or name-version"),
        LogQuery,
    ),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 401, body = ErrorBody),
        (status = 404, description = "No such drone, or it never tried the package", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn build_log(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    State(streams): State<Streams>,
    State(logs): State<BuildLogs>,
    Path((name, category, package)): Path<(String, String, String)>,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let drone = known(&asking.view(), &name)?;
    let wanted = format!("{}/{package}", category.trim_start_matches('='));
    let running = drone.tasks.iter().find(|task| means(&wanted, &task.package)).map(|task| task.fence);
    let fence = match running {
        Some(fence) => fence,
        None => past(&reading, &drone, wanted).await?,
    };
    builds::answer(logs, &streams, fence, &headers, query).await
}

async fn past(reading: &Reading, drone: &DroneView, wanted: String) -> Result<Fence, ApiError> {
    let (id, name, shown) = (drone.row.id.clone(), drone.row.name.clone(), wanted.clone());
    let fits = move |row: &swarm_core::rows::HistoryRow| row.drone == id && means(&wanted, &row.package);
    let found = reading.read(move |snapshot| Ok(journals::history(snapshot, 1, fits, |_| false)?)).await?;
    found.first().map(|row| row.fence).ok_or_else(|| {
        ApiError::not_found(format!("{name} has not tried {shown}, as far as is known"))
            .hint(format!("see /admin/api/drones/{name}/log for what it did"))
    })
}

/// Whether `wanted` (name or exact version) means the atom `known`.
fn means(wanted: &str, known: &str) -> bool {
    let known = known.trim_start_matches('=');
    wanted == known || known.parse::<Cpv>().is_ok_and(|cpv| cpv.cp() == wanted)
}
