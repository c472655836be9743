//! One package's journey.

use axum::Json;
use axum::extract::State;
use swarm_api::{BuildAnswer, ErrorBody};

use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::{AppState, reads};

/// A build with all its attempts
#[utoipa::path(
    get,
    path = "/api/v1/builds/{build}",
    operation_id = "build_show",
    tag = "history",
    params(("build" = u64, Path, description = "Number of the build")),
    responses((status = 200, body = BuildAnswer), (status = 404, body = ErrorBody))
)]
pub async fn show(State(state): State<AppState>, Path(build): Path<u64>) -> Result<Json<BuildAnswer>, ApiError> {
    let view = state.view();
    let answer = state
        .read(move |rows| {
            let (row, history) = reads::attempts(rows, build)?;
            Ok(BuildAnswer::new(build, row.as_ref(), &history, &view))
        })
        .await?;
    answer.map(Json).ok_or_else(|| {
        ApiError::not_found(format!("there is no build {build}"))
            .hint("see /api/v1/queue and /api/v1/history for numbers")
    })
}
