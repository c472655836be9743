//! Why a package is not building.

use serde::{Deserialize, Serialize};
use swarm_core::explanation::{DroneExplanation, Explanation};
use utoipa::ToSchema;

use super::number::seconds;

/// Every entry the question fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyAnswer {
    /// As it was asked for.
    pub package: String,
    /// The entries.
    pub entries: Vec<WhyEntry>,
}

/// Why one entry stands where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyEntry {
    /// Number of the build.
    pub build: u64,
    /// Session.
    pub session_id: u64,
    /// With `=`.
    pub package: String,
    /// USE flags it is built with.
    pub use_flags: Vec<String>,
    /// `needed`, `delegated`, `received`, `blocked` or `failed`.
    pub status: String,
    /// One sentence that answers the question.
    pub summary: String,
    /// Its failures or the reasons it is blocked.
    pub reasons: Vec<String>,
    /// As it was asked for; counts in the line.
    pub priority: i32,
    /// Seconds its build is likely to take on an ordinary drone, if it was ever built.
    pub usual_s: Option<f64>,
    /// Seconds from its begin to the end of the longest chain of packages that wait for it: what the line is ordered by.
    pub path_s: f64,
    /// What it waits for.
    pub waiting_for: Vec<WhyWaiting>,
    /// Each drone of the fleet.
    pub drones: Vec<WhyDrone>,
}

/// A dependency that is not in the binhost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyWaiting {
    /// Number of the build.
    pub build: u64,
    /// With `=`.
    pub package: String,
    /// Its state.
    pub status: String,
}

/// One drone's chances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyDrone {
    /// Identity.
    pub id: String,
    /// Name.
    pub name: String,
    /// Nothing speaks against it.
    pub eligible: bool,
    /// Everything that speaks against it.
    pub against: Vec<WhyReason>,
    /// Sum of its points.
    pub score: i64,
    /// Its points, rule by rule.
    pub points: Vec<WhyPoints>,
    /// Seconds its build is likely to take there, if it was ever built.
    pub estimated_s: Option<f64>,
}

/// A condition that is not met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyReason {
    /// Stable name of the condition.
    pub rule: String,
    /// With what.
    pub text: String,
}

/// Points of one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyPoints {
    /// Stable name of the rule.
    pub rule: String,
    /// How many.
    pub points: i64,
    /// What the rule means.
    pub description: String,
}

impl From<&Explanation> for WhyEntry {
    fn from(explanation: &Explanation) -> Self {
        let waiting = explanation.waiting_for.iter().map(|waiting| WhyWaiting {
            build: waiting.build.0,
            package: waiting.package.clone(),
            status: waiting.state.to_owned(),
        });
        Self {
            build: explanation.build.0,
            session_id: explanation.session.0,
            package: explanation.package.clone(),
            use_flags: explanation.use_flags.clone(),
            status: explanation.state.to_owned(),
            summary: explanation.summary.clone(),
            reasons: explanation.reasons.clone(),
            priority: explanation.priority,
            usual_s: explanation.usual_ms.map(seconds),
            path_s: seconds(explanation.path_ms),
            waiting_for: waiting.collect(),
            drones: explanation.drones.iter().map(WhyDrone::from).collect(),
        }
    }
}

impl From<&DroneExplanation> for WhyDrone {
    fn from(drone: &DroneExplanation) -> Self {
        let against = drone
            .against
            .iter()
            .map(|reason| WhyReason { rule: reason.rule.name().to_owned(), text: reason.text.clone() });
        let points = drone.score.iter().map(|points| WhyPoints {
            rule: points.rule.name().to_owned(),
            points: points.points,
            description: points.rule.description().to_owned(),
        });
        Self {
            id: drone.id.0.clone(),
            name: drone.name.clone(),
            eligible: drone.against.is_empty(),
            against: against.collect(),
            score: drone.score.iter().map(|points| points.points).sum(),
            points: points.collect(),
            estimated_s: drone.estimate_ms.map(seconds),
        }
    }
}
