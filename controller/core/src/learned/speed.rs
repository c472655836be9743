//! Speeds of drones, in thousandths of an ordinary one's. They only mean something compared with each other.

use crate::rows::DroneRow;

/// An ordinary drone's speed, in thousandths.
pub(crate) const ORDINARY: u32 = 1_000;

/// A drone's speed in thousandths, as far as it is known.
pub(crate) fn speed(row: &DroneRow) -> u32 {
    row.learned_speed().unwrap_or(ORDINARY)
}

/// What takes `usual` milliseconds on an ordinary drone, on one of this speed.
pub(crate) fn on(usual: u64, speed: u32) -> u64 {
    usual.saturating_mul(u64::from(ORDINARY)) / u64::from(speed.max(1))
}
