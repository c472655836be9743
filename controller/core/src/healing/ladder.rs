//! The ladder: `restart_service` → `hard_restart` → `reboot_container` → a person. One rung at a time, each with its wait, the
//! next one whether the last one could be done or not; a drone nobody reaches must not stay at the bottom unseen. How a rung is
//! done is `act`'s.

use swarm_protocol::DroneId;
use swarm_protocol::machine::WorkerState;
use swarm_protocol::order::Rung;

use super::brakes::Clearance;
use crate::core::Core;
use crate::input::{PingLoss, RouteOutcome};
use crate::rows::{DeedOutcome, EventKind, HealingRow, Incident, NoticeKind, OrderedBy, Recovered};

/// The level at which a person has it.
pub(super) const ALERTED: u8 = 4;

/// The rung of a level, 1 to 3.
pub(super) fn rung(level: u8) -> Option<Rung> {
    [Rung::RestartService, Rung::HardRestart, Rung::RebootContainer].into_iter().find(|rung| rung.level() == level)
}

impl Core {
    /// Looks at a drone that gave a sign of trouble: opens an incident, goes on with one, or lets it be.
    pub(super) fn look_at(&mut self, drone: &DroneId) {
        self.soft.healing.ailing.count_look();
        if self.rows.drones.get(drone).is_none() {
            return;
        }
        let row = self.rows.healing.get(drone);
        if let Some(acting) = row.and_then(|row| row.acting.as_ref()) {
            // whoever should have told us what became of it has not
            let (until, generation) = (acting.until, acting.generation);
            if until <= self.now.at {
                self.escalated(drone, generation, RouteOutcome::TimedOut {});
            }
        } else if row.is_some_and(|row| row.incident.is_some()) {
            self.climb(drone);
        } else if let Some((why, began)) = self.sickness(drone) {
            self.open_incident(drone, why, began);
        }
    }

    /// `None`: nothing is wrong with it. Inside: when it is looked at, should no sign come before.
    pub(super) fn next_look_at(&self, drone: &DroneId) -> Option<Option<u64>> {
        self.rows.drones.get(drone)?;
        let (probe, rules) = (self.soft.healing.probe(drone), &self.settings.healing);
        let row = self.rows.healing.get(drone);
        if let Some(acting) = row.and_then(|row| row.acting.as_ref()) {
            return Some(Some(acting.until));
        }
        if let Some(incident) = row.and_then(|row| row.incident.as_ref()) {
            // what holds it back once that moment has come ends without telling, so it is looked at again and again
            return Some(if incident.level >= ALERTED { incident.repeat_at } else { Some(incident.wait_until) });
        }
        let probe = probe.filter(|probe| probe.misses > 0 || probe.worker_bad.is_some())?;
        let silent = match probe.misses {
            misses if misses >= rules.misses => Some(probe.first_miss + rules.judge_after),
            // not judged yet, and yet many such are a cut
            misses if misses >= super::brakes::SILENT => Some(probe.first_miss),
            _ => None,
        };
        let worker = probe.worker_bad.map(|(since, _)| since + rules.worker_unrevived_after);
        Some([silent, worker].into_iter().flatten().min())
    }

    /// What is wrong with a drone, if the rules call it that, and when it began.
    fn sickness(&self, drone: &DroneId) -> Option<(String, u64)> {
        let (probe, rules, now) = (self.soft.healing.probe(drone)?, &self.settings.healing, self.now.at);
        if probe.misses >= rules.misses && now >= probe.first_miss + rules.judge_after {
            let how = match probe.loss {
                Some(PingLoss::Absent) => "its supervisor is not on the bus",
                Some(PingLoss::Nonsense) => "its answers make no sense",
                Some(PingLoss::Silent | PingLoss::NoBus) | None => "it does not answer",
            };
            return Some((format!("{} pings in a row missed: {how}", probe.misses), probe.first_miss));
        }
        let (since, state) = probe.worker_bad?;
        let how = match state {
            WorkerState::Hung => "does not answer",
            WorkerState::Failing => "ends again and again",
            _ => "is down",
        };
        let why = || format!("its worker {how} for {} s and its supervisor could not revive it", (now - since) / 1000);
        (now >= since + rules.worker_unrevived_after).then(|| (why(), since))
    }

