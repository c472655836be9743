//! What a drone did, what it runs, and the log of a package it built.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use swarm_api::{ControllerVersion, DroneLog, DroneVersion, DroneVersions, ErrorBody, Event, HistoryEntry};
use swarm_core::view::{DroneView, Presence};
use swarm_protocol::{Cpv, Fence};
use utoipa::IntoParams;

use super::super::error::ApiError;
use super::super::extract::{Path, Query};
use super::super::public::logs::{self, LogQuery};
use super::super::{AppState, reads};

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

/// A drone by name or identity, as the view knows it.
fn known(state: &AppState, name: &str) -> Result<std::sync::Arc<DroneView>, ApiError> {
    let view = state.view();
    let drone = view.drones.values().find(|drone| drone.row.name == name || drone.row.id.0 == name).cloned();
    drone.ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        ApiError::not_found(format!("there is no drone {shown}")).hint("see /api/v1/nodes?all=true for those there are")
    })
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
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<DroneLogQuery>,
) -> Result<Json<DroneLog>, ApiError> {
    let drone = known(&state, &name)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let answer = state
        .read(move |rows| {
            let name = &drone.row.name;
            let events = reads::events_newest(rows, limit, |row| row.drone.as_ref() == Some(name))?.events;
            let builds = reads::history(rows, limit, |row| row.drone == drone.row.id, |_| false)?;
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
    State(state): State<AppState>,
    Path((name, category, package)): Path<(String, String, String)>,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let drone = known(&state, &name)?;
    let wanted = format!("{}/{package}", category.trim_start_matches('='));
    let running = drone.tasks.iter().find(|task| means(&wanted, &task.package)).map(|task| task.fence);
    let fence = match running {
        Some(fence) => fence,
        None => past(&state, &drone, wanted).await?,
    };
    logs::answer(state, fence, &headers, query).await
}

async fn past(state: &AppState, drone: &DroneView, wanted: String) -> Result<Fence, ApiError> {
    let (id, name, shown) = (drone.row.id.clone(), drone.row.name.clone(), wanted.clone());
    let fits = move |row: &swarm_core::rows::HistoryRow| row.drone == id && means(&wanted, &row.package);
    let found = state.read(move |rows| Ok(reads::history(rows, 1, fits, |_| false)?)).await?;
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

/// What each drone runs
#[utoipa::path(
    get,
    path = "/admin/api/drones/versions",
    operation_id = "admin_drone_versions",
    tag = "admin",
    responses((status = 200, body = DroneVersions), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn versions(State(state): State<AppState>) -> Json<DroneVersions> {
    let version = env!("CARGO_PKG_VERSION");
    let view = state.view();
    let mut drones: Vec<DroneVersion> = view
        .drones
        .values()
        .map(|drone| DroneVersion {
            name: drone.row.name.clone(),
            ip: drone.row.address.clone(),
            version: drone.row.agent_version.clone(),
            online: drone.presence == Presence::Online,
            is_current: drone.row.agent_version == version,
            portage_version: drone.row.portage_version.clone(),
            portage_timestamp: drone.row.tree_timestamp,
        })
        .collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    let control_plane =
        ControllerVersion { name: state.name(), version: version.to_owned(), status: "online".to_owned() };
    Json(DroneVersions { control_plane, drones })
}
