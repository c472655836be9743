//! The conditions under which a drone may build a package, and what is said against one that may not. `eligible` checks them.

/// A named condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It must be there.
    Online,
    /// Its worker must answer.
    WorkerReady,
    /// Nothing is wrong with it.
    Healthy,
    /// No person has paused it.
    NotPaused,
    /// No person drains it.
    NotDraining,
    /// The swarm has not grounded it.
    NotGrounded,
    /// Its uploads work.
    UploadsWork,
    /// It is not bringing its tree up to date.
    NotSyncing,
    /// It has a free slot or a free place in its line.
    FreeSlot,
    /// It serves the build profile.
    Profile,
    /// It has the ARCH the package was planned for.
    Arch,
    /// It has the base the package was planned on.
    Base,
    /// It has the tree the package was planned on.
    Tree,
    /// It has the operator's tags that are asked for.
    Tags,
    /// Its Portage has the FEATURES that are asked for.
    Features,
    /// It has room on its disks.
    Disk,
    /// It has the memory.
    Memory,
    /// It has more of what was too little elsewhere, as long as any drone has.
    MoreOfWhatLacked,
    /// The package has not failed there.
    NotFailedHere,
    /// A sweeper takes blocked packages only.
    NotSweeper,
    /// Blocked packages are for sweepers only.
    NotBlocked,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Online,
        Self::WorkerReady,
        Self::Healthy,
        Self::NotPaused,
        Self::NotDraining,
        Self::NotGrounded,
        Self::UploadsWork,
        Self::NotSyncing,
        Self::FreeSlot,
        Self::Profile,
        Self::Arch,
        Self::Base,
        Self::Tree,
        Self::Tags,
        Self::Features,
        Self::Disk,
        Self::Memory,
        Self::MoreOfWhatLacked,
        Self::NotFailedHere,
        Self::NotSweeper,
        Self::NotBlocked,
    ];

    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Healthy => "healthy",
            Self::WorkerReady => "worker-ready",
            Self::NotPaused => "not-paused",
            Self::NotDraining => "not-draining",
            Self::NotGrounded => "not-grounded",
            Self::UploadsWork => "uploads-work",
            Self::NotSyncing => "not-syncing",
            Self::FreeSlot => "free-slot",
            Self::Profile => "build-profile",
            Self::Arch => "arch",
            Self::Base => "base",
            Self::Tree => "tree",
            Self::Tags => "tags",
            Self::Features => "features",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::MoreOfWhatLacked => "more-of-what-lacked",
            Self::NotFailedHere => "not-failed-here",
            Self::NotSweeper => "not-sweeper",
            Self::NotBlocked => "not-blocked",
        }
    }
}

/// A reason against a drone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The condition that is not met.
    pub rule: Rule,
    /// With what, for people.
    pub text: String,
}
