//! Heartbeats: who is online, which attempts live, which orders were never seen. A lost message costs latency, never
//! correctness, because every heartbeat states everything a drone holds.

use std::collections::BTreeSet;

use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::order::Task;
use swarm_protocol::report::{AttemptStatus, FailureClass, Heartbeat, Phase};
use swarm_protocol::{BuildId, DroneId, Fence};

use super::sanity;
use crate::core::Core;
use crate::failure::failed;
use crate::input::Now;
use crate::view::Presence;

/// Signs of life of one drone since the controller's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse {
    /// Core clock of the last heartbeat or supervisor's hello.
    pub last_beat: u64,
    /// Wall clock of the last heartbeat.
    pub last_wall: u64,
    /// Online or not, as last announced.
    pub presence: Presence,
    /// Number of the last heartbeat within the supervisor's run.
    pub seq: u64,
    /// Highest order number it has seen.
    pub orders_seen: u64,
    /// Condition.
    pub vitals: Vitals,
    /// Whether vitals were ever told; the disk rule waits for them.
    pub told: bool,
    /// Its worker.
    pub worker: WorkerState,
    /// Running attempts.
    pub attempts: Vec<AttemptStatus>,
    /// Attempts that have ended there, whose result or packages are still on their way.
    pub finished: BTreeSet<Fence>,
    /// When it was last told to end what it is not to have.
    pub cleared: u64,
}

/// Events about what a drone should not have said, within [`COMPLAIN_WITHIN`]; one that goes on is not retold for ever.
const COMPLAINTS: u32 = 10;
/// Milliseconds.
const COMPLAIN_WITHIN: u64 = 10 * 60_000;
/// Between two times that a drone is told to end what it is not to have, milliseconds, if heartbeats are not more often by
/// rule: each may give hundreds of orders, and heartbeats may come by the hundred.
const CLEAR_EVERY: u64 = 1_000;

/// What a look through the whole fleet found to come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook {
    /// When it was taken.
    at: u64,
    /// The oldest heartbeat of the drones online then.
    oldest_beat: Option<u64>,
    /// The first lease to end.
    first_lease: Option<u64>,
    /// The first grounding or impairment to end.
    first_fact: Option<u64>,
    /// The first sync to end, or to be possible again.
    first_sync: Option<u64>,
}

/// Heartbeats that must miss an attempt before it is lost (decision 11).
const MISSES_TO_LOSE: u32 = 2;

impl Pulse {
    pub(crate) fn at(now: Now) -> Self {
        Self { last_beat: now.at, ..Self::default() }
    }

    pub(crate) fn hello(&mut self, now: Now) {
        self.last_beat = now.at;
    }
}

