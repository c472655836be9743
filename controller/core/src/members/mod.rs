//! Who is let onto the bus: invitations, enrolment, leaving. Every change is a row; what the bus enforces is derived from
//! the rows ([`Membership`]) and follows their commit.
//!
//! Never checks a signature (the façade does, against what [`crate::Request::Invitation`] gives) and never decides what a
//! member may say (`bus::permissions` does).

mod invite;
mod join;
mod leave;

pub use invite::InviteRequest;

use std::collections::BTreeSet;
use std::sync::Arc;

use swarm_protocol::DroneId;

use crate::core::Core;
use crate::effect::{Refusal, RefusalKind};
use crate::rows::{MemberRole, MemberRow, Rows, Standing};

/// Members let in at one time, about: rows of those who left take what others leave free.
const MAX_MEMBERS: usize = 10_000;
/// Rows of members that left; beyond, the oldest are forgotten.
const MAX_LEFT: usize = 1_000;

/// Everyone the bus is to let in, besides the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Rises with each change within one life of the process.
    pub generation: u64,
    /// Drones.
    pub drones: BTreeSet<DroneId>,
    /// Identities of tappers.
    pub tappers: BTreeSet<String>,
}

impl Membership {
    pub(crate) fn of(rows: &Rows, generation: u64) -> Self {
        let mut membership = Self { generation, ..Self::default() };
        for row in rows.members.iter().filter(|row| row.is_in()) {
            match row.role {
                MemberRole::Drone => drop(membership.drones.insert(DroneId(row.id.clone()))),
                MemberRole::Tapper => drop(membership.tappers.insert(row.id.clone())),
            }
        }
        membership
    }
}

impl Core {
    /// Who is to be let in, as the rows have it.
    pub fn membership(&self) -> Membership {
        Membership::of(&self.rows, self.soft.membership.generation)
    }

    /// Writes a member; readers see it with the next view.
    fn put_member(&mut self, row: MemberRow) {
        let left = !row.is_in();
        self.rows.members.put(row);
        self.soft.membership_due = true;
        if left {
            self.forget_those_long_gone();
        }
    }

    /// What readers see: made anew once for however many changes.
    pub(crate) fn refresh_membership(&mut self) {
        if std::mem::take(&mut self.soft.membership_due) {
            let generation = self.soft.membership.generation + 1;
            self.soft.membership = Arc::new(Membership::of(&self.rows, generation));
        }
    }

    fn forget_those_long_gone(&mut self) {
        let mut left: Vec<(u64, String)> = self
            .rows
            .members
            .iter()
            .filter_map(|row| match row.standing {
                Standing::Admitted {} => None,
                Standing::Forgotten { at, .. } | Standing::Revoked { at, .. } => Some((at, row.id.clone())),
            })
            .collect();
        left.sort_unstable();
        let surplus = left.len().saturating_sub(MAX_LEFT);
        for (_, id) in left.into_iter().take(surplus) {
            self.rows.members.remove(&id);
        }
    }

    /// Somebody else who is let in under this name, or a drone that is remembered under it.
    fn name_taken(&self, role: MemberRole, name: &str, id: &str) -> bool {
        let other = |row: &MemberRow| row.role == role && row.name == name && row.id != id && row.is_in();
        self.rows.members.iter().any(other)
            || (role == MemberRole::Drone && self.rows.drones.iter().any(|row| row.name == name && row.id.0 != id))
    }

    fn is_full(&self) -> bool {
        // those who left are bounded by themselves
        self.rows.members.len() >= MAX_MEMBERS + MAX_LEFT
    }
}

fn conflict(error: String, hint: &str) -> Refusal {
    Refusal { kind: RefusalKind::Conflict, error, hint: Some(hint.to_owned()) }
}

fn full() -> Refusal {
    Refusal {
        kind: RefusalKind::Full,
        error: format!("the bus has {MAX_MEMBERS} members"),
        hint: Some("revoke some of them".to_owned()),
    }
}
