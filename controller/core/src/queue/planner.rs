//! Planners: which drone resolves which request, when it is given up, and what must be planned again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, DroneId, PlanId, SessionId};

use super::request::ATOMS_PER_PLAN;
use crate::core::Core;
use crate::explanation::{Reason, Rule};
use crate::placement::Subject;
use crate::rows::{BuildRow, BuildState, BuildWishes, EventKind, Origin, PlanRow, PlanState};

impl Core {
    /// Sends waiting plans to drones that can plan them; one plan at a time per drone.
    pub(crate) fn send_plans(&mut self) {
        for profile in self.soft.queue.plans.profiles() {
            while let Some(id) = self.soft.queue.plans.due(&profile, self.now.at) {
                let Some(drone) = self.planner(id, &profile) else { break };
                let order = self.next_order(&drone);
                let until = self.now.at + self.settings.plan_timeout;
                self.change_plan(id, |plan| {
                    plan.attempt += 1;
                    plan.state = PlanState::Sent { drone, order, until };
                });
                self.send_plan(id);
            }
        }
    }

    /// A plan is new.
    pub(super) fn add_plan(&mut self, plan: PlanRow) {
        self.note_plan(&plan);
        self.soft.queue.plans.set_due(true);
        self.rows.plans.put(plan);
    }

    /// Where a plan stands now.
    pub(super) fn note_plan(&mut self, plan: &PlanRow) {
        self.soft.queue.plans.note(plan);
        match plan.state {
            PlanState::Waiting {} => self.soft.placement.waits(Subject::Plan(plan.id), self.now.at),
            PlanState::Sent { .. } => self.soft.placement.waits_no_more(Subject::Plan(plan.id)),
        }
    }

    /// Changes a plan.
    pub(crate) fn change_plan(&mut self, id: PlanId, change: impl FnOnce(&mut PlanRow)) {
        let Some(plan) = self.rows.plans.change(&id) else { return };
        self.soft.queue.plans.forget(plan);
        change(plan);
        let plan = plan.clone();
        self.note_plan(&plan);
        self.soft.queue.plans.set_due(true);
    }

    /// A plan is settled.
    pub(crate) fn forget_plan(&mut self, id: PlanId) {
        if let Some(plan) = self.rows.plans.remove(&id) {
            self.soft.queue.plans.forget(&plan);
            self.soft.placement.waits_no_more(Subject::Plan(id));
            self.soft.queue.plans.set_due(true);
        }
        self.soft.queue.plans.settled(id);
    }

    /// An idle drone plans before a building one; one that did not manage this plan comes last.
    fn planner(&self, plan: PlanId, profile: &str) -> Option<DroneId> {
        let gave_up = self.soft.queue.plans.who_gave_up(plan);
        self.rows
            .drones
            .iter()
            .filter(|row| {
                !self.soft.queue.plans.is_planning(&row.id) && self.against_planning(&row.id, profile).is_empty()
            })
            // the newest tree: what is planned on an older one waits for drones that are told to leave it
            .min_by_key(|row| (gave_up == Some(&row.id), Reverse(row.tree_timestamp), self.held_count(&row.id)))
            .map(|row| row.id.clone())
    }

    /// Why a drone can't be a planner now; empty if it can.
    pub(crate) fn against_planning(&self, drone: &DroneId, profile: &str) -> Vec<Reason> {
        let matters =
            [Rule::Online, Rule::WorkerReady, Rule::Healthy, Rule::NotPaused, Rule::NotDraining, Rule::NotSyncing];
        let mut against: Vec<Reason> =
            self.against_drone(drone).into_iter().filter(|reason| matters.contains(&reason.rule)).collect();
        let Some(row) = self.rows.drones.get(drone) else { return against };
        if row.is_sweeper() {
            against.push(Reason { rule: Rule::NotSweeper, text: "a sweeper takes blocked packages only".to_owned() });
        }
        if row.build_profile != profile {
            let text = format!("serves the build profile {}, not {profile}", row.build_profile);
            against.push(Reason { rule: Rule::Profile, text });
        }
        against
    }

    /// Planners that took too long are given up.
    pub(crate) fn give_up_plans(&mut self) {
        for id in self.soft.queue.plans.late(self.now.at) {
            let Some(PlanState::Sent { drone, .. }) = self.rows.plans.get(&id).map(|plan| plan.state.clone()) else {
                continue;
            };
            self.change_plan(id, |plan| plan.state = PlanState::Waiting {});
            let name = self.drone_name(&drone);
            self.soft.queue.plans.gave_up(id, &drone);
            self.event(
                EventKind::Warn,
                format!("{name} did not finish a plan in time; it is asked of another drone"),
                |event| event.drone = Some(name),
            );
        }
    }

    /// A new worker has lost the plans of the old one.
    pub(crate) fn take_plans_from(&mut self, drone: &DroneId) {
        for id in self.soft.queue.plans.sent_to(drone) {
            self.change_plan(id, |plan| plan.state = PlanState::Waiting {});
            self.soft.queue.plans.gave_up(id, drone);
        }
    }

    /// An entry goes through a planner (again).
    pub(crate) fn plan_again(&mut self, id: BuildId, not_before: u64) {
        let Some(row) = self.rows.builds.get(&id).cloned() else { return };
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
    /// those may need something else by now. A dependency is left to the plan of whoever waits for it: it names the one that
    /// is needed now, and [`Core::drop_superseded`] takes away the others.
    pub(crate) fn plan_anew(&mut self, ids: &[BuildId]) {
        let mut all: BTreeSet<BuildId> = ids.iter().copied().collect();
        all.extend(self.soft.queue.graph.behind(ids.iter().copied()));
        let mut groups: BTreeMap<(SessionId, String, Vec<String>, BuildWishes), Vec<BuildId>> = BTreeMap::new();
        for id in all {
            let Some(row) = self.rows.builds.get(&id) else { continue };
            let is_named = row.origin == Origin::Dependency && self.is_planned_for(id);
            if matches!(row.state, BuildState::Needed { .. }) && !is_named {
                let key = (row.session, row.profile.clone(), row.package_use.clone(), row.wishes.clone());
                groups.entry(key).or_default().push(id);
            }
        }
        for ((session, profile, package_use, _), builds) in groups {
            for builds in builds.chunks(ATOMS_PER_PLAN) {
                for id in builds {
                    let message = "planned anew: the tree or base it was planned on is gone".to_owned();
                    self.build_event(EventKind::Control, *id, message, None);
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

    /// Somebody waits for an entry and is, or is about to be, planned.
    fn is_planned_for(&self, id: BuildId) -> bool {
        let planned = |row: &BuildRow| matches!(row.state, BuildState::Needed { .. } | BuildState::Planning { .. });
        self.soft.queue.graph.dependents(id).filter_map(|id| self.rows.builds.get(&id)).any(planned)
    }

    /// Entries go through a planner together, as a new request.
    pub(super) fn plan_together(&mut self, request: PlanRow) {
        let meta = self.meta_mut();
        meta.last_plan += 1;
        let plan = PlanId(meta.last_plan);
        let builds = request.builds.clone();
        self.add_plan(PlanRow { id: plan, attempt: 0, state: PlanState::Waiting {}, ..request });
        for build in builds {
            self.set_state(build, BuildState::Planning { plan });
        }
    }
}
