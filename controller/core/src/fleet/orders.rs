//! Orders on their way: numbered, fenced, addressed to one instance, and sent again until the drone has seen them.

use std::collections::BTreeSet;

use swarm_protocol::order::{BuildJob, Order, PlanJob, Task};
use swarm_protocol::{BuildId, DroneId, Fence, InstanceId};

use crate::effect::Effect;
use crate::rows::{BuildRow, BuildState, PlanRow, PlanState};
use crate::state::Core;

impl Core {
    /// Takes the next order number of a drone.
    pub(crate) fn next_order(&mut self, drone: &DroneId) -> u64 {
        self.rows.drones.change(&drone.0).map_or(0, |row| {
            row.last_order = row.last_order.saturating_add(1);
            row.last_order
        })
    }

    /// Sends an order without a trace (number 0) to the drone's worker; without a worker there is nobody to send it to.
    pub(crate) fn order_worker(&mut self, drone: &DroneId, task: Task) {
        self.emit(drone, 0, task);
    }

    fn emit(&mut self, drone: &DroneId, number: u64, task: Task) {
        let Some(instance) = self.worker_of(drone) else { return };
        let order = Order { number, store_id: self.store_id().clone(), instance, task };
        self.effects.push(Effect::Order { drone: drone.clone(), order: Box::new(order) });
    }

    fn worker_of(&self, drone: &DroneId) -> Option<InstanceId> {
        self.rows.drones.get(&drone.0).and_then(|row| row.worker.clone())
    }

    /// Sends the order of a delegated build, or its cancellation.
    pub(crate) fn send_build(&mut self, id: BuildId) {
        let Some(build) = self.rows.builds.get(&id.0) else { return };
        let Some(assignment) = build.assignment().cloned() else { return };
        let task = if assignment.cancelling.is_some() {
            Task::Cancel { fence: build.fence(), reason: "cancelled".to_owned() }
        } else {
            Task::Build { job: self.job(build, &assignment.drone) }
        };
        self.soft.sent.insert(id, self.now.at);
        let number = if assignment.cancelling.is_some() { 0 } else { assignment.order };
        self.emit(&assignment.drone, number, task);
    }

    fn job(&self, build: &BuildRow, drone: &DroneId) -> BuildJob {
        BuildJob {
            fence: Fence { build: build.id, attempt: build.attempt },
            cpv: build.cpv.clone().unwrap_or_default(),
            slot: build.slot.clone(),
            repository: build.repository.clone(),
            use_flags: build.use_flags.clone(),
            package_use: build.package_use.clone(),
            min_index_timestamp: if build.after.is_empty() { 0 } else { self.listed_up_to(drone) },
            limits: self.settings.limits,
        }
    }

    /// Sends an order again if the last time is long enough ago.
    pub(crate) fn resend(&mut self, _drone: &DroneId, id: BuildId) {
        let due = self.soft.sent.get(&id).is_none_or(|at| self.now.at >= at + self.settings.resend_order);
        if due {
            self.send_build(id);
        }
    }

    /// Every order not yet taken, of one drone or of all (decision 10).
    pub(crate) fn resend_untaken(&mut self, drone: Option<&DroneId>) {
        let held: Vec<BuildId> = match drone {
            Some(drone) => self.held_by(drone),
            None => self.soft.held.values().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect(),
        };
        let open: Vec<BuildId> = held
            .into_iter()
            .filter_map(|id| self.rows.builds.get(&id.0))
            .filter(|build| match &build.state {
                BuildState::Delegated { assignment } => {
                    drone.is_none_or(|who| *who == assignment.drone)
                        && (!assignment.taken || assignment.cancelling.is_some())
                }
                _ => false,
            })
            .map(|build| build.id)
            .collect();
        for id in open {
            self.send_build(id);
        }
        let plans: Vec<u64> = self
            .rows
            .plans
            .iter()
            .filter(|plan| matches!(&plan.state, PlanState::Sent { drone: who, .. } if drone.is_none_or(|d| d == who)))
            .map(|plan| plan.id.0)
            .collect();
        for id in plans {
            self.send_plan(id);
        }
    }

    /// Plans the drone has not seen.
    pub(crate) fn resend_plans(&mut self, drone: &DroneId, orders_seen: u64) {
        let unseen: Vec<u64> = self
            .rows
            .plans
            .iter()
            .filter(|plan| matches!(&plan.state, PlanState::Sent { drone: who, order, .. } if who == drone && *order > orders_seen))
            .map(|plan| plan.id.0)
            .collect();
        for id in unseen {
            self.send_plan(id);
        }
    }

    /// Sends the order of a plan that has a planner.
    pub(crate) fn send_plan(&mut self, id: u64) {
        let Some(plan) = self.rows.plans.get(&id) else { return };
        let PlanState::Sent { drone, order, .. } = &plan.state else { return };
        let (drone, order) = (drone.clone(), *order);
        let job = self.plan_job(plan);
        self.emit(&drone, order, Task::Plan { job });
    }

    fn plan_job(&self, plan: &PlanRow) -> PlanJob {
        let atoms =
            plan.builds.iter().filter_map(|id| self.rows.builds.get(&id.0)).map(|build| build.asked.clone()).collect();
        PlanJob { plan: plan.id, attempt: plan.attempt, atoms, package_use: plan.package_use.clone() }
    }
}
