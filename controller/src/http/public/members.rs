//! Coming onto the bus: invitations, enrolment, tappers, leaving, and what an operator of another bus has to configure.

use std::net::SocketAddr;

use axum::Json as JsonAnswer;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nkeys::KeyPair;
use swarm_api::{
    BusAnswer, DroneDone, EnrolAnswer, EnrolBody, ErrorBody, Invite, InviteAnswer, InviteBody, Invites, Member,
    MembersAnswer, TapperAnswer, TapperBody,
};
use swarm_common::clock::wall_ms;
use swarm_core::answer::Done;
use swarm_core::request::{
    DroneAction, DroneRequest, EnrolRequest, InvitationRequest, InviteRequest, RevokeTapperRequest, TapperRequest,
    UninviteRequest, WrongProofRequest,
};
use swarm_core::{Answer, Request};
use swarm_protocol::invite::{Invitation, signature, statement};
use swarm_protocol::{DroneId, Subjects};

use super::super::attempts::Source;
use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::{Json, Path};
use super::super::ports::Addresses;
use super::super::{AppState, unexpected};
use crate::bus::keys;

/// Where a request comes from, as far as the server knows.
pub struct CameFrom(Source);

impl<S: Send + Sync> FromRequestParts<S> for CameFrom {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())))
    }
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
    State(state): State<AppState>,
    Json(body): Json<InviteBody>,
) -> Result<(StatusCode, JsonAnswer<InviteAnswer>), ApiError> {
    let addresses = state.bus.addresses().map_err(|missing| {
        ApiError::new(StatusCode::CONFLICT, "drones of other machines can't reach this swarm").hint(missing)
    })?;
    let life = body.ttl.as_deref().filter(|ttl| !ttl.trim().is_empty()).map(life).transpose()?;
    let (secret, verifier) = keys::fresh().map_err(|error| ApiError::internal(&error))?;
    let id = hex::encode(rand::random::<[u8; 8]>());
    let profile = body.profile.filter(|profile| !profile.is_empty());
    let request = InviteRequest { id, verifier, name: body.name, profile, life };
    let row = match state.request(&admin.actor, Request::Invite(request)).await? {
        Answer::Invited(row) => row,
        _ => return Err(unexpected()),
    };
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
pub async fn invites(_: Admin, State(state): State<AppState>) -> Result<JsonAnswer<Invites>, ApiError> {
    let now = wall_ms();
    let mut rows = state.read(|rows| Ok(rows.invites()?)).await?;
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
    State(state): State<AppState>,
    Path(which): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    match state.request(&admin.actor, Request::Uninvite(UninviteRequest { which: which.clone() })).await? {
        Answer::Done(done) => Ok(JsonAnswer(ended("taken back", done, which))),
        _ => Err(unexpected()),
    }
}

/// Come in by an invitation
///
/// For `drone-agent join`. Needs no key but the token's, with which the drone signs its own public key: the token's secret
/// never travels. The answer comes when the bus lets the drone in. A repeat with the same key is answered the same.
#[utoipa::path(
    post,
    path = "/api/v1/enrol",
    operation_id = "enrol",
    tag = "members",
    request_body = EnrolBody,
    responses(
        (status = 200, body = EnrolAnswer),
        (status = 400, body = ErrorBody),
        (status = 401, description = "No such invitation, or not its token", body = ErrorBody),
        (status = 409, description = "The key or the name is taken", body = ErrorBody),
        (status = 410, description = "Used, expired or closed", body = ErrorBody),
        (status = 429, description = "Too many failures", body = ErrorBody),
        (status = 503, description = "The bus has not taken it yet: try again", body = ErrorBody),
    )
)]
pub async fn enrol(
    State(state): State<AppState>,
    CameFrom(source): CameFrom,
    Json(body): Json<EnrolBody>,
) -> Result<JsonAnswer<EnrolAnswer>, ApiError> {
    let _room = state.attempts.begin(source)?;
    let answer = let_in(&state, body).await;
    if answer.as_ref().is_err_and(|refusal| refusal.status.is_client_error()) {
        state.attempts.failed(source);
    }
    answer.map(JsonAnswer)
}

async fn let_in(state: &AppState, body: EnrolBody) -> Result<EnrolAnswer, ApiError> {
    let EnrolBody { invitation, key, proof, possession } = body;
    if !keys::is_user_id(&key) {
        return Err(ApiError::bad_request("the key is no public key of a bus user").hint("run drone-agent join again"));
    }
    let statement = statement(&invitation, &key);
    let signed = |by: &str, text: &str| signature(text).is_some_and(|bytes| keys::signed_by(by, &statement, &bytes));
    if !signed(&key, &possession) {
        return Err(ApiError::bad_request("the key is not the asker's own: its signature is wrong"));
    }
    let verifier = match state.request("enrol", Request::Invitation(InvitationRequest { id: invitation.clone() })).await
    {
        Ok(Answer::Verifier(verifier)) => verifier.0,
        Ok(_) => return Err(unexpected()),
        Err(refusal) => return Err(unknown(refusal)),
    };
    if !signed(&verifier, &proof) {
        let refused = state.request("enrol", Request::WrongProof(WrongProofRequest { invitation })).await;
        return Err(refused.err().map_or_else(unexpected, unknown));
    }
    let drone = DroneId(key);
    let name = match state.request("enrol", Request::Enrol(EnrolRequest { invitation, drone })).await {
        Ok(Answer::Enrolled(enrolled)) => enrolled.name,
        Ok(_) => return Err(unexpected()),
        Err(refusal) => return Err(unknown(refusal)),
    };
    let admitted = admitted(state).await?;
    let controller_version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(EnrolAnswer { status: "enrolled".to_owned(), name, controller_version, admitted })
}