impl Core {
    pub(crate) fn heartbeat(&mut self, drone: &DroneId, mut beat: Heartbeat) {
        sanity::heartbeat(&mut beat);
        let Some(row) = self.rows.drones.get(drone) else { return };
        if row.supervisor != beat.instance {
            return;
        }
        // a copy, or one that was overtaken, says nothing of now; 0 is an agent that does not count
        let last = self.soft.pulses.get(drone).map_or(0, |pulse| pulse.seq);
        if beat.seq != 0 && beat.seq <= last {
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
        let (now, worker) = (self.now, beat.worker);
        let gap = CLEAR_EVERY.min(self.settings.heartbeat / 2);
        let pulse = self.soft.pulses.entry(drone.clone()).or_default();
        let clear = pulse.cleared == 0 || now.at >= pulse.cleared + gap;
        let came_back = pulse.presence == Presence::Offline;
        *pulse = Pulse {
            last_beat: now.at,
            last_wall: now.wall,
            presence: Presence::Online,
            seq: beat.seq,
            orders_seen: beat.orders_seen,
            vitals: beat.vitals,
            told: true,
            worker: beat.worker,
            attempts: beat.attempts,
            finished: beat.finished.into_iter().collect(),
            cleared: if clear { now.at } else { pulse.cleared },
        };
        if came_back {
            self.event("register", format!("{name} is online"), |event| event.drone = Some(name));
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

    /// Whether one more event about this drone's misbehaviour is to be written. Each is a transaction, and a drone that means
    /// harm would have one for each message.
    pub(crate) fn may_complain(&mut self, drone: &DroneId) -> bool {
        let now = self.now.at;
        let (since, count) = self.soft.complaints.entry(drone.clone()).or_insert((now, 0));
        if now >= *since + COMPLAIN_WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= COMPLAINTS
    }

    /// The bus drops what a drone says, because it says too much.
    pub(crate) fn floods(&mut self, drone: &DroneId, dropped: u64) {
        if self.may_complain(drone) {
            let name = self.drone_name(drone);
            let message = format!(
                "{name} floods the bus: {dropped} of its messages were dropped; `swarm drone revoke {name}` cuts it off"
            );
            self.event("warn", message, |event| event.drone = Some(name));
        }
    }

    /// Compares what the drone says it has with what it is to have; with `clear` it is told to end the rest.
    fn compare(&mut self, drone: &DroneId, clear: bool) {
        let Some(pulse) = self.soft.pulses.get(drone).cloned() else { return };
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
            if listed || self.soft.finishing.contains_key(&id) {
                self.soft.missing.remove(&id);
                self.soft.leases.insert(id, self.now.at + self.settings.lease);
                if cancelling {
                    self.resend(drone, id);
                }
            } else if cancelling {
                self.never_began(id);
            } else if order > pulse.orders_seen || !taken {
                // a later order may have arrived where this one was lost; the lease bounds how often it is sent
                self.resend(drone, id);
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
        let misses = self.soft.missing.entry(id).or_default();
        *misses += 1;
        if *misses >= MISSES_TO_LOSE {
            self.dropped(id, "it had not begun");
        }
    }

    fn missed(&mut self, drone: &DroneId, id: BuildId) {
        let misses = self.soft.missing.entry(id).or_default();
        *misses += 1;
        if *misses >= MISSES_TO_LOSE {
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
        self.soft.started = now;
        let lease = now + self.settings.lease;
        self.soft.leases.values_mut().for_each(|until| *until = lease.max(*until));
        let (still, grace) = ((now - before) / 1_000, self.settings.start_grace / 1_000);
        self.event("warn", format!("the controller stood still for {still} s; nobody is judged for {grace} s"), |_| {});
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
        let now = self.now.at;
        let silent: Vec<DroneId> = self
            .soft
            .pulses
            .iter()
            .filter(|(_, pulse)| {
                pulse.presence == Presence::Online && now >= pulse.last_beat + self.settings.offline_after
            })
            .map(|(id, _)| id.clone())
            .collect();
        self.watch_for_cut(&silent);
        for drone in silent {
            self.fell_silent(&drone);
        }
        self.end_hold();
        if self.soft.cut_off.is_none() {
            self.end_leases();
        }
    }

    fn end_leases(&mut self) {
        let now = self.now.at;
        let ended: Vec<BuildId> =
            self.soft.leases.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for id in ended {
            let Some(drone) = self.rows.builds.get(&id).and_then(|b| b.assignment()).map(|a| a.drone.clone()) else {
                self.soft.leases.remove(&id);
                continue;
            };
            let message = format!("{} was silent until the lease ended", self.drone_name(&drone));
            self.build_event("reclaim", id, message.clone(), Some(self.drone_name(&drone)));
            self.lose(id, message);
        }
    }

    fn fell_silent(&mut self, drone: &DroneId) {
        let wall = self.soft.pulses.get(drone).map_or(0, |pulse| pulse.last_wall);
        if let Some(pulse) = self.soft.pulses.get_mut(drone) {
            pulse.presence = Presence::Offline;
        }
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
        self.event("offline", message, |event| event.drone = Some(name));
    }

    /// Groundings, impairments: what the swarm did ends by itself.
    fn lapse_facts(&mut self) {
        let now = self.now.at;
        let due = |fact: &Option<crate::rows::Fact>| {
            fact.as_ref().and_then(|fact| fact.until).is_some_and(|until| until <= now)
        };
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
            self.event("unblock", format!("{name} may work again"), |event| event.drone = Some(name));
        }
    }

    /// Looks through the fleet for the moments [`Core::next_fleet`] answers from.
    pub(crate) fn look_ahead(&mut self) {
        let online = self.soft.pulses.values().filter(|pulse| pulse.presence == Presence::Online);
        let facts = self.rows.drones.iter().flat_map(|row| [&row.grounded, &row.upload_impaired]);
        self.soft.outlook = Outlook {
            at: self.now.at,
            oldest_beat: online.map(|pulse| pulse.last_beat).min(),
            first_lease: self.soft.leases.values().copied().min(),
            first_fact: facts.filter_map(|fact| fact.as_ref()?.until).min(),
            first_sync: self.first_sync(),
        };
    }

    /// Never later than the next rule is due, and cheap, for it is asked after each batch of inputs: what came after the last
    /// look through the fleet can't be due before its whole time has passed from then on.
    pub(crate) fn next_fleet(&self) -> Option<u64> {
        let (outlook, settings) = (&self.soft.outlook, &self.settings);
        let grace_end = self.soft.started + settings.start_grace;
        let earlier = |seen: Option<u64>, since: u64| seen.map_or(since, |seen| seen.min(since));
        let silence = (!self.soft.pulses.is_empty())
            .then(|| earlier(outlook.oldest_beat, outlook.at).saturating_add(settings.offline_after));
        let lease = (!self.soft.leases.is_empty())
            .then(|| earlier(outlook.first_lease, outlook.at.saturating_add(settings.lease)));
        let fact = (!self.rows.drones.is_empty()).then(|| {
            earlier(outlook.first_fact, outlook.at.saturating_add(settings.ground_for.min(settings.impair_for)))
        });
        let sync = (!self.soft.sync_ends.is_empty() || !self.soft.sync_after.is_empty())
            .then(|| earlier(outlook.first_sync, outlook.at.saturating_add(self.least_sync())));
        let hold_end = self.soft.cut_off.as_ref().map(|cut| cut.until);
        let lease = lease.map(|at| at.max(hold_end.unwrap_or(0)));
        let judged = silence.into_iter().chain(lease).chain(hold_end).chain(sync);
        judged.map(|at| at.max(grace_end)).chain(fact).min()
    }
}
