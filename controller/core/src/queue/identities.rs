//! Entries by what makes them the same package (decision 1).

use std::collections::BTreeMap;

use swarm_protocol::{BuildId, SessionId};

use crate::rows::Identity;

/// Entries by identity and session.
#[derive(Debug, Default)]
pub(super) struct Identities {
    entries: BTreeMap<(Identity, SessionId), BuildId>,
}

impl Identities {
    /// An entry stands for this package in this session.
    pub(super) fn note(&mut self, identity: Identity, session: SessionId, id: BuildId) {
        self.entries.insert((identity, session), id);
    }

    /// The entry that stands for a package in a session.
    pub(super) fn get(&self, key: &(Identity, SessionId)) -> Option<BuildId> {
        self.entries.get(key).copied()
    }

    /// An entry stands for this package no more.
    pub(super) fn forget(&mut self, identity: Identity, session: SessionId, id: BuildId) {
        let key = (identity, session);
        if self.get(&key) == Some(id) {
            self.entries.remove(&key);
        }
    }

    /// Entries that stand for a package, one per session.
    pub(super) fn same<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = BuildId> + 'a {
        let first = (identity.clone(), SessionId(0));
        self.entries.range(first..).take_while(move |((other, _), _)| other == identity).map(|(_, id)| *id)
    }

    /// Entries that stand for a version in a build profile, whatever its USE flags.
    pub(super) fn of_version<'a>(&'a self, profile: &'a str, cpv: &'a str) -> impl Iterator<Item = BuildId> + 'a {
        let first = Identity { profile: profile.to_owned(), cpv: cpv.to_owned(), ..Identity::default() };
        let same = move |identity: &Identity| identity.profile == profile && identity.cpv == cpv;
        let from = self.entries.range((first, SessionId(0))..);
        from.take_while(move |((identity, _), _)| same(identity)).map(|(_, id)| *id)
    }
}
