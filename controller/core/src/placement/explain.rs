//! Why a package is not building: every drone, every reason (architecture.md §2.6).

use swarm_protocol::{BuildId, DroneId, SessionId};

use super::eligible::Reason;
use super::score::Points;

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
}
