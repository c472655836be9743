//! Reports: what happened on a drone, in the past tense, and the controller's answers to them.

use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactRef;
use crate::ids::{DroneId, Fence, InstanceId, Secret, StoreId};
use crate::machine::{Machine, PortageState, TreeState, Vitals, WorkerState};

/// Which of the agent's processes speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The small process that never builds.
    Supervisor,
    /// The process that takes build orders.
    Worker,
    /// Not known to this reader.
    #[default]
    #[serde(other)]
    Unknown,
}

/// `report.hello`: who I am, which versions I speak, what I hold. Repeated until answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Hello {
    /// This run of the speaking process.
    pub instance: InstanceId,
    /// Which process speaks.
    pub role: Role,
    /// Of a worker: its supervisor's run. A second agent with the same key is told by it.
    #[serde(default)]
    pub supervisor: Option<InstanceId>,
    /// The drone's name for people.
    pub name: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Oldest wire version spoken.
    pub proto_min: u16,
    /// Newest wire version spoken.
    pub proto_max: u16,
    /// The controller's store as last seen in a welcome.
    #[serde(default)]
    pub store_id: Option<StoreId>,
    /// The machine.
    pub machine: Machine,
    /// Its Portage.
    pub portage: PortageState,
    /// Operator's tags, e.g. `sweeper`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Builds it runs at a time.
    #[serde(default)]
    pub slots: u32,
    /// Orders it takes beyond its slots; an agent that does not say takes what it is given.
    #[serde(default)]
    pub waiting: Option<u32>,
    /// Names of source files at hand, hashed with [`crate::plan::source_hash`]; the newest, at most
    /// [`Hello::MAX_SOURCES`]. A hint for placement.
    #[serde(default)]
    pub sources: Vec<u32>,
    /// Highest order number seen.
    #[serde(default)]
    pub orders_seen: u64,
    /// Attempts that run.
    #[serde(default)]
    pub running: Vec<Fence>,
    /// Attempts that are finished and not yet acknowledged.
    #[serde(default)]
    pub finished: Vec<Fence>,
}

impl Hello {
    /// Most names of source files a hello tells.
    pub const MAX_SOURCES: usize = 4_096;
}

/// Answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum HelloAnswer {
    /// Come in.
    Welcome {
        /// The controller's store.
        store_id: StoreId,
        /// Version of the controller.
        controller_version: String,
        /// Wire version to speak from now on.
        proto: u16,
        /// The drone's identity as the controller sees it.
        drone: DroneId,
        /// Milliseconds between heartbeats.
        heartbeat_ms: u64,
        /// Milliseconds an attempt stays a drone's without a heartbeat that lists it.
        lease_ms: u64,
        /// Base of the façade's addresses, for uploads.
        http_url: String,
        /// Where finished packages are had from.
        binhost: Box<BinhostAccess>,
        /// Held attempts that count no more: end them, forget them.
        #[serde(default)]
        superseded: Vec<Fence>,
    },
    /// Stay out.
    Refused {
        /// Why, for people.
        reason: String,
        /// What to do about it.
        #[serde(default)]
        hint: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}

/// What a drone needs to install from the swarm's binhost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BinhostAccess {
    /// `sync-uri` of the index for this drone.
    pub url: String,
    /// Fingerprint of the signing key, upper-case hex.
    pub fingerprint: String,
    /// The key, ASCII-armoured.
    pub public_key: String,
    /// `sync-uri` of the complete index for this drone, with the packages whose RESTRICT has `bindist`, which nobody but
    /// the swarm may have; empty if there is none but `url`.
    #[serde(default)]
    pub private_url: String,
    /// Password for `private_url`, asked for by HTTP Basic authentication with the user [`BinhostAccess::USER`].
    #[serde(default)]
    pub secret: Secret,
}

impl BinhostAccess {
    /// User name that goes with the secret.
    pub const USER: &'static str = "swarm";

