//! Whether a drone may build a package: all reasons against it, not the first (rules.md §2).

/// A named condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It must be there.
    Online,
    /// Its worker must answer.
    WorkerReady,
    /// No person has paused it.
    NotPaused,
    /// No person drains it.
    NotDraining,
    /// The swarm has not grounded it.
    NotGrounded,
    /// Its uploads work.
    UploadsWork,
    /// It has a free slot.
    FreeSlot,
    /// It serves the build profile.
    Profile,
    /// It has the base the package was planned on.
    Base,
    /// It has the tree the package was planned on.
    Tree,
    /// It has room on its disks.
    Disk,
    /// It has the memory.
    Memory,
    /// The package has not failed there.
    NotFailedHere,
    /// A sweeper takes blocked packages only.
    NotSweeper,
}

impl Rule {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::WorkerReady => "worker-ready",
            Self::NotPaused => "not-paused",
            Self::NotDraining => "not-draining",
            Self::NotGrounded => "not-grounded",
            Self::UploadsWork => "uploads-work",
            Self::FreeSlot => "free-slot",
            Self::Profile => "build-profile",
            Self::Base => "base",
            Self::Tree => "tree",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::NotFailedHere => "not-failed-here",
            Self::NotSweeper => "not-sweeper",
        }
    }
}

/// A reason against a drone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which condition is not met.
    pub rule: Rule,
    /// With what, for people.
    pub text: String,
}
