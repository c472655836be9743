//! Invitations.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use swarm_api::{DroneDone, ErrorBody, Invite, InviteAnswer, InviteBody, Invites};
use swarm_common::clock::wall_ms;
use swarm_core::request::{InviteRequest, UninviteRequest};
use swarm_core::rows::InviteRow;
use swarm_protocol::invite::Invitation;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Members;
use super::ended;
use crate::bus::keys;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::ports::Addresses;
use crate::http::{AppState, Asking, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(invites, invite)).routes(routes!(uninvite))
}

/// Invite a drone of another machine
///
/// The token in the answer is good for one drone, once. It is shown this once: only the public half of its key is kept.
#[utoipa::path(
    post,
    path = "/api/v1/invites",
    operation_id = "invite_add",
    tag = "members",
    request_body = InviteBody,
    responses(
        (status = 201, body = InviteAnswer),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 409, description = "The name is taken, or other machines can't reach the swarm", body = ErrorBody),
        (status = 503, description = "Too many are open", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn invite(
    admin: Admin,
    State(asking): State<Asking>,
    State(members): State<Members>,
    Json(body): Json<InviteBody>,
) -> Result<(StatusCode, JsonAnswer<InviteAnswer>), ApiError> {
    let addresses = members.bus.addresses().map_err(|missing| {
        ApiError::new(StatusCode::CONFLICT, "drones of other machines can't reach this swarm").hint(missing)
    })?;
    let life = body.ttl.as_deref().filter(|ttl| !ttl.trim().is_empty()).map(life).transpose()?;
    let (secret, verifier) = keys::fresh().map_err(|error| ApiError::internal(&error))?;
    let id = hex::encode(rand::random::<[u8; 8]>());
    let profile = body.profile.filter(|profile| !profile.is_empty());
    let request = InviteRequest { id, verifier, name: body.name, profile, life };
    let row = asking.ask(&admin.actor, request).await?;
    let Addresses { facade, bus, prefix, authority } = addresses;
    let invitation = Invitation {
        id: row.id.clone(),
        name: row.name.clone(),
        facade,
        bus,
        prefix,
        authority,
        profile: row.profile.clone(),
        secret: secret.expose().to_owned(),
        expires: row.expires_at,
    };
    let answer = InviteAnswer { token: invitation.token(), invitation: Invite::new(&row, wall_ms()) };
    Ok((StatusCode::CREATED, JsonAnswer(answer)))
}

fn life(text: &str) -> Result<u64, ApiError> {
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        ApiError::bad_request(format!("ttl: {shown:?} is no duration")).hint("for example 10m, 1h 30m or 2d")
    };
    let span = humantime::parse_duration(text.trim()).map_err(|_| wrong())?;
    u64::try_from(span.as_millis()).map_err(|_| wrong())
}

/// The invitations, newest first
#[utoipa::path(
    get,
    path = "/api/v1/invites",
    operation_id = "invite_list",
    tag = "members",
    responses((status = 200, body = Invites), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn invites(_: Admin, State(reading): State<Reading>) -> Result<JsonAnswer<Invites>, ApiError> {
    let now = wall_ms();
    let mut rows = reading.read(|snapshot| Ok(snapshot.rows::<InviteRow>()?)).await?;
    rows.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
    Ok(JsonAnswer(Invites { invites: rows.iter().map(|row| Invite::new(row, now)).collect() }))
}

/// Take an open invitation back
#[utoipa::path(
    delete,
    path = "/api/v1/invites/{name}",
    operation_id = "invite_remove",
    tag = "members",
    params(("name" = String, Path, description = "Its number, or the name it is for")),
    responses((status = 200, body = DroneDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn uninvite(
    admin: Admin,
    State(asking): State<Asking>,
    Path(which): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    let done = asking.ask(&admin.actor, UninviteRequest { which: which.clone() }).await?;
    Ok(JsonAnswer(ended("taken back", done, which)))
}
