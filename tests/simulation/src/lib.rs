//! A whole swarm in virtual time: the real `swarm-core` and real `drone-core`s, speaking the real protocol (encoded bytes)
//! over a network that loses, delays, doubles and reorders, on machines that crash, hang and fill up. One seed, one journey:
//! the same seed gives the same trace, event for event.
//!
//! `chance`: streams of chance by purpose · `packages`: what is built and how it goes · `network`: what becomes of a message ·
//! `store`: the controller's rows · `controller`: the core and the plumbing around it · `machine`: a drone with its disk and
//! processes · `faults`: what goes wrong when · `check`: what must never happen, and what must have happened in the end ·
//! `world`: the heap of timed messages, and the loop.
//!
//! What is not real here: Portage, disks, sockets, the binhost's files, gpg. They are stood in for by their outcome and the
//! time they take; the end-to-end tests have the real ones.

pub mod chance;
mod check;
mod controller;
mod faults;
mod machine;
mod network;
mod packages;
mod store;
mod world;

pub use check::Violation;
pub use faults::Weather;
pub use world::{Outcome, Plan, World, run};

/// Milliseconds of virtual time.
pub type Millis = u64;
/// A second.
pub const SECOND: Millis = 1_000;
/// A minute.
pub const MINUTE: Millis = 60 * SECOND;
/// An hour.
pub const HOUR: Millis = 60 * MINUTE;
