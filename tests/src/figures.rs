//! What is measured, and how it is told: times by count, min, median, p99 and max; figures of the bench by their rounds and
//! whether the median is as aimed. For the rounds of kills and for `bench/`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

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

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// One figure: its rounds, and what they should come to.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Its name, unique within a run.
    pub name: String,
    /// What it is, in a sentence.
    pub what: String,
    /// Unit of every value.
    pub unit: &'static str,
    /// One value per round, in their order.
    pub rounds: Vec<f64>,
    /// Of the median.
    pub aim: Option<Aim>,
    /// What else was seen, for whoever wants to understand it.
    pub notes: BTreeMap<String, f64>,
}

impl Figure {
    /// A figure without an aim.
    pub fn new(name: impl Into<String>, what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { name: name.into(), what: what.into(), unit, rounds, aim: None, notes: BTreeMap::new() }
    }

    /// With an aim.
    #[must_use]
    pub fn aim(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self
    }

    /// With something else that was seen.
    #[must_use]
    pub fn note(mut self, name: &str, value: f64) -> Self {
        self.notes.insert(name.to_owned(), value);
        self
    }

    /// The middle one of the rounds.
    pub fn median(&self) -> f64 {
        median(&self.rounds)
    }

    /// Whether the median is as aimed; `None` without an aim.
    pub fn met(&self) -> Option<bool> {
        self.aim.map(|aim| match aim {
            Aim::AtLeast(bound) => self.median() >= bound,
            Aim::AtMost(bound) => self.median() <= bound,
        })
    }
}

/// The middle value, the mean of the two middle ones of an even number, 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// The value `share` (0 to 1) of all are at or below; 0 of none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
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

    #[test]
    fn an_aim_is_of_the_median() {
        let figure = Figure::new("x", "y", "ms", vec![30.0, 10.0, 20.0]);
        assert_eq!((figure.median(), figure.met()), (20.0, None));
        assert_eq!(figure.clone().aim(Aim::AtMost(20.0)).met(), Some(true));
        assert_eq!(figure.clone().aim(Aim::AtMost(19.0)).met(), Some(false));
        assert_eq!(figure.clone().aim(Aim::AtLeast(20.0)).met(), Some(true));
        assert_eq!(figure.aim(Aim::AtLeast(21.0)).met(), Some(false));
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&[], 0.5)), (50.0, 99.0, 0.0));
        assert_eq!(median(&[1.0, 2.0, 3.0, 10.0]), 2.5);
    }
}
