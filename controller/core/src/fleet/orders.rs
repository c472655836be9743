//! Orders on their way: numbered, fenced, addressed to one instance, and sent again until the drone has seen them.

use std::collections::BTreeSet;

use swarm_protocol::order::{BuildJob, Limits, Order, PlanJob, Task};
use swarm_protocol::{BuildId, DroneId, Fence, InstanceId, PlanId};

use crate::core::Core;
use crate::effect::Effect;
use crate::rows::{BuildRow, BuildState, Cancelling, PlanRow, PlanState};

impl Core {
    /// Takes the next order number of a drone.
    pub(crate) fn next_order(&mut self, drone: &DroneId) -> u64 {
        self.rows.drones.change(drone).map_or(0, |row| {
            row.last_order = row.last_order.saturating_add(1);
            row.last_order
        })
    }

    /// Sends an order without a trace (number 0) to the drone's worker; without a worker there is nobody to send it to.
    pub(crate) fn order_worker(&mut self, drone: &DroneId, task: Task) {
        self.emit(drone, 0, task);
    }

    pub(super) fn emit(&mut self, drone: &DroneId, number: u64, task: Task) {
        let Some(instance) = self.worker_of(drone) else { return };
        let order = Order { number, store_id: self.store_id().clone(), instance, task };
        self.effects.push(Effect::Order { drone: drone.clone(), order: Box::new(order) });
    }

    fn worker_of(&self, drone: &DroneId) -> Option<InstanceId> {
        self.rows.drones.get(drone).and_then(|row| row.worker.clone())
    }

    /// Sends the order of a delegated build, or its cancellation.
    pub(crate) fn send_build(&mut self, id: BuildId) {
        let Some(build) = self.rows.builds.get(&id) else { return };
        let Some(assignment) = build.assignment().cloned() else { return };
        let task = match assignment.cancelling {
            Some(Cancelling::GiveBack {}) => {
                Task::Release { fence: build.fence(), reason: "asked back, since it had not begun".to_owned() }
            }
            Some(_) => Task::Cancel { fence: build.fence(), reason: "cancelled".to_owned() },
            None => Task::Build { job: self.job(build, &assignment.drone) },
        };
        self.soft.fleet.hands.sent(id, self.now.at);
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
            limits: self.limits_of(build),
        }
    }

    /// The request's wish, what is configured for the package, or what holds for all.
    fn limits_of(&self, build: &BuildRow) -> Limits {
        let rules = &self.settings.packages;
        let rule = if rules.is_empty() { None } else { build.cp().and_then(|cp| rules.get(&cp)) };
        let limits = self.settings.limits;
        let total = build.wishes.total_ms.or_else(|| rule.and_then(|rule| rule.total_ms));
        let silence = build.wishes.silence_ms.or_else(|| rule.and_then(|rule| rule.silence_ms));
        Limits {
            total_ms: total.unwrap_or(limits.total_ms),
            silence_ms: silence.unwrap_or(limits.silence_ms),
            log_bytes: limits.log_bytes,
        }
    }

    /// Sends an order again if the last time is long enough ago.
    pub(super) fn resend(&mut self, id: BuildId) {
        if self.soft.fleet.hands.may_be_sent(id, self.now.at, self.settings.resend_order) {
            self.send_build(id);
        }
    }

    /// Every order not yet taken, of one drone or of all.
    pub(crate) fn resend_untaken(&mut self, drone: Option<&DroneId>) {
        let held: Vec<BuildId> = match drone {
            Some(drone) => self.held_by(drone),
            None => self.soft.fleet.hands.all().map(|(_, id)| id).collect::<BTreeSet<_>>().into_iter().collect(),
        };
        let open: Vec<BuildId> = held
            .into_iter()
            .filter_map(|id| self.rows.builds.get(&id))
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
        let plans: Vec<PlanId> = match drone {
            Some(drone) => self.soft.queue.plans_of(drone),
            None => self.rows.drones.iter().flat_map(|row| self.soft.queue.plans_of(&row.id)).collect(),
        };
        for id in plans {
            self.send_plan(id);
        }
        let syncing =
            self.rows.drones.iter().filter(|row| row.syncing.is_some() && drone.is_none_or(|one| *one == row.id));
        for drone in syncing.map(|row| row.id.clone()).collect::<Vec<_>>() {
            self.send_sync(&drone);
        }
    }

    /// Plans the drone has not seen.
    pub(crate) fn resend_plans(&mut self, drone: &DroneId, orders_seen: u64) {
        for id in self.soft.queue.plans_of(drone) {
            let unseen = |state: &PlanState| matches!(state, PlanState::Sent { order, .. } if *order > orders_seen);
            if self.rows.plans.get(&id).is_some_and(|plan| unseen(&plan.state)) {
                self.send_plan(id);
            }
        }
    }

    /// Sends the order of a plan that has a planner.
    pub(crate) fn send_plan(&mut self, id: PlanId) {
        let Some(plan) = self.rows.plans.get(&id) else { return };
        let PlanState::Sent { drone, order, .. } = &plan.state else { return };
        let (drone, order) = (drone.clone(), *order);
        let job = self.plan_job(plan);
        self.emit(&drone, order, Task::Plan { job });
    }

    fn plan_job(&self, plan: &PlanRow) -> PlanJob {
        let atoms =
            plan.builds.iter().filter_map(|id| self.rows.builds.get(id)).map(|build| build.asked.clone()).collect();
        PlanJob { plan: plan.id, attempt: plan.attempt, atoms, package_use: plan.package_use.clone() }
    }
}
