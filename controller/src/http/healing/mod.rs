//! Proof of life and the ladder over HTTP.
//!
//! Decides nothing: what may be done to a drone is the core's to say, and its refusals are passed on.

mod change;
mod ladder;
mod pings;
mod wishes;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::healing::PingNow;
use crate::http::AppState;

/// What it takes to look after drones. Cheap to clone.
#[derive(Clone)]
pub struct HealingPart {
    /// People's pings.
    pub pings: Arc<dyn PingNow>,
    /// Names of the channels by which notices go out.
    pub channels: Vec<String>,
    /// The numbers of the ladder, for people.
    pub rules: swarm_core::settings::Healing,
}

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(pings::public()).merge(ladder::public())
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(pings::admin()).merge(ladder::admin()).merge(wishes::admin())
}
