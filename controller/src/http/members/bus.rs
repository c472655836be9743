//! How the bus is, who is let onto it, and what the operator of another bus has to configure.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use swarm_api::{BusAnswer, ErrorBody, Member, MembersAnswer};
use swarm_core::rows::MemberRow;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Members;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::{AppState, Asking, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(bus))
        .routes(routes!(authority))
        .routes(routes!(members))
        .routes(routes!(permissions))
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
pub async fn authority(State(members): State<Members>) -> Result<Response, ApiError> {
    let Some(pem) = members.bus.authority() else {
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
pub async fn bus(_: Admin, State(asking): State<Asking>, State(members): State<Members>) -> JsonAnswer<BusAnswer> {
    let (bus, membership) = (members.bus.state(), asking.view().membership.clone());
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
pub async fn members(_: Admin, State(reading): State<Reading>) -> Result<JsonAnswer<MembersAnswer>, ApiError> {
    let mut rows = reading.read(|snapshot| Ok(snapshot.rows::<MemberRow>()?)).await?;
    rows.sort_by(|one, other| {
        let order = |row: &MemberRow| (row.role, !row.is_in(), row.name.clone(), row.since);
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
pub async fn permissions(
    _: Admin,
    State(asking): State<Asking>,
    State(members): State<Members>,
) -> Result<(HeaderMap, String), ApiError> {
    let text = members.bus.permissions(&asking.view().membership);
    let text = text.map_err(|reason| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, reason))?;
    Ok((HeaderMap::new(), text))
}
