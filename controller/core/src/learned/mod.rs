//! What past builds taught: how long a package takes and how much memory, how fast a drone is.
//!
//! A package's duration is kept as what it would have taken on an ordinary drone: times the speed of the drone that built it.
//! A drone's speed is the median of comparisons with others on the same packages, so no clock or benchmark is needed, and one
//! odd build changes little.

mod learn;
mod medians;
mod speed;

pub(crate) use medians::Medians;
pub(crate) use speed::{ORDINARY, on};
