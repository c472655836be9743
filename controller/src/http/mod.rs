//! The HTTP façade: requests in, inputs to the engine or short reads of the store, JSON out. The paths and field names are
//! the contract with clients of 0.4.
//!
//! Decides nothing about packages or drones, and who may write only by the admin key (`auth`). `swarm serve` mounts
//! [`router`] on the public port.

pub mod adapters;
pub mod auth;
pub mod error;
pub mod openapi;
pub mod ports;
pub mod views;

mod attempts;
mod extract;
mod healing;
mod layers;
mod public;
mod reads;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use swarm_core::{Answer, Input, Request, View};
use tokio::sync::Semaphore;

pub use auth::AdminKey;
use error::ApiError;
use ports::{Binhost, Bus, Care, Engine, Logs, Readiness, Rows, Store};

/// Readers that follow a log at one time.
const MAX_FOLLOWERS: usize = 128;
/// Uploads at one time; each holds a file open and a core busy hashing.
const MAX_UPLOADS: usize = 32;

/// What `swarm serve` hands to the façade.
pub struct Parts {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Committed rows.
    pub store: Arc<dyn Store>,
    /// Build logs.
    pub logs: Arc<dyn Logs>,
    /// The built-in binhost.
    pub binhost: Arc<dyn Binhost>,
    /// Whether the controller can do its work.
    pub ready: Arc<dyn Readiness>,
    /// Pings, and the channels of notices.
    pub care: Care,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Whoever sends it may write.
    pub admin_key: AdminKey,
    /// Base address as clients reach this port, without a slash at its end.
    pub base_url: String,
    /// Name of the controller.
    pub name: String,
    /// Largest upload, bytes.
    pub max_upload: u64,
}

/// What every handler sees. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub(crate) engine: Arc<dyn Engine>,
    store: Arc<dyn Store>,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) binhost: Arc<dyn Binhost>,
    pub(crate) ready: Arc<dyn Readiness>,
    pub(crate) care: Care,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) attempts: Arc<attempts::Attempts>,
    pub(crate) admin_key: AdminKey,
    pub(crate) base_url: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) max_upload: u64,
    pub(crate) started: Instant,
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) overview: Arc<reads::OverviewCache>,
}

impl AppState {
    /// The state of a façade that starts now.
    pub fn new(parts: Parts) -> Self {
        Self {
            engine: parts.engine,
            store: parts.store,
            logs: parts.logs,
            binhost: parts.binhost,
            ready: parts.ready,
            care: parts.care,
            bus: parts.bus,
            attempts: Arc::default(),
            admin_key: parts.admin_key,
            base_url: parts.base_url.trim_end_matches('/').into(),
            name: parts.name.into(),
            max_upload: parts.max_upload,
            started: Instant::now(),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            overview: Arc::default(),
        }
    }

    /// Asks the engine; a refusal is an error.
    pub(crate) async fn request(&self, actor: &str, request: Request) -> Result<Answer, ApiError> {
        let actor = actor.to_owned();
        let make = Box::new(move |reply| Input::Request { actor, request, reply });
        match self.engine.ask(make).await? {
            Answer::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    }

    /// Reads one snapshot off the async threads.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Rows) -> Result<T, ApiError> + Send + 'static,
    {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || read(store.snapshot()?.as_ref()))
            .await
            .map_err(|error| ApiError::internal(&error))?
    }

    /// The published view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.engine.view()
    }
}

/// Wall clock, Unix milliseconds.
pub(crate) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An answer of a kind that does not belong to the question.
pub(crate) fn unexpected() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the controller gave an answer that does not fit the question")
        .hint("this is a defect")
}

/// The public port: `/api/v1`, `/readyz`, the OpenAPI document with a page to browse it, below `/binhost` what `binhost`
/// serves and below `/binhost-private` what `private` does, which looks at its own key.
pub fn router(state: AppState, binhost: Router, private: Router) -> Router {
    let (api, _) = public::api().split_for_parts();
    let router = api
        .merge(openapi::routes())
        .route("/binhost/", get(public::binhost::page))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path)
        .with_state(state)
        .nest("/binhost", binhost)
        .nest("/binhost-private", private);
    layers::around(router)
}

async fn unknown_path(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::not_found(format!("there is no {method} {path}")).hint("see /api/openapi.json for what there is")
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} can't be asked with {method}"))
        .hint("see /api/openapi.json for the methods of each path")
}
