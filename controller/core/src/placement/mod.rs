//! Which drone builds what: eligibility with every reason, scores with names, the lines drones have, sweepers, and the
//! explanation of all of it.

mod assign;
mod eligible;
mod explain;
mod line;
mod look;
mod score;
mod state;
mod sweep;
mod watch;

pub use eligible::{Reason, Rule};
pub use explain::{DroneExplanation, Explanation, WaitingFor};
pub use score::{Points, ScoreRule};
pub(crate) use state::PlacementState;
pub(crate) use watch::Subject;
