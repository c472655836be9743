//! What time and a restart do to the queue. Called by the core's turn.

use swarm_protocol::BuildId;

use crate::core::Core;
use crate::rows::{BuildRow, BuildState, EventKind};

impl Core {
    /// What finds entries and plans, who waits for whom, what is due when, after a start.
    pub(crate) fn rebuild_queue(&mut self) {
        let rows: Vec<BuildRow> = self.rows.builds.iter().cloned().collect();
        let open = |row: &&BuildRow| !matches!(row.state, BuildState::Received { .. });
        let needs = |row: &BuildRow| row.after.iter().copied().filter(|need| self.is_open(*need)).collect();
        let edges: Vec<(BuildId, Vec<BuildId>)> = rows.iter().filter(open).map(|row| (row.id, needs(row))).collect();
        for row in &rows {
            self.know(row);
            if let Some(identity) = row.identity() {
                self.soft.queue.identities.note(identity, row.session, row.id);
            }
        }
        self.soft.queue.graph.load(edges);
        self.soft.queue.graph.relax();
        for row in &rows {
            self.enter(row);
        }
        let plans: Vec<_> = self.rows.plans.iter().cloned().collect();
        plans.iter().for_each(|plan| self.note_plan(plan));
        for row in self.rows.idempotency.iter() {
            self.soft.queue.remember_key(row.key.clone(), row.until);
        }
        for row in self.rows.sessions.iter().filter(|row| row.ended_at.is_none()) {
            self.soft.queue.moved_in(row.id);
        }
        self.soft.queue.plans.set_due(true);
    }

    /// Backoffs end, blocked packages are tried again, waits for an answer end.
    pub(crate) fn wake_queue(&mut self) {
        if self.soft.queue.graph.promote(self.now.at) {
            self.soft.placement.work_may_be_given();
        }
        self.soft.queue.plans.set_due(true);
        self.retry_blocked();
        self.give_up_plans();
        self.answer_waiting_reports();
        self.look_for_unplaceable();
        self.forget_idempotency();
    }

    fn retry_blocked(&mut self) {
        while let Some(id) = self.soft.queue.retries.pop(self.now.at) {
            let Some(row) = self.rows.builds.change(&id) else { continue };
            row.auto_retries += 1;
            row.marks.clear();
            let count = row.auto_retries;
            self.build_event(
                EventKind::Unblock,
                id,
                format!("tried again by itself, {count} of {}", self.settings.max_auto_retries),
                None,
            );
            self.back_to_needed(id, 0);
        }
    }

    /// Answers to callers' keys are remembered for a while, and not more of them than a bound.
    fn forget_idempotency(&mut self) {
        while let Some(key) = self.soft.queue.take_old_key(self.now.at) {
            self.rows.idempotency.remove(&key);
        }
    }
}
