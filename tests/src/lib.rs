//! What the end-to-end tests share: a whole swarm of real processes on loopback, with handles to kill any of them.
//!
//! Everything a test starts is ended by pid when its [`Swarm`] is dropped. Waiting is polling for a condition, bounded.

pub mod client;
pub mod http;
pub mod processes;
pub mod swarm;
pub mod tools;
pub mod wait;

pub use http::Http;
pub use swarm::{Drone, Swarm};
pub use wait::until;
