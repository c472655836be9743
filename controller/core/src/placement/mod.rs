//! Which drone builds what: eligibility with every reason, scores with names, and the explanation of both.

mod assign;
mod eligible;
mod explain;
mod score;

pub use eligible::{Reason, Rule};
pub use explain::{DroneExplanation, Explanation, WaitingFor};
pub use score::{Points, ScoreRule};