    fn open_incident(&mut self, drone: &DroneId, why: String, began: u64) {
        let (now, cooldown) = (self.now, self.settings.healing.cooldown);
        let mut row = self.healing_row(drone);
        let again = row.recovered.filter(|last| last.level > 0 && now.at < last.at + cooldown);
        row.incidents += 1;
        row.incident = Some(Incident {
            since: now.wall.saturating_sub(now.at.saturating_sub(began)),
            since_at: began,
            why: why.clone(),
            // what helped for a moment only is not tried again: the next rung is
            level: again.map_or(0, |last| last.level.min(3)),
            ..Incident::default()
        });
        self.rows.healing.put(row);
        let flapping = again.map_or(String::new(), |last| {
            format!(
                "; again {} s after a recovery at level {}, so on from there",
                (now.at - last.at) / 1000,
                last.level
            )
        });
        let name = self.drone_name(drone);
        self.drone_event(EventKind::Warn, drone, format!("{name} is unhealthy: {why}{flapping}"));
        self.soft.view.touch(drone);
        self.climb(drone);
    }

    /// The next rung, if it is time and nothing holds it back.
    fn climb(&mut self, drone: &DroneId) {
        let Some(row) = self.rows.healing.get(drone).cloned() else { return };
        let Some(incident) = &row.incident else { return };
        if incident.level >= ALERTED {
            return self.repeat_alert(drone, &row);
        }
        // an answer has come: it may be on its way back, and what works is not harmed
        let answers = self.soft.healing.probe(drone).is_some_and(|probe| probe.good > 0);
        if answers || self.now.at < incident.wait_until {
            return;
        }
        let mut level = incident.level + 1;
        while let Some(next) = rung(level) {
            match self.clearance(drone, next) {
                Clearance::Go => {
                    let reason = incident.why.clone();
                    self.unhold(drone);
                    return self.act(drone, next, &OrderedBy::Swarm, &reason);
                }
                Clearance::Hold(reason) => return self.hold(drone, &reason),
                Clearance::Never(reason) => {
                    let name = self.drone_name(drone);
                    self.drone_event(EventKind::Heal, drone, format!("no {} for {name}: {reason}", next.name()));
                    level += 1;
                }
            }
        }
        if let Clearance::Hold(reason) = self.alert_clearance(drone) {
            return self.hold(drone, &reason);
        }
        self.alert(drone);
    }

    /// Says once why nothing is done.
    pub(super) fn hold(&mut self, drone: &DroneId, reason: &str) {
        let said = self.rows.healing.get(drone).and_then(|row| row.incident.as_ref()?.held.as_deref());
        if said == Some(reason) {
            return;
        }
        let name = self.drone_name(drone);
        self.change_incident(drone, |incident| incident.held = Some(reason.to_owned()));
        self.drone_event(EventKind::Heal, drone, format!("nothing is done about {name} for now: {reason}"));
    }

    fn unhold(&mut self, drone: &DroneId) {
        let held = self.rows.healing.get(drone).and_then(|row| row.incident.as_ref()).is_some_and(|i| i.held.is_some());
        if held {
            self.change_incident(drone, |incident| incident.held = None);
        }
    }

