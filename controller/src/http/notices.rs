//! Notices to people.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use swarm_api::{ErrorBody, NoticeList, NoticeView, TestNotice};
use swarm_core::request::TestNoticeRequest;
use swarm_core::rows::NoticeRow;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::engine::AskError;
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::{AppState, Asking, HealingPart, Reading};

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(notices)).routes(routes!(test_notice))
}

/// Notices in one answer.
const MAX_NOTICES: usize = 200;

/// How many notices.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NoticesQuery {
    /// At most so many; 50 if not given, 200 at most.
    limit: Option<usize>,
}

/// Notices to people, newest first, and the channels they go by
#[utoipa::path(
    get,
    path = "/admin/api/notices",
    operation_id = "admin_notices",
    tag = "healing",
    params(NoticesQuery),
    responses((status = 200, body = NoticeList), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn notices(
    _: Admin,
    State(reading): State<Reading>,
    State(healing): State<HealingPart>,
    Query(query): Query<NoticesQuery>,
) -> Result<Json<NoticeList>, ApiError> {
    let limit = query.limit.unwrap_or(50).min(MAX_NOTICES);
    let notices = reading
        .read(move |snapshot| {
            let rows: Vec<NoticeRow> = snapshot.rows()?;
            Ok(rows.iter().rev().take(limit).map(NoticeView::from).collect())
        })
        .await?;
    Ok(Json(NoticeList { channels: healing.channels.clone(), notices }))
}

/// Send a notice to see whether it arrives
#[utoipa::path(
    post,
    path = "/admin/api/notices/test",
    operation_id = "admin_notice_test",
    tag = "healing",
    responses((status = 200, body = TestNotice), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn test_notice(
    admin: Admin,
    State(asking): State<Asking>,
    State(healing): State<HealingPart>,
) -> Result<Json<TestNotice>, ApiError> {
    let done = asking.ask(&admin.actor, TestNoticeRequest {}).await?;
    let id = done.what.first().and_then(|id| id.parse().ok()).ok_or(AskError::Unfit)?;
    Ok(Json(TestNotice { status: "ordered".to_owned(), id, channels: healing.channels }))
}
