//! Says seldom what may come often: the first at once, then no more than once a minute, with how many came meanwhile. Whoever
//! can send bad orders shall fill no disk with what is said of them.

use std::time::{Duration, Instant};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(60);

/// One kind of news, counted.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    said: Option<Instant>,
    silent: u64,
}

impl Seldom {
    /// One more came at `now`. Gives how many came since the last line, this one among them, if a line is due.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        self.silent = self.silent.saturating_add(1);
        if self.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_others_once_a_minute_with_their_number() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut seldom = Seldom::default();
        assert_eq!(seldom.count(at(0)), Some(1));
        for ms in 1..1_000 {
            assert_eq!(seldom.count(at(ms)), None);
        }
        assert_eq!(seldom.count(at(59_999)), None);
        assert_eq!(seldom.count(at(60_000)), Some(1_001), "none is forgotten");
        assert_eq!(seldom.count(at(60_001)), None);
        assert_eq!(seldom.count(at(500_000)), Some(2));
        assert_eq!(seldom.count(at(400_000)), None, "a moment before is no moment after");
    }
}