    /// Enough good answers in a row end an incident.
    pub(super) fn may_have_recovered(&mut self, drone: &DroneId) {
        let good = self.soft.healing.probe(drone).map_or(0, |probe| probe.good);
        let mut row = self.healing_row(drone);
        if good < self.settings.healing.good_pongs || row.incident.is_none() {
            return;
        }
        let Some(incident) = row.incident.take() else { return };
        let took_ms = self.now.at.saturating_sub(incident.since_at);
        row.recovered = Some(Recovered { at: self.now.at, level: incident.level, took_ms });
        let number = row.incidents;
        self.rows.healing.put(row);
        self.soft.view.touch(drone);
        self.soft.placement.work_may_be_given();
        let name = self.drone_name(drone);
        let by = match incident.deeds.iter().rev().find(|deed| deed.outcome == DeedOutcome::Done) {
            Some(deed) => format!("after {} by {}", deed.rung.name(), deed.route.name()),
            None => "by itself".to_owned(),
        };
        let message = format!("{name} has recovered {by}, {} s after the first sign", took_ms / 1000);
        let level = incident.level;
        self.event(EventKind::Heal, message.clone(), |event| {
            event.drone = Some(name.clone());
            event.details.insert("time_to_recovery_ms".to_owned(), took_ms.to_string());
            event.details.insert("level".to_owned(), level.to_string());
        });
        if level >= ALERTED {
            self.notify(&incident_key(drone, number), NoticeKind::Resolved, message, String::new());
        }
    }

    /// Level 4: a person is told, once per incident.
    fn alert(&mut self, drone: &DroneId) {
        let repeat_at = self.now.at + self.settings.healing.alert_repeat;
        self.change_incident(drone, |incident| {
            incident.level = ALERTED;
            incident.repeat_at = Some(repeat_at);
            incident.held = None;
        });
        let row = self.healing_row(drone);
        let (subject, text) = self.told(drone, &row);
        self.drone_event(EventKind::Alert, drone, subject.clone());
        self.notify(&incident_key(drone, row.incidents), NoticeKind::Alert, subject, text);
    }

    fn repeat_alert(&mut self, drone: &DroneId, row: &HealingRow) {
        let due = row.incident.as_ref().and_then(|incident| incident.repeat_at).is_none_or(|at| at <= self.now.at);
        if !due || matches!(self.alert_clearance(drone), Clearance::Hold(_)) {
            return;
        }
        let repeat_at = self.now.at + self.settings.healing.alert_repeat;
        self.change_incident(drone, |incident| incident.repeat_at = Some(repeat_at));
        let (subject, text) = self.told(drone, row);
        let subject = format!("still: {subject}");
        self.drone_event(EventKind::Alert, drone, subject.clone());
        self.notify(&incident_key(drone, row.incidents), NoticeKind::Repeat, subject, text);
    }

    /// What a person is told of an incident: what is wrong, since when, what was tried.
    fn told(&self, drone: &DroneId, row: &HealingRow) -> (String, String) {
        let name = self.drone_name(drone);
        let Some(incident) = &row.incident else { return (name, String::new()) };
        let minutes = self.now.at.saturating_sub(incident.since_at) / 60_000;
        let subject = format!("{name} needs a person: {}", incident.why);
        let mut text = format!("{}\nSince {minutes} min. What was tried:\n", incident.why);
        for deed in &incident.deeds {
            let (rung, route, outcome) = (deed.rung.name(), deed.route.name(), deed.outcome.name());
            text += &format!("  {rung} by {route}: {outcome}: {}\n", deed.detail);
        }
        if incident.deeds.is_empty() {
            text += "  nothing: no rung of the ladder is allowed for this drone\n";
        }
        text += &format!("Next: look at {name}; `swarm drone reset {name}` starts the ladder anew.\n");
        (subject, text)
    }

    pub(super) fn change_incident(&mut self, drone: &DroneId, change: impl FnOnce(&mut Incident)) {
        if let Some(incident) = self.rows.healing.change(drone).and_then(|row| row.incident.as_mut()) {
            change(incident);
        }
        self.soft.view.touch(drone);
    }

    pub(super) fn healing_row(&self, drone: &DroneId) -> HealingRow {
        let fresh = || HealingRow { drone: drone.clone(), ..HealingRow::default() };
        self.rows.healing.get(drone).cloned().unwrap_or_else(fresh)
    }

    pub(super) fn drone_event(&mut self, kind: EventKind, drone: &DroneId, message: String) {
        let name = self.drone_name(drone);
        self.event(kind, message, |event| event.drone = Some(name));
    }
}

/// Notices of one incident are one story.
fn incident_key(drone: &DroneId, number: u64) -> String {
    format!("drone/{drone}/{number}")
}
