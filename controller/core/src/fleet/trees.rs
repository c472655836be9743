//! Ebuild trees: which one a base is expected to have, and who is told to bring its own up to date (rules.md §2). The tree
//! itself is learned from hellos and heartbeats alone; a report only says how the order ended.

use std::collections::BTreeMap;

use swarm_protocol::DroneId;
use swarm_protocol::machine::TreeState;
use swarm_protocol::order::{SyncJob, Task};
use swarm_protocol::report::{SyncAnswer, SyncReport};

use crate::core::Core;
use crate::effect::Answer;
use crate::input::ReplyTo;
use crate::rows::{DroneRow, Syncing};

/// How much longer than the drone's own bound its word is waited for, milliseconds.
const GRACE: u64 = 60_000;
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
            && !self.soft.plans.is_planning(&row.id)
            && self.soft.sync_after.get(&row.id).is_none_or(|at| *at <= self.now.at)
    }

    fn order_sync(&mut self, drone: &DroneId, expected: &TreeState) {
        let order = self.next_order(drone);
        let (since, until) = (self.now.wall, self.now.at + self.settings.sync_timeout + GRACE);
        self.soft.sync_after.insert(drone.clone(), self.now.at + self.settings.sync_again);
        self.soft.sync_ends.insert(drone.clone(), until);
        if let Some(row) = self.rows.drones.change(drone) {
            row.syncing = Some(Syncing { order, expected: expected.id.clone(), since, until });
        }
        self.soft.view.touch(drone);
        let name = self.drone_name(drone);
        let message = format!("{name} brings its ebuild tree up to date: others of its base have a newer one");
        self.event("control", message, |event| event.drone = Some(name));
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
                ("warn", format!("{name} could not bring its ebuild tree up to date: {reason}"))
            }
            None if report.tree.id == syncing.expected => {
                ("control", format!("{name} has the expected ebuild tree, after {seconds} s"))
            }
            None => (
                "control",
                format!(
                    "{name} has brought its ebuild tree up to date in {seconds} s; it is another one than expected"
                ),
            ),
        };
        self.event(kind, message, |event| event.drone = Some(name));
    }

    /// No sync is under way on a drone any more.
    pub(super) fn forget_sync(&mut self, drone: &DroneId) {
        self.soft.sync_ends.remove(drone);
        if self.rows.drones.get(drone).is_some_and(|row| row.syncing.is_some())
            && let Some(row) = self.rows.drones.change(drone)
        {
            row.syncing = None;
            self.soft.view.touch(drone);
            self.soft.placement.work_may_be_given();
        }
    }

    /// Syncs whose time is over are not waited for.
    pub(super) fn end_late_syncs(&mut self) {
        let now = self.now.at;
        let late: Vec<DroneId> =
            self.soft.sync_ends.iter().filter(|(_, until)| **until <= now).map(|(drone, _)| drone.clone()).collect();
        for drone in late {
            self.forget_sync(&drone);
            let name = self.drone_name(&drone);
            let message = format!("{name} did not say in time how bringing its ebuild tree up to date ended");
            self.event("warn", message, |event| event.drone = Some(name));
        }
        // who may be told again
        if self.soft.sync_after.values().any(|at| *at <= now) {
            self.soft.sync_after.retain(|_, at| *at > now);
            self.soft.placement.work_may_be_given();
        }
    }

    /// When the first sync ends or may be ordered again.
    pub(super) fn first_sync(&self) -> Option<u64> {
        self.soft.sync_ends.values().chain(self.soft.sync_after.values()).copied().min()
    }

    /// No sync that is ordered from now on is due earlier, milliseconds from now.
    pub(super) fn least_sync(&self) -> u64 {
        self.settings.sync_again.min(self.settings.sync_timeout + GRACE)
    }
}

/// Where drones are expected to have the same tree.
fn home(row: &DroneRow) -> (&str, &str) {
    (&row.build_profile, &row.base)
}
