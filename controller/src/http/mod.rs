//! The HTTP façade: requests in, inputs to the engine or short reads of the store, JSON out. The paths and field names are
//! the contract with clients of 0.4.
//!
//! Decides nothing about packages or drones, and who may write only by the admin key (`auth`). `swarm serve` mounts
//! [`router`] on the public port and [`admin_router`] on the administrators'.

pub mod adapters;
pub mod auth;
pub mod error;
pub mod listen;
pub mod openapi;
pub mod ports;

mod admin;
mod attempts;
mod cache;
mod extract;
mod healing;
mod layers;
mod log_reader;
mod public;
mod reads;
mod stream;

#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::get;
use swarm_core::{Answer, Input, Request, View};
use swarm_protocol::artifact::UPLOADS_AT_A_TIME;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::runtime::Runtime;
use crate::metrics::{Counted, Requests, Samples};
use crate::own_log::OwnLog;
use crate::permits::Permits;
pub use auth::AdminKey;
use error::ApiError;
use ports::{Binhost, Bus, Care, Engine, Logs, Readiness, Rows, Store};

/// Readers that follow a build log at one time.
const MAX_FOLLOWERS: usize = 128;
/// Readers that follow events or the controller's log at one time.
const MAX_STREAMS: usize = 128;
/// Requests that wait for an event at one time.
const MAX_WAITERS: usize = 128;
/// Answers made at one time by walking over all rows of a kind: each may hold thousands of them. More wait their turn.
const MAX_WALKS: usize = 4;
/// Uploads at one time, in all and of one drone; each holds a file open and a core busy hashing.
const MAX_UPLOADS: (usize, usize) = (32, UPLOADS_AT_A_TIME);

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
    /// The configuration, as far as it may change.
    pub runtime: Arc<Runtime>,
    /// The controller's own log.
    pub own_log: OwnLog,
    /// The last day as curves.
    pub samples: Arc<Samples>,
    /// What others have counted.
    pub counted: Arc<dyn Fn() -> Counted + Send + Sync>,
    /// Where this controller lives.
    pub place: Place,
    /// Largest upload, bytes.
    pub max_upload: u64,
    /// Cancelled when the controller ends; streams end with it.
    pub stop: CancellationToken,
}

/// Where the controller lives, for administrators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The store's file.
    pub db_path: PathBuf,
    /// Address of the bus.
    pub bus_url: String,
    /// The public port.
    pub public_port: u16,
    /// The administrators' port; 0 if there is none.
    pub admin_port: u16,
    /// `/metrics` is served.
    pub metrics: bool,
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
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) own_log: OwnLog,
    pub(crate) samples: Arc<Samples>,
    pub(crate) counted: Arc<dyn Fn() -> Counted + Send + Sync>,
    pub(crate) place: Arc<Place>,
    pub(crate) max_upload: u64,
    pub(crate) stop: CancellationToken,
    pub(crate) started: Instant,
    pub(crate) requests: Requests,
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    /// Held while a setting changes, so that two changes at one time add up.
    pub(crate) changing: Arc<tokio::sync::Mutex<()>>,
    pub(crate) packages: Arc<cache::Aged<swarm_api::PackageStats>>,
    pub(crate) stock: Arc<cache::Aged<swarm_api::BinhostStats>>,
    pub(crate) uploads: Arc<Permits>,
    pub(crate) waiters: Arc<Semaphore>,
    walks: Arc<Semaphore>,
    /// Held by whoever reads the overview, and by whoever has the engine explain something: one each.
    pub(crate) overviewing: Arc<Semaphore>,
    pub(crate) explaining: Arc<Semaphore>,
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
            runtime: parts.runtime,
            own_log: parts.own_log,
            samples: parts.samples,
            counted: parts.counted,
            place: Arc::new(parts.place),
            max_upload: parts.max_upload,
            stop: parts.stop,
            started: Instant::now(),
            requests: Requests::default(),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            changing: Arc::default(),
            packages: Arc::default(),
            stock: Arc::default(),
            uploads: Arc::new(Permits::new(MAX_UPLOADS.0, MAX_UPLOADS.1)),
            waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
            walks: Arc::new(Semaphore::new(MAX_WALKS)),
            overviewing: Arc::new(Semaphore::new(1)),
            explaining: Arc::new(Semaphore::new(1)),
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

    /// Reads all rows of a kind, when it is this one's turn: few do so at one time, however many ask.
    pub(crate) async fn walk<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Rows) -> Result<T, ApiError> + Send + 'static,
    {
        self.read_in_turn(&self.walks, read).await
    }

    /// Reads while holding a place of `turns`: until it is read, also when whoever asked has gone meanwhile.
    pub(crate) async fn read_in_turn<T, F>(&self, turns: &Arc<Semaphore>, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Rows) -> Result<T, ApiError> + Send + 'static,
    {
        // never closed
        let turn = turns.clone().acquire_owned().await.ok();
        let read = move |rows: &dyn Rows| {
            let _turn = turn;
            read(rows)
        };
        self.read(read).await
    }

    /// The controller's name.
    pub(crate) fn name(&self) -> String {
        self.runtime.held().config.name.clone()
    }

    /// Seconds since the façade's start.
    pub(crate) fn uptime_s(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// What keeps bus or binhost from their work, in sentences.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = self.ready.missing();
        missing.extend(self.binhost.missing());
        missing
    }

    /// Readers that follow something now.
    pub(crate) fn following(&self) -> usize {
        MAX_FOLLOWERS + MAX_STREAMS - self.followers.available_permits() - self.streams.available_permits()
    }

    /// The published view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.engine.view()
    }
}

/// An answer of a kind that does not belong to the question.
pub(crate) fn unexpected() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the controller gave an answer that does not fit the question")
        .hint("this is a defect")
}

/// The public port: `/api/v1`, `/readyz`, `/metrics`, the OpenAPI document with a page to browse it, below `/binhost` what
/// `binhost` serves and below `/binhost-private` what `private` does, which looks at its own key.
pub fn router(state: AppState, binhost: Router, private: Router) -> Router {
    let (api, _) = public::api().split_for_parts();
    let metrics = state.place.metrics;
    let router = api
        .merge(openapi::routes())
        .route("/binhost/", get(public::binhost::page))
        .route("/binhost", get(|| async { Redirect::permanent("/binhost/") }))
        .merge(if metrics { public::metrics_route() } else { Router::new() })
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path)
        .with_state(state.clone())
        .nest("/binhost", binhost)
        .nest("/binhost-private", private);
    layers::around(router, &state)
}

/// The administrators' port: `/admin/api`, and everything under `/api/v1` as well. All of it needs the admin key but `/`,
/// which says so.
pub fn admin_router(state: AppState) -> Router {
    let (api, _) = public::api().split_for_parts();
    let (admin, _) = admin::api().split_for_parts();
    let router = api
        .merge(admin)
        .merge(openapi::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path)
        .layer(from_fn_with_state(state.clone(), auth::admins_only))
        .merge(admin::door())
        .with_state(state.clone());
    layers::around(router, &state)
}

async fn unknown_path(State(state): State<AppState>, method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    let port = state.place.admin_port;
    let hint = if path.starts_with("/admin") && port != 0 {
        format!("if this is the public port: administrators use port {port}; see /api/openapi.json for what there is")
    } else {
        "see /api/openapi.json for what there is".to_owned()
    };
    ApiError::not_found(format!("there is no {method} {path}")).hint(hint)
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} can't be asked with {method}"))
        .hint("see /api/openapi.json for the methods of each path")
}
