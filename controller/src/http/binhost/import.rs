//! Packages people bring.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use swarm_api::{ErrorBody, ImportAnswer, ImportBody, seconds};
use swarm_core::answer;
use swarm_core::files::UploadedFile;
use swarm_core::request::ImportRequest;
use swarm_protocol::Secret;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Binhost;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::Json;
use crate::http::{AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(import))
}

/// The build profile if nothing is said.
const PROFILE: &str = "default";

/// Announce a package somebody has
///
/// What is wanted gets a ticket; put the file to `/api/v1/artifacts/{id}` with it. It is then verified, signed with the
/// swarm's key, given a BUILD_ID and published, in the restricted part if its RESTRICT has `bindist`.
#[utoipa::path(
    post,
    path = "/api/v1/binhost/import",
    operation_id = "binhost_import",
    tag = "binhost",
    request_body = ImportBody,
    responses(
        (status = 200, body = ImportAnswer),
        (status = 400, description = "Not to be taken; the reason says why", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 413, description = "Larger than what is taken", body = ErrorBody),
        (status = 503, description = "Too many announced and not uploaded", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn import(
    admin: Admin,
    State(asking): State<Asking>,
    State(binhost): State<Binhost>,
    Json(body): Json<ImportBody>,
) -> Result<JsonAnswer<ImportAnswer>, ApiError> {
    if body.size_bytes > binhost.max_upload {
        let error =
            format!("a package of {} bytes is larger than the {} taken here", body.size_bytes, binhost.max_upload);
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error)
            .hint("raise binhost.max_upload in the controller's configuration"));
    }
    let request = ImportRequest {
        file: UploadedFile {
            sha256: body.sha256,
            size: body.size_bytes,
            cpv: body.package,
            slot: body.slot,
            repository: body.repository,
            use_flags: body.use_flags,
            chost: body.chost,
            restrict: String::new(),
        },
        build_time: body.build_time,
        profile: body.profile.unwrap_or_else(|| PROFILE.to_owned()),
        arch: body.arch,
        header: body.header,
        dry_run: body.dry_run,
        token: Secret(hex::encode(rand::random::<[u8; 24]>())),
    };
    let answer = asking.ask(&admin.actor, request).await?;
    let blank = |status: &str, id, index: String| ImportAnswer {
        status: status.to_owned(),
        id,
        index,
        ticket: None,
        expires_s: None,
    };
    Ok(JsonAnswer(match answer {
        answer::ImportAnswer::Wanted { artifact, token, expires_ms, index } => ImportAnswer {
            ticket: Some(token.0),
            expires_s: Some(seconds(expires_ms)),
            ..blank("wanted", Some(artifact.0), index.to_string())
        },
        answer::ImportAnswer::WouldTake { index } => blank("would_take", None, index.to_string()),
        answer::ImportAnswer::Present { artifact, index } => blank("present", Some(artifact.0), index.to_string()),
    }))
}
