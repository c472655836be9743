//! Logs as streams: those of builds, and the controller's own.

pub(super) mod builds;
mod own;
mod reader;

use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(builds::public())
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(own::admin())
}
