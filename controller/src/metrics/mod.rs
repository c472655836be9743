//! What the controller counts and measures, for people and their monitoring: `samples` is the last day as curves, for
//! dashboards; `prometheus` is this moment as text, for `/metrics`.
//!
//! Reads the published view and counters others keep; changes nothing. Fed by `serve`, read by the façade.

pub mod prometheus;
pub mod samples;

pub use prometheus::{Counted, Requests};
pub use samples::Samples;
