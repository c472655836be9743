//! Uploads of binary packages by drones: streamed, checked against their ticket, and gone again if anything is wrong.

use axum::Json;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use swarm_api::{ArtifactAnswer, ErrorBody};
use swarm_core::answer::{Ticket, UploadAnswer};
use swarm_core::request::TicketRequest;
use swarm_core::rows::{ArtifactRow, ArtifactState};
use swarm_core::{Answer, Input, Request};
use swarm_protocol::ArtifactId;
use tracing::warn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::auth::secrets_equal;
use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::ports::{NoAnswer, UploadError};
use super::super::{AppState, unexpected};

/// Header of the secret that the bus gave for this upload.
pub const TICKET_HEADER: &str = "x-upload-ticket";

/// The one path whose body may be large.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(put)).layer(DefaultBodyLimit::disable())
}

/// Upload a binary package
///
/// For drones: the ticket comes over the bus and is good for one attempt, path, size and hash.
#[utoipa::path(
    put,
    path = "/api/v1/artifacts/{id}",
    operation_id = "artifact_put",
    tag = "binhost",
    params(("id" = u64, Path, description = "Number of the artifact")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = ArtifactAnswer),
        (status = 401, description = "No such ticket", body = ErrorBody),
        (status = 409, description = "The attempt counts no more", body = ErrorBody),
        (status = 413, body = ErrorBody),
        (status = 422, description = "Not what was announced, or no package", body = ErrorBody),
        (status = 507, description = "No room", body = ErrorBody),
    ),
    security(("upload_ticket" = []))
)]
pub async fn put(
    State(state): State<AppState>,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ArtifactAnswer>, ApiError> {
    let artifact = ArtifactId(id);
    let offered = headers.get(TICKET_HEADER).ok_or_else(no_ticket)?;
    // who has no ticket learns nothing, not even which artifacts there are
    let ticket = match state.request("upload", Request::Ticket(TicketRequest { artifact })).await {
        Ok(Answer::Ticket(ticket)) if secrets_equal(ticket.token.as_bytes(), offered.as_bytes()) => ticket,
        Ok(Answer::Ticket(_)) => return Err(no_ticket()),
        Ok(_) => return Err(unexpected()),
        Err(refusal) if refusal.status == StatusCode::NOT_FOUND => return Err(no_ticket()),
        Err(refusal) => return Err(refusal),
    };
    if let Some(why) = &ticket.refused {
        return Err(ApiError::new(StatusCode::CONFLICT, why.clone()).hint("ask for a new ticket"));
    }
    check_size(&state, &ticket, &headers)?;
    let busy = || ApiError::busy("too many uploads at one time").hint("try again in a moment").retry_after(2);
    let _place = state.uploads.take(&ticket.drone).ok_or_else(busy)?;
    let received = state.binhost.receive(artifact, ticket.sha256, ticket.size, body.into_data_stream()).await;
    let file = received.map_err(refusal)?;
    let make = Box::new(move |reply| Input::Uploaded { artifact, file, reply });
    let answer = state.engine.ask(make).await;
    settle(&state, artifact, answer).await
}

fn no_ticket() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "this upload has no valid ticket")
        .hint("drones get one over the bus, in X-Upload-Ticket; it is good for an hour and for one file")
}

fn check_size(state: &AppState, ticket: &Ticket, headers: &HeaderMap) -> Result<(), ApiError> {
    if ticket.size > state.max_upload {
        let error = format!("a package of {} bytes is larger than the {} taken here", ticket.size, state.max_upload);
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error)
            .hint("raise the limit for uploads in the configuration"));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length != ticket.size) {
        let error = format!("the body has {} bytes, the ticket is for {}", announced.unwrap_or_default(), ticket.size);
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error));
    }
    Ok(())
}

fn refusal(error: UploadError) -> ApiError {
    let status = match error {
        UploadError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        UploadError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        UploadError::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let refused = ApiError::new(status, error.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE { refused.retry_after(5) } else { refused }
}

/// Removes what was sent and is not taken; not in the place of the same file sent before, which waits to be signed.
async fn discard(state: &AppState, artifact: ArtifactId) {
    let uploaded = |row: ArtifactRow| matches!(row.state, ArtifactState::Uploaded { .. });
    let waits = state.read(move |rows| Ok(rows.artifact(artifact.0)?.is_some_and(uploaded))).await;
    // what can't be read stays: the next start removes it if nobody needs it
    if matches!(waits, Ok(false)) {
        state.binhost.discard(artifact);
    }
}

async fn settle(
    state: &AppState,
    artifact: ArtifactId,
    answer: Result<Answer, NoAnswer>,
) -> Result<Json<ArtifactAnswer>, ApiError> {
    match answer {
        Ok(Answer::Upload(UploadAnswer::Taken {})) => {
            Ok(Json(ArtifactAnswer { status: "taken".to_owned(), artifact: artifact.0 }))
        }
        Ok(Answer::Upload(UploadAnswer::Refused { reason })) => {
            discard(state, artifact).await;
            Err(ApiError::new(StatusCode::CONFLICT, reason))
        }
        Ok(Answer::Refused(refusal)) => {
            discard(state, artifact).await;
            Err(refusal.into())
        }
        Ok(_) => Err(unexpected()),
        // nothing was taken: the drone comes again with the whole file
        Err(reason @ NoAnswer::Busy) => {
            discard(state, artifact).await;
            Err(reason.into())
        }
        // it may have been taken: the file stays, and the core or the next start drops it if not
        Err(reason @ (NoAnswer::TimedOut | NoAnswer::Stopped)) => {
            warn!(artifact = artifact.0, "an upload is whole and the engine has not answered in time");
            Err(reason.into())
        }
    }
}
