//! The paths of the administrators' port below `/admin/api`, a file per group. Every one of them needs the admin key; the
//! port itself sees to it (`auth::admins_only`).

mod config;
mod drones;
mod own_log;
mod system;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;

/// Every path with its documentation.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(system::info))
        .routes(routes!(system::auth_check))
        .routes(routes!(config::all, config::change))
        .routes(routes!(own_log::own_log))
        .routes(routes!(drones::log))
        .routes(routes!(drones::build_log))
        .routes(routes!(drones::versions))
        .merge(super::healing::admin::api())
}

/// The one page without a key: it says how to come in.
pub fn door() -> Router<AppState> {
    Router::new().route("/", get(|| std::future::ready(Html(include_str!("door.html")))))
}
