//! Entries by what makes them the same package.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_package_and_by_version() {
        let package = |cpv: &str, flags: &[&str]| Identity {
            profile: "default".to_owned(),
            cpv: cpv.to_owned(),
            use_flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Identity::default()
        };
        let (plain, doc) = (package("a/b-1", &[]), package("a/b-1", &["doc"]));
        let mut identities = Identities::default();
        for (identity, session, id) in [(&plain, 1, 1), (&plain, 2, 2), (&doc, 1, 3), (&package("a/b-2", &[]), 1, 4)] {
            identities.note(identity.clone(), SessionId(session), BuildId(id));
        }
        let ids = |found: &mut dyn Iterator<Item = BuildId>| found.map(|id| id.0).collect::<Vec<_>>();
        assert_eq!(ids(&mut identities.same(&plain)), [1, 2]);
        assert_eq!(ids(&mut identities.of_version("default", "a/b-1")), [1, 2, 3]);
        assert_eq!(ids(&mut identities.of_version("other", "a/b-1")), [0; 0]);
        // another entry stands for it by now
        identities.forget(plain.clone(), SessionId(1), BuildId(9));
        assert_eq!(identities.get(&(plain.clone(), SessionId(1))), Some(BuildId(1)));
        identities.forget(plain.clone(), SessionId(1), BuildId(1));
        assert_eq!(identities.get(&(plain, SessionId(1))), None);
    }
}
