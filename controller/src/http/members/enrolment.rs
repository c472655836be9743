//! Coming in by an invitation.

use std::net::SocketAddr;

use axum::Json as JsonAnswer;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use swarm_api::{EnrolAnswer, EnrolBody, ErrorBody};
use swarm_core::answer::Verifier;
use swarm_core::request::{EnrolRequest, InvitationRequest, WrongProofRequest};
use swarm_protocol::DroneId;
use swarm_protocol::invite::{signature, statement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Members;
use super::admitted;
use super::attempts::Source;
use crate::bus::keys;
use crate::engine::AskError;
use crate::http::error::ApiError;
use crate::http::extract::Json;
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(enrol))
}

/// Where a request comes from, as far as the server knows.
pub struct CameFrom(Source);

impl<S: Send + Sync> FromRequestParts<S> for CameFrom {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())))
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
    State(asking): State<Asking>,
    State(members): State<Members>,
    CameFrom(source): CameFrom,
    Json(body): Json<EnrolBody>,
) -> Result<JsonAnswer<EnrolAnswer>, ApiError> {
    let _room = members.attempts.begin(source)?;
    let answer = let_in(&asking, &members, body).await;
    if answer.as_ref().is_err_and(|refusal| refusal.status.is_client_error()) {
        members.attempts.failed(source);
    }
    answer.map(JsonAnswer)
}

async fn let_in(asking: &Asking, members: &Members, body: EnrolBody) -> Result<EnrolAnswer, ApiError> {
    let EnrolBody { invitation, key, proof, possession } = body;
    if !keys::is_user_id(&key) {
        return Err(ApiError::bad_request("the key is no public key of a bus user").hint("run drone-agent join again"));
    }
    let statement = statement(&invitation, &key);
    let signed = |by: &str, text: &str| signature(text).is_some_and(|bytes| keys::signed_by(by, &statement, &bytes));
    if !signed(&key, &possession) {
        return Err(ApiError::bad_request("the key is not the asker's own: its signature is wrong"));
    }
    let asked = InvitationRequest { id: invitation.clone() };
    let Verifier(verifier) = asking.ask("enrol", asked).await.map_err(unknown)?;
    if !signed(&verifier, &proof) {
        let refused = asking.ask("enrol", WrongProofRequest { invitation }).await;
        return Err(unknown(refused.err().unwrap_or(AskError::Unfit)));
    }
    let drone = DroneId(key);
    let enrolled = asking.ask("enrol", EnrolRequest { invitation, drone }).await.map_err(unknown)?;
    let admitted = admitted(asking, members).await?;
    let controller_version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(EnrolAnswer { status: "enrolled".to_owned(), name: enrolled.name, controller_version, admitted })
}

/// An invitation that is not there is a credential that is not good.
fn unknown(reason: AskError) -> ApiError {
    let mut refusal = ApiError::from(reason);
    if refusal.status == StatusCode::NOT_FOUND {
        refusal.status = StatusCode::UNAUTHORIZED;
    }
    refusal
}
