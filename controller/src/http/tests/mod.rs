//! The façade against engine, store, logs and binhost of the tests' own: shapes, access, errors, streams.

mod access;
mod admin;
mod binhost;
mod errors;
mod healing;
mod members;
mod metrics;
mod shapes;
mod streams;
mod uploads;
pub(crate) mod world;

use std::sync::Arc;

use swarm_core::view::{DroneView, Presence};

/// A drone that is online, for tests elsewhere.
pub(crate) fn drone(id: &str, name: &str) -> Arc<DroneView> {
    world::drone(id, name, Presence::Online)
}
