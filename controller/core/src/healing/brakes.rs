//! What holds the ladder back: a person's pause, a build, the fleet's silence, reboots enough for one day. Each is a sentence.

use swarm_protocol::DroneId;
use swarm_protocol::order::Rung;

use super::reboot::never_rebooted;
use crate::core::Core;
use crate::rows::{DroneRow, Incident, NoticeKind};

/// Milliseconds.
pub(super) const DAY: u64 = 24 * 3_600_000;
/// Misses that count as silence when the fleet is looked at as a whole: one less than make a drone unhealthy, so that the
/// first of many to be judged does not go before the brake.
pub(super) const SILENT: u32 = 2;
/// Smaller fleets can't tell a cut from a coincidence.
const MIN_FLEET: usize = 3;
/// Key of the notices about the controller being cut off.
const CUT_OFF: &str = "cut-off";

/// Whether a rung may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clearance {
    /// It may be taken.
    Go,
    /// Not now; it is looked at again.
    Hold(String),
    /// Not for this drone; the next one.
    Never(String),
}

impl Core {
    pub(super) fn clearance(&self, drone: &DroneId, rung: Rung) -> Clearance {
        let Some(row) = self.rows.drones.get(drone) else { return Clearance::Hold("it is not known".to_owned()) };
        if let Some(reason) = self.held_back(row) {
            return Clearance::Hold(reason);
        }
        if rung == Rung::RebootContainer {
            return self.reboot_clearance(row);
        }
        Clearance::Go
    }

    /// What has come up against an act since it began; a person's own act is held back by the rules for reboots alone.
    pub(super) fn against_going_on(&self, drone: &DroneId, rung: Rung, by_swarm: bool) -> Option<String> {
        let row = self.rows.drones.get(drone)?;
        let held = by_swarm.then(|| self.held_back(row)).flatten();
        let reboot = || match rung {
            Rung::RebootContainer => {
                never_rebooted(row, self.rows.wishes.get(&row.id)).or_else(|| self.reboot_harms(row))
            }
            Rung::RestartService | Rung::HardRestart | Rung::Unknown => None,
        };
        held.or_else(reboot)
    }

    /// A person is told whatever builds and whoever is rebooted, but not of drones a person put aside.
    pub(super) fn alert_clearance(&self, drone: &DroneId) -> Clearance {
        let held = self.rows.drones.get(drone).and_then(|row| self.held_back(row));
        held.map_or(Clearance::Go, Clearance::Hold)
    }

    /// What holds back every rung.
    fn held_back(&self, row: &DroneRow) -> Option<String> {
        if !self.settings.healing.enabled {
            return Some("self-healing is switched off".to_owned());
        }
        if self.in_grace() {
            return Some("the controller has just started".to_owned());
        }
        if self.meta().cut_off.is_some() || self.soft.fleet.is_cut_off() {
            return Some("more than half of the fleet is silent: the controller itself may be cut off".to_owned());
        }
        if !self.soft.healing.is_settled(self.now.at) {
            return Some("the fleet has just come back".to_owned());
        }
        let by_person = [("paused", &row.paused), ("being drained", &row.draining), ("drained", &row.drained)];
        by_person.into_iter().find_map(|(word, fact)| fact.as_ref().map(|fact| format!("it is {word} by {}", fact.by)))
    }

    /// Level 3: only containers and virtual machines, one at a time, not too often, never under a build.
    pub(super) fn reboot_clearance(&self, row: &DroneRow) -> Clearance {
        if let Some(reason) = never_rebooted(row, self.rows.wishes.get(&row.id)) {
            return Clearance::Never(reason);
        }
        let since = self.now.at.saturating_sub(DAY);
        let limit = self.settings.healing.reboots_per_day;
        let rebooted =
            self.rows.healing.get(&row.id).map_or(0, |row| row.reboots.iter().filter(|at| **at >= since).count());
        if rebooted >= limit {
            return Clearance::Never(format!("it was rebooted {rebooted} times within a day, {limit} are allowed"));
        }
        self.reboot_harms(row).map_or(Clearance::Go, Clearance::Hold)
    }

