//! Who is there: hellos, heartbeats, presence, leases, trees, drains and the orders drones have not seen yet. It never
//! decides what a drone builds.

mod cut_off;
mod drain;
mod hello;
mod orders;
mod presence;
pub(crate) mod sanity;
mod trees;

pub(crate) use cut_off::CutOff;
pub(crate) use hello::DEFAULT_PROFILE;
pub(crate) use presence::{Outlook, Pulse};
