//! The ladder: where drones stand on it, and its levels by hand.

use axum::Json;
use axum::extract::State;
use swarm_api::{
    ActOrdered, DroneEscalation, DroneHealthEntry, DroneHealthList, ErrorBody, Escalation, Escalations, HealingStatus,
    ResetDone, RestartBody, TypeBody, TypeDone, last_deeds, moment, seconds,
};
use swarm_core::answer::Healed;
use swarm_core::request::{HealAction, HealRequest};
use swarm_protocol::machine::DroneType;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HealingPart;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Json as JsonBody, Path, Whole};
use crate::http::fleet::known;
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(escalation))
        .routes(routes!(reset))
        .routes(routes!(set_type))
        .routes(routes!(drone_health))
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(escalation_of))
        .routes(routes!(restart))
        .routes(routes!(reboot))
        .routes(routes!(status))
}

/// Deeds shown of the whole fleet.
const LAST_DEEDS: usize = 50;

/// Asks the engine to do something about a drone.
async fn heal(asking: &Asking, admin: &Admin, drone: String, action: HealAction) -> Result<Healed, ApiError> {
    Ok(asking.ask(&admin.actor, HealRequest { drone, action }).await?)
}

/// Where the drones stand on the ladder
#[utoipa::path(get, path = "/api/v1/escalation", tag = "healing", responses((status = 200, body = Escalations)))]
pub async fn escalation(State(asking): State<Asking>) -> Json<Escalations> {
    let view = asking.view();
    let drones = view.drones.values().map(|drone| (drone.row.name.clone(), Escalation::new(drone))).collect();
    Json(Escalations { monitor_running: view.healing, drones })
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<ResetDone>, ApiError> {
    let healed = heal(&asking, &admin, name, HealAction::Reset).await?;
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<TypeBody>,
) -> Result<Json<TypeDone>, ApiError> {
    let word = [body.drone_type, body.r#type].into_iter().flatten().find(|word| !word.is_empty());
    let wanted = parse_type(&word.unwrap_or_default())?;
    let healed = heal(&asking, &admin, name, HealAction::SetType(wanted)).await?;
    let detected = asking.view().drones.get(&healed.drone).map(|drone| drone.row.detected_type).unwrap_or_default();
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
pub async fn drone_health(_: Admin, State(asking): State<Asking>) -> Json<DroneHealthList> {
    let view = asking.view();
    let mut drones: Vec<DroneHealthEntry> =
        view.drones.values().map(|drone| DroneHealthEntry::new(drone, &view)).collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    Json(DroneHealthList { drones })
}

/// All about one drone and the ladder
#[utoipa::path(
    get,
    path = "/admin/api/drones/{name}/escalation",
    operation_id = "admin_drone_escalation",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneEscalation), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn escalation_of(
    _: Admin,
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<DroneEscalation>, ApiError> {
    let drone = known(&asking.view(), &name)?;
    Ok(Json(DroneEscalation::new(&drone, &asking.view())))
}

async fn by_hand(
    asking: &Asking,
    admin: &Admin,
    name: String,
    action: HealAction,
    word: &str,
) -> Result<Json<ActOrdered>, ApiError> {
    let healed = heal(asking, admin, name, action).await?;
    Ok(Json(ActOrdered {
        status: "ordered".to_owned(),
        drone: healed.name,
        action: word.to_owned(),
        generation: healed.generation,
        previous_level: healed.previous_level,
    }))
}

/// Restart a drone's worker now (level 1, or level 2 with `hard`); its builds live on
#[utoipa::path(
    post,
    path = "/admin/api/drones/{name}/restart",
    operation_id = "admin_drone_restart",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    request_body = RestartBody,
    responses(
        (status = 200, body = ActOrdered),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "Something is being done to it already", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn restart(
    admin: Admin,
    State(asking): State<Asking>,
    Path(name): Path<String>,
    Whole(body): Whole,
) -> Result<Json<ActOrdered>, ApiError> {
    // clients of 0.4 send no body
    let hard = !body.is_empty() && wants_hard(&body)?;
    match hard {
        true => by_hand(&asking, &admin, name, HealAction::HardRestart, "hard_restart").await,
        false => by_hand(&asking, &admin, name, HealAction::Restart, "restart_service").await,
    }
}

fn wants_hard(body: &[u8]) -> Result<bool, ApiError> {
    serde_json::from_slice::<RestartBody>(body).map(|body| body.hard).map_err(|error| {
        ApiError::bad_request(format!("the request's body is not the JSON expected here: {error}"))
            .hint(r#"send {"hard": true} for level 2, or nothing"#)
    })
}

/// Reboot a drone now (level 3), where the rules allow it
#[utoipa::path(
    post,
    path = "/admin/api/drones/{name}/reboot",
    operation_id = "admin_drone_reboot",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses(
        (status = 200, body = ActOrdered),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "The rules forbid it, or not now; the reason is in the error", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn reboot(
    admin: Admin,
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<ActOrdered>, ApiError> {
    by_hand(&asking, &admin, name, HealAction::Reboot, "reboot_container").await
}

/// The ladder of the fleet
#[utoipa::path(
    get,
    path = "/admin/api/self-healing/status",
    operation_id = "admin_self_healing_status",
    tag = "healing",
    responses((status = 200, body = HealingStatus), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn status(_: Admin, State(asking): State<Asking>, State(healing): State<HealingPart>) -> Json<HealingStatus> {
    let view = asking.view();
    let mut summary: std::collections::BTreeMap<String, u64> =
        (0..=4).map(|level| (format!("level_{level}"), 0)).collect();
    for drone in view.drones.values() {
        *summary.entry(format!("level_{}", drone.health.level())).or_default() += 1;
    }
    let mut drones: Vec<Escalation> = view.drones.values().map(|drone| Escalation::new(drone)).collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    let latencies: Vec<f64> = drones.iter().filter_map(|drone| drone.ping_latency_ms).collect();
    #[expect(clippy::cast_precision_loss, reason = "a number of drones")]
    let average = latencies.iter().sum::<f64>() / (latencies.len().max(1) as f64);
    Json(HealingStatus {
        monitor_running: view.healing,
        probe_interval_s: seconds(healing.rules.ping_every),
        last_probe_at: moment(view.drones.values().map(|drone| drone.health.last_ping).max().unwrap_or(0)),
        escalation_summary: summary,
        drones,
        average_latency_ms: (average * 1000.0).round() / 1000.0,
        cut_off_since: view.cut_off.map(seconds),
        in_grace: view.in_grace,
        channels: healing.channels.clone(),
        last_deeds: last_deeds(&view, LAST_DEEDS),
    })
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
