//! Entries leave the queue.

use swarm_protocol::{BuildId, PlanId};

use crate::answer::{Done, Refusal};
use crate::core::Core;
use crate::rows::{BuildState, Cancelling, EventKind, PlanState};

impl Core {
    /// Takes entries out of the queue; one that a drone has is ended there first.
    pub(crate) fn remove(&mut self, actor: &str, package: &str) -> Result<Done, Refusal> {
        let mut done = Done { touched: 0, what: Vec::new() };
        for id in self.named(package)? {
            let Some(row) = self.rows.builds.get(&id) else { continue };
            let (atom, delegated) = (row.atom(), row.assignment().is_some());
            done.touched += 1;
            done.what.push(atom.clone());
            self.build_event(EventKind::Control, id, format!("{actor} removed {atom} from the queue"), None);
            if delegated {
                self.cancel(id, Cancelling::Remove {});
            } else {
                self.drop_build(id);
            }
        }
        Ok(done)
    }

    /// Ends the attempt of a delegated entry; what becomes of it is decided when the drone says that it has ended.
    pub(crate) fn cancel(&mut self, id: BuildId, then: Cancelling) {
        self.change_assignment(id, |assignment| assignment.cancelling = Some(then));
        self.send_build(id);
    }

    /// Removes an entry's row and everything soft about it. Whoever waited for it waits for what it waited for: they would
    /// have to build that on the side, too.
    pub(crate) fn drop_build(&mut self, id: BuildId) {
        let Some(row) = self.rows.builds.get(&id).cloned() else { return };
        self.inherit_needs(id);
        self.leave(id, &row.state);
        self.soft.queue.tally.leave(row.session, &row.state);
        self.met(id);
        if let BuildState::Planning { plan } = row.state {
            self.drop_from_plan(plan, id);
        }
        self.forget_identity(id);
        self.soft.queue.names.forget(&row);
        self.rows.builds.remove(&id);
        self.soft.queue.moved_in(row.session);
        // its drone has a free slot, or its dependents wait for nothing else
        self.soft.placement.work_may_be_given();
    }

    fn inherit_needs(&mut self, id: BuildId) {
        let needs: Vec<BuildId> = self.soft.queue.graph.unmet(id).collect();
        if needs.is_empty() {
            return;
        }
        let heirs: Vec<BuildId> = self.soft.queue.graph.dependents(id).collect();
        for heir in heirs {
            let Some(row) = self.rows.builds.get(&heir) else { continue };
            let mut after: Vec<BuildId> = row.after.iter().copied().filter(|need| *need != id).collect();
            after.extend(needs.iter().copied().filter(|need| !row.after.contains(need)));
            self.wait_for(heir, after);
        }
    }

    /// A plan loses one of its atoms: the planner's answer would not fit any more, so it is asked again.
    pub(crate) fn drop_from_plan(&mut self, plan: PlanId, id: BuildId) {
        self.change_plan(plan, |row| {
            row.builds.retain(|build| *build != id);
            row.state = PlanState::Waiting {};
        });
        if self.rows.plans.get(&plan).is_some_and(|row| row.builds.is_empty()) {
            self.forget_plan(plan);
        }
    }
}
