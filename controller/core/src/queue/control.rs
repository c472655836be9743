//! The controls people have: over the swarm, over packages, over drones.

use std::collections::BTreeSet;

use swarm_protocol::{BuildId, DroneId};

use crate::answer::{Done, Refusal, RefusalKind, invalid};
use crate::core::Core;
use crate::effect::Effect;
use crate::request::{ConfigChange, Control, DroneAction};
use crate::rows::{Assignment, BlockedBy, BuildState, Cancelling, ConfigRow, EventKind, Fact};

impl Core {
    pub(crate) fn control(
        &mut self,
        actor: &str,
        action: Control,
        package: Option<&str>,
        drone: Option<&str>,
    ) -> Result<Done, Refusal> {
        let drone = drone.map(|name| self.find_drone(name)).transpose()?;
        match action {
            Control::Pause => Ok(self.pause(actor)),
            Control::Resume => Ok(self.resume(actor)),
            Control::Block => self.block(actor, package),
            Control::Unblock => self.unblock(actor, package),
            Control::Reclaim => self.reclaim(actor, package, drone),
            Control::Rebalance => self.rebalance(actor, package, drone),
            Control::Unground => Ok(self.unground(actor, drone, true)),
            Control::ResetUpload => Ok(self.unground(actor, drone, false)),
            Control::Reset => self.start_over(actor, package, true),
            Control::RetryFailures => self.start_over(actor, package, false),
            Control::ClearFailures => self.clear_failures(actor, package),
            Control::ClearHistory => Ok(self.clear_history(actor)),
        }
    }

    fn pause(&mut self, actor: &str) -> Done {
        let since = self.now.wall;
        let fact = Fact { by: actor.to_owned(), reason: "paused by a person".to_owned(), since, until: None };
        let news = self.meta().paused.is_none();
        if news {
            self.meta_mut().paused = Some(fact);
            // what waits in drones' lines is asked back
            self.soft.placement.work_may_be_given();
            self.event(EventKind::Control, format!("{actor} paused the swarm"), |_| {});
        }
        Done { touched: u64::from(news), what: Vec::new() }
    }

    fn resume(&mut self, actor: &str) -> Done {
        let news = self.meta().paused.is_some();
        if news {
            self.meta_mut().paused = None;
            self.soft.placement.work_may_be_given();
            self.event(EventKind::Control, format!("{actor} resumed the swarm"), |_| {});
        }
        Done { touched: u64::from(news), what: Vec::new() }
    }

    /// Entries in the active session, or all if none is open; or those a name means.
    fn scope(&self, package: Option<&str>) -> Result<Vec<BuildId>, Refusal> {
        match package {
            Some(name) => self.named(name),
            None => Ok(match self.active_session() {
                Some(session) => self.soft.queue.names.in_session(session).collect(),
                None => self.rows.builds.iter().map(|row| row.id).collect(),
            }),
        }
    }

    fn block(&mut self, actor: &str, package: Option<&str>) -> Result<Done, Refusal> {
        let Some(package) = package else {
            return Err(invalid("block needs a package".to_owned(), "name the package to block"));
        };
        let mut done = Done { touched: 0, what: Vec::new() };
        for id in self.named(package)? {
            let Some(row) = self.rows.builds.get(&id) else { continue };
            let atom = row.atom();
            match &row.state {
                BuildState::Received { .. } | BuildState::Blocked { by: BlockedBy::Person { .. }, .. } => continue,
                // what is being removed stays so
                BuildState::Delegated { assignment } if assignment.cancelling == Some(Cancelling::Remove {}) => {
                    continue;
                }
                BuildState::Delegated { .. } => self.cancel(id, Cancelling::Block { by: actor.to_owned() }),
                _ => self.block_by_person(id, actor),
            }
            done.touched += 1;
            done.what.push(atom);
        }
        Ok(done)
    }

