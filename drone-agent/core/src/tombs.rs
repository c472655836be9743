//! Which attempts are over: a late copy of an order for one of them never runs again.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use swarm_protocol::{Fence, StoreId};

use crate::Millis;

/// Milliseconds a tombstone stands: no copy of an order is a day late.
pub const TOMB_MS: Millis = 24 * 3_600_000;
/// Most tombstones kept; the oldest go first.
pub const MAX_TOMBS: usize = 10_000;

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tomb {
    /// The attempt that is over.
    pub fence: Fence,
    /// The store whose order it was.
    pub store_id: StoreId,
    /// Since when.
    pub at: Millis,
}

/// The tombstones of one store, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Tombs {
    by_fence: BTreeMap<Fence, Millis>,
    by_age: VecDeque<(Millis, Fence)>,
}

impl Tombs {
    /// Adds one; a fence already there keeps its first date.
    pub fn add(&mut self, fence: Fence, at: Millis) {
        if self.by_fence.contains_key(&fence) {
            return;
        }
        self.by_fence.insert(fence, at);
        self.by_age.push_back((at, fence));
        while self.by_age.len() > MAX_TOMBS {
            self.drop_oldest();
        }
    }

    /// Removes those that have stood long enough.
    pub fn expire(&mut self, now: Millis) {
        while self.by_age.front().is_some_and(|(at, _)| at.saturating_add(TOMB_MS) <= now) {
            self.drop_oldest();
        }
    }

    /// Whether the attempt is over.
    pub fn has(&self, fence: Fence) -> bool {
        self.by_fence.contains_key(&fence)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Fence, Millis)> + '_ {
        self.by_age.iter().map(|&(at, fence)| (fence, at))
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.by_fence.clear();
        self.by_age.clear();
    }

    fn drop_oldest(&mut self) {
        if let Some((_, fence)) = self.by_age.pop_front() {
            self.by_fence.remove(&fence);
        }
    }
}

#[cfg(test)]
mod tests {
    use swarm_protocol::{Attempt, BuildId};

    use super::*;

    fn fence(build: u64) -> Fence {
        Fence { build: BuildId(build), attempt: Attempt(1) }
    }

    #[test]
    fn a_tombstone_stands_for_a_day() {
        let mut tombs = Tombs::default();
        tombs.add(fence(1), 1_000);
        tombs.expire(1_000 + TOMB_MS - 1);
        assert!(tombs.has(fence(1)));
        tombs.expire(1_000 + TOMB_MS);
        assert!(!tombs.has(fence(1)) && tombs.is_empty());
    }

    #[test]
    fn beyond_the_bound_the_oldest_go() {
        let mut tombs = Tombs::default();
        for build in 0..MAX_TOMBS as u64 + 5 {
            tombs.add(fence(build), build);
        }
        assert_eq!(tombs.len(), MAX_TOMBS);
        assert!(!tombs.has(fence(4)) && tombs.has(fence(5)));
    }

    #[test]
    fn a_fence_is_entombed_once() {
        let mut tombs = Tombs::default();
        tombs.add(fence(1), 1);
        tombs.add(fence(1), 2);
        assert_eq!(tombs.iter().collect::<Vec<_>>(), [(fence(1), 1)]);
    }
}
