//! Tappers.

use axum::Json as JsonAnswer;
use axum::extract::State;
use nkeys::KeyPair;
use swarm_api::{DroneDone, ErrorBody, TapperAnswer, TapperBody};
use swarm_core::request::{RevokeTapperRequest, TapperRequest};
use swarm_protocol::Subjects;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Members;
use super::{admitted, ended};
use crate::bus::keys;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(tapper)).routes(routes!(untap))
}

/// Let somebody read the events on the bus
///
/// Nothing else: no orders, no reports, no logs, and it can say nothing.
#[utoipa::path(
    post,
    path = "/api/v1/tappers",
    operation_id = "tapper_add",
    tag = "members",
    request_body = TapperBody,
    responses(
        (status = 200, body = TapperAnswer),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 409, description = "The key or the name is taken", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn tapper(
    admin: Admin,
    State(asking): State<Asking>,
    State(members): State<Members>,
    Json(body): Json<TapperBody>,
) -> Result<JsonAnswer<TapperAnswer>, ApiError> {
    let TapperBody { name, key } = body;
    if KeyPair::from_public_key(&key).is_err() || !keys::is_user_id(&key) {
        return Err(ApiError::bad_request("the key is no public key of a bus user")
            .hint("`swarm events tapper NAME` makes one"));
    }
    asking.ask(&admin.actor, TapperRequest { id: key, name: name.clone() }).await?;
    let admitted = admitted(&asking, &members).await?;
    let bus = members.bus.state();
    let subjects = Subjects::new(bus.prefix);
    Ok(JsonAnswer(TapperAnswer {
        status: if admitted { "admitted" } else { "waiting" }.to_owned(),
        name,
        url: bus.url,
        public_url: bus.public_url,
        authority: members.bus.authority(),
        events: subjects.all_events(),
        json_events: subjects.all_json_events(),
    }))
}

/// Let a tapper read no more
#[utoipa::path(
    delete,
    path = "/api/v1/tappers/{name}",
    operation_id = "tapper_remove",
    tag = "members",
    params(("name" = String, Path, description = "Name or identity")),
    responses((status = 200, body = DroneDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn untap(
    admin: Admin,
    State(asking): State<Asking>,
    State(members): State<Members>,
    Path(name): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    let done = asking.ask(&admin.actor, RevokeTapperRequest { name: name.clone() }).await?;
    admitted(&asking, &members).await?;
    Ok(JsonAnswer(ended("revoked", done, name)))
}