    /// Why a reboot would do harm just now.
    fn reboot_harms(&self, row: &DroneRow) -> Option<String> {
        if let Some(other) = self.being_rebooted(&row.id) {
            return Some(format!("{other} is being rebooted; one at a time"));
        }
        // attempts whose lease has ended are not held any more: they are lost already
        let builds = self.held_by(&row.id).len();
        (builds > 0).then(|| format!("it has {builds} build(s), and a reboot would end them"))
    }

    /// Another drone between its reboot and the end of the wait after it.
    fn being_rebooted(&self, except: &DroneId) -> Option<String> {
        let mut others = self.soft.healing.rebooting().filter(|drone| *drone != except);
        others.find(|drone| self.is_rebooting(drone)).map(|drone| self.drone_name(drone))
    }

    fn is_rebooting(&self, drone: &DroneId) -> bool {
        let Some(row) = self.rows.healing.get(drone) else { return false };
        let waits = |incident: &Incident| incident.level == 3 && self.now.at < incident.wait_until;
        row.is_rebooted() || row.incident.as_ref().is_some_and(waits)
    }

    pub(super) fn note_reboot(&mut self, drone: &DroneId) {
        let ended: Vec<DroneId> =
            self.soft.healing.rebooting().filter(|drone| !self.is_rebooting(drone)).cloned().collect();
        ended.iter().for_each(|drone| self.soft.healing.reboot_ended(drone));
        self.soft.healing.reboot_begins(drone);
    }

    /// More than half of a fleet of three or more silent at once: we are cut off, not they.
    pub(super) fn look_for_cut_off(&mut self) {
        let (silent, fleet) = self.silence();
        let cut = fleet >= MIN_FLEET && silent * 2 > fleet;
        match (self.meta().cut_off, cut) {
            (None, true) => {
                self.meta_mut().cut_off = Some(self.now.wall);
                let subject = format!("the controller is cut off: {silent} of {fleet} drones are silent at once");
                self.cut_off_begins(subject.clone());
                let text = "Nothing is done about single drones until more than half of them answer again.\n\
                            Next: look at the bus (`swarm status`), the network, the power of the rack.\n";
                self.notify(CUT_OFF, NoticeKind::Alert, subject, text.to_owned());
            }
            (Some(since), false) => {
                self.meta_mut().cut_off = None;
                let rules = &self.settings.healing;
                self.soft.healing.settle_until(self.now.at + 2 * rules.ping_every + rules.ping_within);
                let seconds = self.now.wall.saturating_sub(since) / 1000;
                let subject = format!("the controller is not cut off any more, after {seconds} s");
                self.cut_off_ends(subject.clone());
                self.notify(CUT_OFF, NoticeKind::Resolved, subject, String::new());
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Silent drones, and those that count as the fleet: whom nobody put aside, and about whom nothing was done yet. The fleet
    /// is counted while somebody is silent, and not otherwise.
    fn silence(&self) -> (usize, usize) {
        let mut counted = (0, 0);
        let is_silent = |drone| self.soft.healing.probe(drone).is_some_and(|probe| probe.misses >= SILENT);
        if self.meta().cut_off.is_none() && !self.soft.healing.ailing.iter().any(is_silent) {
            return counted;
        }
        for row in self.rows.drones.iter().filter(|row| row.paused.is_none() && row.drained.is_none()) {
            let handled = self.rows.healing.get(&row.id).is_some_and(|healing| healing.level() > 0);
            let Some(probe) = self.soft.healing.probe(&row.id).filter(|_| !handled) else { continue };
            counted.1 += 1;
            counted.0 += usize::from(probe.misses >= SILENT);
        }
        counted
    }
}
