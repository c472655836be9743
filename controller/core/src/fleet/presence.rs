//! Heartbeats: who is online, which attempts live, which orders were never seen. A lost message costs latency, never
//! correctness, because every heartbeat states everything a drone holds.

use swarm_protocol::order::Task;
use swarm_protocol::report::{AttemptStatus, FailureClass, Heartbeat, Phase};
use swarm_protocol::{BuildId, DroneId};

use super::state::Beat;
use crate::core::Core;
use crate::failure::failed;
use crate::rows::{EventKind, Fact};
use crate::sanity;

/// Between two times that a drone is told to end what it is not to have, milliseconds, if heartbeats are not more often by
/// rule: each may give hundreds of orders, and heartbeats may come by the hundred.
const CLEAR_EVERY: u64 = 1_000;

impl Core {
    pub(crate) fn heartbeat(&mut self, drone: &DroneId, mut beat: Heartbeat) {
        sanity::heartbeat(&mut beat);
        let Some(row) = self.rows.drones.get(drone) else { return };
        if row.supervisor != beat.instance {
            return;
        }
        if !self.soft.fleet.is_news(drone, beat.seq) {
            return;
        }
        let (name, tree_moved) = (row.name.clone(), row.tree != beat.tree.id && !beat.tree.id.is_empty());
        if tree_moved && let Some(row) = self.rows.drones.change(drone) {
            row.tree.clone_from(&beat.tree.id);
            row.tree_timestamp = beat.tree.timestamp;
            self.soft.placement.moved(drone);
        }
        let rules = |core: &Self| core.rows.drones.get(drone).map(|row| core.rules_against(row));
        let before = rules(self);
        let worker = beat.worker;
        let gap = CLEAR_EVERY.min(self.settings.heartbeat / 2);
        let Beat { came_back, clear } = self.soft.fleet.beat(drone, beat, self.now, gap);
        if came_back {
            self.event(EventKind::Register, format!("{name} is online"), |event| event.drone = Some(name));
            self.heard_again(drone);
        }
        self.soft.view.touch(drone);
        self.worker_is(drone, worker);
        // a heartbeat that changes nothing must not walk the whole line
        if tree_moved || before != rules(self) {
            self.soft.placement.work_may_be_given();
        }
        self.compare(drone, clear);
    }

    /// The bus drops what a drone says, because it says too much.
    pub(crate) fn floods(&mut self, drone: &DroneId, dropped: u64) {
        if self.soft.fleet.may_complain(drone, self.now.at) {
            let name = self.drone_name(drone);
            let message = format!(
                "{name} floods the bus: {dropped} of its messages were dropped; `swarm drone revoke {name}` cuts it off"
            );
            self.event(EventKind::Warn, message, |event| event.drone = Some(name));
        }
    }

    /// Compares what the drone says it has with what it is to have; with `clear` it is told to end the rest.
    fn compare(&mut self, drone: &DroneId, clear: bool) {
        let Some(pulse) = self.soft.fleet.pulse(drone).cloned() else { return };
        for status in &pulse.attempts {
            if self.is_current(drone, status.fence) {
                self.listed(status);
            } else if clear {
                self.order_worker(drone, Task::Cancel { fence: status.fence, reason: "superseded".to_owned() });
            }
        }
        for id in self.held_by(drone) {
            let Some(build) = self.rows.builds.get(&id) else { continue };
            let (fence, order) = (build.fence(), build.assignment().map_or(0, |a| a.order));
            let cancelling = build.assignment().is_some_and(|a| a.cancelling.is_some());
            let taken = build.assignment().is_some_and(|a| a.taken);
            let listed = pulse.finished.contains(&fence) || pulse.attempts.iter().any(|status| status.fence == fence);
            if listed || self.soft.queue.is_finishing(id) {
                self.soft.fleet.hands.listed(id, self.now.at + self.settings.lease);
                if cancelling {
                    self.resend(id);
                }
            } else if cancelling {
                self.never_began(id);
            } else if order > pulse.orders_seen || !taken {
                // a later order may have arrived where this one was lost; the lease bounds how often it is sent
                self.resend(id);
            } else {
                self.missed(drone, id);
            }
        }
        self.resend_plans(drone, pulse.orders_seen);
        self.resend_sync(drone, pulse.orders_seen);
    }

    /// A heartbeat lists a current attempt: its lease is renewed, and what it tells beyond that is taken over.
    fn listed(&mut self, status: &AttemptStatus) {
        let began = status.phase != Phase::Queued && status.elapsed_ms > 0;
        let since = self.now.wall.saturating_sub(status.elapsed_ms);
        let id = status.fence.build;
        let Some(assignment) = self.rows.builds.get(&id).and_then(|build| build.assignment()) else { return };
        if assignment.taken && (assignment.building_since.is_some() || !began) {
            return;
        }
        if began {
            self.began(id, since);
        } else {
            self.change_assignment(id, |assignment| assignment.taken = true);
        }
    }

    /// A cancelled attempt that no heartbeat lists has nothing to end.
    fn never_began(&mut self, id: BuildId) {
        if self.soft.fleet.hands.missed(id) {
            self.dropped(id, "it had not begun");
        }
    }

