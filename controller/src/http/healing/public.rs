//! Pings and levels on the public port.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use swarm_api::{
    DroneHealthEntry, DroneHealthList, ErrorBody, Escalation, Escalations, LastPing, LastPings, PingAllAnswer,
    PingAnswer, ResetDone, TypeBody, TypeDone, is_online,
};
use swarm_common::clock::wall_ms;
use swarm_core::request::HealAction;
use swarm_protocol::machine::DroneType;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::AppState;
use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::{Json as JsonBody, Path, Query};
use super::heal;

/// Every path with its documentation.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(pings))
        .routes(routes!(ping_all))
        .routes(routes!(escalation))
        .routes(routes!(ping_node))
        .routes(routes!(reset))
        .routes(routes!(set_type))
        .routes(routes!(drone_health))
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
pub async fn pings(State(state): State<AppState>, Query(query): Query<PingQuery>) -> Result<Response, ApiError> {
    if let Some(name) = [query.id, query.name].into_iter().flatten().find(|name| !name.is_empty()) {
        return Ok(Json(super::ping(&state, &name).await?).into_response());
    }
    let view = state.view();
    let drones = view.drones.values().map(|drone| (drone.row.name.clone(), LastPing::new(drone))).collect();
    Ok(Json(LastPings { drones }).into_response())
}

/// Ping all drones now, by one broadcast
///
/// Who asks while one is under way, or within a second after it, shares its answers.
#[utoipa::path(get, path = "/api/v1/ping/all", tag = "healing", responses((status = 200, body = PingAllAnswer)))]
pub async fn ping_all(State(state): State<AppState>) -> Json<PingAllAnswer> {
    let view = state.view();
    let pinged = state.care.pings.ping_all(view.clone()).await;
    let now = wall_ms();
    let name = |id: &swarm_protocol::DroneId| view.drones.get(id).map_or_else(|| id.0.clone(), |d| d.row.name.clone());
    let mut drones: Vec<PingAnswer> = pinged.iter().map(|one| super::answered(&name(&one.drone), one, now)).collect();
    drones.sort_by(|one, other| one.drone.cmp(&other.drone));
    let online = |answer: &&PingAnswer| view.drones.values().any(|d| d.row.name == answer.drone && is_online(d));
    let all = drones.iter().filter(online).all(|answer| answer.status == "ok");
    let answered = drones.iter().filter(|answer| answer.status == "ok").count() as u64;
    let status = if all { "ok" } else { "partial" }.to_owned();
    Json(PingAllAnswer { status, pinged: drones.len() as u64, answered, drones })
}

/// Where the drones stand on the ladder
#[utoipa::path(get, path = "/api/v1/escalation", tag = "healing", responses((status = 200, body = Escalations)))]
pub async fn escalation(State(state): State<AppState>) -> Json<Escalations> {
    let view = state.view();
    let drones = view.drones.values().map(|drone| (drone.row.name.clone(), Escalation::new(drone))).collect();
    Json(Escalations { monitor_running: view.healing, drones })
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
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<PingAnswer>, ApiError> {
    super::ping(&state, &name).await.map(Json)
}

/// Start a drone's ladder anew: level 0, what is wrong is judged again
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/reset-escalation",
    operation_id = "drone_reset_escalation",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = ResetDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn reset(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<ResetDone>, ApiError> {
    let healed = heal(&state, &admin, name, HealAction::Reset).await?;
    Ok(Json(ResetDone {
        status: "reset".to_owned(),
        name: healed.name.clone(),
        drone: healed.name,
        previous_level: healed.previous_level,
        current_level: 0,
    }))
}

/// Say what type a drone is
///
/// It wins over the drone's own detection, but allows no reboot that this forbids.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/set-type",
    operation_id = "drone_set_type",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    request_body = TypeBody,
    responses(
        (status = 200, body = TypeDone),
        (status = 400, description = "No such type", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn set_type(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<TypeBody>,
) -> Result<Json<TypeDone>, ApiError> {
    let word = [body.drone_type, body.r#type].into_iter().flatten().find(|word| !word.is_empty());
    let wanted = parse_type(&word.unwrap_or_default())?;
    let healed = heal(&state, &admin, name, HealAction::SetType(wanted)).await?;
    let detected = state.view().drones.get(&healed.drone).map(|drone| drone.row.detected_type).unwrap_or_default();
    let drone_type = wanted.unwrap_or(detected).name().to_owned();
    Ok(Json(TypeDone { status: "ok".to_owned(), name: healed.name, drone_type }))
}

fn parse_type(word: &str) -> Result<Option<DroneType>, ApiError> {
    let all = [DroneType::Lxc, DroneType::Qemu, DroneType::BareMetal, DroneType::Unknown];
    if word == "auto" {
        return Ok(None);
    }
    all.into_iter().find(|kind| kind.name() == word).map(Some).ok_or_else(|| {
        let shown: String = word.chars().take(40).collect();
        ApiError::bad_request(format!("there is no drone type {shown:?}")).hint(
            r#"send {"drone_type": "lxc"}, "qemu", "bare-metal", "unknown", or "auto" for what it detects itself"#,
        )
    })
}

/// Failures, groundings and probes of all drones
#[utoipa::path(
    get,
    path = "/api/v1/drone-health",
    tag = "healing",
    responses((status = 200, body = DroneHealthList), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn drone_health(_: Admin, State(state): State<AppState>) -> Json<DroneHealthList> {
    let view = state.view();
    let mut drones: Vec<DroneHealthEntry> =
        view.drones.values().map(|drone| DroneHealthEntry::new(drone, &view)).collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    Json(DroneHealthList { drones })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_in_the_contract_and_others_are_told() {
        for (word, kind) in [
            ("lxc", Some(DroneType::Lxc)),
            ("qemu", Some(DroneType::Qemu)),
            ("bare-metal", Some(DroneType::BareMetal)),
            ("unknown", Some(DroneType::Unknown)),
            ("auto", None),
        ] {
            assert_eq!(parse_type(word).unwrap(), kind);
        }
        for word in ["", "LXC", "vmware"] {
            let error = parse_type(word).unwrap_err();
            assert!(error.body.hint.unwrap().contains("bare-metal"), "{word}");
        }
    }
}
