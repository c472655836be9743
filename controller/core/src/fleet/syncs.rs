//! Orders to bring ebuild trees up to date: when each that is under way is given up, and when a drone may be told again.

use swarm_protocol::DroneId;

use crate::settings::Settings;
use crate::timers::Timers;

/// How much longer than the drone's own bound its word is waited for, milliseconds.
const GRACE: u64 = 60_000;

/// Syncs of all drones.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    ends: Timers<DroneId>,
    again: Timers<DroneId>,
}

impl Syncs {
    /// A drone is told now; returns until when its word is waited for.
    pub(super) fn begin(&mut self, drone: &DroneId, now: u64, settings: &Settings) -> u64 {
        let end = now + settings.sync_timeout + GRACE;
        self.ends.set(drone.clone(), end);
        self.again.set(drone.clone(), now + settings.sync_again);
        end
    }

    /// No sync that begins from now on is due earlier, milliseconds from now.
    pub(super) fn least(settings: &Settings) -> u64 {
        settings.sync_again.min(settings.sync_timeout + GRACE)
    }

    /// After a start a sync is still under way.
    pub(super) fn goes_on(&mut self, drone: &DroneId, end: u64) {
        self.ends.set(drone.clone(), end);
    }

    /// Nobody waits for a drone's sync any more.
    pub(super) fn ended(&mut self, drone: &DroneId) {
        self.ends.clear(drone);
    }

    /// A drone is forgotten.
    pub(super) fn forget(&mut self, drone: &DroneId) {
        self.ends.clear(drone);
        self.again.clear(drone);
    }

    /// Whether a drone may be told at `now`.
    pub(super) fn may_begin(&self, drone: &DroneId, now: u64) -> bool {
        self.again.at(drone).is_none_or(|at| at <= now)
    }

    /// Takes the drones that are waited for no longer, in the order of their identities.
    pub(super) fn take_late(&mut self, now: u64) -> Vec<DroneId> {
        let mut late = self.ends.take_due(now);
        late.sort_unstable();
        late
    }

    /// Whether some drone may be told again that could not be before.
    pub(super) fn take_ready(&mut self, now: u64) -> bool {
        !self.again.take_due(now).is_empty()
    }

    /// When the first ends or may be ordered again.
    pub(super) fn next(&self) -> Option<u64> {
        [self.ends.next(), self.again.next()].into_iter().flatten().min()
    }

    /// Whether nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.again.is_empty()
    }
}
