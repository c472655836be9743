//! The queue: requests, plans, the graph of who waits for whom, results, sessions. Every change of an entry's state goes
//! through [`Core::set_state`], so that sums, graph and leases never disagree with the rows.

mod control;
mod graph;
mod index;
mod plan;
mod planner;
mod remove;
mod request;
mod result;
mod session;
mod supersede;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use graph::{Entry, Graph, Place};
pub(crate) use index::{Names, PlanLine};
#[cfg(test)]
pub(crate) use request::blank;
pub(crate) use request::{done, invalid, is_label};
pub(crate) use result::Finishing;
use swarm_protocol::BuildId;

use crate::core::Core;
use crate::placement::Subject;
use crate::rows::{Assignment, BlockedBy, BuildRow, BuildState};

/// Answers remembered for callers' keys; beyond, the oldest are forgotten early.
const MAX_KEYS: usize = 10_000;

impl Core {
    /// Moves an entry to another state.
    pub(crate) fn set_state(&mut self, id: BuildId, state: BuildState) {
        let Some(row) = self.rows.builds.change(&id) else { return };
        let old = std::mem::replace(&mut row.state, state);
        let row = row.clone();
        *self.soft.counts.entry(row.session).or_default().of(&old) -= 1;
        self.leave(id, &old);
        self.enter(&row);
        self.soft.sessions_due.insert(row.session);
        self.soft.placement.work_may_be_given();
    }

    /// Adds a new entry.
    pub(crate) fn add_build(&mut self, row: BuildRow) {
        self.rows.builds.put(row.clone());
        self.know(&row);
        self.enter(&row);
        self.soft.sessions_due.insert(row.session);
        self.soft.placement.work_may_be_given();
    }

    /// What finds an entry and gives it its weight, as its row says now.
    pub(crate) fn know(&mut self, row: &BuildRow) {
        self.soft.names.note(row);
        if !matches!(row.state, BuildState::Received { .. }) {
            let entry = Entry { session: row.session, duration: self.likely_ms(row), lead: self.lead(row) };
            self.soft.graph.open(row.id, entry);
        }
    }

    /// What priority and age add to the length of a package's path, milliseconds.
    pub(crate) fn lead(&self, row: &BuildRow) -> i64 {
        lead(row, self.settings.priority_step, self.settings.age_weight)
    }

    /// An entry's row changes in what it is found by or what its weight comes from.
    pub(crate) fn rewrite(&mut self, row: BuildRow) {
        if let Some(old) = self.rows.builds.get(&row.id) {
            self.soft.names.forget(old);
        }
        self.know(&row);
        self.rows.builds.put(row);
    }

    fn leave(&mut self, id: BuildId, old: &BuildState) {
        self.soft.graph.withdraw(id);
        self.count_waiting(id, false);
        self.soft.placement.waits_no_more(Subject::Entry(id));
        match old {
            BuildState::Delegated { assignment } => {
                if let Some(held) = self.soft.held.get_mut(&assignment.drone) {
                    held.remove(&id);
                }
                self.soft.leases.remove(&id);
                self.soft.missing.remove(&id);
                self.soft.sent.remove(&id);
                self.end_finishing(id);
                self.note_line(&assignment.drone);
                self.soft.view.touch(&assignment.drone);
            }
            BuildState::Blocked { retry_at: Some(at), .. } => {
                self.soft.retries.remove(&(*at, id));
            }
            _ => {}
        }
    }

    /// What soft state follows from an entry's state.
    fn enter(&mut self, row: &BuildRow) {
        let id = row.id;
        *self.soft.counts.entry(row.session).or_default().of(&row.state) += 1;
        match &row.state {
            BuildState::Needed { not_before } => {
                if self.soft.graph.is_met(id) {
                    self.line_up(id, place_of(row), *not_before);
                } else {
                    self.count_waiting(id, true);
                }
            }
            BuildState::Delegated { assignment } => {
                self.soft.held.entry(assignment.drone.clone()).or_default().insert(id);
                self.soft.leases.insert(id, self.now.at + self.settings.lease);
                self.note_line(&assignment.drone);
                self.soft.view.touch(&assignment.drone);
            }
            BuildState::Received { .. } => self.met(id),
            BuildState::Blocked { by, retry_at, .. } => {
                if let Some(at) = retry_at {
                    self.soft.retries.insert((*at, id));
                }
                if matches!(by, BlockedBy::Failures { .. }) && !row.base.is_empty() {
                    self.soft.graph.offer_to_sweepers(id, place_of(row));
                }
            }
            BuildState::Planning { .. } | BuildState::Failed { .. } => {}
        }
    }

    /// An entry is in the binhost, or gone: whoever waited only for it is ready.
    fn met(&mut self, id: BuildId) {
        for dependent in self.soft.graph.met(id) {
            let Some(row) = self.rows.builds.get(&dependent) else { continue };
            if let BuildState::Needed { not_before } = row.state {
                let place = place_of(row);
                self.count_waiting(dependent, false);
                self.line_up(dependent, place, not_before);
            }
        }
    }

    fn line_up(&mut self, id: BuildId, place: Place, not_before: u64) {
        self.soft.graph.line_up(id, place, not_before, self.now.at);
        self.soft.placement.waits(Subject::Entry(id), self.now.at);
    }

