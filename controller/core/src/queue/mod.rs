//! The queue: requests, plans, the graph of who waits for whom, results, sessions. Every change of an entry's state goes
//! through [`Core::set_state`], so that sums, graph and leases never disagree with the rows.

mod control;
mod graph;
mod plan;
mod planner;
mod remove;
mod request;
mod result;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use graph::Graph;
#[cfg(test)]
pub(crate) use request::blank;
pub(crate) use request::{done, is_label};
pub(crate) use result::Finishing;
use swarm_protocol::BuildId;

use crate::rows::{ArtifactState, Assignment, BuildRow, BuildState};
use crate::state::Core;

impl Core {
    /// Moves an entry to another state.
    pub(crate) fn set_state(&mut self, id: BuildId, state: BuildState) {
        let Some(row) = self.rows.builds.change(&id.0) else { return };
        let old = std::mem::replace(&mut row.state, state);
        let row = row.clone();
        *self.soft.counts.entry(row.session).or_default().of(&old) -= 1;
        self.leave(id, &old);
        self.enter(&row);
        self.soft.sessions_due.insert(row.session);
        self.soft.assign_due = true;
    }

    /// Adds a new entry.
    pub(crate) fn add_build(&mut self, row: BuildRow) {
        self.rows.builds.put(row.clone());
        self.enter(&row);
        self.soft.sessions_due.insert(row.session);
        self.soft.assign_due = true;
    }

