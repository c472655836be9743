//! Uploads of binary packages by drones: streamed, checked against their ticket, and gone again if anything is wrong.

use axum::Json;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use swarm_api::{ArtifactAnswer, ErrorBody};
use swarm_core::answer::{RefusalKind, Ticket, UploadAnswer};
use swarm_core::ask::Uploaded;
use swarm_core::request::TicketRequest;
use swarm_core::rows::{ArtifactRow, ArtifactState};
use swarm_protocol::ArtifactId;
use tracing::warn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Binhost;
use crate::engine::AskError;
use crate::http::auth::secrets_equal;
use crate::http::error::ApiError;
use crate::http::extract::Path;
use crate::http::ports::UploadError;
use crate::http::{AppState, Asking, Reading};

/// The one path whose body may be large.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(put)).layer(DefaultBodyLimit::disable())
}

/// Header of the secret that the bus gave for this upload.
pub const TICKET_HEADER: &str = "x-upload-ticket";

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
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    State(binhost): State<Binhost>,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ArtifactAnswer>, ApiError> {
    let artifact = ArtifactId(id);
    let offered = headers.get(TICKET_HEADER).ok_or_else(no_ticket)?;
    // who has no ticket learns nothing, not even which artifacts there are
    let ticket = match asking.ask("upload", TicketRequest { artifact }).await {
        Ok(ticket) if secrets_equal(ticket.token.as_bytes(), offered.as_bytes()) => ticket,
        Ok(_) => return Err(no_ticket()),
        Err(AskError::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => return Err(no_ticket()),
        Err(reason) => return Err(reason.into()),
    };
    if let Some(why) = &ticket.refused {
        return Err(ApiError::new(StatusCode::CONFLICT, why.clone()).hint("ask for a new ticket"));
    }
    check_size(&binhost, &ticket, &headers)?;
    let busy = || ApiError::busy("too many uploads at one time").hint("try again in a moment").retry_after(2);
    let _place = binhost.uploads.take(&ticket.drone).ok_or_else(busy)?;
    let received = binhost.built_in.receive(artifact, ticket.sha256, ticket.size, body.into_data_stream()).await;
    let file = received.map_err(refusal)?;
    let answer = asking.ask((), Uploaded { artifact, file }).await;
    settle(&reading, &binhost, artifact, answer).await
}

fn no_ticket() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "this upload has no valid ticket")
        .hint("drones get one over the bus, in X-Upload-Ticket; it is good for an hour and for one file")
}

fn check_size(binhost: &Binhost, ticket: &Ticket, headers: &HeaderMap) -> Result<(), ApiError> {
    if ticket.size > binhost.max_upload {
        let error = format!("a package of {} bytes is larger than the {} taken here", ticket.size, binhost.max_upload);
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
async fn discard(reading: &Reading, binhost: &Binhost, artifact: ArtifactId) {
    let uploaded = |row: ArtifactRow| matches!(row.state, ArtifactState::Uploaded { .. });
    let waits = reading.read(move |snapshot| Ok(snapshot.get(&artifact)?.is_some_and(uploaded))).await;
    // what can't be read stays: the next start removes it if nobody needs it
    if matches!(waits, Ok(false)) {
        binhost.built_in.discard(artifact);
    }
}

async fn settle(
    reading: &Reading,
    binhost: &Binhost,
    artifact: ArtifactId,
    answer: Result<UploadAnswer, AskError>,
) -> Result<Json<ArtifactAnswer>, ApiError> {
    match answer {
        Ok(UploadAnswer::Taken {}) => Ok(Json(ArtifactAnswer { status: "taken".to_owned(), artifact: artifact.0 })),
        Ok(UploadAnswer::Refused { reason }) => {
            discard(reading, binhost, artifact).await;
            Err(ApiError::new(StatusCode::CONFLICT, reason))
        }
        // nothing was taken: the drone comes again with the whole file, if it comes
        Err(reason @ (AskError::Refused(_) | AskError::Busy)) => {
            discard(reading, binhost, artifact).await;
            Err(reason.into())
        }
        // it may have been taken: the file stays, and the core or the next start drops it if not
        Err(reason @ (AskError::TimedOut | AskError::Stopped)) => {
            warn!(artifact = artifact.0, "an upload is whole and the engine has not answered in time");
            Err(reason.into())
        }
        Err(reason @ AskError::Unfit) => Err(reason.into()),
    }
}
