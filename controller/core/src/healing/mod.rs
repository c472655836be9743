//! A drone that stops working comes back by itself, and nothing that works is harmed.
//!
//! `ping`: pings and their answers · `ladder`: from trouble to recovery, rung by rung · `act`: one rung, route by route · `brakes`:
//! what holds the ladder back · `reboot`: who is never rebooted · `routes`: the ways to a drone · `trust`: the SSH host keys it is
//! known by · `manual`: what people do · `notice`: what people are told · `upkeep`: what time and a restart do.
//!
//! `state` holds what is soft: `probe` (what pinging tells) and `ailing` (who is looked at when).
//!
//! Every decision is an event that says why, and so is every decision not to act that a person would wonder about. It never
//! touches a build: the lower rungs leave running attempts alive, and the highest waits for them.

mod act;
mod ailing;
mod brakes;
mod ladder;
mod manual;
mod notice;
mod ping;
mod probe;
mod reboot;
mod routes;
mod state;
mod trust;
mod upkeep;

pub use probe::Latency;
pub use reboot::never_rebooted;
pub(crate) use state::HealingState;
