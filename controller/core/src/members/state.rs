//! Who is to be let in, made of the rows once for however many changes. Readers share it.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarm_protocol::DroneId;

use crate::rows::{MemberRole, Rows};

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

/// What is soft about members.
#[derive(Debug, Default)]
pub(crate) struct MembersState {
    membership: Arc<Membership>,
    /// Rows have changed since it was made.
    stale: bool,
}

impl MembersState {
    /// As the rows say at the start.
    pub(crate) fn of(rows: &Rows) -> Self {
        Self { membership: Arc::new(Membership::of(rows, 1)), stale: false }
    }

    /// Somebody is let in, or no more.
    pub(super) fn changed(&mut self) {
        self.stale = true;
    }

    /// Makes it anew if rows have changed.
    pub(super) fn refresh(&mut self, rows: &Rows) {
        if std::mem::take(&mut self.stale) {
            self.membership = Arc::new(Membership::of(rows, self.membership.generation + 1));
        }
    }

    /// As it was last made.
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }
}
