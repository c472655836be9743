//! One attempt's life, and what the controller still has to be told of it.

use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::report::{BuildNews, BuildResult, Failure};
use swarm_protocol::{Fence, StoreId};

use crate::Millis;

/// First wait before a report is said again, milliseconds.
pub(crate) const RESEND_MIN: Millis = 250;
/// Longest wait before a report is said again, milliseconds.
pub(crate) const RESEND_MAX: Millis = 10_000;
/// How long a report may be on its way before it counts as unanswered, should the caller never say so.
pub(crate) const FLIGHT_MS: Millis = 30_000;
/// How often the controller may ask for packages again before the attempt is reported as failed in uploading.
pub(crate) const MAX_UPLOAD_ROUNDS: u32 = 5;

/// What follows when nothing of an attempt is left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum After {
    /// Nothing: the controller wants to hear no more of it.
    Silence,
    /// The controller is told that it was dropped, and why.
    Dropped(String),
    /// The controller is told that it is lost: its process is gone, but not all that it had started.
    Lost,
}

/// Where an attempt stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// The job is being written; those who ordered it wait for the answer. `end`: it is unwanted already.
    Keeping { replies: Vec<u64>, end: Option<After> },
    /// The job is on disk and in line.
    Waiting,
    /// Its process is being started. `end`: it is unwanted already.
    Starting { end: Option<After> },
    /// Its process runs since the wall-clock time `since`.
    Running { since: u64 },
    /// Everything of it is being ended.
    Ending { then: After },
    /// It ended; the packages in `missing` go up, the first is on its way.
    Uploading { result: BuildResult, missing: Vec<String> },
    /// It ended, its packages are up; the controller has not yet said that it knows.
    Finished { result: BuildResult },
    /// What is on disk of it is being removed, behind a tombstone.
    Forgetting { then: After },
    /// Nothing of it is left; the controller has not yet said that it knows.
    Dropped { reason: String },
    /// It was not taken; the controller has not yet said that it knows.
    Refused { failure: Failure },
}

/// A report on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Flight {
    /// Nothing to say, or said and acknowledged.
    Quiet,
    /// To be said at `at`.
    Due { at: Millis },
    /// Said; counts as unanswered at `until`.
    Out { until: Millis },
}

/// An attempt the drone holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldAttempt {
    pub(crate) fence: Fence,
    pub(crate) store_id: StoreId,
    pub(crate) order_number: u64,
    pub(crate) slot: u32,
    pub(crate) stage: Stage,
    /// Number of the current news; a later one implies the earlier.
    pub(crate) number: u32,
    pub(crate) flight: Flight,
    pub(crate) backoff: Millis,
    /// How often the controller asked for packages again.
    pub(crate) upload_rounds: u32,
}

impl HeldAttempt {
    pub(crate) fn new(fence: Fence, store_id: StoreId, order_number: u64, slot: u32, stage: Stage) -> Self {
        Self {
            fence,
            store_id,
            order_number,
            slot,
            stage,
            number: 0,
            flight: Flight::Quiet,
            backoff: RESEND_MIN,
            upload_rounds: 0,
        }
    }

    /// What is to be told now; `None` while there is nothing new or the news is not whole yet.
    pub(crate) fn news(&self) -> Option<BuildNews> {
        match &self.stage {
            Stage::Keeping { .. } | Stage::Ending { .. } | Stage::Uploading { .. } | Stage::Forgetting { .. } => None,
            Stage::Waiting | Stage::Starting { .. } => Some(BuildNews::Taken {}),
            Stage::Running { since } => Some(BuildNews::Started { at: *since }),
            Stage::Finished { result } => Some(BuildNews::Finished { result: result.clone() }),
            Stage::Dropped { reason } => Some(BuildNews::Dropped { reason: reason.clone() }),
            Stage::Refused { failure } => Some(BuildNews::Refused { failure: failure.clone() }),
        }
    }

    /// There is news: its number is at least `least` (taken 1, started 2, the end 3) and above every earlier one.
    pub(crate) fn tell(&mut self, now: Millis, least: u32) {
        self.number = least.max(self.number + 1);
        self.say_again(now);
    }

    /// The current news is due at once, if there is any.
    pub(crate) fn say_again(&mut self, now: Millis) {
        self.backoff = RESEND_MIN;
        self.flight = if self.news().is_some() { Flight::Due { at: now } } else { Flight::Quiet };
    }

    /// The current news is due after the wait, which doubles.
    pub(crate) fn back_off(&mut self, now: Millis) {
        self.flight = Flight::Due { at: now + self.backoff };
        self.backoff = (self.backoff * 2).min(RESEND_MAX);
    }

    /// Whether its slot's root is in use by it.
    pub(crate) fn occupies(&self) -> bool {
        match self.stage {
            Stage::Starting { .. } | Stage::Running { .. } | Stage::Ending { .. } => true,
            Stage::Keeping { .. }
            | Stage::Waiting
            | Stage::Uploading { .. }
            | Stage::Finished { .. }
            | Stage::Forgetting { .. }
            | Stage::Dropped { .. }
            | Stage::Refused { .. } => false,
        }
    }

    /// Whether it will still need its slot.
    pub(crate) fn in_line(&self) -> bool {
        matches!(self.stage, Stage::Keeping { .. } | Stage::Waiting)
    }

    /// The package with that hash, if the attempt made it.
    pub(crate) fn made(&self, sha256: &str) -> Option<&ArtifactRef> {
        match &self.stage {
            Stage::Uploading { result, .. } | Stage::Finished { result } => {
                result.artifacts.iter().find(|a| a.sha256 == sha256)
            }
            Stage::Keeping { .. }
            | Stage::Waiting
            | Stage::Starting { .. }
            | Stage::Running { .. }
            | Stage::Ending { .. }
            | Stage::Forgetting { .. }
            | Stage::Dropped { .. }
            | Stage::Refused { .. } => None,
        }
    }
}
