//! When most of the fleet falls silent at once it is not they who are away: we are cut off. Then nobody is judged: leases do
//! not end, nothing is escalated, and whatever still comes in is accepted (architecture.md §4).

use swarm_protocol::DroneId;

use crate::core::Core;
use crate::rows::EventKind;

impl Core {
    /// Drones are about to be called offline. With those that fell silent within the same span they may be most of the fleet.
    pub(super) fn watch_for_cut(&mut self, silent: &[DroneId]) {
        let Some(cut) = self.soft.fleet.watch_for_cut(silent, self.now, &self.settings) else { return };
        let (gone, fleet) = (cut.silent.len(), cut.fleet);
        let first: Vec<DroneId> = cut.silent.iter().take(10).cloned().collect();
        let names: Vec<String> = first.iter().map(|drone| self.drone_name(drone)).collect();
        let message = format!(
            "the controller is cut off: {gone} of {fleet} drones fell silent at once ({}); nobody is judged until they are \
             heard again, at most {} min",
            names.join(", "),
            self.settings.cut_off_hold / 60_000
        );
        self.cut_off_begins(message);
    }

    /// A drone was heard again: if no more than half are missing, it was we.
    pub(super) fn heard_again(&mut self, drone: &DroneId) {
        let lease_end = self.now.at + self.settings.lease;
        let Some((heard, fleet)) = self.soft.fleet.heard_again(drone, lease_end) else { return };
        self.cut_off_ends(format!("the controller hears the fleet again: {heard} of {fleet} drones are back"));
    }

    /// Nobody came back for so long: they are judged one by one.
    pub(super) fn end_hold(&mut self) {
        if self.soft.fleet.end_hold(self.now.at, self.now.at + self.settings.lease) {
            let minutes = self.settings.cut_off_hold / 60_000;
            let message = format!("the fleet was not heard for {minutes} min: drones are judged again, one by one");
            self.cut_off_ends(message);
        }
    }

    /// Heartbeats and pings each may tell it first; people hear it once.
    pub(crate) fn cut_off_begins(&mut self, message: String) {
        let told = [self.meta().cut_off.is_some(), self.soft.fleet.is_cut_off()];
        if told != [true, true] {
            self.event(EventKind::Alert, message, |event| {
                drop(event.details.insert("cut_off".to_owned(), "begin".to_owned()))
            });
        }
    }

    /// And once that it is over, when neither sees it any more.
    pub(crate) fn cut_off_ends(&mut self, message: String) {
        if self.meta().cut_off.is_none() && !self.soft.fleet.is_cut_off() {
            self.event(EventKind::Alert, message, |event| {
                drop(event.details.insert("cut_off".to_owned(), "end".to_owned()))
            });
        }
    }
}
