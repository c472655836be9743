//! What holds the ladder back: a person's pause, a build, the fleet's silence, reboots enough for one day. Each is a sentence.

use swarm_protocol::DroneId;
use swarm_protocol::machine::{DroneType, RebootPolicy};
use swarm_protocol::order::Rung;

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
pub(super) enum Verdict {
    /// Yes.
    Go,
    /// Not now.
    Hold(String),
    /// Not for this drone; the next one.
    Never(String),
}

impl Core {
    pub(super) fn verdict(&self, drone: &DroneId, rung: Rung) -> Verdict {
        let Some(row) = self.rows.drones.get(drone) else { return Verdict::Hold("it is not known".to_owned()) };
        if let Some(reason) = self.held_back(row) {
            return Verdict::Hold(reason);
        }
        if rung == Rung::RebootContainer {
            return self.reboot_verdict(row);
        }
        Verdict::Go
    }

    /// What has come up against an act since it began; a person's own act is held back by the rules for reboots alone.
    pub(super) fn against_going_on(&self, drone: &DroneId, rung: Rung, by_swarm: bool) -> Option<String> {
        let row = self.rows.drones.get(drone)?;
        let held = by_swarm.then(|| self.held_back(row)).flatten();
        let reboot = || match rung {
            Rung::RebootContainer => self.never_rebooted(row).or_else(|| self.reboot_harms(row)),
            Rung::RestartService | Rung::HardRestart | Rung::Unknown => None,
        };
        held.or_else(reboot)
    }

    /// A person is told whatever builds and whoever is rebooted, but not of drones a person put aside.
    pub(super) fn alert_verdict(&self, drone: &DroneId) -> Verdict {
        let held = self.rows.drones.get(drone).and_then(|row| self.held_back(row));
        held.map_or(Verdict::Go, Verdict::Hold)
    }

    /// What holds back every rung.
    fn held_back(&self, row: &DroneRow) -> Option<String> {
        if !self.settings.healing.enabled {
            return Some("self-healing is switched off".to_owned());
        }
        if self.in_grace() {
            return Some("the controller has just started".to_owned());
        }
        if self.meta().cut_off.is_some() || self.soft.cut_off.is_some() {
            return Some("more than half of the fleet is silent: the controller itself may be cut off".to_owned());
        }
        if self.now.at < self.soft.settled_at {
            return Some("the fleet has just come back".to_owned());
        }
        let by_person = [("paused", &row.paused), ("being drained", &row.draining), ("drained", &row.drained)];
        by_person.into_iter().find_map(|(word, fact)| fact.as_ref().map(|fact| format!("it is {word} by {}", fact.by)))
    }

    /// Level 3: only containers and virtual machines, one at a time, not too often, never under a build.
    pub(super) fn reboot_verdict(&self, row: &DroneRow) -> Verdict {
        if let Some(reason) = self.never_rebooted(row) {
            return Verdict::Never(reason);
        }
        let since = self.now.at.saturating_sub(DAY);
        let limit = self.settings.healing.reboots_per_day;
        let rebooted =
            self.rows.healing.get(&row.id).map_or(0, |row| row.reboots.iter().filter(|at| **at >= since).count());
        if rebooted >= limit {
            return Verdict::Never(format!("it was rebooted {rebooted} times within a day, {limit} are allowed"));
        }
        self.reboot_harms(row).map_or(Verdict::Go, Verdict::Hold)
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

    /// Why a drone is never rebooted: by its own detection, by the operator's word, or by the operator's wish.
    pub(super) fn never_rebooted(&self, row: &DroneRow) -> Option<String> {
        let may = |kind: DroneType| matches!(kind, DroneType::Lxc | DroneType::Qemu);
        if !may(row.drone_type()) {
            return Some(format!("its type is {}, and only lxc and qemu are ever rebooted", row.drone_type().name()));
        }
        if !may(row.detected_type) {
            let detected = row.detected_type.name();
            return Some(format!("by its own detection it is {detected}, whatever its type was set to"));
        }
        if row.own_reboot == RebootPolicy::Never {
            return Some("its own configuration forbids it".to_owned());
        }
        let wishes = self.rows.wishes.get(&row.id)?;
        if wishes.protected {
            return Some("it is protected".to_owned());
        }
        (wishes.auto_reboot == Some(false)).then(|| "its operator does not want it rebooted".to_owned())
    }

    /// Another drone between its reboot and the end of the wait after it.
    fn being_rebooted(&self, except: &DroneId) -> Option<String> {
        let mut others = self.soft.rebooting.iter().filter(|drone| *drone != except);
        others.find(|drone| self.is_rebooting(drone)).map(|drone| self.drone_name(drone))
    }

    fn is_rebooting(&self, drone: &DroneId) -> bool {
        let Some(row) = self.rows.healing.get(drone) else { return false };
        let waits = |incident: &Incident| incident.level == 3 && self.now.at < incident.wait_until;
        row.is_rebooted() || row.incident.as_ref().is_some_and(waits)
    }

    pub(super) fn note_reboot(&mut self, drone: &DroneId) {
        let mut rebooting = std::mem::take(&mut self.soft.rebooting);
        rebooting.retain(|drone| self.is_rebooting(drone));
        rebooting.insert(drone.clone());
        self.soft.rebooting = rebooting;
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
                self.soft.settled_at = self.now.at + 2 * rules.ping_every + rules.ping_within;
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
        let is_silent = |drone| self.soft.probes.get(drone).is_some_and(|probe: &super::Probe| probe.misses >= SILENT);
        if self.meta().cut_off.is_none() && !self.soft.ailing.keys().any(is_silent) {
            return counted;
        }
        for row in self.rows.drones.iter().filter(|row| row.paused.is_none() && row.drained.is_none()) {
            let handled = self.rows.healing.get(&row.id).is_some_and(|healing| healing.level() > 0);
            let Some(probe) = self.soft.probes.get(&row.id).filter(|_| !handled) else { continue };
            counted.1 += 1;
            counted.0 += usize::from(probe.misses >= SILENT);
        }
        counted
    }
}
