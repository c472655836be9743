//! The wall clock, for what people read and for ages that outlive a process. Called by the shells; the cores get their time as
//! an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds now; 0 on a machine whose clock stands before 1970.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
