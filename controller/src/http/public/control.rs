//! The controls of 0.4.

use axum::Json as JsonAnswer;
use axum::extract::State;
use serde_json::{Value, json};
use swarm_api::{ControlBody, ErrorBody};
use swarm_core::request::{Control, ControlRequest};
use swarm_core::{Answer, Request};

use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::Json;
use super::super::{AppState, unexpected};

/// Names of the controls.
pub const ACTIONS: [(&str, Control); 13] = [
    ("pause", Control::Pause),
    ("resume", Control::Resume),
    ("unblock", Control::Unblock),
    ("block", Control::Block),
    ("reclaim", Control::Reclaim),
    ("unground", Control::Unground),
    ("reset_upload", Control::ResetUpload),
    ("reset", Control::Reset),
    ("rebalance", Control::Rebalance),
    ("optimize", Control::Rebalance),
    ("clear_failures", Control::ClearFailures),
    ("retry_failures", Control::RetryFailures),
    ("clear_history", Control::ClearHistory),
];

/// Control the swarm
///
/// `pause` and `resume` the whole swarm; `block` and `unblock` packages; `reclaim` work of drones; `unground` drones
/// (also `reset_upload`, for those whose uploads failed); `reset`, `rebalance`, `clear_failures`, `retry_failures`, `clear_history`. The answer has `status` and, by action,
/// `unblocked`, `package`, `affected`, `reclaimed`, `ungrounded`, `reset`, `cleared` or `requeued`.
#[utoipa::path(
    post,
    path = "/api/v1/control",
    tag = "control",
    request_body = ControlBody,
    responses(
        (status = 200, body = Object),
        (status = 400, description = "No such action", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, description = "No such package or drone", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn control(
    admin: Admin,
    State(state): State<AppState>,
    Json(body): Json<ControlBody>,
) -> Result<JsonAnswer<Value>, ApiError> {
    let action = parse(&body.action)?;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (package, drone) = (given(body.package), given(body.drone).or(given(body.drone_id)));
    if action == Control::Block && package.is_none() {
        return Err(ApiError::bad_request("block needs a package").hint(r#"send {"action": "block", "package": "…"}"#));
    }
    let request = Request::Control(ControlRequest { action, package: package.clone(), drone });
    match state.request(&admin.actor, request).await? {
        Answer::Done(done) => Ok(JsonAnswer(answer(action, package, done.touched))),
        _ => Err(unexpected()),
    }
}

fn parse(name: &str) -> Result<Control, ApiError> {
    if let Some((_, action)) = ACTIONS.iter().find(|(known, _)| *known == name) {
        return Ok(*action);
    }
    let shown: String = name.chars().take(60).collect();
    let nearest = ACTIONS
        .iter()
        .map(|(known, _)| (strsim::jaro_winkler(known, &shown), *known))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    let names = ACTIONS.map(|(known, _)| known).join(", ");
    let hint = match nearest {
        Some((_, known)) => format!("did you mean {known}? there are: {names}"),
        None => format!("there are: {names}"),
    };
    Err(ApiError::bad_request(format!("there is no action {shown:?}")).hint(hint))
}

fn answer(action: Control, package: Option<String>, touched: u64) -> Value {
    match (action, package) {
        (Control::Pause, _) => json!({"status": "paused"}),
        (Control::Resume, _) => json!({"status": "active"}),
        (Control::Unblock, None) => json!({"status": "ok", "unblocked": touched}),
        (Control::Unblock, Some(package)) => {
            json!({"status": if touched > 0 { "ok" } else { "no_change" }, "package": package, "unblocked": touched})
        }
        (Control::Block, package) => json!({"status": "ok", "package": package, "blocked": touched}),
        (Control::Reclaim, _) => json!({"status": "ok", "reclaimed": touched}),
        (Control::Unground, _) => json!({"status": "ok", "ungrounded": touched}),
        (Control::ResetUpload, _) => json!({"status": "ok", "reset": touched}),
        (Control::Reset, _) => json!({"status": "reset", "affected": touched}),
        (Control::Rebalance, _) => json!({"status": "ok", "reclaimed": touched}),
        // 0.4 had both words; what was blocked stays so until it is asked for again
        (Control::ClearFailures, _) => json!({"status": "ok", "cleared": touched, "requeued": 0}),
        (Control::RetryFailures, _) => json!({"status": "ok", "requeued": touched}),
        (Control::ClearHistory, _) => json!({"status": "ok", "cleared": touched}),
    }
}
