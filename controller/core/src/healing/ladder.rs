//! The ladder: `restart_service` → `hard_restart` → `reboot_container` → a person. One rung at a time, each with its wait, the
//! next one whether the last one could be done or not; a drone nobody reaches must not stay at the bottom unseen.

use swarm_protocol::DroneId;
use swarm_protocol::machine::WorkerState;
use swarm_protocol::order::{EscalationRefusal, Rung};

use super::brakes::Verdict;
use crate::core::Core;
use crate::effect::{Effect, Escalation};
use crate::input::{PingLoss, RouteOutcome};
use crate::rows::{Acting, Deed, DeedOutcome, HealingRow, Incident, NoticeKind, Recovered, RouteKind};

/// On top of a route's own bound, before an act without an answer is given up; milliseconds.
const OURS_AFTER: u64 = 5_000;
/// Wait after a drone refused because it builds, milliseconds.
const BUILDING_WAIT: u64 = 30_000;
/// The level at which a person has it.
pub(super) const ALERTED: u8 = 4;

/// The rung of a level, 1 to 3.
pub(super) fn rung(level: u8) -> Option<Rung> {
    [Rung::RestartService, Rung::HardRestart, Rung::RebootContainer].into_iter().find(|rung| rung.level() == level)
}

impl Core {
    /// Looks at a drone that gave a sign of trouble: opens an incident, goes on with one, or lets it be.
    pub(super) fn look_at(&mut self, drone: &DroneId) {
        self.soft.looked_at += 1;
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
        let (probe, rules) = (self.soft.probes.get(drone), &self.settings.healing);
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
        let (probe, rules, now) = (self.soft.probes.get(drone)?, &self.settings.healing, self.now.at);
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
        self.drone_event("warn", drone, format!("{name} is unhealthy: {why}{flapping}"));
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
        let answers = self.soft.probes.get(drone).is_some_and(|probe| probe.good > 0);
        if answers || self.now.at < incident.wait_until {
            return;
        }
        let mut level = incident.level + 1;
        while let Some(next) = rung(level) {
            match self.verdict(drone, next) {
                Verdict::Go => {
                    let reason = incident.why.clone();
                    self.unhold(drone);
                    return self.act(drone, next, "swarm", &reason);
                }
                Verdict::Hold(reason) => return self.hold(drone, &reason),
                Verdict::Never(reason) => {
                    let name = self.drone_name(drone);
                    self.drone_event("heal", drone, format!("no {} for {name}: {reason}", next.name()));
                    level += 1;
                }
            }
        }
        if let Verdict::Hold(reason) = self.alert_verdict(drone) {
            return self.hold(drone, &reason);
        }
        self.alert(drone);
    }

    /// Says once why nothing is done.
    fn hold(&mut self, drone: &DroneId, reason: &str) {
        let said = self.rows.healing.get(drone).and_then(|row| row.incident.as_ref()?.held.as_deref());
        if said == Some(reason) {
            return;
        }
        let name = self.drone_name(drone);
        self.change_incident(drone, |incident| incident.held = Some(reason.to_owned()));
        self.drone_event("heal", drone, format!("nothing is done about {name} for now: {reason}"));
    }

    fn unhold(&mut self, drone: &DroneId) {
        let held = self.rows.healing.get(drone).and_then(|row| row.incident.as_ref()).is_some_and(|i| i.held.is_some());
        if held {
            self.change_incident(drone, |incident| incident.held = None);
        }
    }

    /// Gives the order of a rung, by the drone's first route.
    pub(super) fn act(&mut self, drone: &DroneId, rung: Rung, by: &str, reason: &str) {
        let mut row = self.healing_row(drone);
        let day = self.now.at.saturating_sub(super::brakes::DAY);
        row.reboots.retain(|at| *at >= day);
        if rung == Rung::RebootContainer {
            row.reboots.push(self.now.at);
        }
        row.acting = Some(Acting { rung, generation: 0, route: 0, by: by.to_owned(), until: 0, since: self.now.wall });
        if let Some(incident) = &mut row.incident {
            incident.attempts = incident.attempts.saturating_add(1);
        }
        self.rows.healing.put(row);
        if rung == Rung::RebootContainer {
            self.note_reboot(drone);
        }
        let kind = if rung == Rung::RebootContainer { "reboot" } else { "escalate" };
        let name = self.drone_name(drone);
        self.drone_event(kind, drone, format!("{} of {name} by {by}: {reason}", rung.name()));
        self.try_route(drone, reason);
        self.look_later(drone);
    }

