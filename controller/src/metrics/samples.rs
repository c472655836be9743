//! The last 24 hours in steps of 15 seconds, in memory: a restart begins anew.
//!
//! Bounds: 5,760 samples; and 500,000 measurements of drones in all (about 16 MB), so that a fleet of 1,000 keeps the curves
//! of its drones for two hours and the sums for the whole day. Beyond, the oldest samples lose their drones first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarm_core::View;
use swarm_core::view::{Counts, Presence};

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(15);
/// 24 hours.
const MAX_SAMPLES: usize = 24 * 3600 / 15;
/// Measurements of drones in all samples.
const MAX_POINTS: usize = 500_000;

/// One drone at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub drone: Arc<str>,
    /// Processor use, percent.
    pub cpu: f32,
    /// Memory use, percent.
    pub memory: f32,
    /// Load, one minute.
    pub load: f32,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Unix milliseconds.
    pub at: u64,
    /// The queue.
    pub counts: Counts,
    /// Drones online.
    pub online: usize,
    /// Packages being built.
    pub building: usize,
    /// Means over the drones online: processor use, memory use (percent), load.
    pub means: [f32; 3],
    /// The drones online, by name; empty if they were forgotten.
    pub drones: Vec<Point>,
}

#[derive(Default)]
struct Ring {
    samples: VecDeque<Arc<Sample>>,
    points: usize,
    names: BTreeMap<String, Arc<str>>,
}

/// The samples. Cheap to share.
#[derive(Default)]
pub struct Samples(Mutex<Ring>);

impl Samples {
    /// Takes one, at the wall clock `at` (Unix milliseconds).
    pub fn take(&self, view: &View, at: u64) {
        let mut ring = self.ring();
        let sample = sample(view, at, &mut ring.names);
        ring.add(sample);
    }

    /// Those after `since` (Unix milliseconds), oldest first.
    pub fn since(&self, since: u64) -> Vec<Arc<Sample>> {
        let ring = self.ring();
        let from = ring.samples.partition_point(|sample| sample.at <= since);
        ring.samples.range(from..).cloned().collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn add(&mut self, sample: Sample) {
        // a wall clock that was set back would break the order people read by
        if self.samples.back().is_some_and(|last| last.at >= sample.at) {
            let at = sample.at;
            let keep = self.samples.partition_point(|old| old.at < at);
            self.points -= self.samples.range(keep..).map(|old| old.drones.len()).sum::<usize>();
            self.samples.truncate(keep);
        }
        self.points += sample.drones.len();
        self.samples.push_back(Arc::new(sample));
        if self.samples.len() > MAX_SAMPLES
            && let Some(old) = self.samples.pop_front()
        {
            self.points -= old.drones.len();
        }
        for old in &mut self.samples {
            if self.points <= MAX_POINTS {
                break;
            }
            if !old.drones.is_empty() {
                self.points -= old.drones.len();
                *old = Arc::new(Sample { drones: Vec::new(), ..Sample::clone(old) });
            }
        }
        if self.names.len() > 4 * MAX_POINTS / MAX_SAMPLES {
            self.names.retain(|_, name| Arc::strong_count(name) > 1);
        }
    }
}

/// What is not finite is 0.
fn number(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a percentage or a load")]
    let value = value as f32;
    if value.is_finite() { value } else { 0.0 }
}

fn sample(view: &View, at: u64, names: &mut BTreeMap<String, Arc<str>>) -> Sample {
    let online = view.drones.values().filter(|drone| drone.presence == Presence::Online);
    let mut drones: Vec<Point> = online
        .map(|drone| {
            let name = &drone.row.name;
            let shared = names.entry(name.clone()).or_insert_with(|| Arc::from(name.as_str()));
            let vitals = &drone.vitals;
            Point {
                drone: shared.clone(),
                cpu: number(vitals.cpu_percent),
                memory: number(vitals.mem_percent),
                load: number(vitals.load_1m),
            }
        })
        .collect();
    drones.sort_by(|one, other| one.drone.cmp(&other.drone));
    #[expect(clippy::cast_precision_loss, reason = "a number of drones")]
    let count = drones.len().max(1) as f32;
    let mean = |of: fn(&Point) -> f32| drones.iter().map(of).sum::<f32>() / count;
    let tasks = view.drones.values().flat_map(|drone| &drone.tasks);
    Sample {
        at,
        counts: view.counts,
        online: drones.len(),
        building: tasks.filter(|task| task.building_since.is_some()).count(),
        means: [mean(|point| point.cpu), mean(|point| point.memory), mean(|point| point.load)],
        drones,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(at: u64, drones: usize) -> Sample {
        let point = Point { drone: Arc::from("d"), cpu: 0.0, memory: 0.0, load: 0.0 };
        Sample { at, online: drones, drones: vec![point; drones], ..Sample::default() }
    }

    fn times(samples: &Samples, since: u64) -> Vec<u64> {
        samples.since(since).iter().map(|sample| sample.at).collect()
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let samples = Samples::default();
        for at in 1..=MAX_SAMPLES as u64 + 3 {
            samples.take(&View::default(), at);
        }
        assert_eq!(times(&samples, 0).len(), MAX_SAMPLES);
        assert_eq!(times(&samples, 0)[0], 4);
        assert_eq!(times(&samples, MAX_SAMPLES as u64 + 1), [MAX_SAMPLES as u64 + 2, MAX_SAMPLES as u64 + 3]);
    }

    #[test]
    fn a_large_fleet_loses_the_curves_of_its_drones_first_and_keeps_the_sums() {
        let samples = Samples::default();
        for at in 1..=6 {
            samples.ring().add(with(at, MAX_POINTS / 4));
        }
        let all = samples.since(0);
        let lengths: Vec<usize> = all.iter().map(|sample| sample.drones.len()).collect();
        assert_eq!(lengths, [0, 0, MAX_POINTS / 4, MAX_POINTS / 4, MAX_POINTS / 4, MAX_POINTS / 4]);
        assert!(all.iter().all(|sample| sample.online == MAX_POINTS / 4));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_the_order() {
        let samples = Samples::default();
        for at in [10, 20, 30, 15, 40] {
            samples.ring().add(with(at, 1));
        }
        assert_eq!(times(&samples, 0), [10, 15, 40]);
        assert_eq!(samples.ring().points, 3);
    }
}