    /// The index a drone installs from: the complete one, if it was told of one.
    pub fn index_url(&self) -> &str {
        if self.private_url.is_empty() { &self.url } else { &self.private_url }
    }
}

/// Where a build stands, as its log and Portage tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The job is on disk, emerge has not begun.
    Queued,
    /// Portage calculates.
    Resolve,
    /// Dependencies are installed from binaries.
    Dependencies,
    /// Sources are fetched.
    Fetch,
    /// `pkg_setup` and `pkg_pretend`.
    Setup,
    /// `src_unpack`.
    Unpack,
    /// `src_prepare`.
    Prepare,
    /// `src_configure`.
    Configure,
    /// `src_compile`.
    Compile,
    /// `src_test`.
    Test,
    /// `src_install`.
    Install,
    /// The binary package is written.
    Package,
    /// The package is merged into the drone's root.
    Merge,
    /// The binary packages are uploaded.
    Upload,
    /// Not known.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// One word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Resolve => "resolve",
            Self::Dependencies => "dependencies",
            Self::Fetch => "fetch",
            Self::Setup => "setup",
            Self::Unpack => "unpack",
            Self::Prepare => "prepare",
            Self::Configure => "configure",
            Self::Compile => "compile",
            Self::Test => "test",
            Self::Install => "install",
            Self::Package => "package",
            Self::Merge => "merge",
            Self::Upload => "upload",
            Self::Unknown => "unknown",
        }
    }
}

/// A running attempt in a heartbeat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AttemptStatus {
    /// The attempt.
    pub fence: Fence,
    /// The package, without `=`.
    pub cpv: String,
    /// Where it stands.
    #[serde(default)]
    pub phase: Phase,
    /// Milliseconds since it began.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// Length of its log so far, in bytes of the uncut stream.
    #[serde(default)]
    pub log_bytes: u64,
    /// Peak memory of its processes, bytes; 0 if not known.
    #[serde(default)]
    pub memory_peak_bytes: u64,
}

/// `report.heartbeat`: proof of life and everything the drone holds, every 5 s. Sent by the supervisor. Not answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The supervisor's run.
    pub instance: InstanceId,
    /// Counts from 1 within the instance.
    pub seq: u64,
    /// Highest order number the drone has seen.
    pub orders_seen: u64,
    /// Condition.
    pub vitals: Vitals,
    /// The worker as the supervisor sees it.
    #[serde(default)]
    pub worker: WorkerState,
    /// The worker's run, if known.
    #[serde(default)]
    pub worker_instance: Option<InstanceId>,
    /// Running attempts, all of them.
    #[serde(default)]
    pub attempts: Vec<AttemptStatus>,
    /// Finished and not yet acknowledged attempts, all of them.
    #[serde(default)]
    pub finished: Vec<Fence>,
    /// State of the ebuild repositories.
    #[serde(default)]
    pub tree: TreeState,
}

