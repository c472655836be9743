//! Planners: which drone resolves which request, when it is given up, and what must be planned again.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, DroneId, PlanId, SessionId};

use super::request::ATOMS_PER_PLAN;
use crate::placement::{Reason, Rule};
use crate::rows::{BuildState, PlanRow, PlanState};
use crate::state::Core;

impl Core {
    /// Sends waiting plans to drones that can plan them; one plan at a time per drone.
    pub(crate) fn send_plans(&mut self) {
        if self.rows.plans.is_empty() {
            return;
        }
        let mut busy: BTreeSet<DroneId> = self
            .rows
            .plans
            .iter()
            .filter_map(|plan| match &plan.state {
                PlanState::Sent { drone, .. } => Some(drone.clone()),
                PlanState::Waiting {} => None,
            })
            .collect();
        let due: Vec<(u64, String)> = self
            .rows
            .plans
            .iter()
            .filter(|plan| plan.state == PlanState::Waiting {} && plan.not_before <= self.now.at)
            .map(|plan| (plan.id.0, plan.profile.clone()))
            .collect();
        let mut nobody: BTreeSet<String> = BTreeSet::new();
        for (id, profile) in due {
            if nobody.contains(&profile) {
                continue;
            }
            let Some(drone) = self.planner(id, &profile, &busy) else {
                nobody.insert(profile);
                continue;
            };
            let order = self.next_order(&drone);
            let until = self.now.at + self.settings.plan_timeout;
            if let Some(plan) = self.rows.plans.change(&id) {
                plan.attempt += 1;
                plan.state = PlanState::Sent { drone: drone.clone(), order, until };
            }
            busy.insert(drone);
            self.send_plan(id);
        }
    }

    /// An idle drone plans before a building one; one that did not manage this plan comes last.
    fn planner(&self, plan: u64, profile: &str, busy: &BTreeSet<DroneId>) -> Option<DroneId> {
        let gave_up = self.soft.gave_up.get(&plan);
        self.rows
            .drones
            .iter()
            .filter(|row| !busy.contains(&row.id) && self.against_planning(&row.id, profile).is_empty())
            .min_by_key(|row| (gave_up == Some(&row.id), self.soft.held.get(&row.id).map_or(0, BTreeSet::len)))
            .map(|row| row.id.clone())
    }

    /// Everything that speaks against a drone as planner.
    pub(crate) fn against_planning(&self, drone: &DroneId, profile: &str) -> Vec<Reason> {
        let matters = |rule: Rule| {
            matches!(rule, Rule::Online | Rule::WorkerReady | Rule::Healthy | Rule::NotPaused | Rule::NotSweeper)
        };
        let mut against: Vec<Reason> =
            self.against_drone(drone).into_iter().filter(|reason| matters(reason.rule)).collect();
        if let Some(row) = self.rows.drones.get(&drone.0)
            && row.build_profile != profile
        {
            against.push(Reason {
                rule: Rule::Profile,
                text: format!("serves the build profile {}, not {profile}", row.build_profile),
            });
        }
        against
    }

    /// Planners that took too long are given up.
    pub(crate) fn give_up_plans(&mut self) {
        let now = self.now.at;
        let late: Vec<u64> = self
            .rows
            .plans
            .iter()
            .filter(|plan| matches!(plan.state, PlanState::Sent { until, .. } if until <= now))
            .map(|plan| plan.id.0)
            .collect();
        for id in late {
            let Some(plan) = self.rows.plans.change(&id) else { continue };
            let PlanState::Sent { drone, .. } = &plan.state else { continue };
            let drone = drone.clone();
            plan.state = PlanState::Waiting {};
            self.soft.gave_up.insert(id, drone.clone());
            let name = self.drone_name(&drone);
            self.event(
                "warn",
                format!("{name} did not finish a plan in time; it is asked of another drone"),
                |event| event.drone = Some(name),
            );
        }
    }

    pub(crate) fn next_plan(&self) -> Option<u64> {
        self.rows
            .plans
            .iter()
            .filter_map(|plan| match plan.state {
                PlanState::Sent { until, .. } => Some(until),
                PlanState::Waiting {} => (plan.not_before > self.now.at).then_some(plan.not_before),
            })
            .min()
    }

    /// An entry goes through a planner (again).
    pub(crate) fn plan_again(&mut self, id: BuildId, not_before: u64) {
        let Some(row) = self.rows.builds.get(&id.0).cloned() else { return };
        self.plan_together(PlanRow {
            id: PlanId(0),
            attempt: 0,
            session: row.session,
            profile: row.profile,
            builds: vec![id],
            package_use: row.package_use,
            fresh: false,
            not_before,
            state: PlanState::Waiting {},
        });
    }

    /// The tree or base these were planned on is gone: they are planned anew, together with whoever waits for them, since
    /// those may need something else by now.
    pub(crate) fn plan_anew(&mut self, ids: &[BuildId]) {
        let mut all: BTreeSet<BuildId> = ids.iter().copied().collect();
        for id in ids {
            all.extend(self.soft.graph.behind(*id));
        }
        let mut groups: BTreeMap<(SessionId, String, Vec<String>), Vec<BuildId>> = BTreeMap::new();
        for id in all {
            let Some(row) = self.rows.builds.get(&id.0) else { continue };
            if matches!(row.state, BuildState::Needed { .. }) {
                let key = (row.session, row.profile.clone(), row.package_use.clone());
                groups.entry(key).or_default().push(id);
            }
        }
        for ((session, profile, package_use), builds) in groups {
            for builds in builds.chunks(ATOMS_PER_PLAN) {
                for id in builds {
                    let message = "planned anew: the tree or base it was planned on is gone".to_owned();
                    self.build_event("control", *id, message, None);
                }
                self.plan_together(PlanRow {
                    id: PlanId(0),
                    attempt: 0,
                    session,
                    profile: profile.clone(),
                    builds: builds.to_vec(),
                    package_use: package_use.clone(),
                    fresh: false,
                    not_before: 0,
                    state: PlanState::Waiting {},
                });
            }
        }
    }

    /// Entries go through a planner together, as a new request.
    pub(super) fn plan_together(&mut self, request: PlanRow) {
        let meta = self.meta_mut();
        meta.last_plan += 1;
        let plan = PlanId(meta.last_plan);
        let builds = request.builds.clone();
        self.rows.plans.put(PlanRow { id: plan, attempt: 0, state: PlanState::Waiting {}, ..request });
        for build in builds {
            self.set_state(build, BuildState::Planning { plan });
        }
    }
}
