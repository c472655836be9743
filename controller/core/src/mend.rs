//! A store that contradicts itself is mended at start, loudly, and the controller goes on: a farm that does not start helps
//! nobody.

use swarm_protocol::{BuildId, PlanId};

use crate::check::{Severity, check};
use crate::core::Core;
use crate::rows::{BuildRow, BuildState, EventKind, PlanRow, PlanState};

impl Core {
    /// Mends what [`check()`] notes as mendable. Runs before soft state is built.
    pub(crate) fn mend(&mut self) {
        let notes = check(&self.rows);
        let mut replan = Vec::new();
        for note in notes.iter().filter(|note| note.severity == Severity::Mended) {
            let Some(id) = note.build else { continue };
            let Some(row) = self.rows.builds.change(&id) else { continue };
            match row.state {
                BuildState::Delegated { .. } => row.state = BuildState::Needed { not_before: 0 },
                _ => replan.push(id),
            }
        }
        self.mend_plans();
        for id in replan {
            let Some(row) = self.rows.builds.get(&id).cloned() else { continue };
            let meta = self.meta_mut();
            meta.last_plan += 1;
            let plan = PlanId(meta.last_plan);
            self.rows.plans.put(PlanRow {
                id: plan,
                attempt: 0,
                session: row.session,
                profile: row.profile.clone(),
                builds: vec![id],
                package_use: row.package_use.clone(),
                fresh: false,
                not_before: 0,
                state: PlanState::Waiting {},
            });
            self.rows.builds.put(BuildRow { state: BuildState::Planning { plan }, ..row });
        }
        for note in notes {
            self.event(EventKind::Warn, format!("found at start: {}", note.text), |event| {
                event.build = note.build.map(|id| id.0)
            });
        }
    }

    fn mend_plans(&mut self) {
        let ids: Vec<PlanId> = self.rows.plans.iter().map(|plan| plan.id).collect();
        for id in ids {
            let waits = |build: &BuildId| matches!(self.rows.builds.get(build).map(|row| &row.state), Some(BuildState::Planning { plan }) if *plan == id);
            let Some(plan) = self.rows.plans.get(&id) else { continue };
            let kept: Vec<BuildId> = plan.builds.iter().copied().filter(waits).collect();
            if kept.len() == plan.builds.len() {
                continue;
            }
            if kept.is_empty() {
                self.rows.plans.remove(&id);
            } else if let Some(plan) = self.rows.plans.change(&id) {
                plan.builds = kept;
                plan.state = PlanState::Waiting {};
            }
        }
    }
}
