//! Where entries can be built, as the queue lines them up and placement gives them out.

use crate::rows::{BuildRow, DroneRow};

/// Where an entry can be built: build profile, base and tree together. Drones of one place have the same ones; an entry that
/// was planned on one of them can be built on each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub profile: String,
    pub base: String,
    pub tree: String,
}

impl Place {
    /// The place whose drones can build an entry.
    pub(crate) fn of(row: &BuildRow) -> Self {
        Self { profile: row.profile.clone(), base: row.base.clone(), tree: row.tree.clone() }
    }

    /// The place a drone is at.
    pub(crate) fn of_drone(row: &DroneRow) -> Self {
        Self { profile: row.build_profile.clone(), base: row.base.clone(), tree: row.tree.clone() }
    }
}
