//! The agent's own rules, without I/O: `handle(now, input) -> effects`, like `quinn-proto`.
//!
//! # Map
//!
//! - [`input`]: all that can happen to a worker. [`effect`]: all it can want done.
//! - [`Worker`]: takes orders, keeps the line, starts, ends and adopts attempts, reports until answered.
//! - [`Watchdog`]: when a supervisor ends and starts its worker.
//! - [`healing`]: which rungs of the ladder a drone lets be done to it, and that none is done twice.
//! - [`tombs`]: which attempts are over, so that a late copy of an order never runs again.
//!
//! # Contract
//!
//! `now` is milliseconds of a clock that never goes back within one run. Inputs may come twice, late or in any order; a
//! spurious one is harmless. Call [`Worker::wake`] when [`Worker::next_wake`] has come; waking early or twice is harmless.
//! Effects are carried out in the order given; each effect that says so is answered by an input, however it ends.
//!
//! Two promises hold whatever comes: an attempt is started at most once, and a result is never dropped before the
//! controller answered that it is durable or counts no more.
//!
//! Called by the worker and supervisor processes of `drone-agent`, and by the simulation.

mod attempt;
pub mod effect;
pub mod healing;
pub mod input;
mod news;
mod orders;
pub mod tombs;
pub mod watchdog;
mod worker;

pub use effect::Effect;
pub use healing::Healing;
pub use input::{AttemptStanding, Found, Input, Uploaded};
pub use tombs::{Tomb, Tombs};
pub use watchdog::Watchdog;
pub use worker::{Held, Saved, Settings, Worker};

/// Milliseconds of the caller's clock; never goes back within one run.
pub type Millis = u64;
