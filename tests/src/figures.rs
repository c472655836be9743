//! Measured times, and how they are told: count, min, median, p99, max.

use std::fmt;
use std::time::Duration;

/// Times of one kind.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many percent do not exceed; none without any.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank.min(last)).copied()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).map_or(0, |time| time.as_millis());
        let (min, median, p99, max) = (ms(0), ms(50), ms(99), ms(100));
        write!(f, "{:>4} times: min {min:>6} ms, median {median:>6} ms, p99 {p99:>6} ms, max {max:>6} ms", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_extremes_are_at_the_ends() {
        let mut times = Times::default();
        assert_eq!(times.percentile(50), None);
        for ms in [30, 10, 20] {
            times.add(Duration::from_millis(ms));
        }
        let at = |percent| times.percentile(percent).map(|time| time.as_millis());
        assert_eq!((at(0), at(50), at(99), at(100)), (Some(10), Some(20), Some(30), Some(30)));
    }
}
