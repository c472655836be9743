//! Sessions.

use axum::Json;
use axum::extract::State;
use swarm_api::{ErrorBody, Session, SessionDetail, Sessions};
use swarm_common::clock::wall_ms;

use super::super::AppState;
use super::super::error::ApiError;
use super::super::extract::Path;

/// Sessions, newest first
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "session_list", tag = "sessions", responses((status = 200, body = Sessions)))]
pub async fn list(State(state): State<AppState>) -> Result<Json<Sessions>, ApiError> {
    let view = state.view();
    let rows = state.read(|rows| Ok(rows.sessions()?)).await?;
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
pub async fn show(State(state): State<AppState>, Path(id): Path<u64>) -> Result<Json<SessionDetail>, ApiError> {
    let view = state.view();
    let detail = state
        .walk(move |rows| {
            let row = rows.session(id)?.ok_or_else(|| {
                ApiError::not_found(format!("there is no session {id}"))
                    .hint("see /api/v1/sessions for those there are")
            })?;
            let counts = view.sessions.get(&row.id).copied().unwrap_or_default();
            Ok(SessionDetail::new(Session::new(&row, &counts), &rows.builds()?, &view, wall_ms()))
        })
        .await?;
    Ok(Json(detail))
}
