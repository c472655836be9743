//! What waits for a drone, by the moment it is looked at next: ready entries, and plans without a planner. Holds only moments
//! and what the last look found; `look` decides what that means. As many as wait are in it; a restart begins anew.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, PlanId};

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// An entry, for a drone to build it.
    Entry(BuildId),
    /// A plan, for a drone to make it.
    Plan(PlanId),
}

/// What the last look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chance {
    /// A drone may take it, or nobody has looked yet.
    Fair,
    /// Nobody may, since this moment.
    None {
        /// On the core's clock.
        since: u64,
    },
    /// Nobody may, and people were told.
    Told,
}

/// Everything that waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    due: BTreeSet<(u64, Subject)>,
    known: BTreeMap<Subject, (u64, Chance)>,
}

impl Watch {
    /// Something waits from `now` on, if it does not already.
    pub(crate) fn add(&mut self, subject: Subject, now: u64) {
        if !self.known.contains_key(&subject) {
            self.put(subject, now, Chance::Fair);
        }
    }

    /// It does not wait any more.
    pub(crate) fn forget(&mut self, subject: Subject) {
        if let Some((at, _)) = self.known.remove(&subject) {
            self.due.remove(&(at, subject));
        }
    }

    /// What is due first at `now`, if anything is. It stays due until [`Watch::put`] or [`Watch::forget`].
    pub(super) fn first_due(&self, now: u64) -> Option<(Subject, Chance)> {
        let (_, subject) = self.due.first().filter(|(at, _)| *at <= now)?;
        self.known.get(subject).map(|(_, chance)| (*subject, *chance))
    }

    /// It is looked at again at this moment.
    pub(super) fn put(&mut self, subject: Subject, at: u64, chance: Chance) {
        self.forget(subject);
        self.due.insert((at, subject));
        self.known.insert(subject, (at, chance));
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}
