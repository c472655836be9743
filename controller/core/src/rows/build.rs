//! A queue entry and its life.

use serde::{Deserialize, Serialize};
use swarm_protocol::report::{FailureClass, Phase};
use swarm_protocol::{Attempt, BuildId, Cpv, DroneId, Fence, PlanId, SessionId};

use crate::table::Row;

/// One package's journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRow {
    /// Its number.
    pub id: BuildId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The build profile.
    pub profile: String,
    /// The atom as it was asked for; `=cpv` for a dependency.
    pub asked: String,
    /// `category/name-version`, known once it is planned (at once for exact atoms).
    pub cpv: Option<String>,
    /// Main slot, known once planned.
    #[serde(default)]
    pub slot: String,
    /// Repository, known once planned.
    #[serde(default)]
    pub repository: String,
    /// Enabled flags of its IUSE, sorted; known once planned.
    #[serde(default)]
    pub use_flags: Vec<String>,
    /// RESTRICT.
    #[serde(default)]
    pub restrict: String,
    /// Names of its source files, hashed; sorted.
    #[serde(default)]
    pub sources: Vec<u32>,
    /// Lines of `package.use` it was planned with and is built with.
    #[serde(default)]
    pub package_use: Vec<String>,
    /// Why it is in the queue.
    pub origin: Origin,
    /// Build it even if the binhost has it.
    #[serde(default)]
    pub rebuild: bool,
    /// The base it was planned on; only drones with the same one build it. Empty until planned.
    #[serde(default)]
    pub base: String,
    /// The tree it was planned on.
    #[serde(default)]
    pub tree: String,
    /// Last attempt given out; 0 before the first.
    pub attempt: Attempt,
    /// Entries that must be received before it is built: its build-time dependencies and their run-time closure, from the
    /// plan; cycles are broken in Portage's merge order.
    #[serde(default)]
    pub after: Vec<BuildId>,
    /// Where it stands.
    pub state: BuildState,
    /// Its failures since the marks were last cleared, oldest first; at most [`BuildRow::MAX_MARKS`].
    #[serde(default)]
    pub marks: Vec<FailureMark>,
    /// Automatic retries used up.
    #[serde(default)]
    pub auto_retries: u32,
    /// Wall clock, Unix milliseconds.
    pub created_at: u64,
    /// Moment on the core's clock since which it waits to be built; its age counts in the line.
    #[serde(default)]
    pub queued_at: u64,
    /// What whoever asked for it wished.
    #[serde(default)]
    pub wishes: BuildWishes,
    /// Gentoo's ARCH of the planner; empty until planned.
    #[serde(default)]
    pub arch: String,
    /// It was asked back from one drone's line for another that had nothing to do; that happens once.
    #[serde(default)]
    pub moved: bool,
}

/// What whoever asked for a package wished of its build.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BuildWishes {
    /// Counts in the line: each step as so much path, see `Settings::priority_step`. A dependency has the highest of those
    /// who need it.
    #[serde(default)]
    pub priority: i32,
    /// Operator's tags a drone must have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Portage FEATURES a drone must have.
    #[serde(default)]
    pub features: Vec<String>,
    /// Memory a drone must have, bytes; 0 leaves it to what was learned.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Milliseconds an attempt may take in all, if not what the settings say.
    #[serde(default)]
    pub total_ms: Option<u64>,
    /// Milliseconds an attempt may go without a new line of log, if not what the settings say.
    #[serde(default)]
    pub silence_ms: Option<u64>,
}

impl BuildRow {
    /// Marks kept; older ones are in the history.
    pub const MAX_MARKS: usize = 32;

    /// `category/name`, once its version is known.
    pub fn cp(&self) -> Option<String> {
        self.cpv.as_deref()?.parse::<Cpv>().ok().map(|cpv| cpv.cp())
    }

    /// The atom as the HTTP contract shows it: `=cpv`, or what was asked for while that is not known.
    pub fn atom(&self) -> String {
        self.cpv.as_ref().map_or_else(|| self.asked.clone(), |cpv| format!("={cpv}"))
    }

    /// The current assignment, if a drone has it.
    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.state {
            BuildState::Delegated { assignment } => Some(assignment),
            _ => None,
        }
    }

    /// The fence of its newest attempt.
    pub fn fence(&self) -> Fence {
        Fence { build: self.id, attempt: self.attempt }
    }

    /// Whether a plan made an exact package of it: only then drones can build it.
    pub fn is_planned(&self) -> bool {
        !self.base.is_empty()
    }

    /// What makes it the same package as another entry; `None` until planned.
    pub fn identity(&self) -> Option<Identity> {
        self.is_planned().then(|| Identity {
            profile: self.profile.clone(),
            cpv: self.cpv.clone().unwrap_or_default(),
            slot: self.slot.clone(),
            repository: self.repository.clone(),
            use_flags: self.use_flags.clone(),
        })
    }
}

impl Row for BuildRow {
    type Key = BuildId;
    const TABLE: &'static str = "builds";
    fn key(&self) -> BuildId {
        self.id
    }
}

/// What makes two packages the same within a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Build profile.
    pub profile: String,
    /// `category/name-version`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled flags of its IUSE, sorted.
    pub use_flags: Vec<String>,
}

/// Why an entry is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A person asked for it.
    Asked,
    /// Something a person asked for needs it.
    Dependency,
}

