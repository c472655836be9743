//! Slows down who tries tokens that are not good: so many failures of one source within a minute, and it waits. Nobody guesses
//! a token; this keeps the trying from costing the engine anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::http::error::ApiError;

/// Failures of one source within [`WINDOW`].
const FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered; beyond, those whose minute is over are forgotten, and if there are none, all.
const SOURCES: usize = 1024;
/// Enrolments worked on at one time.
const AT_ONCE: usize = 8;

/// Who failed how often.
#[derive(Debug)]
pub(crate) struct Attempts {
    room: Semaphore,
    failures: Mutex<BTreeMap<Source, (u32, Instant)>>,
}

/// Where a request comes from: an IPv4 address, or the network of an IPv6 one. `None` if that is not known.
pub(crate) type Source = Option<IpAddr>;

impl Default for Attempts {
    fn default() -> Self {
        Self { room: Semaphore::new(AT_ONCE), failures: Mutex::default() }
    }
}

impl Attempts {
    /// Room for one more, unless its source failed too often.
    pub(crate) fn begin(&self, source: Source) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Some(wait) = self.waits(network(source), Instant::now()) {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
            return Err(ApiError::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "too many tokens that were not good")
                .hint(format!("try again in {seconds} s"))
                .retry_after(seconds));
        }
        let busy = |_| ApiError::busy("too many enrolments at one time").hint("try again in a moment").retry_after(2);
        self.room.try_acquire().map_err(busy)
    }

    /// One that was refused.
    pub(crate) fn failed(&self, source: Source) {
        self.count(network(source), Instant::now());
    }

    fn waits(&self, source: Source, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = failures.get(&source)?;
        let left = WINDOW.checked_sub(now.duration_since(*since))?;
        (*count >= FAILURES).then_some(left)
    }

    fn count(&self, source: Source, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= SOURCES && !failures.contains_key(&source) {
            failures.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
            if failures.len() >= SOURCES {
                failures.clear();
            }
        }
        let entry = failures.entry(source).or_insert((0, now));
        if now.duration_since(entry.1) >= WINDOW {
            *entry = (0, now);
        }
        entry.0 += 1;
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(source: Source) -> Source {
    source.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Source {
        Some(text.parse().unwrap())
    }

    #[test]
    fn ten_failures_within_a_minute_make_one_source_wait_and_no_other() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let mallory = network(from("2001:db8::1"));
        for second in 0..10 {
            assert_eq!(attempts.waits(mallory, now), None);
            attempts.count(network(from(&format!("2001:db8::{second}"))), now + Duration::from_secs(second));
        }
        assert_eq!(attempts.waits(mallory, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(attempts.waits(network(from("2001:db8:0:1::1")), now), None);
        assert_eq!(attempts.waits(from("192.0.2.1"), now), None);
        let later = now + Duration::from_secs(61);
        assert_eq!(attempts.waits(mallory, later), None);
        attempts.count(mallory, later);
        assert_eq!(attempts.waits(mallory, later), None, "the count begins anew");
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_both_writings() {
        assert_eq!(network(from("::ffff:192.0.2.1")), network(from("192.0.2.1")));
    }

    #[test]
    fn many_sources_do_not_grow_it() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..5_000u32 {
            attempts.count(Some(IpAddr::V4(n.into())), now);
        }
        assert!(attempts.failures.lock().unwrap().len() <= SOURCES);
    }

    #[test]
    fn only_so_many_are_worked_on_at_one_time() {
        let attempts = Attempts::default();
        let held: Vec<_> = (0..AT_ONCE).map(|_| attempts.begin(None).unwrap()).collect();
        assert_eq!(attempts.begin(None).unwrap_err().status, 503);
        drop(held);
        assert!(attempts.begin(None).is_ok());
    }
}
