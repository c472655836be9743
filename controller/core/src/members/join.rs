//! Coming in: by invitation, by file on this machine, or as a tapper.

use std::collections::BTreeMap;

use swarm_protocol::DroneId;

use crate::answer::{Done, Enrolled, Refusal, RefusalKind, invalid};
use crate::core::Core;
use crate::names::{NAME_RULE, is_drone_name};
use crate::rows::{EventKind, InviteState, MemberOrigin, MemberRole, MemberRow, Standing};

use super::invite::unknown_invitation;
use super::roll::{conflict, full};

/// Who lets in the drones the configuration names.
const CONFIGURATION: &str = "the configuration";

impl Core {
    /// Lets in the drone that proved to have the token. A repeat by the same key is answered the same: the first answer may
    /// have been lost.
    pub(crate) fn enrol(&mut self, invitation: &str, drone: &DroneId) -> Result<Enrolled, Refusal> {
        let row = self.rows.invites.get(&invitation.to_owned()).cloned().ok_or_else(unknown_invitation)?;
        let gone = |error: String| Refusal {
            kind: RefusalKind::Gone,
            error,
            hint: Some(format!("ask for a new one: `swarm drone invite {}`", row.name)),
        };
        match &row.state {
            InviteState::Used { drone: who, .. } if who == drone && self.is_member(drone) => {
                return Ok(Enrolled { name: row.name, drone: drone.clone() });
            }
            InviteState::Used { .. } => return Err(gone(format!("the invitation for {} was used already", row.name))),
            InviteState::Closed { .. } => {
                return Err(gone(format!("the invitation for {} was closed after wrong tokens", row.name)));
            }
            InviteState::Open { .. } if !self.stands_open(&row) => {
                return Err(gone(format!("the invitation for {} has expired", row.name)));
            }
            InviteState::Open { .. } => {}
        }
        self.may_come_in(MemberRole::Drone, &drone.0, &row.name)?;
        let (name, at) = (row.name, self.now.wall);
        if let Some(invite) = self.rows.invites.change(&row.id) {
            invite.state = InviteState::Used { drone: drone.clone(), at };
        }
        self.put_member(MemberRow {
            id: drone.0.clone(),
            name: name.clone(),
            role: MemberRole::Drone,
            origin: MemberOrigin::Invited { invitation: row.id },
            by: row.by.clone(),
            since: at,
            standing: Standing::Admitted {},
        });
        let message = format!("{name} came in by the invitation of {}", row.by);
        self.event(EventKind::Register, message, |event| {
            event.drone = Some(name.clone());
            event.details.insert("key".to_owned(), drone.0.clone());
        });
        Ok(Enrolled { name, drone: drone.clone() })
    }

    /// Lets in a tapper whose public key somebody with the admin key hands in.
    pub(crate) fn admit_tapper(&mut self, actor: &str, id: &str, name: &str) -> Result<Done, Refusal> {
        if !is_drone_name(name) {
            return Err(invalid(format!("{name:?} is no name for a tapper"), NAME_RULE));
        }
        let known = self.rows.members.get(&id.to_owned()).filter(|row| row.is_in());
        if known.is_some_and(|row| row.role == MemberRole::Tapper && row.name == name) {
            return Ok(Done { touched: 0, what: vec![name.to_owned()] });
        }
        self.may_come_in(MemberRole::Tapper, id, name)?;
        self.put_member(MemberRow {
            id: id.to_owned(),
            name: name.to_owned(),
            role: MemberRole::Tapper,
            origin: MemberOrigin::Handed {},
            by: actor.to_owned(),
            since: self.now.wall,
            standing: Standing::Admitted {},
        });
        self.event(EventKind::Control, format!("{actor} let {name} read the events on the bus"), |_| {});
        Ok(Done { touched: 1, what: vec![name.to_owned()] })
    }

    /// Makes exactly these the drones of this machine; what the configuration names no more is let in no more. Gives the
    /// names that stay out.
    pub(crate) fn local_drones(&mut self, drones: &[(DroneId, String)]) -> Done {
        let named: BTreeMap<&str, &str> = drones.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
        let dropped: Vec<MemberRow> = self
            .rows
            .members
            .iter()
            .filter(|row| row.is_in() && row.origin == MemberOrigin::Local {})
            .filter(|row| named.get(row.id.as_str()) != Some(&row.name.as_str()))
            .cloned()
            .collect();
        for row in dropped {
            let standing = Standing::Forgotten { by: CONFIGURATION.to_owned(), at: self.now.wall };
            let message = format!("{} is let in no more: {CONFIGURATION} does not name it", row.name);
            self.event(EventKind::Control, message, |event| event.drone = Some(row.name.clone()));
            self.put_member(MemberRow { standing, ..row });
        }
        let mut refused = Done { touched: 0, what: Vec::new() };
        for (id, name) in drones {
            if self.is_member(id) {
                continue;
            }
            if let Err(refusal) = self.may_come_in(MemberRole::Drone, &id.0, name) {
                refused.touched += 1;
                refused.what.push(name.clone());
                let message = format!("{name} of this machine stays out: {}", refusal.error);
                self.event(EventKind::Warn, message, |event| event.drone = Some(name.clone()));
                continue;
            }
            self.put_member(MemberRow {
                id: id.0.clone(),
                name: name.clone(),
                role: MemberRole::Drone,
                origin: MemberOrigin::Local {},
                by: CONFIGURATION.to_owned(),
                since: self.now.wall,
                standing: Standing::Admitted {},
            });
            self.event(EventKind::Register, format!("{name} of this machine is let in"), |event| {
                event.drone = Some(name.clone());
            });
        }
        refused
    }

    pub(crate) fn is_member(&self, drone: &DroneId) -> bool {
        self.rows.members.get(&drone.0).is_some_and(MemberRow::is_in)
    }

    fn may_come_in(&self, role: MemberRole, id: &str, name: &str) -> Result<(), Refusal> {
        match self.rows.members.get(&id.to_owned()) {
            Some(row) if row.is_in() => {
                let known = format!("this key is known as the {} {} already", row.role.name(), row.name);
                return Err(conflict(known, "every member needs a key of its own"));
            }
            Some(MemberRow { standing: Standing::Revoked { by, .. }, .. }) => {
                return Err(conflict(format!("this key was revoked by {by}"), "make a new key and try again"));
            }
            Some(_) | None => {}
        }
        if self.name_taken(role, name, id) {
            let hint = format!("choose another name, or revoke the other {}", role.name());
            return Err(conflict(format!("there is a {} {name} already", role.name()), &hint));
        }
        if self.is_full() { Err(full()) } else { Ok(()) }
    }
}
