//! The answer to "why is this package not building": its shape, and the named rules it speaks of. `placement` makes it.

mod points;
mod rule;

use swarm_protocol::{BuildId, DroneId, SessionId};

pub use points::{Points, ScoreRule};
pub use rule::{Reason, Rule};

/// Why a package stands where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The entry.
    pub build: BuildId,
    /// Its session.
    pub session: SessionId,
    /// Its atom.
    pub package: String,
    /// USE flags it is built with.
    pub use_flags: Vec<String>,
    /// Its state's public name.
    pub state: &'static str,
    /// One sentence that answers the question.
    pub summary: String,
    /// Its failures or the reasons it is blocked, one per line.
    pub reasons: Vec<String>,
    /// Its priority.
    pub priority: i32,
    /// Milliseconds it is likely to take on an ordinary drone, if it was ever built.
    pub usual_ms: Option<u64>,
    /// Milliseconds from its begin to the end of the longest chain of packages that wait for it; its place in line comes
    /// from that.
    pub path_ms: u64,
    /// What it waits for.
    pub waiting_for: Vec<WaitingFor>,
    /// Each drone of the fleet.
    pub drones: Vec<DroneExplanation>,
}

/// A dependency that is not in the binhost yet.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingFor {
    /// Its entry.
    pub build: BuildId,
    /// Its atom.
    pub package: String,
    /// Its state's public name.
    pub state: &'static str,
}

/// One drone's chances.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneExplanation {
    /// The drone.
    pub id: DroneId,
    /// Its name.
    pub name: String,
    /// Everything that speaks against it; none means it is eligible.
    pub against: Vec<Reason>,
    /// Its score, rule by rule.
    pub score: Vec<Points>,
    /// Milliseconds it is likely to take there, if it was ever built.
    pub estimate_ms: Option<u64>,
}