    fn leave(&mut self, id: BuildId, old: &BuildState) {
        self.soft.graph.withdraw(id);
        self.count_waiting(id, false);
        self.soft.unplaceable.remove(&id);
        match old {
            BuildState::Delegated { assignment } => {
                if let Some(held) = self.soft.held.get_mut(&assignment.drone) {
                    held.remove(&id);
                }
                self.soft.leases.remove(&id);
                self.soft.missing.remove(&id);
                self.soft.sent.remove(&id);
                self.end_finishing(id);
                self.soft.touched.insert(assignment.drone.clone());
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
                    self.soft.graph.line_up(id, *not_before, self.now.at);
                } else {
                    self.count_waiting(id, true);
                }
            }
            BuildState::Delegated { assignment } => {
                self.soft.held.entry(assignment.drone.clone()).or_default().insert(id);
                self.soft.leases.insert(id, self.now.at + self.settings.lease);
                self.soft.touched.insert(assignment.drone.clone());
            }
            BuildState::Received { .. } => self.met(id),
            BuildState::Blocked { retry_at: Some(at), .. } => {
                self.soft.retries.insert((*at, id));
            }
            BuildState::Planning { .. } | BuildState::Blocked { retry_at: None, .. } | BuildState::Failed { .. } => {}
        }
    }

    /// An entry is in the binhost, or gone: whoever waited only for it is ready.
    fn met(&mut self, id: BuildId) {
        for dependent in self.soft.graph.met(id) {
            if let Some(BuildState::Needed { not_before }) = self.rows.builds.get(&dependent.0).map(|row| &row.state) {
                let not_before = *not_before;
                self.count_waiting(dependent, false);
                self.soft.graph.line_up(dependent, not_before, self.now.at);
            }
        }
    }

    fn count_waiting(&mut self, id: BuildId, waits: bool) {
        if self.soft.graph.mark_waiting(id, waits)
            && let Some(session) = self.rows.builds.get(&id.0).map(|row| row.session)
        {
            let counter = &mut self.soft.counts.entry(session).or_default().waiting;
            *counter = if waits { *counter + 1 } else { counter.saturating_sub(1) };
        }
    }

    /// Sets what an entry waits for and lets the graph know. What waits for the entry itself is left out: two plans may
    /// break a cycle at different places, and together they would wait for each other for ever.
    pub(crate) fn set_after(&mut self, id: BuildId, mut after: Vec<BuildId>) {
        let behind = self.soft.graph.behind(id);
        after.retain(|need| *need != id && !behind.contains(need));
        let open: Vec<BuildId> = after.iter().copied().filter(|need| self.is_open(*need)).collect();
        if let Some(row) = self.rows.builds.change(&id.0) {
            row.after = after;
        }
        self.soft.graph.set(id, &open);
    }

    /// An entry waits for another one instead of the one it waited for.
    pub(crate) fn wait_for_instead(&mut self, id: BuildId, old: BuildId, new: BuildId) {
        let Some(row) = self.rows.builds.get(&id.0) else { return };
        let state = row.state.clone();
        let mut after: Vec<BuildId> = row.after.iter().copied().filter(|need| *need != old && *need != new).collect();
        after.push(new);
        self.set_after(id, after);
        if matches!(state, BuildState::Needed { .. }) {
            self.set_state(id, state);
        }
    }

    /// An entry that exists and is not in the binhost.
    pub(crate) fn is_open(&self, id: BuildId) -> bool {
        self.rows.builds.get(&id.0).is_some_and(|row| !matches!(row.state, BuildState::Received { .. }))
    }

    /// Changes the assignment of a delegated entry.
    pub(crate) fn change_assignment(&mut self, id: BuildId, change: impl FnOnce(&mut Assignment)) {
        let Some(row) = self.rows.builds.change(&id.0) else { return };
        if let BuildState::Delegated { assignment } = &mut row.state {
            change(assignment);
            let drone = assignment.drone.clone();
            self.soft.touched.insert(drone);
        }
    }

    /// Rebuilds everything soft from the rows, after a start.
    pub(crate) fn rebuild(&mut self) {
        let rows: Vec<BuildRow> = self.rows.builds.iter().cloned().collect();
        for row in &rows {
            let open: Vec<BuildId> =
                row.after.iter().copied().filter(|need| *need != row.id && self.is_open(*need)).collect();
            self.soft.graph.set(row.id, &open);
            if let Some(identity) = row.identity() {
                self.soft.identities.insert((identity, row.session), row.id);
            }
        }
        for row in &rows {
            self.enter(row);
        }
        for artifact in self.rows.artifacts.iter() {
            if !matches!(artifact.state, ArtifactState::Retired { .. } | ArtifactState::Gone { .. }) {
                self.soft.uploads.insert((artifact.index.to_string(), artifact.sha_in.clone()), artifact.id);
            }
            self.soft.stock.add(artifact);
        }
        self.rebuild_generations();
        let medians: BTreeMap<String, u64> =
            self.rows.durations.iter().filter_map(|row| Some((row.cp.clone(), row.median_ms()?))).collect();
        self.soft.medians = Arc::new(medians);
        self.soft.touched = self.rows.drones.iter().map(|row| row.id.clone()).collect();
        self.soft.sessions_due =
            self.rows.sessions.iter().filter(|row| row.ended_at.is_none()).map(|row| row.id).collect();
    }

    /// Backoffs end, blocked packages are tried again, waits for an answer end.
    pub(crate) fn wake_queue(&mut self) {
        if self.soft.graph.promote(self.now.at) {
            self.soft.assign_due = true;
        }
        self.retry_blocked();
        self.give_up_plans();
        self.answer_waiting_reports();
        self.look_for_unplaceable();
        self.forget_idempotency();
    }

    pub(crate) fn next_queue(&self) -> Option<u64> {
        let retry = self.soft.retries.first().map(|(at, _)| *at);
        [self.soft.graph.next(), retry, self.next_plan(), self.next_report(), self.next_look()]
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
            let Some(row) = self.rows.builds.change(&id.0) else { continue };
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
        let Some(row) = self.rows.builds.get(&id.0) else { return };
        let session = row.session;
        if row.base.is_empty() {
            self.plan_again(id, not_before);
        } else {
            self.set_state(id, BuildState::Needed { not_before });
        }
        self.reopen(session);
    }

    fn forget_idempotency(&mut self) {
        let now = self.now.at;
        let old: Vec<String> =
            self.rows.idempotency.iter().filter(|row| row.until <= now).map(|row| row.key.clone()).collect();
        for key in old {
            self.rows.idempotency.remove(&key);
        }
    }
}