    pub(crate) fn block_by_person(&mut self, id: BuildId, actor: &str) {
        if let Some(BuildState::Planning { plan }) = self.rows.builds.get(&id).map(|row| &row.state) {
            let plan = *plan;
            self.drop_from_plan(plan, id);
        }
        self.build_event(EventKind::Blocked, id, format!("{actor} blocked it"), None);
        let by = BlockedBy::Person { name: actor.to_owned() };
        self.set_state(
            id,
            BuildState::Blocked {
                by,
                reasons: vec![format!("blocked by {actor}")],
                since: self.now.wall,
                retry_at: None,
            },
        );
    }

    fn unblock(&mut self, actor: &str, package: Option<&str>) -> Result<Done, Refusal> {
        let picked = |state: &BuildState| matches!(state, BuildState::Blocked { .. } | BuildState::Failed { .. });
        let blocked_only = |state: &BuildState| matches!(state, BuildState::Blocked { .. });
        let ids = self.scope(package)?;
        let mut done = self.renew(&ids, |state| if package.is_some() { picked(state) } else { blocked_only(state) });
        for id in ids {
            let Some(row) = self.rows.builds.get(&id) else { continue };
            let Some(assignment) = row.assignment() else { continue };
            let blocking = matches!(assignment.cancelling, Some(Cancelling::Block { .. }));
            if !blocking && assignment.sweep.is_none() {
                continue;
            }
            done.touched += 1;
            done.what.push(row.atom());
            self.clear_marks(id);
            self.change_assignment(id, |assignment| {
                assignment.sweep = None;
                if blocking {
                    assignment.cancelling = Some(Cancelling::Return {});
                }
            });
        }
        self.say(actor, EventKind::Unblock, "unblocked", &done);
        Ok(done)
    }

    /// Marks cleared, back to needed.
    fn renew(&mut self, ids: &[BuildId], picked: impl Fn(&BuildState) -> bool) -> Done {
        let mut done = Done { touched: 0, what: Vec::new() };
        for id in ids {
            let Some(row) = self.rows.builds.get(id).filter(|row| picked(&row.state)) else { continue };
            done.touched += 1;
            done.what.push(row.atom());
            self.start_anew(*id);
        }
        done
    }

    /// An entry is tried again as if it had never been.
    pub(crate) fn start_anew(&mut self, id: BuildId) {
        self.clear_marks(id);
        self.back_to_needed(id, 0);
    }

    fn clear_marks(&mut self, id: BuildId) {
        if let Some(row) = self.rows.builds.change(&id) {
            row.marks.clear();
            row.auto_retries = 0;
        }
    }

    fn say(&mut self, actor: &str, kind: EventKind, verb: &str, done: &Done) {
        if done.touched > 0 {
            let first = done.what.iter().take(5).cloned().collect::<Vec<_>>().join(" ");
            self.event(kind, format!("{actor} {verb} {} package(s): {first}", done.touched), |_| {});
        }
    }

    /// What drones hold, as far as it is meant: of a package, of a drone, of all.
    fn held_of(&self, package: Option<&str>, drone: Option<&DroneId>) -> Result<Vec<(DroneId, BuildId)>, Refusal> {
        let named: Option<BTreeSet<BuildId>> =
            package.map(|name| self.named(name)).transpose()?.map(BTreeSet::from_iter);
        let held = self.soft.fleet.hands.all().map(|(who, id)| (who.clone(), id));
        let meant = |(who, id): &(DroneId, BuildId)| {
            drone.is_none_or(|drone| drone == who) && named.as_ref().is_none_or(|named| named.contains(id))
        };
        Ok(held.filter(meant).collect())
    }

    /// Takes work back from drones that are offline, or from one that is named, begun or not.
    fn reclaim(&mut self, actor: &str, package: Option<&str>, drone: Option<DroneId>) -> Result<Done, Refusal> {
        let mut done = Done { touched: 0, what: Vec::new() };
        for (who, id) in self.held_of(package, drone.as_ref())? {
            let Some(row) = self.rows.builds.get(&id) else { continue };
            let offline = !self.soft.fleet.is_online(&who);
            let chosen = offline || drone.is_some() || package.is_some();
            if !chosen || row.assignment().is_some_and(Assignment::is_ending) {
                continue;
            }
            done.touched += 1;
            done.what.push(row.atom());
            if offline {
                let name = self.drone_name(&who);
                let message = format!("{actor} took it back from {name}, which is offline");
                self.build_event(EventKind::Reclaim, id, message, Some(name));
                self.after_cancel(id, Cancelling::Return {});
            } else {
                self.cancel(id, Cancelling::Return {});
            }
        }
        self.say(actor, EventKind::Reclaim, "reclaimed", &done);
        Ok(done)
    }

