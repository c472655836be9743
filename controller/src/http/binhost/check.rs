//! Checks of what is published.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use swarm_api::{ErrorBody, VerifyAnswer, VerifyBody, VerifyFinding};
use swarm_binhost::verify::Report;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Binhost;
use crate::http::AppState;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::Json;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(verification, verify))
}

/// How the last check of the binhost stands
#[utoipa::path(
    get,
    path = "/api/v1/binhost/verify",
    operation_id = "binhost_verification",
    tag = "binhost",
    responses((status = 200, body = VerifyAnswer))
)]
pub async fn verification(State(binhost): State<Binhost>) -> JsonAnswer<VerifyAnswer> {
    JsonAnswer(binhost.built_in.report().map_or_else(never, checked))
}

/// Recheck every published file and index
///
/// Runs in the background, at a bounded rate; ask for its state with GET.
#[utoipa::path(
    post,
    path = "/api/v1/binhost/verify",
    operation_id = "binhost_verify",
    tag = "binhost",
    request_body = VerifyBody,
    responses(
        (status = 202, body = VerifyAnswer),
        (status = 401, body = ErrorBody),
        (status = 409, description = "One is under way", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn verify(
    admin: Admin,
    State(binhost): State<Binhost>,
    Json(body): Json<VerifyBody>,
) -> Result<(StatusCode, JsonAnswer<VerifyAnswer>), ApiError> {
    if !binhost.built_in.verify(&admin.actor, body.rebuild, body.force) {
        return Err(ApiError::new(StatusCode::CONFLICT, "a check of the binhost is under way")
            .hint("GET /api/v1/binhost/verify says how far it is"));
    }
    Ok((StatusCode::ACCEPTED, JsonAnswer(binhost.built_in.report().map_or_else(never, checked))))
}

fn never() -> VerifyAnswer {
    VerifyAnswer { status: "never".to_owned(), ..VerifyAnswer::default() }
}

fn checked(report: Report) -> VerifyAnswer {
    let status = match (report.running, &report.stopped) {
        (true, _) => "running",
        (false, None) => "ended",
        (false, Some(_)) => "stopped",
    };
    let finding = |one: swarm_binhost::verify::Finding| VerifyFinding {
        place: one.place,
        package: one.package,
        id: one.artifact,
        problem: one.what,
        mended: one.mended,
    };
    VerifyAnswer {
        status: status.to_owned(),
        total: report.total,
        checked: report.checked,
        bytes: report.bytes,
        found: report.found,
        mended: report.mended,
        findings: report.findings.into_iter().map(finding).collect(),
        reason: report.stopped,
    }
}
