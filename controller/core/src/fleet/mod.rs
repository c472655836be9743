//! Who is there: hellos, heartbeats, presence, leases, trees, drains and the orders drones have not seen yet. It never
//! decides what a drone builds.
//!
//! `state` holds what is soft: `pulse` (what each drone's last heartbeat said), `hands` (what drones are to have), `syncs` (trees
//! that are brought up to date).

mod cut_off;
mod drain;
mod hands;
mod hello;
mod orders;
mod presence;
mod pulse;
mod state;
mod syncs;
mod trees;

#[cfg(test)]
pub(crate) use hello::newcomer;
pub use pulse::Presence;
pub(crate) use pulse::Pulse;
pub(crate) use state::FleetState;
