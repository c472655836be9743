//! Invariants over the rows, as notes with a severity. A store that contradicts itself is mended at start, loudly, and the
//! controller goes on: a farm that does not start helps nobody.

use std::collections::BTreeSet;

use swarm_protocol::{BuildId, PlanId};

use crate::rows::{BuildRow, BuildState, Rows};
use crate::state::Core;

/// How bad a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Odd, harmless.
    Odd,
    /// Mended at start.
    Mended,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How bad.
    pub severity: Severity,
    /// What, with which row.
    pub text: String,
    /// The entry it is about.
    pub build: Option<BuildId>,
}

/// Looks for rows that contradict each other.
pub(crate) fn check(rows: &Rows) -> Vec<Note> {
    let mut notes = Vec::new();
    let planned: BTreeSet<(PlanId, BuildId)> =
        rows.plans.iter().flat_map(|plan| plan.builds.iter().map(|build| (plan.id, *build))).collect();
    for build in rows.builds.iter() {
        let mut note = |severity, text: String| notes.push(Note { severity, text, build: Some(build.id) });
        if rows.sessions.get(&build.session).is_none() {
            note(Severity::Odd, format!("build {} belongs to session {}, which is gone", build.id, build.session));
        }
        match &build.state {
            BuildState::Delegated { assignment } if rows.drones.get(&assignment.drone).is_none() => {
                note(Severity::Mended, format!("build {} is delegated to a drone that is not known", build.id));
            }
            BuildState::Planning { plan } if !planned.contains(&(*plan, build.id)) => {
                note(Severity::Mended, format!("build {} waits for plan {plan}, which does not know it", build.id));
            }
            _ => {}
        }
    }
    for plan in rows.plans.iter() {
        let stands = |id: &BuildId| {
            rows.builds
                .get(id)
                .is_some_and(|row: &BuildRow| matches!(row.state, BuildState::Planning { plan: of } if of == plan.id))
        };
        if !plan.builds.iter().all(stands) {
            notes.push(Note {
                severity: Severity::Mended,
                text: format!("plan {} names builds that do not wait for it", plan.id),
                build: None,
            });
        }
    }
    notes
}

impl Core {
    /// Mends what [`check`] notes as mendable. Runs before soft state is built.
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
            self.rows.plans.put(crate::rows::PlanRow {
                id: plan,
                attempt: 0,
                session: row.session,
                profile: row.profile.clone(),
                builds: vec![id],
                package_use: row.package_use.clone(),
                fresh: false,
                not_before: 0,
                state: crate::rows::PlanState::Waiting {},
            });
            self.rows.builds.put(BuildRow { state: BuildState::Planning { plan }, ..row });
        }
        for note in notes {
            self.event("warn", format!("found at start: {}", note.text), |event| {
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
                plan.state = crate::rows::PlanState::Waiting {};
            }
        }
    }
}
