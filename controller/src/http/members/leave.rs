//! Drones that are let in no more.

use axum::Json as JsonAnswer;
use axum::extract::State;
use swarm_api::{DroneDone, ErrorBody};
use swarm_core::request::{DroneAction, DroneRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Members;
use super::{admitted, ended};
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::Path;
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(revoke)).routes(routes!(forget))
}

/// Cut a drone off, whatever it does
///
/// Its key is never let in again, its connections end at once, what it has goes back to the queue.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/revoke",
    operation_id = "drone_revoke",
    tag = "members",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn revoke(
    admin: Admin,
    State(asking): State<Asking>,
    State(members): State<Members>,
    Path(name): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    gone(&asking, &members, &admin, name, DroneAction::Revoke, "revoked").await
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
    State(asking): State<Asking>,
    State(members): State<Members>,
    Path(name): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    gone(&asking, &members, &admin, name, DroneAction::Forget, "forgotten").await
}

/// A drone leaves; the answer comes when the bus lets it in no more.
async fn gone(
    asking: &Asking,
    members: &Members,
    admin: &Admin,
    drone: String,
    action: DroneAction,
    status: &str,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    let done = asking.ask(&admin.actor, DroneRequest { drone: drone.clone(), action }).await?;
    admitted(asking, members).await?;
    Ok(JsonAnswer(ended(status, done, drone)))
}
