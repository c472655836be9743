//! Polling for a condition, bounded in time.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` gives something, at most `within`; the error says what was waited for.
///
/// # Errors
/// When the time is over, or `look` itself fails.
pub fn until<T>(what: impl Display, within: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {within:?} for {what}");
        }
        sleep(PAUSE);
    }
}