/// An invitation that is not there is a credential that is not good.
fn unknown(mut refusal: ApiError) -> ApiError {
    if refusal.status == StatusCode::NOT_FOUND {
        refusal.status = StatusCode::UNAUTHORIZED;
    }
    refusal
}

/// Waits until the bus has taken what was just committed.
async fn admitted(state: &AppState) -> Result<bool, ApiError> {
    let membership = state.view().membership.clone();
    state.bus.admitted(membership).await.map_err(|reason| {
        ApiError::busy(reason)
            .hint("it is written down and the bus is told again and again; ask again in a moment")
            .retry_after(3)
    })
}

/// The authority of the bus, PEM
///
/// Whoever connects to the bus trusts it and no other; compare its fingerprint with the one in the invitation.
#[utoipa::path(
    get,
    path = "/api/v1/bus/authority",
    operation_id = "bus_authority",
    tag = "members",
    responses((status = 200, body = String), (status = 404, description = "There is none", body = ErrorBody))
)]
pub async fn authority(State(state): State<AppState>) -> Result<Response, ApiError> {
    let Some(pem) = state.bus.authority() else {
        return Err(ApiError::not_found("the bus has no authority of its own")
            .hint("its certificates are signed by one your system trusts, or it has none; see bus.ca"));
    };
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
}

/// How the bus is, and what was dropped, shed or refused
#[utoipa::path(
    get,
    path = "/api/v1/bus",
    operation_id = "bus",
    tag = "members",
    responses((status = 200, body = BusAnswer), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn bus(_: Admin, State(state): State<AppState>) -> JsonAnswer<BusAnswer> {
    let (bus, membership) = (state.bus.state(), state.view().membership.clone());
    JsonAnswer(BusAnswer {
        url: bus.url,
        public_url: bus.public_url,
        managed: bus.managed,
        connected: bus.connected,
        authority: bus.authority,
        drones: membership.drones.len() as u64,
        tappers: membership.tappers.len() as u64,
        counters: bus.counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
    })
}

/// Everyone who is or was let onto the bus
#[utoipa::path(
    get,
    path = "/api/v1/bus/members",
    operation_id = "bus_members",
    tag = "members",
    responses((status = 200, body = MembersAnswer), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn members(_: Admin, State(state): State<AppState>) -> Result<JsonAnswer<MembersAnswer>, ApiError> {
    let mut rows = state.read(|rows| Ok(rows.members()?)).await?;
    rows.sort_by(|one, other| {
        let order = |row: &swarm_core::rows::MemberRow| (row.role, !row.is_in(), row.name.clone(), row.since);
        order(one).cmp(&order(other))
    });
    Ok(JsonAnswer(MembersAnswer { members: rows.iter().map(Member::from).collect() }))
}

/// The users of the bus as `nats-server` reads them
///
/// For a bus that somebody else runs: to be included there, and again whenever somebody comes in or leaves.
#[utoipa::path(
    get,
    path = "/api/v1/bus/permissions",
    operation_id = "bus_permissions",
    tag = "members",
    responses((status = 200, body = String), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn permissions(_: Admin, State(state): State<AppState>) -> Result<(HeaderMap, String), ApiError> {
    let text = state.bus.permissions(&state.view().membership);
    let text = text.map_err(|reason| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, reason))?;
    Ok((HeaderMap::new(), text))
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
    State(state): State<AppState>,
    Json(body): Json<TapperBody>,
) -> Result<JsonAnswer<TapperAnswer>, ApiError> {
    let TapperBody { name, key } = body;
    if KeyPair::from_public_key(&key).is_err() || !keys::is_user_id(&key) {
        return Err(ApiError::bad_request("the key is no public key of a bus user")
            .hint("`swarm events tapper NAME` makes one"));
    }
    let request = Request::Tapper(TapperRequest { id: key, name: name.clone() });
    match state.request(&admin.actor, request).await? {
        Answer::Done(_) => {}
        _ => return Err(unexpected()),
    }
    let admitted = admitted(&state).await?;
    let bus = state.bus.state();
    let subjects = Subjects::new(bus.prefix);
    Ok(JsonAnswer(TapperAnswer {
        status: if admitted { "admitted" } else { "waiting" }.to_owned(),
        name,
        url: bus.url,
        public_url: bus.public_url,
        authority: state.bus.authority(),
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
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    let done =
        match state.request(&admin.actor, Request::RevokeTapper(RevokeTapperRequest { name: name.clone() })).await? {
            Answer::Done(done) => done,
            _ => return Err(unexpected()),
        };
    admitted(&state).await?;
    Ok(JsonAnswer(ended("revoked", done, name)))
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
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    gone(&state, &admin, name, DroneAction::Revoke, "revoked").await
}

/// A drone leaves; the answer comes when the bus lets it in no more.
pub(super) async fn gone(
    state: &AppState,
    admin: &Admin,
    drone: String,
    action: DroneAction,
    status: &str,
) -> Result<JsonAnswer<DroneDone>, ApiError> {
    let done = match state.request(&admin.actor, Request::Drone(DroneRequest { drone: drone.clone(), action })).await? {
        Answer::Done(done) => done,
        _ => return Err(unexpected()),
    };
    admitted(state).await?;
    Ok(JsonAnswer(ended(status, done, drone)))
}

fn ended(status: &str, done: Done, asked: String) -> DroneDone {
    DroneDone { status: status.to_owned(), name: done.what.into_iter().next().unwrap_or(asked) }
}
