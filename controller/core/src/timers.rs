//! Moments at which something is due, one per key. Set where a rule changes; whoever asks for the next wake takes the least.

use std::collections::{BTreeMap, BTreeSet};

/// What is due when. The moments are on the core's clock.
#[derive(Debug, Clone)]
pub(crate) struct Timers<K> {
    moments: BTreeMap<K, u64>,
    order: BTreeSet<(u64, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { moments: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// It is due at this moment, and at no other any more.
    pub(crate) fn set(&mut self, key: K, at: u64) {
        if let Some(before) = self.moments.insert(key.clone(), at) {
            if before == at {
                return;
            }
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((at, key));
    }

    /// It is not due any more.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(at) = self.moments.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    /// When it is due.
    pub(crate) fn at(&self, key: &K) -> Option<u64> {
        self.moments.get(key).copied()
    }

    /// When the first of all is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// What is due at `now`, the earliest first. It stays due.
    pub(crate) fn due(&self, now: u64) -> impl Iterator<Item = &K> {
        self.order.iter().take_while(move |(at, _)| *at <= now).map(|(_, key)| key)
    }

    /// Takes what is due first at `now`, if anything is.
    pub(crate) fn pop(&mut self, now: u64) -> Option<K> {
        self.order.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = self.order.pop_first()?;
        self.moments.remove(&key);
        Some(key)
    }

    /// Takes all that is due at `now`, the earliest first; what is set anew while it is worked off comes next time.
    pub(crate) fn take_due(&mut self, now: u64) -> Vec<K> {
        std::iter::from_fn(|| self.pop(now)).collect()
    }
}

impl<K: Ord + Clone> FromIterator<(K, u64)> for Timers<K> {
    fn from_iter<I: IntoIterator<Item = (K, u64)>>(moments: I) -> Self {
        let mut timers = Self::default();
        moments.into_iter().for_each(|(key, at)| timers.set(key, at));
        timers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_anew_is_due_once_and_at_its_new_moment() {
        let mut timers = Timers::from_iter([("a", 300), ("b", 200), ("c", 200)]);
        assert_eq!((timers.next(), timers.at(&"a")), (Some(200), Some(300)));
        timers.set("b", 400);
        timers.set("a", 100);
        assert_eq!(timers.due(300).copied().collect::<Vec<_>>(), ["a", "c"]);
        timers.clear(&"c");
        timers.clear(&"c");
        assert_eq!((timers.take_due(300), timers.next()), (vec!["a"], Some(400)));
        assert_eq!((timers.pop(399), timers.pop(400), timers.is_empty()), (None, Some("b"), true));
    }
}
