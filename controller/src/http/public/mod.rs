//! The paths of the public port, a file per group.

mod artifacts;
pub(super) mod binhost;
mod builds;
mod control;
mod events;
pub(super) mod fleet;
mod history;
pub(super) mod logs;
mod members;
mod metrics;
mod queue;
mod sessions;
mod status;
mod stock;
mod why;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::openapi::Document;
pub use metrics::route as metrics_route;

/// Every path with its documentation.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::health))
        .routes(routes!(status::readyz))
        .routes(routes!(status::status))
        .routes(routes!(fleet::nodes))
        .routes(routes!(fleet::forget))
        .routes(routes!(fleet::pause))
        .routes(routes!(fleet::resume))
        .routes(routes!(fleet::drain))
        .routes(routes!(fleet::versions))
        .routes(routes!(fleet::orchestrator))
        .routes(routes!(fleet::portage_config))
        .routes(routes!(metrics::metrics))
        .routes(routes!(metrics::by_package))
        .routes(routes!(queue::list, queue::add))
        .routes(routes!(queue::remove))
        .routes(routes!(control::control))
        .routes(routes!(history::history))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(events::events))
        .routes(routes!(events::past))
        .routes(routes!(events::stream))
        .routes(routes!(builds::show))
        .routes(routes!(logs::log))
        .routes(routes!(why::why))
        .merge(binhost::api())
        .merge(stock::api())
        .routes(routes!(members::invites, members::invite))
        .routes(routes!(members::uninvite))
        .routes(routes!(members::enrol))
        .routes(routes!(members::bus))
        .routes(routes!(members::authority))
        .routes(routes!(members::members))
        .routes(routes!(members::permissions))
        .routes(routes!(members::tapper))
        .routes(routes!(members::untap))
        .routes(routes!(members::revoke))
        .merge(artifacts::api())
        .merge(super::healing::public::api())
}
