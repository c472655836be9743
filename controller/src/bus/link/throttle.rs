//! Keeps a noisy sender from filling our log: once per source and minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);
/// Sources remembered; beyond, all are forgotten, and each may be heard once more.
const SOURCES: usize = 1024;

/// When each source was last let pass.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Mutex<BTreeMap<String, Instant>>,
}

impl Throttle {
    /// Whether a line about `source` is due.
    pub(super) fn lets_pass(&self, source: &str) -> bool {
        self.lets_pass_at(source, Instant::now())
    }

    fn lets_pass_at(&self, source: &str, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(source).is_some_and(|then| now.duration_since(*then) < EVERY) {
            return false;
        }
        if last.len() >= SOURCES {
            last.clear();
        }
        last.insert(source.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_source_and_minute() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert!(throttle.lets_pass_at("a", now));
        assert!(!throttle.lets_pass_at("a", now + Duration::from_secs(59)));
        assert!(throttle.lets_pass_at("b", now));
        assert!(throttle.lets_pass_at("a", now + Duration::from_secs(60)));
    }

    #[test]
    fn many_sources_do_not_grow_it() {
        let throttle = Throttle::default();
        for source in 0..5000 {
            throttle.lets_pass(&source.to_string());
        }
        assert!(throttle.last.lock().unwrap().len() <= SOURCES);
    }
}
