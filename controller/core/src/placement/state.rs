//! What giving out work remembers from one round to the next: whether there is anything to give, who was asked in vain, who
//! has a line of its own. A restart forgets it and asks everybody again.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, DroneId};

use super::watch::{Subject, Watch};

/// Between two looks at what nobody may take, milliseconds.
pub(super) const LOOK_EVERY: u64 = 15_000;
/// Until the next round of looks, if more were due than a round looks at, milliseconds.
const LOOK_ON: u64 = 1_000;

/// What is soft about giving out work.
#[derive(Debug, Default)]
pub(crate) struct PlacementState {
    /// Something changed that may let work be given out.
    due: bool,
    /// Drones with nothing to do: no package waits for their base that they may build. With each how far the line of its
    /// place had grown when that was seen.
    vain: BTreeMap<DroneId, u64>,
    /// Drones that have more than their slots hold.
    with_lines: BTreeSet<DroneId>,
    /// Drones whose base or tree may have moved since what they have was given out.
    moved: BTreeSet<DroneId>,
    /// Blocked entries a sweeper did not manage: no other try before this moment.
    rests: BTreeMap<BuildId, u64>,
    /// What waits for a drone to build or to plan it, and whether any may.
    pub(super) watch: Watch,
    /// When reasons that end by themselves were last looked at.
    last_look: u64,
    /// When what waits is looked at next.
    next_look: u64,
    /// Pairs of an entry and a drone looked at, ever.
    candidates: u64,
}

impl PlacementState {
    /// Something changed that may let work be given out.
    pub(crate) fn work_may_be_given(&mut self) {
        self.due = true;
    }

    /// Whether work may have become possible since it was last given out.
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// The same; from now on it is given out.
    pub(crate) fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }

    /// Nothing in the line of its place is for this drone, as far as the line has grown.
    pub(super) fn asked_in_vain(&mut self, drone: &DroneId, grown: u64) {
        self.vain.insert(drone.clone(), grown);
    }

    /// Whether the line has not grown since nothing in it was for this drone.
    pub(super) fn is_in_vain(&self, drone: &DroneId, grown: u64) -> bool {
        self.vain.get(drone).is_some_and(|seen| *seen >= grown)
    }

    /// What was not for any drone may be now.
    pub(crate) fn ask_all_again(&mut self) {
        self.vain.clear();
    }

    /// A drone introduced itself: it may be another one than it was, at another place.
    pub(crate) fn came_anew(&mut self, drone: &DroneId) {
        self.vain.remove(drone);
        self.moved.insert(drone.clone());
        self.due = true;
    }

    /// A drone's base or tree may be another one.
    pub(crate) fn moved(&mut self, drone: &DroneId) {
        self.moved.insert(drone.clone());
    }

    /// Takes the drones whose base or tree may have moved.
    pub(super) fn take_moved(&mut self) -> BTreeSet<DroneId> {
        std::mem::take(&mut self.moved)
    }

    /// Whether a drone has more than its slots hold.
    pub(super) fn note_line(&mut self, drone: &DroneId, has_line: bool) {
        if has_line {
            self.with_lines.insert(drone.clone());
        } else {
            self.with_lines.remove(drone);
        }
    }

    /// Whether any drone has more than its slots hold.
    pub(super) fn has_lines(&self) -> bool {
        !self.with_lines.is_empty()
    }

    /// A sweeper did not manage an entry: no other try before this moment.
    pub(super) fn rest(&mut self, id: BuildId, until: u64) {
        self.rests.insert(id, until);
    }

    /// Whether a sweeper may try an entry at `now`.
    pub(super) fn is_rested(&self, id: BuildId, now: u64) -> bool {
        self.rests.get(&id).is_none_or(|until| *until <= now)
    }

    /// Something waits for a drone from `now` on, if it does not already.
    pub(crate) fn waits(&mut self, subject: Subject, now: u64) {
        self.watch.add(subject, now);
    }

    /// It waits no more.
    pub(crate) fn waits_no_more(&mut self, subject: Subject) {
        self.watch.forget(subject);
    }

    /// Whether a round of looks is due.
    pub(super) fn is_look_due(&self, now: u64) -> bool {
        now >= self.next_look
    }

    /// Whether it is time to look at reasons that end by themselves, like a drone's failure some minutes ago. If so, everybody
    /// is asked again.
    pub(super) fn renew(&mut self, now: u64) -> bool {
        if now < self.last_look + LOOK_EVERY {
            return false;
        }
        self.last_look = now;
        self.due = true;
        self.vain.clear();
        self.rests.retain(|_, until| *until > now);
        true
    }

    /// A round of looks has ended; with more that is due the next one follows soon.
    pub(super) fn round_ended(&mut self, is_done: bool, now: u64) {
        let regular = self.last_look + LOOK_EVERY;
        self.next_look = if is_done { regular } else { regular.min(now + LOOK_ON) };
    }

    /// When the next round of looks is due: while something waits, time alone may let it be given out.
    pub(crate) fn next(&self, grace_end: u64) -> Option<u64> {
        let waits = !self.watch.is_empty() || !self.rests.is_empty() || self.has_lines();
        waits.then(|| self.next_look.max(grace_end))
    }

    /// So many pairs of an entry and a drone were looked at.
    pub(super) fn looked_at(&mut self, pairs: u64) {
        self.candidates += pairs;
    }

    /// Pairs of an entry and a drone looked at, ever.
    pub(crate) fn candidates(&self) -> u64 {
        self.candidates
    }

    /// A drone is forgotten.
    pub(crate) fn forget(&mut self, drone: &DroneId) {
        self.vain.remove(drone);
        self.with_lines.remove(drone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drone_asked_in_vain_is_asked_again_when_its_line_has_grown_or_reasons_may_have_ended() {
        let (mut state, drone) = (PlacementState::default(), DroneId::from("a"));
        state.asked_in_vain(&drone, 7);
        assert!(state.is_in_vain(&drone, 7) && !state.is_in_vain(&drone, 8));
        assert!(!state.renew(LOOK_EVERY - 1) && state.is_in_vain(&drone, 7));
        assert!(state.renew(LOOK_EVERY) && !state.is_in_vain(&drone, 7));
        assert!(state.take_due() && !state.is_due());
    }

    #[test]
    fn rounds_of_looks_follow_one_another_while_something_waits() {
        let mut state = PlacementState::default();
        assert_eq!(state.next(0), None);
        state.waits(Subject::Entry(BuildId(1)), 0);
        assert!(state.renew(20_000));
        state.round_ended(false, 20_000);
        assert_eq!(state.next(0), Some(21_000), "more was due than a round looks at");
        state.round_ended(true, 21_000);
        assert_eq!((state.next(0), state.next(60_000)), (Some(35_000), Some(60_000)));
        state.waits_no_more(Subject::Entry(BuildId(1)));
        assert_eq!(state.next(0), None);
    }

    #[test]
    fn what_a_sweeper_did_not_manage_rests_and_is_looked_at_again() {
        let mut state = PlacementState::default();
        state.rest(BuildId(1), 90_000);
        assert!(!state.is_rested(BuildId(1), 89_999) && state.is_rested(BuildId(1), 90_000));
        assert!(state.next(0).is_some());
        assert!(state.renew(90_000) && state.next(0).is_none());
    }
}
