//! Which drone builds what, and why not.
//!
//! `assign`: work is given out, line by line · `eligible`: what speaks against a drone, as `rule`s · `score`: which of the eligible
//! drones, by `points` · `line`: what waits with drones and is asked back · `look`: what nobody may take is told · `sweep`: blocked
//! packages as the last resort · `explain`: an `explanation` of all of it for one package.
//!
//! `state` holds what is soft; `watch` in it knows what waits, and when it is looked at.

mod assign;
mod eligible;
mod explain;
mod line;
mod look;
mod score;
mod state;
mod sweep;
mod watch;

pub(crate) use state::PlacementState;
pub(crate) use watch::Subject;
