//! Pings: the last ones, and those a person asks for.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use swarm_api::{AdminPing, ErrorBody, LastPing, LastPings, PingAllAnswer, PingAnswer, is_online};
use swarm_common::clock::wall_ms;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HealingPart;
use crate::healing::Pinged;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::fleet::known;
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(pings)).routes(routes!(ping_all)).routes(routes!(ping_node))
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ping_get, ping_post))
}

/// Whom to ping.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PingQuery {
    /// Ping the drone with this identity now.
    id: Option<String>,
    /// Ping the drone of this name now.
    name: Option<String>,
}

/// The last pings of all drones; with a drone named, that one is pinged now
#[utoipa::path(
    get,
    path = "/api/v1/ping",
    operation_id = "ping_list",
    tag = "healing",
    params(PingQuery),
    responses(
        (status = 200, description = "With id or name: the answer to a ping (PingAnswer)", body = LastPings),
        (status = 404, description = "No such drone", body = ErrorBody),
        (status = 503, description = "Too many pings at one time", body = ErrorBody),
    )
)]
pub async fn pings(
    State(asking): State<Asking>,
    State(healing): State<HealingPart>,
    Query(query): Query<PingQuery>,
) -> Result<Response, ApiError> {
    if let Some(name) = [query.id, query.name].into_iter().flatten().find(|name| !name.is_empty()) {
        return Ok(Json(ping(&asking, &healing, &name).await?).into_response());
    }
    let view = asking.view();
    let drones = view.drones.values().map(|drone| (drone.row.name.clone(), LastPing::new(drone))).collect();
    Ok(Json(LastPings { drones }).into_response())
}

/// Ping all drones now, by one broadcast
///
/// Who asks while one is under way, or within a second after it, shares its answers.
#[utoipa::path(get, path = "/api/v1/ping/all", tag = "healing", responses((status = 200, body = PingAllAnswer)))]
pub async fn ping_all(State(asking): State<Asking>, State(healing): State<HealingPart>) -> Json<PingAllAnswer> {
    let view = asking.view();
    let pinged = healing.pings.ping_all(view.clone()).await;
    let now = wall_ms();
    let name = |id: &swarm_protocol::DroneId| view.drones.get(id).map_or_else(|| id.0.clone(), |d| d.row.name.clone());
    let mut drones: Vec<PingAnswer> = pinged.iter().map(|one| answered(&name(&one.drone), one, now)).collect();
    drones.sort_by(|one, other| one.drone.cmp(&other.drone));
    let online = |answer: &&PingAnswer| view.drones.values().any(|d| d.row.name == answer.drone && is_online(d));
    let all = drones.iter().filter(online).all(|answer| answer.status == "ok");
    let answered = drones.iter().filter(|answer| answer.status == "ok").count() as u64;
    let status = if all { "ok" } else { "partial" }.to_owned();
    Json(PingAllAnswer { status, pinged: drones.len() as u64, answered, drones })
}

/// Ping a drone now
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/ping",
    operation_id = "drone_ping",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses(
        (status = 200, description = "status is ok, timeout or error", body = PingAnswer),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn ping_node(
    _: Admin,
    State(asking): State<Asking>,
    State(healing): State<HealingPart>,
    Path(name): Path<String>,
) -> Result<Json<PingAnswer>, ApiError> {
    ping(&asking, &healing, &name).await.map(Json)
}

/// Pings a drone now.
async fn ping(asking: &Asking, healing: &HealingPart, name: &str) -> Result<PingAnswer, ApiError> {
    let drone = known(&asking.view(), name)?;
    let pinged = healing.pings.ping(drone.row.id.clone()).await;
    let pinged = pinged.ok_or_else(|| {
        ApiError::busy("too many pings are asked for at one time").hint("GET /api/v1/ping shows the last ones")
    })?;
    Ok(answered(&drone.row.name, &pinged, wall_ms()))
}

/// What became of a ping of the drone called `name`, at the wall clock `now`.
fn answered(name: &str, pinged: &Pinged, now: u64) -> PingAnswer {
    let outcome = pinged.outcome.as_ref().map(|answered| (&answered.pong, answered.latency_us)).map_err(|loss| *loss);
    PingAnswer::new(name, pinged.seq, outcome, now)
}

async fn admin_ping(asking: &Asking, healing: &HealingPart, name: &str) -> Result<Json<AdminPing>, ApiError> {
    Ok(Json(ping(asking, healing, name).await?.into()))
}

/// Ping a drone now
#[utoipa::path(
    get,
    path = "/admin/api/drones/{name}/ping",
    operation_id = "admin_drone_ping",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = AdminPing), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn ping_get(
    _: Admin,
    State(asking): State<Asking>,
    State(healing): State<HealingPart>,
    Path(name): Path<String>,
) -> Result<Json<AdminPing>, ApiError> {
    admin_ping(&asking, &healing, &name).await
}

/// Ping a drone now
#[utoipa::path(
    post,
    path = "/admin/api/drones/{name}/ping",
    operation_id = "admin_drone_ping_now",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = AdminPing), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn ping_post(
    _: Admin,
    State(asking): State<Asking>,
    State(healing): State<HealingPart>,
    Path(name): Path<String>,
) -> Result<Json<AdminPing>, ApiError> {
    admin_ping(&asking, &healing, &name).await
}
