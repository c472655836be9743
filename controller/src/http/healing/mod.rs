//! Proof of life, the ladder and notices over HTTP: what is on the public port, and what on the administrators'.
//!
//! Decides nothing: what may be done to a drone is the core's to say, and its refusals are passed on.

pub mod admin;
pub mod public;

mod wishes;

use std::sync::Arc;

use swarm_api::PingAnswer;
use swarm_common::clock::wall_ms;
use swarm_core::Answer;
use swarm_core::Request;
use swarm_core::answer::Healed;
use swarm_core::request::{HealAction, HealRequest};
use swarm_core::view::DroneView;

use super::auth::Admin;
use super::error::ApiError;
use super::{AppState, unexpected};
use crate::healing::Pinged;

/// A drone by name or identity, as the view knows it.
fn known(state: &AppState, name: &str) -> Result<Arc<DroneView>, ApiError> {
    let view = state.view();
    let drone = view.drones.values().find(|drone| drone.row.name == name || drone.row.id.0 == name).cloned();
    drone.ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        ApiError::not_found(format!("there is no drone {shown}")).hint("see /api/v1/nodes?all=true for those there are")
    })
}

/// Pings a drone now.
async fn ping(state: &AppState, name: &str) -> Result<PingAnswer, ApiError> {
    let drone = known(state, name)?;
    let pinged = state.care.pings.ping(drone.row.id.clone()).await;
    let pinged = pinged.ok_or_else(|| {
        ApiError::busy("too many pings are asked for at one time").hint("GET /api/v1/ping shows the last ones")
    })?;
    Ok(answered(&drone.row.name, &pinged, wall_ms()))
}

/// What became of a ping of the drone called `name`, at the wall clock `now`.
fn answered(name: &str, pinged: &Pinged, now: u64) -> PingAnswer {
    let outcome = pinged.outcome.as_ref().map(|answered| (&answered.pong, answered.latency_us)).map_err(|loss| *loss);
    PingAnswer::new(name, pinged.seq, outcome, now)
}

/// Asks the engine to do something about a drone.
async fn heal(state: &AppState, admin: &Admin, drone: String, action: HealAction) -> Result<Healed, ApiError> {
    match state.request(&admin.actor, Request::Heal(HealRequest { drone, action })).await? {
        Answer::Healed(healed) => Ok(healed),
        _ => Err(unexpected()),
    }
}
