//! Whether a package is tried again after a failure, and when: a pure function of its marks.

use std::collections::BTreeSet;

use swarm_protocol::report::FailureClass;

use super::by_failures;
use crate::rows::{BlockedBy, BuildRow, Culprit};
use crate::settings::Settings;

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Back to needed.
    Again {
        /// Not before this moment of the core's clock; 0 for at once.
        not_before: u64,
    },
    /// Blocked.
    Block {
        /// By whom.
        by: BlockedBy,
    },
    /// Given up.
    Fail,
}

/// What follows from the newest failure of a build; its mark is already on the row. `drones` is the number of drones that
/// could build it (rules.md §3, decision 24).
pub fn next(
    build: &BuildRow,
    class: FailureClass,
    culprit: Culprit,
    drones: usize,
    now: u64,
    settings: &Settings,
) -> Next {
    let marks = || build.marks.iter().filter(|mark| mark.culprit == culprit);
    let distinct = || marks().map(|mark| &mark.drone).collect::<BTreeSet<_>>().len();
    let failed_for_good = build.auto_retries >= settings.max_auto_retries;
    let block = |by: BlockedBy| if failed_for_good { Next::Fail } else { Next::Block { by } };
    match culprit {
        Culprit::Package if matches!(class, FailureClass::Masked | FailureClass::Unsatisfiable) => {
            block(BlockedBy::Resolver)
        }
        Culprit::Package if distinct() >= settings.failures_to_block.min(drones.max(1)) => block(by_failures(culprit)),
        Culprit::Package | Culprit::Operator => Next::Again { not_before: 0 },
        Culprit::Drone if marks().count() >= settings.drone_failures_to_block => block(by_failures(culprit)),
        Culprit::Drone => Next::Again { not_before: 0 },
        Culprit::Fleet if class == FailureClass::Busy => Next::Again { not_before: now + settings.heartbeat },
        Culprit::Fleet if marks().count() >= settings.fleet_failures_to_block && distinct() >= 2.min(drones.max(1)) => {
            block(by_failures(culprit))
        }
        Culprit::Fleet => {
            let doublings = (marks().count().max(1) - 1).min(16) as u32;
            let wait = settings.fleet_backoff.saturating_mul(1 << doublings).min(settings.fleet_backoff_max);
            Next::Again { not_before: now + wait }
        }
    }
}
