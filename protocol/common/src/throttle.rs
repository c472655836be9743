//! Says seldom what may come often: the first at once, then no more than once a minute for each source. Whoever can send bad
//! messages shall fill no disk with what is said of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines about one source.
const EVERY: Duration = Duration::from_secs(60);
/// Sources remembered; beyond, all are forgotten, and each may be heard once more.
const SOURCES: usize = 1024;

/// When each source was last let pass.
#[derive(Debug, Default)]
pub struct Throttle {
    sources: Mutex<BTreeMap<String, Source>>,
}

#[derive(Debug)]
struct Source {
    said: Instant,
    silent: u64,
}

impl Throttle {
    /// Whether a line about `source` is due.
    pub fn lets_pass(&self, source: &str) -> bool {
        self.count(source, Instant::now()).is_some()
    }

    /// One more came of `source` at `now`. Gives how many came since the last line, this one among them, if a line is due.
    pub fn count(&self, source: &str, now: Instant) -> Option<u64> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.get_mut(source) {
            known.silent = known.silent.saturating_add(1);
            if now.duration_since(known.said) < EVERY {
                return None;
            }
            known.said = now;
            return Some(std::mem::take(&mut known.silent));
        }
        if sources.len() >= SOURCES {
            sources.clear();
        }
        sources.insert(source.to_owned(), Source { said: now, silent: 0 });
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_source_and_minute() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert!(throttle.count("a", now).is_some());
        assert!(throttle.count("a", now + Duration::from_secs(59)).is_none());
        assert!(throttle.count("b", now).is_some());
        assert!(throttle.count("a", now + Duration::from_secs(60)).is_some());
    }

    #[test]
    fn the_first_is_said_at_once_and_the_others_once_a_minute_with_their_number() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let throttle = Throttle::default();
        let count = |ms: u64| throttle.count("orders", at(ms));
        assert_eq!(count(0), Some(1));
        for ms in 1..1_000 {
            assert_eq!(count(ms), None);
        }
        assert_eq!(count(59_999), None);
        assert_eq!(count(60_000), Some(1_001), "none is forgotten");
        assert_eq!(count(60_001), None);
        assert_eq!(count(500_000), Some(2));
        assert_eq!(count(400_000), None, "a moment before is no moment after");
    }

    #[test]
    fn many_sources_do_not_grow_it() {
        let throttle = Throttle::default();
        for source in 0..5000 {
            throttle.lets_pass(&source.to_string());
        }
        assert!(throttle.sources.lock().unwrap().len() <= SOURCES);
    }
}