/// The life of an entry. Outside it is seen as needed, delegated, received, blocked, failed; `waiting` is derived from the
/// graph and never stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum BuildState {
    /// A planner must resolve it first. Seen as needed.
    Planning {
        /// The request it is part of.
        plan: PlanId,
    },
    /// To be built; nobody has it.
    Needed {
        /// Not before this moment of the core's clock (backoff); 0 for at once.
        not_before: u64,
    },
    /// A drone has it.
    Delegated {
        /// Who and since when.
        assignment: Assignment,
    },
    /// In the binhost, in a published index.
    Received {
        /// How it came.
        received: Received,
    },
    /// Not tried until a person or the clock says so.
    Blocked {
        /// Who blocked it.
        by: BlockedBy,
        /// Reasons for people, one per failure.
        reasons: Vec<String>,
        /// Wall clock, Unix milliseconds.
        since: u64,
        /// When it is tried again by itself, on the core's clock.
        retry_at: Option<u64>,
    },
    /// Given up: every automatic retry is used up.
    Failed {
        /// Reasons for people.
        reasons: Vec<String>,
        /// Wall clock, Unix milliseconds.
        since: u64,
    },
}

impl BuildState {
    /// The public name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Planning { .. } | Self::Needed { .. } => "needed",
            Self::Delegated { .. } => "delegated",
            Self::Received { .. } => "received",
            Self::Blocked { .. } => "blocked",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One attempt in a drone's hands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Who has it.
    pub drone: DroneId,
    /// Number of the order that gave it.
    pub order: u64,
    /// Wall clock of the order, Unix milliseconds.
    pub assigned_at: u64,
    /// The drone has said that it is on its disk.
    pub taken: bool,
    /// Wall clock when the drone said that emerge runs, Unix milliseconds.
    pub building_since: Option<u64>,
    /// It is to be ended; it ends when the drone says so or its lease ends.
    #[serde(default)]
    pub cancelling: Option<Cancelling>,
    /// Bytes the drone had free for builds when it got the order; 0 if not known.
    #[serde(default)]
    pub disk_free: u64,
    /// A sweeper has it: what the entry is again if that does not help.
    #[serde(default)]
    pub sweep: Option<Sweep>,
}

impl Assignment {
    /// Somebody wants it ended, whether it has begun or not.
    pub fn is_ending(&self) -> bool {
        self.cancelling.as_ref().is_some_and(|then| *then != Cancelling::GiveBack {})
    }

    /// emerge runs, as far as is known.
    pub fn has_begun(&self) -> bool {
        self.building_since.is_some()
    }
}

/// A block that a sweeper tries to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Whose failures blocked it.
    pub culprit: Culprit,
    /// Reasons for people, one per failure.
    pub reasons: Vec<String>,
    /// Wall clock of the block, Unix milliseconds.
    pub since: u64,
    /// When it is tried again by itself, on the core's clock.
    pub retry_at: Option<u64>,
}

/// What becomes of a build when its cancelled attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "then", rename_all = "snake_case")]
pub enum Cancelling {
    /// Back to needed.
    Return {},
    /// Back to needed if it has not begun; what has begun goes on.
    GiveBack {},
    /// Blocked by a person.
    Block {
        /// The person's name.
        by: String,
    },
    /// Out of the queue.
    Remove {},
}

/// How a package came into the binhost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// Wall clock, Unix milliseconds.
    pub at: u64,
    /// Name of the drone that built it, if one did for this entry.
    pub drone: Option<String>,
    /// Milliseconds it took; 0 if it was there already.
    pub duration_ms: u64,
    /// How it came.
    pub how: Outcome,
    /// Bytes of its binary package as published.
    pub size: u64,
}

/// Ways to be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Built for this entry.
    Built,
    /// The binhost had it.
    AlreadyPresent,
    /// Another package's build made it.
    OnTheSide,
}

/// Whose fault a failure is (architecture.md §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The package: it counts against it.
    Package,
    /// The drone: it counts against it, at no cost to the package.
    Drone,
    /// Network, mirrors, the binhost: nobody is blamed.
    Fleet,
    /// A person wanted it so.
    Operator,
}

impl Culprit {
    /// One word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Drone => "drone",
            Self::Fleet => "fleet",
            Self::Operator => "operator",
        }
    }
}

/// Who blocked a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum BlockedBy {
    /// A person; only a person undoes it.
    Person {
        /// Their name.
        name: String,
    },
    /// Its failures.
    Failures {
        /// Whose fault they were.
        culprit: Culprit,
    },
    /// It is masked or its dependencies cannot be satisfied: another tree or other USE is needed.
    Resolver,
}

/// One failure of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureMark {
    /// The drone it happened on.
    pub drone: DroneId,
    /// Its name then.
    pub drone_name: String,
    /// The attempt.
    pub attempt: Attempt,
    /// What kind.
    pub class: FailureClass,
    /// Whose fault.
    pub culprit: Culprit,
    /// In which phase.
    pub phase: Option<Phase>,
    /// One sentence.
    pub message: String,
    /// The line of the log that matters.
    pub log_line: Option<String>,
    /// Moment on the core's clock.
    pub at: u64,
    /// Wall clock, Unix milliseconds.
    pub wall: u64,
    /// Bytes the drone had of what was too little (memory or disk); 0 if nothing was, or it is not known.
    #[serde(default)]
    pub had_bytes: u64,
}