    /// Asks back what has not begun, to be given out anew.
    fn rebalance(&mut self, actor: &str, package: Option<&str>, drone: Option<DroneId>) -> Result<Done, Refusal> {
        let mut done = Done { touched: 0, what: Vec::new() };
        for (_, id) in self.held_of(package, drone.as_ref())? {
            let Some(row) = self.rows.builds.get(&id) else { continue };
            if row.assignment().is_some_and(|a| a.has_begun() || a.cancelling.is_some()) {
                continue;
            }
            done.touched += 1;
            done.what.push(row.atom());
            self.cancel(id, Cancelling::GiveBack {});
        }
        self.say(actor, EventKind::Rebalance, "asked back", &done);
        Ok(done)
    }

    /// Ends upload impairments and, unless only those are meant, groundings.
    fn unground(&mut self, actor: &str, drone: Option<DroneId>, grounded: bool) -> Done {
        let mut done = Done { touched: 0, what: Vec::new() };
        let ids: Vec<DroneId> = self
            .rows
            .drones
            .iter()
            .map(|row| row.id.clone())
            .filter(|id| drone.as_ref().is_none_or(|d| d == id))
            .collect();
        for id in ids {
            let Some(row) = self.rows.drones.get(&id) else { continue };
            if (row.grounded.is_none() || !grounded) && row.upload_impaired.is_none() {
                continue;
            }
            let name = row.name.clone();
            if let Some(row) = self.rows.drones.change(&id) {
                row.upload_impaired = None;
                row.streaks.uploads = 0;
                if grounded {
                    row.grounded = None;
                    row.streaks.failures = 0;
                }
            }
            self.soft.view.touch(&id);
            self.soft.placement.work_may_be_given();
            self.event(EventKind::Control, format!("{actor} released {name}"), |event| {
                event.drone = Some(name.clone())
            });
            done.touched += 1;
            done.what.push(name);
        }
        done
    }

    /// Everything blocked or failed back to needed; with `all`, what drones have is taken back, too.
    fn start_over(&mut self, actor: &str, package: Option<&str>, all: bool) -> Result<Done, Refusal> {
        let ids = self.scope(package)?;
        let mut done =
            self.renew(&ids, |state| matches!(state, BuildState::Blocked { .. } | BuildState::Failed { .. }));
        if all {
            for id in &ids {
                let Some(row) = self.rows.builds.get(id) else { continue };
                let atom = row.atom();
                match &row.state {
                    // what a person is blocking or removing stays so
                    BuildState::Delegated { assignment } if !assignment.is_ending() => {
                        self.change_assignment(*id, |assignment| assignment.sweep = None);
                        self.cancel(*id, Cancelling::Return {});
                    }
                    BuildState::Needed { not_before } if !row.marks.is_empty() || *not_before > self.now.at => {
                        self.set_state(*id, BuildState::Needed { not_before: 0 });
                    }
                    _ => continue,
                }
                self.clear_marks(*id);
                done.touched += 1;
                done.what.push(atom);
            }
        }
        self.say(actor, EventKind::Control, if all { "reset" } else { "put back into the queue" }, &done);
        Ok(done)
    }

    fn clear_failures(&mut self, actor: &str, package: Option<&str>) -> Result<Done, Refusal> {
        let ids: BTreeSet<BuildId> = self.scope(package)?.into_iter().collect();
        let mut done = Done { touched: 0, what: Vec::new() };
        for id in ids {
            let Some(row) = self.rows.builds.get(&id).filter(|row| !row.marks.is_empty()) else { continue };
            done.touched += 1;
            done.what.push(row.atom());
            self.clear_marks(id);
        }
        self.soft.placement.work_may_be_given();
        self.soft.placement.ask_all_again();
        self.say(actor, EventKind::Control, "cleared the failures of", &done);
        Ok(done)
    }

