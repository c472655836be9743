//! Sessions.

use axum::Json;
use axum::extract::State;
use swarm_api::{ErrorBody, Session, SessionDetail, Sessions};
use swarm_common::clock::wall_ms;
use swarm_core::rows::SessionRow;
use swarm_protocol::SessionId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::http::extract::Path;
use crate::http::{AppState, Asking, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Sessions, newest first
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "session_list", tag = "sessions", responses((status = 200, body = Sessions)))]
pub async fn list(State(asking): State<Asking>, State(reading): State<Reading>) -> Result<Json<Sessions>, ApiError> {
    let view = asking.view();
    let rows = reading.read(|snapshot| Ok(snapshot.rows::<SessionRow>()?)).await?;
    let counts = |id| view.sessions.get(id).copied().unwrap_or_default();
    Ok(Json(Sessions { sessions: rows.iter().rev().map(|row| Session::new(row, &counts(&row.id))).collect() }))
}

/// A session with its packages
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}",
    operation_id = "session_show",
    tag = "sessions",
    params(("id" = u64, Path, description = "Number of the session")),
    responses((status = 200, body = SessionDetail), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    Path(id): Path<u64>,
) -> Result<Json<SessionDetail>, ApiError> {
    let view = asking.view();
    let detail = reading
        .walk(move |snapshot| {
            let row = snapshot.get::<SessionRow>(&SessionId(id))?.ok_or_else(|| {
                ApiError::not_found(format!("there is no session {id}"))
                    .hint("see /api/v1/sessions for those there are")
            })?;
            let counts = view.sessions.get(&row.id).copied().unwrap_or_default();
            Ok(SessionDetail::new(Session::new(&row, &counts), &snapshot.rows()?, &view, wall_ms()))
        })
        .await?;
    Ok(Json(detail))
}
