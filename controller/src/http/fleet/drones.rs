//! Drones: the list, and what a person can do with one.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use swarm_api::{Drone, DroneDone, ErrorBody, LegacyDrones};
use swarm_common::clock::wall_ms;
use swarm_core::request::{DroneAction, DroneRequest};
use swarm_core::view::Presence;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query, flag};
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(nodes)).routes(routes!(pause)).routes(routes!(resume)).routes(routes!(drain))
}

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
pub async fn nodes(State(asking): State<Asking>, Query(query): Query<NodesQuery>) -> Result<Response, ApiError> {
    let (view, now) = (asking.view(), wall_ms());
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
    asking: &Asking,
    admin: &Admin,
    name: String,
    action: DroneAction,
    status: &str,
) -> Result<Json<DroneDone>, ApiError> {
    let known = asking.view().drones.values().find(|drone| drone.row.name == name || drone.row.id.0 == name).cloned();
    asking.ask(&admin.actor, DroneRequest { drone: name.clone(), action }).await?;
    let name = known.map_or(name, |drone| drone.row.name.clone());
    Ok(Json(DroneDone { status: status.to_owned(), name }))
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    act(&asking, &admin, name, DroneAction::Pause, "paused").await
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    act(&asking, &admin, name, DroneAction::Resume, "resumed").await
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<DroneDone>, ApiError> {
    act(&asking, &admin, name, DroneAction::Drain, "draining").await
}