    fn count_waiting(&mut self, id: BuildId, waits: bool) {
        if self.soft.graph.mark_waiting(id, waits)
            && let Some(session) = self.rows.builds.get(&id).map(|row| row.session)
        {
            let counter = &mut self.soft.counts.entry(session).or_default().waiting;
            *counter = if waits { *counter + 1 } else { counter.saturating_sub(1) };
        }
    }

    /// Sets what an entry waits for and lets the graph know; what would close a circle is left out.
    pub(crate) fn set_after(&mut self, id: BuildId, after: Vec<BuildId>) {
        let open: Vec<BuildId> = after.iter().copied().filter(|need| self.is_open(*need)).collect();
        let taken = self.soft.graph.set_needs(id, open.iter().copied());
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

    /// Rebuilds everything soft from the rows, after a start.
    pub(crate) fn rebuild(&mut self) {
        let medians: BTreeMap<String, u64> =
            self.rows.durations.iter().filter_map(|row| Some((row.cp.clone(), row.median_ms()?))).collect();
        self.soft.medians = Arc::new(medians);
        let rows: Vec<BuildRow> = self.rows.builds.iter().cloned().collect();
        let open = |row: &&BuildRow| !matches!(row.state, BuildState::Received { .. });
        let needs = |row: &BuildRow| row.after.iter().copied().filter(|need| self.is_open(*need)).collect();
        let edges: Vec<(BuildId, Vec<BuildId>)> = rows.iter().filter(open).map(|row| (row.id, needs(row))).collect();
        for row in &rows {
            self.know(row);
            if let Some(identity) = row.identity() {
                self.soft.identities.insert((identity, row.session), row.id);
            }
        }
        self.soft.graph.load(edges);
        self.soft.graph.relax();
        for row in &rows {
            self.enter(row);
        }
        let plans: Vec<_> = self.rows.plans.iter().cloned().collect();
        plans.iter().for_each(|plan| self.note_plan(plan));
        for row in self.rows.idempotency.iter() {
            self.soft.forget_keys.insert((row.until, row.key.clone()));
        }
        self.rebuild_publishing();
        for row in self.rows.drones.iter() {
            self.soft.view.touch(&row.id);
            self.soft.placement.moved(&row.id);
        }
        let ends = self.rows.drones.iter().filter_map(|row| Some((row.id.clone(), row.syncing.as_ref()?.until)));
        self.soft.sync_ends = ends.collect();
        self.soft.sessions_due =
            self.rows.sessions.iter().filter(|row| row.ended_at.is_none()).map(|row| row.id).collect();
        self.soft.plans_due = true;
    }

    /// Backoffs end, blocked packages are tried again, waits for an answer end.
    pub(crate) fn wake_queue(&mut self) {
        if self.soft.graph.promote(self.now.at) {
            self.soft.placement.work_may_be_given();
        }
        self.soft.plans_due = true;
        self.retry_blocked();
        self.give_up_plans();
        self.answer_waiting_reports();
        self.look_for_unplaceable();
        self.forget_idempotency();
    }

    pub(crate) fn next_queue(&self) -> Option<u64> {
        let retry = self.soft.retries.first().map(|(at, _)| *at);
        [
            self.soft.graph.next(),
            retry,
            self.next_plan(),
            self.next_report(),
            self.soft.placement.next(self.grace_end()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn retry_blocked(&mut self) {
        while let Some((at, id)) = self.soft.retries.first().copied() {
            if at > self.now.at {
                return;
            }
            self.soft.retries.pop_first();
            let Some(row) = self.rows.builds.change(&id) else { continue };
            row.auto_retries += 1;
            row.marks.clear();
            let count = row.auto_retries;
            self.build_event(
                "unblock",
                id,
                format!("tried again by itself, {count} of {}", self.settings.max_auto_retries),
                None,
            );
            self.back_to_needed(id, 0);
        }
    }

    /// Back to be built: through a planner if it never was resolved.
    pub(crate) fn back_to_needed(&mut self, id: BuildId, not_before: u64) {
        let Some(row) = self.rows.builds.get(&id) else { return };
        let session = row.session;
        if row.base.is_empty() {
            self.plan_again(id, not_before);
        } else {
            self.set_state(id, BuildState::Needed { not_before });
        }
        self.reopen(session);
    }

    fn forget_idempotency(&mut self) {
        while let Some((until, key)) = self.soft.forget_keys.first() {
            if *until > self.now.at && self.soft.forget_keys.len() <= MAX_KEYS {
                return;
            }
            self.rows.idempotency.remove(key);
            self.soft.forget_keys.pop_first();
        }
    }
}

/// The place whose drones can build an entry.
pub(crate) fn place_of(row: &BuildRow) -> Place {
    Place { profile: row.profile.clone(), base: row.base.clone(), tree: row.tree.clone() }
}

/// What priority and age add to the length of a package's path, milliseconds. The age of all rises alike, so only the moment
/// since which it waits is taken off: the order of the line stays right while time goes by.
pub(crate) fn lead(row: &BuildRow, priority_step: u64, age_weight: u32) -> i64 {
    let priority = i64::from(row.wishes.priority).saturating_mul(signed(priority_step));
    priority.saturating_sub(signed(row.queued_at / 100 * u64::from(age_weight)))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