    /// Tries the route the act stands at; without one left the act is over.
    fn try_route(&mut self, drone: &DroneId, reason: &str) {
        let within = self.settings.healing.route_within;
        let mut row = self.healing_row(drone);
        let Some(acting) = &mut row.acting else { return };
        let (rung, index) = (acting.rung, acting.route);
        let Some(route) = self.routes(drone, rung).into_iter().nth(index) else {
            return self.acted(drone, false);
        };
        row.generation += 1;
        let generation = row.generation;
        (acting.generation, acting.until) = (generation, self.now.at + within + OURS_AFTER);
        self.rows.healing.put(row);
        self.soft.view.touch(drone);
        let reason = reason.to_owned();
        let drone = drone.clone();
        self.effects.push(Effect::Escalate(Escalation { drone, generation, rung, reason, route, within }));
    }

    pub(crate) fn escalated(&mut self, drone: &DroneId, generation: u64, outcome: RouteOutcome) {
        let rebooting = |core: &Self| core.rows.healing.get(drone).is_some_and(HealingRow::is_rebooted);
        let before = rebooting(self);
        self.take_outcome(drone, generation, outcome);
        // it gets work again
        if before && !rebooting(self) {
            self.soft.placement.work_may_be_given();
        }
        self.look_again(drone);
    }

    fn take_outcome(&mut self, drone: &DroneId, generation: u64, outcome: RouteOutcome) {
        let row = self.healing_row(drone);
        let Some(acting) = row.acting.as_ref().filter(|acting| acting.generation == generation) else { return };
        let route = self.routes(drone, acting.rung).get(acting.route).map(crate::effect::Route::kind);
        let Some(route) = route else { return };
        let rung = acting.rung;
        let deed = |outcome, detail| Deed { rung, route, outcome, detail, by: acting.by.clone(), at: self.now.wall };
        match outcome {
            RouteOutcome::Done { detail } => {
                self.note(drone, deed(DeedOutcome::Done, detail));
                if route == RouteKind::Ssh {
                    self.trust(drone, "its SSH server shows the key it is known by");
                }
                self.acted(drone, true);
            }
            RouteOutcome::DryRun { detail } => {
                self.note(drone, deed(DeedOutcome::DryRun, detail));
                self.acted(drone, true);
            }
            RouteOutcome::Refused { why: EscalationRefusal::Building, detail } => {
                self.note(drone, deed(DeedOutcome::Refused, detail));
                self.refused_for_a_build(drone);
            }
            RouteOutcome::Refused { why: EscalationRefusal::Type | EscalationRefusal::Protected, detail } => {
                // both must agree: what the drone forbids is not done behind its back
                self.note(drone, deed(DeedOutcome::Refused, detail));
                self.acted_for_nothing(drone);
            }
            RouteOutcome::Refused { detail, .. } | RouteOutcome::Failed { detail } => {
                self.note(drone, deed(DeedOutcome::Failed, detail));
                self.next_route(drone);
            }
            RouteOutcome::Distrusted { detail } => {
                self.note(drone, deed(DeedOutcome::Failed, detail.clone()));
                self.distrust(drone, &detail);
                self.next_route(drone);
            }
            RouteOutcome::TimedOut {} => {
                self.note(drone, deed(DeedOutcome::TimedOut, "no answer in time".to_owned()));
                self.next_route(drone);
            }
        }
    }

    fn next_route(&mut self, drone: &DroneId) {
        let mut row = self.healing_row(drone);
        let Some(acting) = &mut row.acting else { return };
        acting.route += 1;
        let (rung, by_swarm) = (acting.rung, acting.by == "swarm");
        // much may have happened while the last route was tried
        if let Some(reason) = self.against_going_on(drone, rung, by_swarm) {
            row.acting = None;
            self.rows.healing.put(row);
            return self.broken_off(drone, rung, &reason);
        }
        let reason = row.incident.as_ref().map_or_else(|| "by hand".to_owned(), |incident| incident.why.clone());
        self.rows.healing.put(row);
        self.try_route(drone, &reason);
    }

    /// An act is not tried by its further routes. Its level is not reached: it comes again when nothing holds it back.
    fn broken_off(&mut self, drone: &DroneId, rung: Rung, reason: &str) {
        self.soft.view.touch(drone);
        if self.healing_row(drone).incident.is_some() {
            return self.hold(drone, reason);
        }
        let name = self.drone_name(drone);
        self.drone_event("heal", drone, format!("{} of {name} is tried by no further route: {reason}", rung.name()));
    }

