//! The roll of members: rows that are written, what readers see of them, bounds on how many there are.

use crate::answer::{Refusal, RefusalKind};
use crate::core::Core;
use crate::rows::{MemberRole, MemberRow, Standing};

use super::Membership;

/// Members let in at one time, about: rows of those who left take what others leave free.
const MAX_MEMBERS: usize = 10_000;
/// Rows of members that left; beyond, the oldest are forgotten.
const MAX_LEFT: usize = 1_000;

impl Core {
    /// Who is to be let in, as the rows have it.
    pub fn membership(&self) -> Membership {
        Membership::of(&self.rows, self.soft.members.membership().generation)
    }

    /// Writes a member; readers see it with the next view.
    pub(super) fn put_member(&mut self, row: MemberRow) {
        let left = !row.is_in();
        self.rows.members.put(row);
        self.soft.members.changed();
        if left {
            self.forget_those_long_gone();
        }
    }

    /// What readers see: made anew once for however many changes.
    pub(crate) fn refresh_membership(&mut self) {
        self.soft.members.refresh(&self.rows);
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
    pub(super) fn name_taken(&self, role: MemberRole, name: &str, id: &str) -> bool {
        let other = |row: &MemberRow| row.role == role && row.name == name && row.id != id && row.is_in();
        self.rows.members.iter().any(other)
            || (role == MemberRole::Drone && self.rows.drones.iter().any(|row| row.name == name && row.id.0 != id))
    }

    pub(super) fn is_full(&self) -> bool {
        // those who left are bounded by themselves
        self.rows.members.len() >= MAX_MEMBERS + MAX_LEFT
    }
}

pub(super) fn conflict(error: String, hint: &str) -> Refusal {
    Refusal { kind: RefusalKind::Conflict, error, hint: Some(hint.to_owned()) }
}

pub(super) fn full() -> Refusal {
    Refusal {
        kind: RefusalKind::Full,
        error: format!("the bus has {MAX_MEMBERS} members"),
        hint: Some("revoke some of them".to_owned()),
    }
}
