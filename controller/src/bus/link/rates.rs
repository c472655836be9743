//! How much one drone may say: so many messages a second, and a burst. What is beyond is dropped before it is read, so that a
//! drone that floods the bus costs the others nothing. All of it is repeated by who meant it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use swarm_protocol::DroneId;

/// A flood is told again after this.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What a drone may send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Messages at once.
    pub(super) burst: f64,
    /// Messages a second, in the long run.
    pub(super) a_second: f64,
}

/// Reports: a heartbeat every 5 s, a handful for each build, and after a reconnect everything that is not acknowledged. The
/// engine takes some 30,000 heartbeats a second.
pub(super) const REPORTS: Rate = Rate { burst: 2_000.0, a_second: 1_000.0 };
/// Pieces of logs: 20 a second for each of up to 64 builds.
pub(super) const LOGS: Rate = Rate { burst: 4_000.0, a_second: 2_000.0 };

/// What is to happen with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Read it.
    Pass,
    /// Drop it.
    Drop,
    /// Drop it, and say that so many were dropped.
    DropAndTell(u64),
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
    dropped: u64,
    told: Option<Instant>,
}

/// A bucket per drone. The bus lets only members speak, and each under its own identity, so there are not more than those.
#[derive(Debug)]
pub(super) struct Rates {
    rate: Rate,
    buckets: Mutex<BTreeMap<DroneId, Bucket>>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// One more message of `drone`.
    pub(super) fn one_more(&self, drone: &DroneId) -> Verdict {
        self.one_more_at(drone, Instant::now())
    }

    fn one_more_at(&self, drone: &DroneId, now: Instant) -> Verdict {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Bucket { left: self.rate.burst, at: now, dropped: 0, told: None };
        let bucket = match buckets.get_mut(drone) {
            Some(bucket) => bucket,
            None => buckets.entry(drone.clone()).or_insert_with(full),
        };
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + since * self.rate.a_second).min(self.rate.burst);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Verdict::Pass;
        }
        bucket.dropped += 1;
        if bucket.told.is_some_and(|told| now.saturating_duration_since(told) < TELL_EVERY) {
            return Verdict::Drop;
        }
        bucket.told = Some(now);
        Verdict::DropAndTell(std::mem::take(&mut bucket.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_a_flood_is_dropped_and_told_once_a_minute_and_others_are_not_touched() {
        let rates = Rates::new(Rate { burst: 10.0, a_second: 2.0 });
        let (mallory, anna, now) = (DroneId::from("UM"), DroneId::from("UA"), Instant::now());
        let verdicts: Vec<_> = (0..13).map(|_| rates.one_more_at(&mallory, now)).collect();
        assert!(verdicts[..10].iter().all(|verdict| *verdict == Verdict::Pass));
        assert_eq!(verdicts[10..], [Verdict::DropAndTell(1), Verdict::Drop, Verdict::Drop]);
        assert_eq!(rates.one_more_at(&anna, now), Verdict::Pass);
        let later = now + Duration::from_secs(1);
        let verdicts: Vec<_> = (0..3).map(|_| rates.one_more_at(&mallory, later)).collect();
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Drop]);
        let minute = now + TELL_EVERY;
        let verdicts: Vec<_> = (0..11).map(|_| rates.one_more_at(&mallory, minute)).collect();
        assert_eq!(verdicts[10], Verdict::DropAndTell(4), "with what was dropped meanwhile");
    }
}
