//! The HTTP façade: requests in, inputs to the engine or short reads of the store, JSON out. The paths and field names are
//! the contract with clients of 0.4; their JSON is `swarm_api`'s.
//!
//! Decides nothing about packages or drones, and who may write only by the admin key (`auth`). `swarm serve` mounts
//! [`router`] on the public port and [`admin_router`] on the administrators'.
//!
//! Topics, each with its handlers and its list of paths: `binhost` · `config` · `control` · `events` · `fleet` · `healing` ·
//! `history` · `logs` · `members` · `metrics` · `notices` · `queue` · `status` · `system`; `routes` is the list of them.
//! Below them: `about`, `asking`, `reading` (with `journals`), `cache` and `stream`. Around them: `auth`, `extract`,
//! `error`, `layers`, `listen`, `openapi`. `ports` is what they need of other rooms, `adapters` are these rooms.

pub mod adapters;
pub mod auth;
pub mod error;
pub mod listen;
pub mod openapi;
pub mod ports;

mod about;
mod asking;
mod binhost;
mod cache;
mod config;
mod control;
mod events;
mod extract;
mod fleet;
mod healing;
mod history;
mod journals;
mod layers;
mod logs;
mod members;
mod metrics;
mod notices;
mod queue;
mod reading;
mod routes;
mod status;
mod stream;
mod system;

#[cfg(test)]
pub(crate) mod tests;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, Redirect};
use axum::routing::get;

use crate::own_log::OwnLog;
pub use about::{About, Place};
pub use asking::Asking;
pub use auth::AdminKey;
pub use binhost::Binhost;
pub use config::Changes;
use error::ApiError;
pub use healing::HealingPart;
pub use history::Tallies;
pub use logs::BuildLogs;
pub use members::Members;
pub use metrics::Measured;
pub use reading::Reading;
pub use status::{Missing, Overviews};
pub use stream::Streams;

/// What handlers work with, in parts: some for every topic, some of one topic alone. A handler takes those it needs, as
/// `State<Reading>`; `serve` makes them. A new topic that needs more brings a part of its own. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// Whoever sends it may write.
    pub admin_key: AdminKey,
    /// Name, place and age of the controller.
    pub about: About,
    /// The engine: for what changes something.
    pub asking: Asking,
    /// The store: for what is committed.
    pub reading: Reading,
    /// Places of those who follow something.
    pub streams: Streams,
    /// What keeps the controller from its work.
    pub missing: Missing,
    /// The last overview, shared by all who ask.
    pub overviews: Overviews,
    /// Sums by package, shared by all who ask.
    pub tallies: Tallies,
    /// Settings that change at run time.
    pub changes: Changes,
    /// Logs of builds.
    pub build_logs: BuildLogs,
    /// The controller's own log.
    pub own_log: OwnLog,
    /// The built-in binhost.
    pub binhost: Binhost,
    /// The bus, and who comes onto it.
    pub members: Members,
    /// Pings, and the channels of notices.
    pub healing: HealingPart,
    /// What is counted and measured.
    pub measured: Measured,
}

/// The public port: `/api/v1`, `/readyz`, `/metrics`, the OpenAPI document with a page to browse it, below `/binhost` what
/// `binhost` serves and below `/binhost-private` what `private` does, which looks at its own key.
pub fn router(state: AppState, binhost: Router, private: Router) -> Router {
    let metrics = state.about.place.metrics;
    let router = Router::from(routes::public())
        .merge(openapi::pages())
        .route("/binhost/", get(self::binhost::page))
        .route("/binhost", get(|| async { Redirect::permanent("/binhost/") }))
        .merge(if metrics { metrics::route() } else { Router::new() })
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path)
        .with_state(state.clone())
        .nest("/binhost", binhost)
        .nest("/binhost-private", private);
    layers::around(router, &state.measured)
}

/// The administrators' port: `/admin/api`, and everything under `/api/v1` as well. All of it needs the admin key but `/`,
/// which says so.
pub fn admin_router(state: AppState) -> Router {
    let door = || std::future::ready(Html(include_str!("door.html")));
    let router = Router::from(routes::public())
        .merge(Router::from(routes::admin()))
        .merge(openapi::pages())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path)
        .layer(from_fn_with_state(state.clone(), auth::admins_only))
        .route("/", get(door))
        .with_state(state.clone());
    layers::around(router, &state.measured)
}

async fn unknown_path(State(about): State<About>, method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    let port = about.place.admin_port;
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
