//! Invariants over the rows, as notes with a severity. Only looks; `mend` acts on what is found.

use std::collections::BTreeSet;

use swarm_protocol::{BuildId, PlanId};

use crate::rows::{BuildRow, BuildState, Rows};

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