    /// Writes down what was done or tried, and says so.
    fn note(&mut self, drone: &DroneId, deed: Deed) {
        let name = self.drone_name(drone);
        // events are public; what an operator's own command or SSH says may name hosts and hold secrets
        let detail = match deed.route {
            RouteKind::Bus => format!(": {}", deed.detail),
            RouteKind::Ssh | RouteKind::Hypervisor => String::new(),
        };
        let text = format!("{} of {name} by {}: {}{detail}", deed.rung.name(), deed.route.name(), deed.outcome.name());
        let mut row = self.healing_row(drone);
        row.last = Some(deed.clone());
        if let Some(incident) = &mut row.incident {
            incident.deeds.push(deed);
            if incident.deeds.len() > Incident::MAX_DEEDS {
                incident.deeds.remove(0);
            }
        }
        self.rows.healing.put(row);
        self.soft.view.touch(drone);
        self.drone_event("escalate", drone, text);
    }

    /// An act is over: its level is reached, whether it could be done or not, and its wait begins.
    fn acted(&mut self, drone: &DroneId, done: bool) {
        let mut row = self.healing_row(drone);
        let Some(acting) = row.acting.take() else { return };
        let rules = &self.settings.healing;
        let wait = match acting.rung {
            Rung::RestartService | Rung::Unknown => rules.wait_restart,
            Rung::HardRestart => rules.wait_hard_restart,
            Rung::RebootContainer => rules.wait_reboot,
        };
        if let Some(incident) = &mut row.incident {
            incident.level = incident.level.max(acting.rung.level());
            incident.wait_until = self.now.at + wait;
        }
        self.rows.healing.put(row);
        self.soft.view.touch(drone);
        if !done {
            let name = self.drone_name(drone);
            let text = format!("{} of {name} could not be done by any route", acting.rung.name());
            self.drone_event("warn", drone, text);
        }
    }

    /// The drone itself forbids the rung for good: the next one follows at once.
    fn acted_for_nothing(&mut self, drone: &DroneId) {
        let mut row = self.healing_row(drone);
        let Some(acting) = row.acting.take() else { return };
        if acting.rung == Rung::RebootContainer {
            // it was not rebooted
            row.reboots.pop();
        }
        if let Some(incident) = &mut row.incident {
            incident.level = incident.level.max(acting.rung.level());
            incident.wait_until = self.now.at;
        }
        self.rows.healing.put(row);
    }

    /// The drone builds what we did not know of: the rung is not reached and comes again later.
    fn refused_for_a_build(&mut self, drone: &DroneId) {
        let mut row = self.healing_row(drone);
        let Some(acting) = row.acting.take() else { return };
        if acting.rung == Rung::RebootContainer {
            row.reboots.pop();
        }
        if let Some(incident) = &mut row.incident {
            incident.wait_until = self.now.at + BUILDING_WAIT;
        }
        self.rows.healing.put(row);
    }

    /// After a start: what was under way may or may not have been done. It is not done a second time.
    pub(super) fn end_interrupted_acts(&mut self) {
        let open: Vec<HealingRow> = self.rows.healing.iter().filter(|row| row.acting.is_some()).cloned().collect();
        for row in open {
            let Some(acting) = &row.acting else { continue };
            let route = self.routes(&row.drone, acting.rung).get(acting.route).map(crate::effect::Route::kind);
            let detail = "the controller was started anew meanwhile".to_owned();
            let deed = Deed {
                rung: acting.rung,
                route: route.unwrap_or(RouteKind::Bus),
                outcome: DeedOutcome::Unknown,
                detail,
                by: acting.by.clone(),
                at: self.now.wall,
            };
            self.note(&row.drone, deed);
            self.acted(&row.drone, true);
        }
    }

    /// Enough good answers in a row end an incident.
    pub(super) fn may_have_recovered(&mut self, drone: &DroneId) {
        let good = self.soft.probes.get(drone).map_or(0, |probe| probe.good);
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
        self.event("heal", message.clone(), |event| {
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
        self.drone_event("alert", drone, subject.clone());
        self.notify(&incident_key(drone, row.incidents), NoticeKind::Alert, subject, text);
    }

    fn repeat_alert(&mut self, drone: &DroneId, row: &HealingRow) {
        let due = row.incident.as_ref().and_then(|incident| incident.repeat_at).is_none_or(|at| at <= self.now.at);
        if !due || matches!(self.alert_verdict(drone), Verdict::Hold(_)) {
            return;
        }
        let repeat_at = self.now.at + self.settings.healing.alert_repeat;
        self.change_incident(drone, |incident| incident.repeat_at = Some(repeat_at));
        let (subject, text) = self.told(drone, row);
        let subject = format!("still: {subject}");
        self.drone_event("alert", drone, subject.clone());
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

    pub(super) fn drone_event(&mut self, kind: &str, drone: &DroneId, message: String) {
        let name = self.drone_name(drone);
        self.event(kind, message, |event| event.drone = Some(name));
    }
}

/// Notices of one incident are one story.
fn incident_key(drone: &DroneId, number: u64) -> String {
    format!("drone/{drone}/{number}")
}
