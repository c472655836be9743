//! The queue: what is in it, and putting packages in and out.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::HeaderMap;
use swarm_api::{ErrorBody, QueueBody, QueueEntry, QueuedAnswer, Removed};
use swarm_common::clock::wall_ms;
use swarm_core::request::{QueueRequest, RemoveRequest};
use swarm_core::{Answer, Request};

use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::{Json, Path};
use super::super::{AppState, unexpected};

/// Longest `Idempotency-Key` taken.
const MAX_KEY: usize = 200;

/// The queue
///
/// The active session, or everything if none is open: delegated, needed, blocked, failed, received, in that order.
#[utoipa::path(get, path = "/api/v1/queue", operation_id = "queue_list", tag = "queue", responses((status = 200, body = Vec<QueueEntry>)))]
pub async fn list(State(state): State<AppState>) -> Result<JsonAnswer<Vec<QueueEntry>>, ApiError> {
    let view = state.view();
    let entries = state.walk(move |rows| Ok(QueueEntry::list(&rows.builds()?, view.session, &view, wall_ms()))).await?;
    Ok(JsonAnswer(entries))
}

/// Queue packages
///
/// Durable when it is answered; versions, USE and dependencies are found out by a drone afterwards.
#[utoipa::path(
    post,
    path = "/api/v1/queue",
    operation_id = "queue_add",
    tag = "queue",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key within 24 h gets the same answer")),
    request_body = QueueBody,
    responses(
        (status = 200, body = QueuedAnswer),
        (status = 400, description = "Nothing to queue, or no atom", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 409, description = "The key was used for other packages", body = ErrorBody),
        (status = 503, description = "The queue is full or the controller busy", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn add(
    admin: Admin,
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(body): Json<QueueBody>,
) -> Result<JsonAnswer<QueuedAnswer>, ApiError> {
    let packages: Vec<String> =
        body.packages.iter().map(|atom| atom.trim().to_owned()).filter(|atom| !atom.is_empty()).collect();
    if packages.is_empty() {
        return Err(ApiError::bad_request("no packages given").hint(r#"send {"packages": ["category/name"]}"#));
    }
    let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let request = QueueRequest {
        wishes: body.wishes(),
        packages,
        session_name: text(body.session_name),
        profile: text(body.profile),
        package_use: body.package_use.unwrap_or_default(),
        rebuild: body.rebuild,
        fresh: body.fresh,
        idempotency_key: idempotency_key(&headers)?,
    };
    match state.request(&admin.actor, Request::Queue(request)).await? {
        Answer::Queued(queued) => Ok(JsonAnswer(QueuedAnswer {
            status: "ok".to_owned(),
            queued: queued.packages.len(),
            session_id: queued.session.0,
            session_name: queued.session_name,
            packages: queued.packages,
            duplicates: queued.duplicates,
            builds: queued.builds.iter().map(|build| build.0).collect(),
            portage_timestamp: body.portage_timestamp,
        })),
        _ => Err(unexpected()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(Some(key.to_owned())),
        _ => Err(ApiError::bad_request(format!("an Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters"))),
    }
}

/// Take a package out of the queue
///
/// Every variant of it in the active session. What is being built is cancelled.
#[utoipa::path(
    delete,
    path = "/api/v1/queue/{category}/{package}",
    operation_id = "queue_remove",
    tag = "queue",
    params(
        ("category" = String, Path, description = "Category, with or without a leading ="),
        ("package" = String, Path, description = "name or name-version"),
    ),
    responses((status = 200, body = Removed), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn remove(
    admin: Admin,
    State(state): State<AppState>,
    Path((category, package)): Path<(String, String)>,
) -> Result<JsonAnswer<Removed>, ApiError> {
    let package = format!("{category}/{package}");
    match state.request(&admin.actor, Request::Remove(RemoveRequest { package: package.clone() })).await? {
        Answer::Done(done) => Ok(JsonAnswer(Removed { status: "removed".to_owned(), package, removed: done.touched })),
        _ => Err(unexpected()),
    }
}
