//! Ebuild trees: which one a base is expected to have, and who is told to bring its own up to date. The tree
//! itself is learned from hellos and heartbeats alone; a report only says how the order ended.

use std::collections::BTreeMap;

use swarm_protocol::DroneId;
use swarm_protocol::machine::TreeState;
use swarm_protocol::order::{SyncJob, Task};
use swarm_protocol::report::{SyncAnswer, SyncReport};

use crate::answer::{Answer, ReplyTo};
use crate::core::Core;
use crate::rows::{DroneRow, EventKind, Syncing};

/// Characters kept of why a sync failed.
const MAX_REASON: usize = 500;

impl Core {
    /// Tells drones that have nothing to do and an older tree than others of their base to bring it up to date.
    pub(crate) fn send_syncs(&mut self) {
        if !self.settings.sync || self.meta().paused.is_some() || self.in_grace() {
            return;
        }
        let newest = self.newest_trees();
        let behind = |row: &DroneRow| {
            let newest = newest.get(&home(row))?;
            let behind = row.tree != newest.tree && row.tree_timestamp < newest.tree_timestamp && self.may_sync(row);
            let expected = || TreeState { timestamp: newest.tree_timestamp, id: newest.tree.clone() };
            behind.then(|| (row.id.clone(), expected()))
        };
        let late: Vec<(DroneId, TreeState)> = self.rows.drones.iter().filter_map(behind).collect();
        for (drone, expected) in late {
            self.order_sync(&drone, &expected);
        }
    }

    /// Per build profile and base a drone with the newest tree there. Trees without a time stamp can't be compared; nobody
    /// is told to change one.
    fn newest_trees(&self) -> BTreeMap<(&str, &str), &DroneRow> {
        let mut newest: BTreeMap<(&str, &str), &DroneRow> = BTreeMap::new();
        for row in self.rows.drones.iter().filter(|row| row.tree_timestamp.is_some() && self.is_around(row)) {
            let known = newest.entry(home(row)).or_insert(row);
            if row.tree_timestamp > known.tree_timestamp {
                *known = row;
            }
        }
        newest
    }

    /// It is there, has nothing in its hands and was not told a moment ago.
    fn may_sync(&self, row: &DroneRow) -> bool {
        self.is_around(row)
            && row.tree_timestamp.is_some()
            && row.syncing.is_none()
            && self.is_worker_ready(row)
            && self.held_count(&row.id) == 0
            && !self.soft.queue.is_planning(&row.id)
            && self.soft.fleet.syncs.may_begin(&row.id, self.now.at)
    }

    fn order_sync(&mut self, drone: &DroneId, expected: &TreeState) {
        let order = self.next_order(drone);
        let until = self.soft.fleet.syncs.begin(drone, self.now.at, &self.settings);
        let since = self.now.wall;
        if let Some(row) = self.rows.drones.change(drone) {
            row.syncing = Some(Syncing { order, expected: expected.id.clone(), since, until });
        }
        self.soft.view.touch(drone);
        let name = self.drone_name(drone);
        let message = format!("{name} brings its ebuild tree up to date: others of its base have a newer one");
        self.event(EventKind::Control, message, |event| event.drone = Some(name));
        self.send_sync(drone);
    }

    /// Sends the order of a sync that is under way.
    pub(super) fn send_sync(&mut self, drone: &DroneId) {
        let Some(syncing) = self.rows.drones.get(drone).and_then(|row| row.syncing.clone()) else { return };
        let expected = TreeState { timestamp: None, id: syncing.expected };
        let job = SyncJob { expected, timeout_ms: self.settings.sync_timeout };
        self.emit(drone, syncing.order, Task::Sync { job });
    }

    /// The drone has not seen the order yet.
    pub(super) fn resend_sync(&mut self, drone: &DroneId, orders_seen: u64) {
        let unseen = |row: &DroneRow| row.syncing.as_ref().is_some_and(|syncing| syncing.order > orders_seen);
        if self.rows.drones.get(drone).is_some_and(unseen) {
            self.send_sync(drone);
        }
    }

    pub(crate) fn synced(&mut self, drone: &DroneId, report: SyncReport, reply: ReplyTo) {
        let current = |row: &DroneRow| row.syncing.as_ref().is_some_and(|syncing| syncing.order == report.number);
        let known = self.rows.drones.get(drone).filter(|row| current(row));
        let answer = match known.and_then(|row| row.syncing.clone()) {
            Some(syncing) if report.store_id == *self.store_id() => {
                self.end_sync(drone, &syncing, &report);
                SyncAnswer::Durable {}
            }
            _ => SyncAnswer::Superseded { reason: "nobody waits for this sync".to_owned() },
        };
        self.reply(reply, Answer::Sync(answer));
    }

    fn end_sync(&mut self, drone: &DroneId, syncing: &Syncing, report: &SyncReport) {
        self.forget_sync(drone);
        let name = self.drone_name(drone);
        let seconds = report.duration_ms / 1000;
        let (kind, message) = match &report.failure {
            Some(reason) => {
                let reason: String = reason.chars().take(MAX_REASON).collect();
                (EventKind::Warn, format!("{name} could not bring its ebuild tree up to date: {reason}"))
            }
            None if report.tree.id == syncing.expected => {
                (EventKind::Control, format!("{name} has the expected ebuild tree, after {seconds} s"))
            }
            None => (
                EventKind::Control,
                format!(
                    "{name} has brought its ebuild tree up to date in {seconds} s; it is another one than expected"
                ),
            ),
        };
        self.event(kind, message, |event| event.drone = Some(name));
    }

    /// No sync is under way on a drone any more.
    pub(super) fn forget_sync(&mut self, drone: &DroneId) {
        self.soft.fleet.syncs.ended(drone);
        if self.rows.drones.get(drone).is_some_and(|row| row.syncing.is_some())
            && let Some(row) = self.rows.drones.change(drone)
        {
            row.syncing = None;
            self.soft.view.touch(drone);
            self.soft.placement.work_may_be_given();
        }
    }

    /// Syncs that took too long are not waited for any more.
    pub(super) fn end_late_syncs(&mut self) {
        for drone in self.soft.fleet.syncs.take_late(self.now.at) {
            self.forget_sync(&drone);
            let name = self.drone_name(&drone);
            let message = format!("{name} did not say in time how bringing its ebuild tree up to date ended");
            self.event(EventKind::Warn, message, |event| event.drone = Some(name));
        }
        // who may be told again
        if self.soft.fleet.syncs.take_ready(self.now.at) {
            self.soft.placement.work_may_be_given();
        }
    }
}

/// Where drones are expected to have the same tree.
fn home(row: &DroneRow) -> (&str, &str) {
    (&row.build_profile, &row.base)
}
