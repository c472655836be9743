//! One drone's ladder, levels by hand, wishes and notices, for administrators.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use swarm_api::{
    ActOrdered, AdminPing, AllWishes, DroneEscalation, DroneWishes, ErrorBody, Escalation, HealingStatus, NoticeList,
    NoticeView, RestartBody, TestNotice, last_deeds, moment, seconds,
};
use swarm_core::Answer;
use swarm_core::Request;
use swarm_core::request::{HealAction, TestNoticeRequest, WishRequest};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::{Json as JsonBody, Path, Query, Whole};
use super::super::{AppState, unexpected};
use super::{heal, known, wishes};

/// Deeds shown of the whole fleet.
const LAST_DEEDS: usize = 50;
/// Notices in one answer.
const MAX_NOTICES: usize = 200;

/// Every path with its documentation.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(escalation))
        .routes(routes!(ping_get, ping_post))
        .routes(routes!(restart))
        .routes(routes!(reboot))
        .routes(routes!(healing_status))
        .routes(routes!(all_wishes))
        .routes(routes!(wishes_of, wish))
        .routes(routes!(wishes_of_by_its_old_path, wish_by_its_old_path))
        .routes(routes!(notices))
        .routes(routes!(test_notice))
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
pub async fn escalation(
    _: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DroneEscalation>, ApiError> {
    let drone = known(&state, &name)?;
    Ok(Json(DroneEscalation::new(&drone, &state.view())))
}

async fn ping(state: &AppState, name: &str) -> Result<Json<AdminPing>, ApiError> {
    Ok(Json(super::ping(state, name).await?.into()))
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
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<AdminPing>, ApiError> {
    ping(&state, &name).await
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
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<AdminPing>, ApiError> {
    ping(&state, &name).await
}

async fn by_hand(
    state: &AppState,
    admin: &Admin,
    name: String,
    action: HealAction,
    word: &str,
) -> Result<Json<ActOrdered>, ApiError> {
    let healed = heal(state, admin, name, action).await?;
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
    State(state): State<AppState>,
    Path(name): Path<String>,
    Whole(body): Whole,
) -> Result<Json<ActOrdered>, ApiError> {
    // clients of 0.4 send no body
    let hard = !body.is_empty() && wants_hard(&body)?;
    match hard {
        true => by_hand(&state, &admin, name, HealAction::HardRestart, "hard_restart").await,
        false => by_hand(&state, &admin, name, HealAction::Restart, "restart_service").await,
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
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<ActOrdered>, ApiError> {
    by_hand(&state, &admin, name, HealAction::Reboot, "reboot_container").await
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
pub async fn healing_status(_: Admin, State(state): State<AppState>) -> Json<HealingStatus> {
    let view = state.view();
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
        probe_interval_s: seconds(state.care.rules.ping_every),
        last_probe_at: moment(view.drones.values().map(|drone| drone.health.last_ping).max().unwrap_or(0)),
        escalation_summary: summary,
        drones,
        average_latency_ms: (average * 1000.0).round() / 1000.0,
        cut_off_since: view.cut_off.map(seconds),
        in_grace: view.in_grace,
        channels: state.care.channels.clone(),
        last_deeds: last_deeds(&view, LAST_DEEDS),
    })
}

/// The wishes for all drones
#[utoipa::path(
    get,
    path = "/admin/api/drone-configs",
    operation_id = "admin_drone_configs",
    tag = "healing",
    responses((status = 200, body = AllWishes), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn all_wishes(_: Admin, State(state): State<AppState>) -> Json<AllWishes> {
    let mut drones: Vec<DroneWishes> = state.view().drones.values().map(|drone| DroneWishes::new(drone)).collect();
    drones.sort_by(|one, other| one.node_name.cmp(&other.node_name));
    Json(AllWishes { drones })
}

/// The wishes for a drone
#[utoipa::path(
    get,
    path = "/admin/api/drone-configs/{name}",
    operation_id = "admin_drone_wishes",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneWishes), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn wishes_of(
    _: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DroneWishes>, ApiError> {
    Ok(Json(DroneWishes::new(&*known(&state, &name)?)))
}

/// Wish something of a drone
///
/// A field that is not sent stays as it is, `null` takes a wish back. Passwords are refused: there is no place for them.
#[utoipa::path(
    post,
    path = "/admin/api/drone-configs/{name}",
    operation_id = "admin_drone_wish",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    request_body = DroneWishes,
    responses(
        (status = 200, body = DroneWishes),
        (status = 400, description = "A password, a field nobody knows, or a value that can't be", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn wish(
    admin: Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Json<DroneWishes>, ApiError> {
    let wishes = Box::new(wishes::changes(body)?);
    match state.request(&admin.actor, Request::Wish(WishRequest { drone: name.clone(), wishes })).await? {
        // published before the engine answered
        Answer::Done(_) => Ok(Json(DroneWishes::new(&*known(&state, &name)?))),
        _ => Err(unexpected()),
    }
}

/// The wishes for a drone, by the path 0.4's clients use
#[utoipa::path(
    get,
    path = "/admin/api/drone-config/{name}",
    operation_id = "admin_drone_config",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneWishes), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn wishes_of_by_its_old_path(
    admin: Admin,
    state: State<AppState>,
    name: Path<String>,
) -> Result<Json<DroneWishes>, ApiError> {
    wishes_of(admin, state, name).await
}

/// Wish something of a drone, by the path 0.4's clients use
#[utoipa::path(
    post,
    path = "/admin/api/drone-config/{name}",
    operation_id = "admin_drone_config_change",
    tag = "healing",
    params(("name" = String, Path, description = "Name or identity")),
    request_body = DroneWishes,
    responses((status = 200, body = DroneWishes), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn wish_by_its_old_path(
    admin: Admin,
    state: State<AppState>,
    name: Path<String>,
    body: JsonBody<Map<String, Value>>,
) -> Result<Json<DroneWishes>, ApiError> {
    wish(admin, state, name, body).await
}

/// How many notices.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NoticesQuery {
    /// At most so many; 50 if not given, 200 at most.
    limit: Option<usize>,
}

/// Notices to people, newest first, and the channels they go by
#[utoipa::path(
    get,
    path = "/admin/api/notices",
    operation_id = "admin_notices",
    tag = "healing",
    params(NoticesQuery),
    responses((status = 200, body = NoticeList), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn notices(
    _: Admin,
    State(state): State<AppState>,
    Query(query): Query<NoticesQuery>,
) -> Result<Json<NoticeList>, ApiError> {
    let limit = query.limit.unwrap_or(50).min(MAX_NOTICES);
    let notices = state
        .read(move |rows| Ok(rows.notices()?.iter().rev().take(limit).map(NoticeView::from).collect::<Vec<_>>()))
        .await?;
    Ok(Json(NoticeList { channels: state.care.channels.clone(), notices }))
}

/// Send a notice to see whether it arrives
#[utoipa::path(
    post,
    path = "/admin/api/notices/test",
    operation_id = "admin_notice_test",
    tag = "healing",
    responses((status = 200, body = TestNotice), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn test_notice(admin: Admin, State(state): State<AppState>) -> Result<Json<TestNotice>, ApiError> {
    match state.request(&admin.actor, Request::TestNotice(TestNoticeRequest {})).await? {
        Answer::Done(done) => {
            let id = done.what.first().and_then(|id| id.parse().ok()).ok_or_else(unexpected)?;
            Ok(Json(TestNotice { status: "ordered".to_owned(), id, channels: state.care.channels.clone() }))
        }
        _ => Err(unexpected()),
    }
}
