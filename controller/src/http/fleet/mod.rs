//! Drones: the list, what a person can do with one, what they run, and what one did.

mod drones;
mod past;
mod versions;

use std::sync::Arc;

use swarm_core::view::{DroneView, View};
use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;
use crate::http::error::ApiError;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(drones::public()).merge(versions::public())
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(past::admin()).merge(versions::admin())
}

/// A drone by name or identity, as the view knows it.
pub(super) fn known(view: &View, name: &str) -> Result<Arc<DroneView>, ApiError> {
    let drone = view.drones.values().find(|drone| drone.row.name == name || drone.row.id.0 == name).cloned();
    drone.ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        ApiError::not_found(format!("there is no drone {shown}")).hint("see /api/v1/nodes?all=true for those there are")
    })
}
