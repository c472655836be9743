//! Time, as the core is told it.

/// A moment. The core never asks a clock; it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// The core's clock: milliseconds, monotonic, persisted, never back. Rules use it.
    pub at: u64,
    /// Wall clock, Unix milliseconds. For people and names only.
    pub wall: u64,
}