    fn missed(&mut self, drone: &DroneId, id: BuildId) {
        if self.soft.fleet.hands.missed(id) {
            let message = format!("{} no longer has the attempt", self.drone_name(drone));
            self.lose(id, message);
        }
    }

    /// An attempt is gone without a result: the drone's fault, at no cost to the package.
    pub(crate) fn lose(&mut self, id: BuildId, message: String) {
        if self.rows.builds.get(&id).and_then(|row| row.assignment()).is_some_and(|a| a.cancelling.is_some()) {
            return self.dropped(id, &message);
        }
        self.fail(id, &failed(FailureClass::AgentLost, message), None);
    }

    /// Nobody looked since `before`, although somebody's silence was to be judged long ago: we stood still (a machine that
    /// was paused, or swapped), and heartbeats wait to be read. As after our own start, nobody is judged for a while and
    /// each lease begins anew.
    pub(crate) fn notice_standstill(&mut self, before: u64) {
        let now = self.now.at;
        let late = self.next_fleet().map_or(0, |due| now.saturating_sub(due.max(before)));
        if late <= self.settings.heartbeat {
            return;
        }
        self.soft.fleet.begin_anew(now, now + self.settings.lease);
        let (still, grace) = ((now - before) / 1_000, self.settings.start_grace / 1_000);
        self.event(
            EventKind::Warn,
            format!("the controller stood still for {still} s; nobody is judged for {grace} s"),
            |_| {},
        );
    }

    /// After a start: every drone may be another one than it was, and syncs that were under way still are.
    pub(crate) fn rebuild_fleet(&mut self) {
        for row in self.rows.drones.iter() {
            self.soft.view.touch(&row.id);
            self.soft.placement.moved(&row.id);
            if let Some(syncing) = &row.syncing {
                self.soft.fleet.syncs.goes_on(&row.id, syncing.until);
            }
        }
    }

    /// Drones fall silent, leases end, groundings end.
    pub(crate) fn wake_fleet(&mut self) {
        self.lapse_facts();
        if !self.in_grace() {
            self.judge();
        }
        self.look_ahead();
    }

    fn judge(&mut self) {
        self.end_late_syncs();
        let silent = self.soft.fleet.silent(self.now.at, self.settings.offline_after);
        self.watch_for_cut(&silent);
        for drone in silent {
            self.fell_silent(&drone);
        }
        self.end_hold();
        if !self.soft.fleet.is_cut_off() {
            self.end_leases();
        }
    }

    fn end_leases(&mut self) {
        for id in self.soft.fleet.hands.ended(self.now.at) {
            let Some(drone) = self.rows.builds.get(&id).and_then(|b| b.assignment()).map(|a| a.drone.clone()) else {
                self.soft.fleet.hands.forget_lease(id);
                continue;
            };
            let message = format!("{} was silent until the lease ended", self.drone_name(&drone));
            self.build_event(EventKind::Reclaim, id, message.clone(), Some(self.drone_name(&drone)));
            self.lose(id, message);
        }
    }

    fn fell_silent(&mut self, drone: &DroneId) {
        let wall = self.soft.fleet.fell_silent(drone);
        if let Some(row) = self.rows.drones.change(drone) {
            row.last_seen = row.last_seen.max(wall);
        }
        self.soft.view.touch(drone);
        self.take_plans_from(drone);
        self.forget_sync(drone);
        self.soft.placement.work_may_be_given();
        let name = self.drone_name(drone);
        let held = self.held_by(drone).len();
        let message = format!("{name} is offline; it holds {held} build(s) until their lease ends");
        self.event(EventKind::Offline, message, |event| event.drone = Some(name));
    }

    /// Groundings, impairments: what the swarm did ends by itself.
    fn lapse_facts(&mut self) {
        let now = self.now.at;
        let due = |fact: &Option<Fact>| fact.as_ref().and_then(|fact| fact.until).is_some_and(|until| until <= now);
        let ended: Vec<DroneId> = self
            .rows
            .drones
            .iter()
            .filter(|row| due(&row.grounded) || due(&row.upload_impaired))
            .map(|row| row.id.clone())
            .collect();
        for id in ended {
            let Some(row) = self.rows.drones.change(&id) else { continue };
            if due(&row.grounded) {
                row.grounded = None;
            }
            if due(&row.upload_impaired) {
                row.upload_impaired = None;
            }
            let name = row.name.clone();
            self.soft.view.touch(&id);
            self.soft.placement.work_may_be_given();
            self.event(EventKind::Unblock, format!("{name} may work again"), |event| event.drone = Some(name));
        }
    }

    /// Looks through the fleet for what is to come.
    pub(crate) fn look_ahead(&mut self) {
        let facts = self.rows.drones.iter().flat_map(|row| [&row.grounded, &row.upload_impaired]);
        let first_fact = facts.filter_map(|fact| fact.as_ref()?.until).min();
        self.soft.fleet.look_ahead(self.now.at, first_fact);
    }

    pub(crate) fn next_fleet(&self) -> Option<u64> {
        self.soft.fleet.next(&self.settings, !self.rows.drones.is_empty())
    }
}
