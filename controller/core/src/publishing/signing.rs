//! Signatures that failed: how often each was tried, and when it is tried again. One that is being tried has no moment: a
//! second try behind it would change the file that was published.

use std::collections::BTreeMap;

use swarm_protocol::ArtifactId;

use crate::timers::Timers;

/// Signatures tried before the drone is asked for the file again.
const MAX_TRIES: u32 = 3;
/// Wait before a failed signature is tried again, milliseconds.
const TRY_AGAIN: u64 = 5_000;

/// Signatures that failed at least once.
#[derive(Debug, Clone, Default)]
pub(super) struct Signing {
    tries: BTreeMap<ArtifactId, u32>,
    again: Timers<ArtifactId>,
}

impl Signing {
    /// A signature failed; whether it is tried again.
    pub(super) fn failed(&mut self, id: ArtifactId, now: u64) -> bool {
        let tries = self.tries.entry(id).or_default();
        *tries += 1;
        if *tries >= MAX_TRIES {
            self.settled(id);
            return false;
        }
        self.again.set(id, now + TRY_AGAIN);
        true
    }

    /// It is signed, or given up.
    pub(super) fn settled(&mut self, id: ArtifactId) {
        self.tries.remove(&id);
        self.again.clear(&id);
    }

    /// Takes those whose next try is due.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<ArtifactId> {
        let mut due = self.again.take_due(now);
        due.sort_unstable();
        due
    }

    /// When the next try is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.again.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_tried_three_times_and_never_twice_at_once() {
        let (mut signing, id) = (Signing::default(), ArtifactId(1));
        assert!(signing.failed(id, 1_000));
        assert_eq!((signing.next(), signing.take_due(5_999)), (Some(6_000), vec![]));
        assert_eq!(signing.take_due(6_000), [id]);
        assert_eq!((signing.next(), signing.take_due(99_000)), (None, vec![]), "it is in hand until its answer comes");
        assert!(signing.failed(id, 6_000));
        assert!(!signing.failed(id, 11_000), "the third failure is the last");
        assert_eq!(signing.next(), None);
        assert!(signing.failed(id, 20_000), "and the next file begins anew");
    }
}
