//! Settings that change while the controller runs. A change is on disk before it holds, and stands above the configuration
//! file, the environment and flags until it is taken back.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use swarm_api::{AllSettings, ErrorBody, Setting, SettingBody, SettingDone, seconds};
use swarm_core::answer::Done;
use swarm_core::request::{Control, ControlRequest};
use swarm_core::rows::ConfigRow;
use tokio::sync::Mutex;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::runtime::{ChangeError, Runtime};
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::Json;
use crate::http::{AppState, Asking, Reading};

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(all, change))
}

/// Settings that change at run time. Cheap to clone.
#[derive(Clone)]
pub struct Changes {
    runtime: Arc<Runtime>,
    /// Held while a setting changes, so that two changes at one time add up.
    turn: Arc<Mutex<()>>,
}

impl Changes {
    /// Changes of this configuration.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self { runtime, turn: Arc::default() }
    }
}

/// The whole swarm's pause, which is a control and shown among the settings.
const PAUSED: &str = "paused";

async fn kept(reading: &Reading) -> Result<Vec<ConfigRow>, ApiError> {
    reading.read(|snapshot| Ok(snapshot.rows()?)).await
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
pub async fn all(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    State(changes): State<Changes>,
) -> Result<JsonAnswer<AllSettings>, ApiError> {
    let kept = kept(&reading).await?;
    let mut settings: AllSettings = changes
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
    let fact = asking.view().paused.clone();
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
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    State(changes): State<Changes>,
    Json(body): Json<SettingBody>,
) -> Result<JsonAnswer<SettingDone>, ApiError> {
    let value = text(&body.value)?;
    if body.key == PAUSED {
        return pause(&admin, &asking, value.as_deref()).await;
    }
    // one after the other, so that each plans on what the one before it has made
    let _turn = changes.turn.lock().await;
    let (change, held) = changes.runtime.plan(&body.key, value.as_deref(), &kept(&reading).await?).map_err(refused)?;
    let (key, value) = (change.key.clone(), change.after.clone());
    let done = asking.ask(&admin.actor, change).await?;
    changes.runtime.hold(held);
    Ok(said(&done, key, value))
}

async fn pause(admin: &Admin, asking: &Asking, value: Option<&str>) -> Result<JsonAnswer<SettingDone>, ApiError> {
    let (action, value) = match value {
        Some("true" | "1") => (Control::Pause, "true"),
        Some("false" | "0") | None => (Control::Resume, "false"),
        Some(other) => {
            return Err(ApiError::bad_request(format!("paused: {other:?} is neither true nor false")));
        }
    };
    let done = asking.ask(&admin.actor, ControlRequest { action, package: None, drone: None }).await?;
    Ok(said(&done, PAUSED.to_owned(), value.to_owned()))
}

fn said(done: &Done, key: String, value: String) -> JsonAnswer<SettingDone> {
    let status = if done.touched > 0 { "ok" } else { "no_change" }.to_owned();
    JsonAnswer(SettingDone { status, key, value })
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
