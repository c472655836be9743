//! Drones: the list, and what a person can do with one.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use swarm_api::{
    ControllerVersion, Drone, DroneDone, ErrorBody, LegacyDrones, Orchestrator, PortageBase, PortageConfig, Version,
    Versions,
};
use swarm_common::clock::wall_ms;
use swarm_core::request::{DroneAction, DroneRequest};
use swarm_core::view::Presence;
use swarm_core::{Answer, Request};
use utoipa::IntoParams;

use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::{Path, Query, flag};
use super::super::{AppState, unexpected};
use super::members;

/// Which drones, in which shape.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NodesQuery {
    /// Offline ones, too.
    #[serde(default, deserialize_with = "flag")]
    all: bool,
    /// `legacy` wraps the list into `{drones, orchestrators}`.
    #[serde(default)]
    format: Option<String>,
}

/// The drones, by name
#[utoipa::path(
    get,
    path = "/api/v1/nodes",
    operation_id = "drone_list",
    tag = "drones",
    params(NodesQuery),
    responses(
        (status = 200, description = "With format=legacy: {drones, orchestrators}", body = Vec<Drone>),
        (status = 400, body = ErrorBody),
    )
)]
pub async fn nodes(State(state): State<AppState>, Query(query): Query<NodesQuery>) -> Result<Response, ApiError> {
    let (view, now) = (state.view(), wall_ms());
    let wanted = view.drones.values().filter(|drone| query.all || drone.presence == Presence::Online);
    let mut drones: Vec<Drone> = wanted.map(|drone| Drone::new(drone, now)).collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    match query.format.as_deref() {
        None | Some("" | "list") => Ok(Json(drones).into_response()),
        Some("legacy") => Ok(Json(LegacyDrones { drones, orchestrators: Vec::new() }).into_response()),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(ApiError::bad_request(format!("there is no format {other:?}")).hint("use format=legacy or none"))
        }
    }
}

async fn act(
    state: &AppState,
    admin: &Admin,
    name: String,
    action: DroneAction,
    status: &str,
) -> Result<Json<DroneDone>, ApiError> {
    let known = state.view().drones.values().find(|drone| drone.row.name == name || drone.row.id.0 == name).cloned();
    match state.request(&admin.actor, Request::Drone(DroneRequest { drone: name.clone(), action })).await? {
        Answer::Done(_) => {
            let name = known.map_or(name, |drone| drone.row.name.clone());
            Ok(Json(DroneDone { status: status.to_owned(), name }))
        }
        _ => Err(unexpected()),
    }
}

/// Give a drone no new work; what runs goes on
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/pause",
    operation_id = "drone_pause",
    tag = "drones",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn pause(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    act(&state, &admin, name, DroneAction::Pause, "paused").await
}

/// End a drone's pause or drain
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/resume",
    operation_id = "drone_resume",
    tag = "drones",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn resume(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    act(&state, &admin, name, DroneAction::Resume, "resumed").await
}

/// Empty a drone: no new work, and out once what runs has ended
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/drain",
    operation_id = "drone_drain",
    tag = "drones",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn drain(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    act(&state, &admin, name, DroneAction::Drain, "draining").await
}

/// Forget an offline drone
///
/// Its key is let onto the bus no more, until it is invited again or the configuration names it at the next start.
#[utoipa::path(
    delete,
    path = "/api/v1/nodes/{name}",
    operation_id = "drone_forget",
    tag = "drones",
    params(("name" = String, Path, description = "Name or identity")),
    responses(
        (status = 200, body = DroneDone),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It is online", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn forget(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    members::gone(&state, &admin, name, DroneAction::Forget, "forgotten").await
}

/// Who runs which version
#[utoipa::path(get, path = "/api/v1/versions", tag = "drones", responses((status = 200, body = Versions)))]
pub async fn versions(State(state): State<AppState>) -> Json<Versions> {
    let view = state.view();
    let mut drones: Vec<Version> = view
        .drones
        .values()
        .map(|drone| Version {
            name: drone.row.name.clone(),
            ip: drone.row.address.clone(),
            version: drone.row.agent_version.clone(),
            online: drone.presence == Presence::Online,
        })
        .collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    let control_plane = ControllerVersion {
        name: state.name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        status: "online".to_owned(),
    };
    Json(Versions { control_plane, drones })
}

/// How the drones' Portage is configured
///
/// Drones with the same configuration and tree are together.
#[utoipa::path(get, path = "/api/v1/portage-config", tag = "drones", responses((status = 200, body = PortageConfig)))]
pub async fn portage_config(State(state): State<AppState>) -> Json<PortageConfig> {
    let view = state.view();
    let mut rows: Vec<_> = view.drones.values().map(|drone| &drone.row).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let mut answer = PortageConfig::default();
    for row in rows {
        let same = |known: &PortageBase| {
            known.base == row.base && known.tree == row.tree && known.build_profile == row.build_profile
        };
        let place = answer.configurations.iter().position(same).unwrap_or_else(|| {
            answer.configurations.push(PortageBase {
                build_profile: row.build_profile.clone(),
                arch: row.arch.clone(),
                chost: row.chost.clone(),
                portage_version: row.portage_version.clone(),
                base: row.base.clone(),
                tree: row.tree.clone(),
                portage_timestamp: row.tree_timestamp,
                settings: row.index_header.clone(),
                drones: Vec::new(),
            });
            answer.configurations.len() - 1
        });
        answer.configurations[place].drones.push(row.name.clone());
        answer.drones.insert(row.name.clone(), place);
    }
    Json(answer)
}

/// Where the controller is
#[utoipa::path(get, path = "/api/v1/orchestrator", tag = "drones", responses((status = 200, body = Orchestrator)))]
pub async fn orchestrator(State(state): State<AppState>) -> Json<Orchestrator> {
    let uri: axum::http::Uri = state.base_url.parse().unwrap_or_default();
    let ip = uri.host().unwrap_or_default().to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let admin_port = Some(state.place.admin_port).filter(|&port| port != 0);
    Json(Orchestrator { ip, name: state.name(), port, admin_port })
}
