//! One rung is done: by the drone's first route, and by the next one if that does not do it. What becomes of it sets the level
//! and the wait after it; which rung is next is the ladder's to say.

use swarm_protocol::DroneId;
use swarm_protocol::order::{EscalationRefusal, Rung};

use crate::core::Core;
use crate::effect::{Effect, Escalation, Route};
use crate::input::RouteOutcome;
use crate::rows::{Acting, Deed, DeedOutcome, EventKind, HealingRow, Incident, OrderedBy, RouteKind};

/// On top of a route's own bound, before an act without an answer is given up; milliseconds.
const OURS_AFTER: u64 = 5_000;
/// Wait after a drone refused because it builds, milliseconds.
const BUILDING_WAIT: u64 = 30_000;

impl Core {
    /// Gives the order of a rung, by the drone's first route.
    pub(super) fn act(&mut self, drone: &DroneId, rung: Rung, by: &OrderedBy, reason: &str) {
        let mut row = self.healing_row(drone);
        let day = self.now.at.saturating_sub(super::brakes::DAY);
        row.reboots.retain(|at| *at >= day);
        if rung == Rung::RebootContainer {
            row.reboots.push(self.now.at);
        }
        row.acting =
            Some(Acting { rung, generation: 0, route: 0, by: by.name().to_owned(), until: 0, since: self.now.wall });
        if let Some(incident) = &mut row.incident {
            incident.attempts = incident.attempts.saturating_add(1);
        }
        self.rows.healing.put(row);
        if rung == Rung::RebootContainer {
            self.note_reboot(drone);
        }
        let kind = if rung == Rung::RebootContainer { EventKind::Reboot } else { EventKind::Escalate };
        let name = self.drone_name(drone);
        self.drone_event(kind, drone, format!("{} of {name} by {}: {reason}", rung.name(), by.name()));
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
        let route = self.routes(drone, acting.rung).get(acting.route).map(Route::kind);
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
        let (rung, by_swarm) = (acting.rung, acting.ordered_by() == OrderedBy::Swarm);
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
        self.drone_event(
            EventKind::Heal,
            drone,
            format!("{} of {name} is tried by no further route: {reason}", rung.name()),
        );
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
        self.drone_event(EventKind::Escalate, drone, text);
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
            self.drone_event(EventKind::Warn, drone, text);
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
            let route = self.routes(&row.drone, acting.rung).get(acting.route).map(Route::kind);
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
}
