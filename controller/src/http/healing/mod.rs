//! Proof of life and the ladder over HTTP.
//!
//! Decides nothing: what may be done to a drone is the core's to say, and its refusals are passed on.

mod change;
mod ladder;
mod pings;
mod wishes;

use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(pings::public()).merge(ladder::public())
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(pings::admin()).merge(ladder::admin()).merge(wishes::admin())
}
