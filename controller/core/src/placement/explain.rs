//! Why a package is not building: every drone, every reason (architecture.md §2.6).

use swarm_protocol::BuildId;

use crate::answer::Refusal;
use crate::core::Core;
use crate::explanation::{DroneExplanation, Explanation, WaitingFor};
use crate::rows::{BlockedBy, BuildRow, BuildState, Cancelling, Outcome, PlanState};

/// Entries explained in one answer.
const MAX_EXPLAINED: usize = 20;

impl Core {
    /// Explains every entry a name means.
    pub(crate) fn why(&self, package: &str) -> Result<Vec<Explanation>, Refusal> {
        let ids = self.named(package)?;
        Ok(ids.into_iter().rev().take(MAX_EXPLAINED).filter_map(|id| self.explain(id)).collect())
    }

    fn explain(&self, id: BuildId) -> Option<Explanation> {
        let build = self.rows.builds.get(&id)?;
        let planning = matches!(build.state, BuildState::Planning { .. });
        let waiting_for: Vec<WaitingFor> = self
            .soft
            .queue
            .graph()
            .unmet(id)
            .filter_map(|need| self.rows.builds.get(&need))
            .map(|need| WaitingFor { build: need.id, package: need.atom(), state: need.state.name() })
            .collect();
        let drones: Vec<DroneExplanation> = self
            .rows
            .drones
            .iter()
            .map(|row| {
                let against = if planning {
                    self.against_planning(&row.id, &build.profile)
                } else {
                    let mut against = self.against_drone(&row.id);
                    against.extend(self.against_package(row, build));
                    against
                };
                DroneExplanation {
                    id: row.id.clone(),
                    name: row.name.clone(),
                    against,
                    score: self.score(row, build),
                    estimate_ms: self.estimate_ms(build, row),
                }
            })
            .collect();
        Some(Explanation {
            build: id,
            session: build.session,
            package: build.atom(),
            use_flags: build.use_flags.clone(),
            state: build.state.name(),
            summary: self.summary(build, &waiting_for, &drones),
            reasons: reasons(build),
            priority: build.wishes.priority,
            usual_ms: self.usual_ms(build),
            path_ms: self.soft.queue.graph().path(id),
            waiting_for,
            drones,
        })
    }

    fn summary(&self, build: &BuildRow, waiting_for: &[WaitingFor], drones: &[DroneExplanation]) -> String {
        let able = drones.iter().filter(|drone| drone.against.is_empty()).count();
        match &build.state {
            BuildState::Planning { plan } => match self.rows.plans.get(plan).map(|plan| &plan.state) {
                Some(PlanState::Sent { drone, .. }) => format!("{} is planning it", self.drone_name(drone)),
                _ if able == 0 => "waiting for a planner: no drone of its build profile is online".to_owned(),
                _ => "waiting for a planner".to_owned(),
            },
            BuildState::Needed { .. } if !waiting_for.is_empty() => {
                let stuck = waiting_for.iter().filter(|need| matches!(need.state, "blocked" | "failed")).count();
                let note = if stuck > 0 { format!(", {stuck} of them blocked") } else { String::new() };
                format!("waiting for {} package(s){note}", waiting_for.len())
            }
            BuildState::Needed { .. } if self.meta().paused.is_some() => "the swarm is paused".to_owned(),
            BuildState::Needed { not_before } if *not_before > self.now.at => {
                format!("tried again in {} s, after a failure nobody is blamed for", (not_before - self.now.at) / 1000)
            }
            BuildState::Needed { .. } if able == 0 => "no drone may build it now".to_owned(),
            BuildState::Needed { .. } => "next in line".to_owned(),
            BuildState::Delegated { assignment } => {
                let name = self.drone_name(&assignment.drone);
                let last_resort = if assignment.sweep.is_some() { ", as the last resort" } else { "" };
                match (&assignment.cancelling, assignment.building_since) {
                    (Some(Cancelling::GiveBack {}), _) => format!("asked back from {name}, which has not begun it"),
                    (Some(_), _) => format!("{name} is to end it"),
                    (None, Some(_)) => format!("{name} builds it{last_resort}"),
                    (None, None) if assignment.taken => {
                        format!("{name} has it in its line and has not begun{last_resort}")
                    }
                    (None, None) => format!("ordered from {name}, which has not taken it yet"),
                }
            }
            BuildState::Received { received } => match received.how {
                Outcome::AlreadyPresent => "already present".to_owned(),
                Outcome::Built => "it is in the binhost".to_owned(),
                Outcome::OnTheSide => "built on the side, by another package's build".to_owned(),
            },
            BuildState::Blocked { by, retry_at, .. } => {
                let who = match by {
                    BlockedBy::Person { name } => format!("blocked by {name}; `swarm control unblock` undoes it"),
                    BlockedBy::Failures { culprit } => format!("blocked after failures ({})", culprit.name()),
                    BlockedBy::Resolver => "blocked: it cannot be resolved".to_owned(),
                };
                match retry_at {
                    Some(at) => {
                        format!("{who}; tried again in {} min", at.saturating_sub(self.now.at).div_ceil(60_000))
                    }
                    None => who,
                }
            }
            BuildState::Failed { .. } => {
                "failed: every automatic retry is used up; `swarm control unblock` tries again".to_owned()
            }
        }
    }
}

fn reasons(build: &BuildRow) -> Vec<String> {
    match &build.state {
        BuildState::Blocked { reasons, .. } | BuildState::Failed { reasons, .. } => reasons.clone(),
        _ => build
            .marks
            .iter()
            .map(|mark| format!("{} ({}): {}", mark.drone_name, mark.culprit.name(), mark.message))
            .collect(),
    }
}
