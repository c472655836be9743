//! The queue: requests, plans, the graph of who waits for whom, results, sessions. Every change of an entry's state goes
//! through `Core::set_state` in `entries`, so that sums, graph and leases never disagree with the rows.
//!
//! `request`: what people queue · `planner` and `plan`: who resolves it, and what becomes of the answer · `result`: what a drone
//! reports of an attempt · `control`: what people do with entries, drones and the swarm · `remove` and `supersede`: entries leave
//! · `session`: which one a request joins, and when one ends · `upkeep`: what time and a restart do.
//!
//! `state` holds what is soft: `graph`, `index` (names and plans), `identities`, `tally` (counts) and `finishing` (results that
//! wait).

mod control;
mod entries;
mod finishing;
mod graph;
mod identities;
mod index;
mod plan;
mod planner;
mod remove;
mod request;
mod result;
mod session;
mod state;
mod supersede;
mod tally;
mod upkeep;
mod waits;

pub(crate) use graph::lead;
#[cfg(test)]
pub(crate) use request::blank;
pub(crate) use state::QueueState;
pub use tally::Counts;
