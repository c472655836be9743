//! What a drone says became of a rung, in the core's words. The same answer comes over the bus and by SSH.

use swarm_core::input::RouteOutcome;
use swarm_protocol::order::Escalated;

/// A drone's word as the core takes it.
pub(super) fn outcome_of(outcome: Escalated) -> RouteOutcome {
    match outcome {
        Escalated::Done { detail } => RouteOutcome::Done { detail },
        Escalated::DryRun { detail } => RouteOutcome::DryRun { detail },
        Escalated::Refused { why, detail } => RouteOutcome::Refused { why, detail },
        Escalated::Unknown => {
            RouteOutcome::Failed { detail: "the drone answered in a later version's words".to_owned() }
        }
    }
}
