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
        /// What the entry shows as the reason.
        by: BlockedBy,
    },
    /// Given up.
    Fail,
}

/// What follows from the newest failure of a build; its mark is already on the row. `drones` is the number of drones that
/// could build it.
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

#[cfg(test)]
mod tests {
    use FailureClass::{Busy, Cancelled, Fetch, Killed, Masked, Phase, Unsatisfiable};
    use swarm_protocol::{Attempt, BuildId, DroneId, PlanId, SessionId};

    use super::*;
    use crate::failure::blame;
    use crate::now::Now;
    use crate::queue::blank;
    use crate::rows::{FailureMark, Origin};

    /// A build that failed on these drones, last of all now, at 1,000,000.
    fn after(marks: &[(&str, FailureClass)], drones: usize, auto_retries: u32) -> Next {
        let mut build =
            blank(BuildId(1), SessionId(1), "default", "=a/b-1".to_owned(), Origin::Asked, PlanId(1), Now::default());
        build.auto_retries = auto_retries;
        build.marks = marks
            .iter()
            .filter(|(_, class)| *class != Busy)
            .map(|(drone, class)| FailureMark {
                drone: DroneId::from(*drone),
                drone_name: (*drone).to_owned(),
                attempt: Attempt(1),
                class: *class,
                culprit: blame(*class),
                phase: None,
                message: String::new(),
                log_line: None,
                at: 0,
                wall: 0,
                had_bytes: 0,
            })
            .collect();
        let class = marks.last().expect("a failure").1;
        next(&build, class, blame(class), drones, 1_000_000, &Settings::default())
    }

    fn again(not_before: u64) -> Next {
        Next::Again { not_before }
    }

    fn block(culprit: Culprit) -> Next {
        Next::Block { by: BlockedBy::Failures { culprit } }
    }

    #[test]
    fn what_follows_from_failures() {
        let resolver = Next::Block { by: BlockedBy::Resolver };
        let in_s = |s: u64| again(1_000_000 + s * 1000);
        for (marks, drones, retries, expected) in [
            (vec![("a", Phase)], 3, 0, again(0)),
            (vec![("a", Phase), ("a", Phase)], 3, 0, again(0)),
            (vec![("a", Phase), ("b", Phase)], 3, 0, block(Culprit::Package)),
            (vec![("a", Phase), ("b", Killed)], 3, 0, again(0)),
            (vec![("a", Phase)], 1, 0, block(Culprit::Package)),
            (vec![("a", Phase)], 0, 0, block(Culprit::Package)),
            (vec![("a", Phase)], 1, 2, block(Culprit::Package)),
            (vec![("a", Phase)], 1, 3, Next::Fail),
            (vec![("a", Masked)], 3, 0, resolver.clone()),
            (vec![("a", Unsatisfiable)], 3, 0, resolver),
            (vec![("a", Unsatisfiable)], 3, 3, Next::Fail),
            (vec![("a", Killed); 5], 3, 0, again(0)),
            (vec![("a", Killed); 6], 3, 0, block(Culprit::Drone)),
            (vec![("a", Fetch)], 3, 0, in_s(30)),
            (vec![("a", Fetch); 2], 3, 0, in_s(60)),
            (vec![("a", Fetch); 4], 3, 0, in_s(240)),
            (vec![("a", Fetch); 5], 3, 0, in_s(480)),
            (vec![("a", Fetch); 20], 3, 0, in_s(900)),
            (vec![("a", Fetch); 5], 1, 0, block(Culprit::Fleet)),
            (vec![("a", Fetch), ("a", Fetch), ("a", Fetch), ("a", Fetch), ("b", Fetch)], 3, 0, block(Culprit::Fleet)),
            (vec![("a", Busy)], 3, 0, in_s(5)),
            (vec![("a", Cancelled)], 3, 0, again(0)),
        ] {
            assert_eq!(after(&marks, drones, retries), expected, "{marks:?}, {drones} drones, {retries} retries");
        }
    }
}
