//! The operator's wishes for drones.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use swarm_api::{AllWishes, DroneWishes, ErrorBody};
use swarm_core::request::WishRequest;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::changes;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Json as JsonBody, Path};
use crate::http::fleet::known;
use crate::http::{AppState, Asking};

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(all_wishes))
        .routes(routes!(wishes_of, wish))
        .routes(routes!(wishes_of_by_its_old_path, wish_by_its_old_path))
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
pub async fn all_wishes(_: Admin, State(asking): State<Asking>) -> Json<AllWishes> {
    let mut drones: Vec<DroneWishes> = asking.view().drones.values().map(|drone| DroneWishes::new(drone)).collect();
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
) -> Result<Json<DroneWishes>, ApiError> {
    Ok(Json(DroneWishes::new(&*known(&asking.view(), &name)?)))
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
    State(asking): State<Asking>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Json<DroneWishes>, ApiError> {
    let wishes = Box::new(changes(body)?);
    asking.ask(&admin.actor, WishRequest { drone: name.clone(), wishes }).await?;
    // published before the engine answered
    Ok(Json(DroneWishes::new(&*known(&asking.view(), &name)?)))
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
    asking: State<Asking>,
    name: Path<String>,
) -> Result<Json<DroneWishes>, ApiError> {
    wishes_of(admin, asking, name).await
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
    asking: State<Asking>,
    name: Path<String>,
    body: JsonBody<Map<String, Value>>,
) -> Result<Json<DroneWishes>, ApiError> {
    wish(admin, asking, name, body).await
}
