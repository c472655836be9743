//! When most of the fleet falls silent at once it is not they who are away: we are cut off. Then nobody is judged: leases do
//! not end, nothing is escalated, and whatever still comes in is accepted (architecture.md §4).

use std::collections::BTreeSet;

use swarm_protocol::{BuildId, DroneId};

use crate::core::Core;
use crate::view::Presence;

/// A fleet smaller than this says nothing about us.
const LEAST_FLEET: usize = 3;

/// The controller is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CutOff {
    /// Wall clock when that was seen, Unix milliseconds.
    pub since: u64,
    /// Longest moment of the core's clock up to which nobody is judged.
    pub until: u64,
    /// Who fell silent and was not heard since.
    pub silent: BTreeSet<DroneId>,
    /// The fleet's size then.
    pub fleet: usize,
}

impl Core {
    /// Drones are about to be called offline. With those that fell silent within the same span they may be most of the fleet.
    pub(super) fn watch_for_cut(&mut self, silent: &[DroneId]) {
        if silent.is_empty() {
            return;
        }
        let span = self.settings.offline_after;
        let lately = |last: u64| self.now.at < last + 2 * span;
        let pulses = || self.soft.pulses.iter();
        let fallen = pulses().filter(|(_, pulse)| pulse.presence == Presence::Offline && lately(pulse.last_beat));
        let gone: BTreeSet<DroneId> = fallen.map(|(id, _)| id.clone()).chain(silent.iter().cloned()).collect();
        let fleet = pulses().filter(|(id, pulse)| pulse.presence == Presence::Online || gone.contains(*id)).count();
        if let Some(cut) = &mut self.soft.cut_off {
            cut.silent.extend(gone);
            cut.fleet = cut.fleet.max(fleet);
            return;
        }
        if fleet < LEAST_FLEET || gone.len() * 2 <= fleet {
            return;
        }
        let hold = self.settings.cut_off_hold;
        let names: Vec<String> = gone.iter().take(10).map(|drone| self.drone_name(drone)).collect();
        let message = format!(
            "the controller is cut off: {} of {fleet} drones fell silent at once ({}); nobody is judged until they are \
             heard again, at most {} min",
            gone.len(),
            names.join(", "),
            hold / 60_000
        );
        self.soft.cut_off = Some(CutOff { since: self.now.wall, until: self.now.at + hold, silent: gone, fleet });
        self.cut_off_begins(message);
    }

    /// A drone was heard again: if no more than half are missing, it was we.
    pub(super) fn heard_again(&mut self, drone: &DroneId) {
        let Some(cut) = &mut self.soft.cut_off else { return };
        cut.silent.remove(drone);
        if cut.silent.len() * 2 > cut.fleet {
            return;
        }
        let (heard, fleet) = (cut.fleet - cut.silent.len().min(cut.fleet), cut.fleet);
        self.judge_again(format!("the controller hears the fleet again: {heard} of {fleet} drones are back"));
    }

    /// Nobody came back for so long: they are judged one by one.
    pub(super) fn end_hold(&mut self) {
        if self.soft.cut_off.as_ref().is_some_and(|cut| cut.until <= self.now.at) {
            let minutes = self.settings.cut_off_hold / 60_000;
            self.judge_again(format!("the fleet was not heard for {minutes} min: drones are judged again, one by one"));
        }
    }

    /// Leases begin anew, as after a start: the silence was not theirs.
    fn judge_again(&mut self, message: String) {
        self.soft.cut_off = None;
        let until = self.now.at + self.settings.lease;
        let held: Vec<BuildId> = self.soft.leases.keys().copied().collect();
        self.soft.leases.extend(held.into_iter().map(|id| (id, until)));
        self.cut_off_ends(message);
    }

    /// Heartbeats and pings each may tell it first; people hear it once.
    pub(crate) fn cut_off_begins(&mut self, message: String) {
        let told = [self.meta().cut_off.is_some(), self.soft.cut_off.is_some()];
        if told != [true, true] {
            self.event("alert", message, |event| drop(event.details.insert("cut_off".to_owned(), "begin".to_owned())));
        }
    }

    /// And once that it is over, when neither sees it any more.
    pub(crate) fn cut_off_ends(&mut self, message: String) {
        if self.meta().cut_off.is_none() && self.soft.cut_off.is_none() {
            self.event("alert", message, |event| drop(event.details.insert("cut_off".to_owned(), "end".to_owned())));
        }
    }
}
