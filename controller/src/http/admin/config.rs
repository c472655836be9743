//! Settings that change while the controller runs. A change is on disk before it holds, and stands above the configuration
//! file, the environment and flags until it is taken back.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use swarm_api::{AllSettings, ErrorBody, Setting, SettingBody, SettingDone, seconds};
use swarm_core::request::{Control, ControlRequest};
use swarm_core::rows::ConfigRow;
use swarm_core::{Answer, Request};

use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::Json;
use super::super::{AppState, unexpected};
use crate::config::runtime::ChangeError;

/// The whole swarm's pause, which is a control and shown among the settings.
const PAUSED: &str = "paused";

async fn kept(state: &AppState) -> Result<Vec<ConfigRow>, ApiError> {
    state.read(|rows| Ok(rows.config()?)).await
}

/// Settings that may change while the controller runs
#[utoipa::path(
    get,
    path = "/admin/api/config",
    operation_id = "admin_config",
    tag = "admin",
    responses((status = 200, body = BTreeMap<String, Setting>), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn all(State(state): State<AppState>) -> Result<JsonAnswer<AllSettings>, ApiError> {
    let kept = kept(&state).await?;
    let mut settings: AllSettings = state
        .runtime
        .list()
        .into_iter()
        .map(|key| {
            let row = kept.iter().find(|row| row.key == key.name);
            let setting = Setting {
                value: key.value,
                updated_at: row.map(|row| seconds(row.at)),
                updated_by: row.map(|row| row.by.clone()),
                description: key.description,
            };
            (key.name.to_owned(), setting)
        })
        .collect();
    let fact = state.view().paused.clone();
    let paused = Setting {
        value: fact.is_some().to_string(),
        updated_at: fact.as_ref().map(|fact| seconds(fact.since)),
        updated_by: fact.map(|fact| fact.by),
        description: "The whole swarm is paused: no work is given out. true or false.".to_owned(),
    };
    settings.insert(PAUSED.to_owned(), paused);
    Ok(JsonAnswer(settings))
}

/// Change a setting
///
/// It holds at once, survives a restart, and is told as an event of kind `audit`. `null` as value gives the key back to the
/// configuration file.
#[utoipa::path(
    post,
    path = "/admin/api/config",
    operation_id = "admin_config_change",
    tag = "admin",
    request_body = SettingBody,
    responses(
        (status = 200, body = SettingDone),
        (status = 400, description = "The value does not fit", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, description = "No such setting", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn change(
    admin: Admin,
    State(state): State<AppState>,
    Json(body): Json<SettingBody>,
) -> Result<JsonAnswer<SettingDone>, ApiError> {
    let value = text(&body.value)?;
    if body.key == PAUSED {
        return pause(&admin, &state, value.as_deref()).await;
    }
    // one after the other, so that each plans on what the one before it has made
    let _turn = state.changing.lock().await;
    let (change, held) = state.runtime.plan(&body.key, value.as_deref(), &kept(&state).await?).map_err(refused)?;
    let (key, value) = (change.key.clone(), change.after.clone());
    match state.request(&admin.actor, Request::Configure(change)).await? {
        Answer::Done(done) => {
            state.runtime.hold(held);
            let status = if done.touched > 0 { "ok" } else { "no_change" }.to_owned();
            Ok(JsonAnswer(SettingDone { status, key, value }))
        }
        _ => Err(unexpected()),
    }
}

async fn pause(admin: &Admin, state: &AppState, value: Option<&str>) -> Result<JsonAnswer<SettingDone>, ApiError> {
    let (action, value) = match value {
        Some("true" | "1") => (Control::Pause, "true"),
        Some("false" | "0") | None => (Control::Resume, "false"),
        Some(other) => {
            return Err(ApiError::bad_request(format!("paused: {other:?} is neither true nor false")));
        }
    };
    match state.request(&admin.actor, Request::Control(ControlRequest { action, package: None, drone: None })).await? {
        Answer::Done(done) => {
            let status = if done.touched > 0 { "ok" } else { "no_change" }.to_owned();
            Ok(JsonAnswer(SettingDone { status, key: PAUSED.to_owned(), value: value.to_owned() }))
        }
        _ => Err(unexpected()),
    }
}

/// A value as text; `None` for null.
fn text(value: &Value) -> Result<Option<String>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.len() <= 1000 => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        _ => Err(ApiError::bad_request("a value is text of at most 1000 bytes, a number, true, false or null")),
    }
}

fn refused(error: ChangeError) -> ApiError {
    match error {
        ChangeError::Key { error, hint } => ApiError::new(StatusCode::NOT_FOUND, error).hint(hint),
        ChangeError::Value(error) => ApiError::bad_request(error).hint("nothing was changed"),
    }
}