    fn clear_history(&mut self, actor: &str) -> Done {
        let up_to = self.meta().last_history;
        let names: Vec<String> = self.rows.stats.iter().map(|row| row.drone.clone()).collect();
        let touched = self.rows.stats.iter().map(|row| row.total).sum();
        for name in names {
            self.rows.stats.remove(&name);
        }
        self.soft.view.touch_all(self.rows.drones.iter().map(|row| row.id.clone()));
        self.effects.push(Effect::TrimHistory { up_to });
        self.event(EventKind::Control, format!("{actor} cleared the history"), |_| {});
        Done { touched, what: Vec::new() }
    }

    /// Keeps a setting that was changed, lets it hold from now on, and says so. The same value again changes nothing.
    pub(crate) fn configure(&mut self, actor: &str, change: ConfigChange) -> Done {
        let ConfigChange { key, value, before, after, settings } = change;
        if self.rows.config.get(&key).map(|row| &row.value) == value.as_ref() {
            return Done { touched: 0, what: Vec::new() };
        }
        match value {
            Some(value) => {
                self.rows.config.put(ConfigRow { key: key.clone(), value, at: self.now.wall, by: actor.to_owned() });
            }
            None => drop(self.rows.config.remove(&key)),
        }
        self.settings = *settings;
        self.look_ahead();
        // what was too little or too late a moment ago may be enough now
        self.soft.placement.work_may_be_given();
        self.event(EventKind::Audit, format!("{actor} changed {key} from {before} to {after}"), |event| {
            for (name, value) in [("actor", actor), ("key", &key), ("before", &before), ("after", &after)] {
                event.details.insert(name.to_owned(), value.to_owned());
            }
        });
        Done { touched: 1, what: vec![key] }
    }

    /// A drone by its name or identity.
    pub(crate) fn find_drone(&self, name: &str) -> Result<DroneId, Refusal> {
        let hit = self.rows.drones.iter().find(|row| row.name == name || row.id.0 == name);
        hit.map(|row| row.id.clone()).ok_or_else(|| Refusal {
            kind: RefusalKind::NotFound,
            error: format!("there is no drone {name}"),
            hint: Some("`swarm fleet` shows all drones".to_owned()),
        })
    }

    pub(crate) fn drone_action(&mut self, actor: &str, name: &str, action: DroneAction) -> Result<Done, Refusal> {
        match action {
            DroneAction::Forget => return self.forget_drone(actor, name),
            DroneAction::Revoke => return self.revoke_drone(actor, name),
            DroneAction::Pause | DroneAction::Resume | DroneAction::Drain => {}
        }
        let id = self.find_drone(name)?;
        let name = self.drone_name(&id);
        let fact = |reason: &str| {
            Some(Fact { by: actor.to_owned(), reason: reason.to_owned(), since: self.now.wall, until: None })
        };
        let (paused, draining) = (fact("paused by a person"), fact("drained by a person"));
        let Some(row) = self.rows.drones.change(&id) else { return Ok(Done { touched: 0, what: Vec::new() }) };
        let verb = match action {
            DroneAction::Pause => {
                row.paused = paused;
                "paused"
            }
            DroneAction::Resume => {
                (row.paused, row.draining, row.drained) = (None, None, None);
                "resumed"
            }
            DroneAction::Drain => {
                if row.drained.is_none() {
                    row.draining = draining;
                }
                "drains"
            }
            DroneAction::Forget | DroneAction::Revoke => unreachable!("handled above"),
        };
        self.soft.view.touch(&id);
        self.soft.placement.work_may_be_given();
        self.event(EventKind::Control, format!("{actor} {verb} {name}"), |event| event.drone = Some(name.clone()));
        Ok(Done { touched: 1, what: vec![name] })
    }
}
