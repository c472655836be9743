//! Leaving: who is revoked or forgotten loses its place on the bus, its work goes back to the queue, and nothing it still
//! says counts.

use swarm_protocol::DroneId;

use crate::answer::{Done, Refusal, RefusalKind};
use crate::core::Core;
use crate::rows::{Cancelling, EventKind, MemberOrigin, MemberRole, MemberRow, Standing};

impl Core {
    /// Never lets this key in again, whatever the drone is doing.
    pub(crate) fn revoke_drone(&mut self, actor: &str, name: &str) -> Result<Done, Refusal> {
        let (id, name) = self.find_member(name)?;
        self.take_all_from(actor, &id, &name, "revoked");
        self.strike(&id, &name, Standing::Revoked { by: actor.to_owned(), at: self.now.wall });
        self.event(EventKind::Control, format!("{actor} revoked {name}: its key is good no more"), |event| {
            event.drone = Some(name.clone());
        });
        Ok(Done { touched: 1, what: vec![name] })
    }

    /// Forgets a drone that is offline. Its key is let in no more, until it is invited or the configuration names it anew.
    pub(crate) fn forget_drone(&mut self, actor: &str, name: &str) -> Result<Done, Refusal> {
        let (id, name) = self.find_member(name)?;
        let seen = self.rows.drones.get(&id).is_some();
        if seen && self.in_grace() && self.soft.fleet.pulse(&id).is_none() {
            return Err(Refusal {
                kind: RefusalKind::Conflict,
                error: format!("the controller has just started and cannot tell yet whether {name} is online"),
                hint: Some("try again in a minute".to_owned()),
            });
        }
        if self.soft.fleet.is_online(&id) {
            return Err(Refusal {
                kind: RefusalKind::Conflict,
                error: format!("{name} is online"),
                hint: Some(format!("stop its agent first, or cut it off with `swarm drone revoke {name}`")),
            });
        }
        self.take_all_from(actor, &id, &name, "forgot");
        if self.is_member(&id) {
            self.strike(&id, &name, Standing::Forgotten { by: actor.to_owned(), at: self.now.wall });
        }
        self.event(EventKind::Control, format!("{actor} forgot {name}"), |event| event.drone = Some(name.clone()));
        Ok(Done { touched: 1, what: vec![name] })
    }

    /// Lets a tapper read no more.
    pub(crate) fn revoke_tapper(&mut self, actor: &str, name: &str) -> Result<Done, Refusal> {
        let known = self
            .rows
            .members
            .iter()
            .find(|row| row.role == MemberRole::Tapper && row.is_in() && (row.name == name || row.id == name));
        let Some(row) = known.cloned() else {
            return Err(Refusal {
                kind: RefusalKind::NotFound,
                error: format!("there is no tapper {name}"),
                hint: Some("`swarm events tapper --list` shows them".to_owned()),
            });
        };
        let name = row.name.clone();
        self.put_member(MemberRow { standing: Standing::Revoked { by: actor.to_owned(), at: self.now.wall }, ..row });
        self.event(EventKind::Control, format!("{actor} revoked the tapper {name}"), |_| {});
        Ok(Done { touched: 1, what: vec![name] })
    }

    /// A drone by name or identity, whether it was ever here or only let in.
    fn find_member(&self, name: &str) -> Result<(DroneId, String), Refusal> {
        if let Ok(id) = self.find_drone(name) {
            let name = self.drone_name(&id);
            return Ok((id, name));
        }
        let known = self
            .rows
            .members
            .iter()
            .find(|row| row.role == MemberRole::Drone && row.is_in() && (row.name == name || row.id == name));
        known.map(|row| (DroneId(row.id.clone()), row.name.clone())).ok_or_else(|| Refusal {
            kind: RefusalKind::NotFound,
            error: format!("there is no drone {name}"),
            hint: Some("`swarm fleet` shows those that were here, `swarm bus members` all that are let in".to_owned()),
        })
    }

    /// What it has goes back to the queue, at no cost to the packages; its row and soft state go.
    fn take_all_from(&mut self, actor: &str, id: &DroneId, name: &str, verb: &str) {
        self.take_plans_from(id);
        for build in self.held_by(id) {
            self.build_event(
                EventKind::Reclaim,
                build,
                format!("{actor} {verb} {name}, which had it"),
                Some(name.to_owned()),
            );
            // what a person wanted of it meanwhile still holds
            let wanted = self.rows.builds.get(&build).and_then(|row| row.assignment()?.cancelling.clone());
            self.after_cancel(build, wanted.unwrap_or(Cancelling::Return {}));
        }
        self.rows.drones.remove(id);
        self.soft.fleet.forget(id);
        self.soft.placement.forget(id);
        self.soft.view.forget(id);
        self.forget_healing(id);
        self.soft.placement.work_may_be_given();
    }

    fn strike(&mut self, id: &DroneId, name: &str, standing: Standing) {
        let row = self.rows.members.get(&id.0).cloned().unwrap_or_else(|| MemberRow {
            id: id.0.clone(),
            name: name.to_owned(),
            role: MemberRole::Drone,
            origin: MemberOrigin::Elsewhere {},
            by: "the bus".to_owned(),
            since: self.now.wall,
            standing: Standing::Admitted {},
        });
        self.put_member(MemberRow { standing, ..row });
    }
}
