//! Entries and their states. Every change of a state goes through [`Core::set_state`], so that sums, graph and leases never
//! disagree with the rows.

use swarm_protocol::BuildId;

use super::graph::{Entry, lead};
use crate::core::Core;
use crate::place::Place;
use crate::placement::Subject;
use crate::rows::{Assignment, BlockedBy, BuildRow, BuildState};

impl Core {
    /// Moves an entry to another state.
    pub(crate) fn set_state(&mut self, id: BuildId, state: BuildState) {
        let Some(row) = self.rows.builds.change(&id) else { return };
        let old = std::mem::replace(&mut row.state, state);
        let row = row.clone();
        self.soft.queue.tally.leave(row.session, &old);
        self.leave(id, &old);
        self.enter(&row);
        self.soft.queue.moved_in(row.session);
        self.soft.placement.work_may_be_given();
    }

    /// Adds a new entry.
    pub(crate) fn add_build(&mut self, row: BuildRow) {
        self.rows.builds.put(row.clone());
        self.know(&row);
        self.enter(&row);
        self.soft.queue.moved_in(row.session);
        self.soft.placement.work_may_be_given();
    }

    /// What finds an entry and gives it its weight, as its row says now.
    pub(crate) fn know(&mut self, row: &BuildRow) {
        self.soft.queue.names.note(row);
        if !matches!(row.state, BuildState::Received { .. }) {
            let entry = Entry { session: row.session, duration: self.likely_ms(row), lead: self.lead(row) };
            self.soft.queue.graph.open(row.id, entry);
        }
    }

    /// What priority and age add to the length of a package's path, milliseconds.
    pub(crate) fn lead(&self, row: &BuildRow) -> i64 {
        lead(row, self.settings.priority_step, self.settings.age_weight)
    }

    /// An entry's row changes in what it is found by or what its weight comes from.
    pub(crate) fn rewrite(&mut self, row: BuildRow) {
        if let Some(old) = self.rows.builds.get(&row.id) {
            self.soft.queue.names.forget(old);
        }
        self.know(&row);
        self.rows.builds.put(row);
    }

    pub(super) fn leave(&mut self, id: BuildId, old: &BuildState) {
        self.soft.queue.graph.withdraw(id);
        self.count_waiting(id, false);
        self.soft.placement.waits_no_more(Subject::Entry(id));
        match old {
            BuildState::Delegated { assignment } => {
                self.soft.fleet.hands.give_back(&assignment.drone, id);
                self.end_finishing(id);
                self.note_line(&assignment.drone);
                self.soft.view.touch(&assignment.drone);
            }
            BuildState::Blocked { .. } => self.soft.queue.retries.clear(&id),
            _ => {}
        }
    }

    /// What soft state follows from an entry's state.
    pub(super) fn enter(&mut self, row: &BuildRow) {
        let id = row.id;
        self.soft.queue.tally.enter(row.session, &row.state);
        match &row.state {
            BuildState::Needed { not_before } => {
                if self.soft.queue.graph.is_met(id) {
                    self.line_up(id, Place::of(row), *not_before);
                } else {
                    self.count_waiting(id, true);
                }
            }
            BuildState::Delegated { assignment } => {
                self.soft.fleet.hands.take(&assignment.drone, id, self.now.at + self.settings.lease);
                self.note_line(&assignment.drone);
                self.soft.view.touch(&assignment.drone);
            }
            BuildState::Received { .. } => self.met(id),
            BuildState::Blocked { by, retry_at, .. } => {
                if let Some(at) = retry_at {
                    self.soft.queue.retries.set(id, *at);
                }
                if matches!(by, BlockedBy::Failures { .. }) && row.is_planned() {
                    self.soft.queue.graph.offer_to_sweepers(id, Place::of(row));
                }
            }
            BuildState::Planning { .. } | BuildState::Failed { .. } => {}
        }
    }

    /// An entry is in the binhost, or gone. Entries that waited for nothing else are ready now.
    pub(super) fn met(&mut self, id: BuildId) {
        for dependent in self.soft.queue.graph.met(id) {
            let Some(row) = self.rows.builds.get(&dependent) else { continue };
            if let BuildState::Needed { not_before } = row.state {
                let place = Place::of(row);
                self.count_waiting(dependent, false);
                self.line_up(dependent, place, not_before);
            }
        }
    }

    fn line_up(&mut self, id: BuildId, place: Place, not_before: u64) {
        self.soft.queue.graph.line_up(id, place, not_before, self.now.at);
        self.soft.placement.waits(Subject::Entry(id), self.now.at);
    }

    fn count_waiting(&mut self, id: BuildId, waits: bool) {
        if self.soft.queue.graph.mark_waiting(id, waits)
            && let Some(session) = self.rows.builds.get(&id).map(|row| row.session)
        {
            self.soft.queue.tally.wait(session, waits);
        }
    }

    /// Sets what an entry waits for and lets the graph know; what would close a circle is left out.
    pub(crate) fn set_after(&mut self, id: BuildId, after: Vec<BuildId>) {
        let open: Vec<BuildId> = after.iter().copied().filter(|need| self.is_open(*need)).collect();
        let taken = self.soft.queue.graph.set_needs(id, open.iter().copied());
        let refused = |need: &BuildId| *need == id || (!taken.contains(need) && open.contains(need));
        if let Some(row) = self.rows.builds.change(&id) {
            row.after = if taken.len() == open.len() {
                after
            } else {
                after.into_iter().filter(|need| !refused(need)).collect()
            };
        }
    }

    /// An entry waits for another one instead of the one it waited for.
    pub(crate) fn wait_for_instead(&mut self, id: BuildId, old: BuildId, new: BuildId) {
        let Some(row) = self.rows.builds.get(&id) else { return };
        let mut after: Vec<BuildId> = row.after.iter().copied().filter(|need| *need != old && *need != new).collect();
        after.push(new);
        self.wait_for(id, after);
    }

    /// What an entry waits for is another thing now, and so may be where it stands.
    pub(crate) fn wait_for(&mut self, id: BuildId, after: Vec<BuildId>) {
        self.set_after(id, after);
        let Some(row) = self.rows.builds.get(&id) else { return };
        if matches!(row.state, BuildState::Needed { .. }) {
            let state = row.state.clone();
            self.set_state(id, state);
        }
    }

    /// An entry that exists and is not in the binhost.
    pub(crate) fn is_open(&self, id: BuildId) -> bool {
        self.rows.builds.get(&id).is_some_and(|row| !matches!(row.state, BuildState::Received { .. }))
    }

    /// Changes the assignment of a delegated entry.
    pub(crate) fn change_assignment(&mut self, id: BuildId, change: impl FnOnce(&mut Assignment)) {
        let Some(row) = self.rows.builds.change(&id) else { return };
        if let BuildState::Delegated { assignment } = &mut row.state {
            change(assignment);
            let drone = assignment.drone.clone();
            self.soft.view.touch(&drone);
        }
    }

    /// Back to be built: through a planner if it never was resolved.
    pub(crate) fn back_to_needed(&mut self, id: BuildId, not_before: u64) {
        let Some(row) = self.rows.builds.get(&id) else { return };
        let session = row.session;
        if row.is_planned() {
            self.set_state(id, BuildState::Needed { not_before });
        } else {
            self.plan_again(id, not_before);
        }
        self.reopen(session);
    }
}
