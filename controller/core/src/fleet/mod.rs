//! Who is there: hellos, heartbeats, presence, leases and the orders drones have not seen yet. It never decides what a drone
//! builds.

mod hello;
mod orders;
mod presence;
pub(crate) mod sanity;

pub(crate) use hello::{DEFAULT_PROFILE, is_drone_name};
pub(crate) use presence::Pulse;