/// `report.build`: news of one attempt; a later number implies the earlier ones. Repeated until answered
/// durable or superseded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// The worker's run.
    pub instance: InstanceId,
    /// The store whose order this answers.
    pub store_id: StoreId,
    /// The attempt.
    pub fence: Fence,
    /// Number of this report within the attempt; counts from 1.
    pub number: u32,
    /// The news.
    pub news: BuildNews,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum BuildNews {
    /// The order is on the drone's disk.
    Taken {},
    /// emerge runs.
    Started {
        /// The drone's wall clock, Unix milliseconds.
        at: u64,
    },
    /// It ended, one way or another.
    Finished {
        /// How.
        result: BuildResult,
    },
    /// Given up before it ended, as ordered or because it never began; nothing of it runs any more.
    Dropped {
        /// Why, for people.
        reason: String,
    },
    /// The order was not taken.
    Refused {
        /// What keeps it from building.
        failure: Failure,
    },
    /// News of a later version.
    #[serde(other)]
    Unknown,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BuildResult {
    /// `None` is success.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Milliseconds emerge took.
    pub duration_ms: u64,
    /// Length of the whole log, bytes of the uncut stream.
    pub log_bytes: u64,
    /// Every new binary package the attempt made, dependencies too.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRef>,
    /// Peak memory, bytes; 0 if not known.
    #[serde(default)]
    pub memory_peak_bytes: u64,
    /// emerge's exit status; negative is the signal that ended it.
    #[serde(default)]
    pub exit_status: Option<i32>,
}

/// Why an attempt failed: evidence, not blame; the controller's core says whose fault a class is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub class: FailureClass,
    /// The package that failed, which may be a dependency of the one ordered.
    #[serde(default)]
    pub cpv: Option<String>,
    /// The phase it failed in.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// One sentence for people.
    pub message: String,
    /// The line of the log that matters.
    #[serde(default)]
    pub log_line: Option<String>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// An ebuild phase died.
    Phase,
    /// The log was silent too long.
    Silence,
    /// It took too long in all.
    Timeout,
    /// Masked by keyword, licence or mask.
    Masked,
    /// Dependencies can't be satisfied, USE change needed, no such package.
    Unsatisfiable,
    /// Killed for want of memory.
    OutOfMemory,
    /// No space left.
    DiskFull,
    /// A tool the build needs is missing on the drone.
    MissingTool,
    /// Killed by a signal nobody here sent.
    Killed,
    /// The agent lost the attempt: reboot, vanished process.
    AgentLost,
    /// emerge said success and no binary package is there.
    MissingBinary,
    /// Sources could not be had.
    Fetch,
    /// The binhost did not answer.
    BinhostUnreachable,
    /// The binhost's index is older than the order demands.
    IndexTooOld,
    /// The upload failed for good.
    Upload,
    /// The drone has no free slot, or shuts down.
    Busy,
    /// Ended by order.
    Cancelled,
    /// Not known to this reader.
    #[default]
    #[serde(other)]
    Unknown,
}

impl FailureClass {
    /// The name on the wire and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Silence => "silence",
            Self::Timeout => "timeout",
            Self::Masked => "masked",
            Self::Unsatisfiable => "unsatisfiable",
            Self::OutOfMemory => "out_of_memory",
            Self::DiskFull => "disk_full",
            Self::MissingTool => "missing_tool",
            Self::Killed => "killed",
            Self::AgentLost => "agent_lost",
            Self::MissingBinary => "missing_binary",
            Self::Fetch => "fetch",
            Self::BinhostUnreachable => "binhost_unreachable",
            Self::IndexTooOld => "index_too_old",
            Self::Upload => "upload",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// Answer to [`BuildReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum BuildAnswer {
    /// On disk; forget it.
    Durable {},
    /// The attempt counts no more; end it, forget it.
    Superseded {
        /// Why, for people.
        reason: String,
    },
    /// Received, its packages are being published; ask again.
    Pending {
        /// Milliseconds to wait before asking again.
        retry_ms: u64,
    },
    /// These packages never came; upload them, then report again.
    NeedArtifacts {
        /// Their SHA-256, hex.
        sha256: Vec<String>,
    },
    /// The controller can't read this report.
    NotUnderstood {
        /// Why, for people.
        reason: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}

/// `report.sync`: how an order to bring the ebuild repositories up to date ended. Repeated until answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncReport {
    /// The worker's run.
    pub instance: InstanceId,
    /// The store that ordered it.
    pub store_id: StoreId,
    /// Number of the order.
    pub number: u64,
    /// Why it failed; `None` is success.
    #[serde(default)]
    pub failure: Option<String>,
    /// State of the repositories afterwards.
    #[serde(default)]
    pub tree: TreeState,
    /// Milliseconds it took.
    #[serde(default)]
    pub duration_ms: u64,
}

/// Answer to [`SyncReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum SyncAnswer {
    /// Known; forget it.
    Durable {},
    /// Nobody waits for it any more; forget it.
    Superseded {
        /// Why, for people.
        reason: String,
    },
    /// An answer of a later version.
    #[serde(other)]
    Unknown,
}
