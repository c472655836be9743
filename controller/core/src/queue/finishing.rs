//! Results that wait for their packages and their log, and whoever waits for the answer. What makes a result count is
//! `result`'s to say.

use std::collections::BTreeMap;

use swarm_protocol::report::BuildResult;
use swarm_protocol::{BuildId, DroneId, Fence};

use crate::answer::ReplyTo;
use crate::timers::Timers;

/// How long a report may wait for its answer before it is told to ask again, milliseconds; below the drone's timeout.
const HOLD: u64 = 4_000;
/// A log nothing is heard of for this long beyond the time it may take is asked for once more, milliseconds.
const LOG_LOST: u64 = 30_000;

/// A result that waits for its packages and its log.
#[derive(Debug, Clone)]
pub(super) struct Finishing {
    pub fence: Fence,
    pub drone: DroneId,
    pub result: BuildResult,
    /// Whether its log is stored as far as it can be had, and then whether it has its tail.
    pub log: Option<bool>,
    reply: Option<ReplyTo>,
    /// When its log was asked for, on the core's clock.
    log_asked: u64,
}

/// What follows from a result that was reported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reported {
    /// Its log is to be asked for.
    pub ask_log: bool,
    /// Who waited for the answer to an earlier report of it.
    pub before: Option<ReplyTo>,
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Finishings {
    results: BTreeMap<BuildId, Finishing>,
    /// Until when whoever reported it waits for the answer.
    holds: Timers<BuildId>,
}

impl Finishings {
    /// A drone reports the result of its current attempt, perhaps once more: one that can't deliver what it first reported may
    /// report a failure instead.
    pub(super) fn report(
        &mut self,
        drone: &DroneId,
        fence: Fence,
        result: BuildResult,
        reply: ReplyTo,
        now: u64,
        log_wait: u64,
    ) -> Reported {
        self.holds.set(fence.build, now + HOLD);
        if let Some(known) = self.results.get_mut(&fence.build) {
            known.result = result;
            // the request found no room, or its answer was lost
            let ask_log = known.log.is_none() && now >= known.log_asked + log_wait + LOG_LOST;
            if ask_log {
                known.log_asked = now;
            }
            return Reported { ask_log, before: known.reply.replace(reply) };
        }
        let drone = drone.clone();
        let entry = Finishing { fence, drone, result, reply: Some(reply), log: None, log_asked: now };
        self.results.insert(fence.build, entry);
        Reported { ask_log: true, before: None }
    }

    /// An attempt's log is stored as far as it can be had. False if nothing waits for it.
    pub(super) fn log_stored(&mut self, fence: Fence, complete: bool) -> bool {
        let entry = self.results.get_mut(&fence.build).filter(|entry| entry.fence == fence);
        entry.map(|entry| entry.log = Some(complete)).is_some()
    }

    /// The result of an entry that waits.
    pub(super) fn get(&self, id: BuildId) -> Option<&Finishing> {
        self.results.get(&id)
    }

    /// Entries whose results wait.
    pub(super) fn ids(&self) -> Vec<BuildId> {
        self.results.keys().copied().collect()
    }

    /// A result waits no more; returns it with whoever waits for the answer.
    pub(super) fn take(&mut self, id: BuildId) -> Option<(Finishing, Option<ReplyTo>)> {
        let mut entry = self.results.remove(&id)?;
        self.holds.clear(&id);
        let reply = entry.reply.take();
        Some((entry, reply))
    }

    /// Whoever waits for the answer gets one now; the result waits on.
    pub(super) fn answer(&mut self, id: BuildId) -> Option<ReplyTo> {
        self.holds.clear(&id);
        self.results.get_mut(&id)?.reply.take()
    }

    /// Results whose reporter waited long enough.
    pub(super) fn due(&self, now: u64) -> Vec<BuildId> {
        let mut due: Vec<BuildId> = self.holds.due(now).copied().collect();
        due.sort_unstable();
        due
    }

    /// When the next reporter has waited long enough.
    pub(super) fn next(&self) -> Option<u64> {
        self.holds.next()
    }
}

#[cfg(test)]
mod tests {
    use swarm_protocol::Attempt;

    use super::*;

    #[test]
    fn the_last_who_reported_is_answered_and_a_log_that_got_lost_is_asked_for_once_more() {
        let (mut results, drone) = (Finishings::default(), DroneId::from("a"));
        let fence = Fence { build: BuildId(1), attempt: Attempt(1) };
        let report = |results: &mut Finishings, reply, now| {
            results.report(&drone, fence, BuildResult::default(), ReplyTo(reply), now, 60_000)
        };
        assert_eq!(report(&mut results, 1, 0), Reported { ask_log: true, before: None });
        assert_eq!((results.next(), results.due(4_000)), (Some(4_000), vec![BuildId(1)]));
        assert_eq!(report(&mut results, 2, 1_000), Reported { ask_log: false, before: Some(ReplyTo(1)) });
        assert_eq!(results.answer(BuildId(1)), Some(ReplyTo(2)));
        assert_eq!((results.next(), results.answer(BuildId(1))), (None, None));
        assert_eq!(report(&mut results, 3, 90_000), Reported { ask_log: true, before: None });
        assert!(results.log_stored(fence, true));
        assert!(!results.log_stored(Fence { build: BuildId(1), attempt: Attempt(2) }, true));
        let (entry, reply) = results.take(BuildId(1)).unwrap();
        assert_eq!((entry.log, reply, results.next()), (Some(true), Some(ReplyTo(3)), None));
    }
}
