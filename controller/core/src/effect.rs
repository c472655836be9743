//! All the core can do: effects, which the engine carries out only after the rows behind them are on disk.

use std::collections::BTreeMap;

use swarm_protocol::artifact::ArtifactAnswer;
use swarm_protocol::order::{Order, Rung};
use swarm_protocol::plan::PlanAnswer;
use swarm_protocol::report::{BuildAnswer, HelloAnswer, SyncAnswer};
use swarm_protocol::{ArtifactId, BuildId, DroneId, Fence, Secret, SessionId};

use crate::input::ReplyTo;
use crate::placement::Explanation;
use crate::rows::{IndexKey, InviteRow, NoticeRow, RouteKind};

/// Something to be done. Effects keep their order. Each kind of work is one type, which the room that does it is handed as
/// it is.
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer whoever asked.
    Reply {
        /// Who waits for it.
        to: ReplyTo,
        /// What is said.
        answer: Answer,
    },
    /// Send an order to a drone. The core sends it again until the drone has seen it.
    Order {
        /// The receiver.
        drone: DroneId,
        /// The order.
        order: Box<Order>,
    },
    /// Work on the binhost's files.
    Binhost(BinhostWork),
    /// Get an attempt's log whole; report [`crate::input::Input::LogStored`].
    CompleteLog(WantedLog),
    /// Ping a drone's supervisor; report [`crate::input::Input::Pong`] or `PingLost`.
    Ping(Ping),
    /// Do something about a drone that does not work; report [`crate::input::Input::Escalated`].
    Escalate(Escalation),
    /// Tell people outside; report [`crate::input::Input::Notified`].
    Notify(Box<NoticeRow>),
    /// Forget the history of attempts up to and including this number.
    TrimHistory {
        /// The last one to forget.
        up_to: u64,
    },
}

/// Work on the binhost's files.
#[derive(Debug, Clone, PartialEq)]
pub enum BinhostWork {
    /// Sign an uploaded file and put it at its place; report [`crate::input::Input::Signed`] or `SigningFailed`.
    Sign {
        /// The upload.
        artifact: ArtifactId,
        /// The index whose folder it goes into.
        index: IndexKey,
        /// BUILD_ID it gets.
        build_id: u32,
        /// Path below the index's folder.
        path: String,
        /// It must not be given to the public.
        restricted: bool,
    },
    /// Write a generation of an index; report [`crate::input::Input::IndexWritten`] or `IndexFailed`.
    WriteIndex {
        /// The index.
        index: IndexKey,
        /// TIMESTAMP.
        timestamp: u64,
        /// Header, without TIMESTAMP and PACKAGES.
        header: BTreeMap<String, String>,
        /// Blocks that are new since the last generation this process wrote.
        add: Vec<(ArtifactId, BTreeMap<String, String>)>,
        /// CPV and BUILD_ID of blocks that are to go.
        remove: Vec<(String, u32)>,
    },
    /// Remove the file of a package no index lists any more; report [`crate::input::Input::PackageRemoved`] or
    /// `RemovalFailed`. One that is not there is removed.
    RemovePackage {
        /// The package.
        artifact: ArtifactId,
        /// The index whose folder it is in.
        index: IndexKey,
        /// Path below the index's folder.
        path: String,
        /// It was never given to the public.
        restricted: bool,
    },
    /// Remove an upload that is not wanted.
    DropUpload {
        /// The upload.
        artifact: ArtifactId,
    },
}

/// The log of an attempt that is to be had whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLog {
    /// The attempt.
    pub fence: Fence,
    /// The drone that has it.
    pub drone: DroneId,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A question whether a drone's supervisor is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Who is asked.
    pub drone: DroneId,
    /// Number of the ping; its answer carries it.
    pub seq: u64,
    /// Milliseconds to wait for the answer.
    pub within: u64,
}

/// Something to be done about a drone that does not work, by one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// The drone.
    pub drone: DroneId,
    /// Number of the order; its outcome carries it.
    pub generation: u64,
    /// What is to be done.
    pub rung: Rung,
    /// Why, for people.
    pub reason: String,
    /// The way to the drone.
    pub route: Route,
    /// Milliseconds to wait for the outcome.
    pub within: u64,
}

/// A way to a drone, with all it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Its supervisor, over the bus.
    Bus {},
    /// SSH, with the host key the swarm knows; another one is refused.
    Ssh {
        /// User.
        user: String,
        /// Address.
        host: String,
        /// Port.
        port: u16,
        /// Private key on the controller; its user's own if `None`.
        key: Option<String>,
        /// The host keys it is known by, `type base64`; any other is refused. With none nothing is said to it.
        host_keys: Vec<String>,
    },
    /// The operator's command on the hypervisor, as an argument list; no shell.
    Hypervisor {
        /// Program and arguments.
        command: Vec<String>,
    },
}

impl Route {
    /// Its kind.
    pub fn kind(&self) -> RouteKind {
        match self {
            Self::Bus {} => RouteKind::Bus,
            Self::Ssh { .. } => RouteKind::Ssh,
            Self::Hypervisor { .. } => RouteKind::Hypervisor,
        }
    }
}

/// Answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To a hello.
    Hello(HelloAnswer),
    /// To a build report.
    Build(BuildAnswer),
    /// To a ticket request.
    Artifact(ArtifactAnswer),
    /// To a plan.
    Plan(PlanAnswer),
    /// To the end of a sync.
    Sync(SyncAnswer),
    /// Packages are queued.
    Queued(Queued),
    /// Done, with how many it touched.
    Done(Done),
    /// A rung by hand is under way, or the ladder was reset.
    Healed(Healed),
    /// Why a package is not building.
    Why(Vec<Explanation>),
    /// What a ticket is good for.
    Ticket(Ticket),
    /// What retention took, or would take.
    Collected(Collected),
    /// Whether a person's package is wanted.
    Import(ImportAnswer),
    /// An invitation was made.
    Invited(InviteRow),
    /// What proofs for an invitation are checked against: the public half of its key pair.
    Verifier(String),
    /// A drone is let in.
    Enrolled(Enrolled),
    /// An upload was taken: durable, or refused.
    Upload {
        /// The file stays; it will be signed.
        taken: bool,
        /// Why not.
        reason: String,
    },
    /// Refused.
    Refused(Refusal),
}

/// Answer to a queue request.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// The session they are in.
    pub session: SessionId,
    /// Its name.
    pub session_name: String,
    /// New entries.
    pub builds: Vec<BuildId>,
    /// The atoms of the new entries.
    pub packages: Vec<String>,
    /// Atoms that were waiting already.
    pub duplicates: Vec<String>,
}

/// Answer to a control.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// How many packages or drones it touched.
    pub touched: u64,
    /// Names or atoms of them, at most 100.
    pub what: Vec<String>,
}

/// Answer to a rung by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Which drone.
    pub drone: DroneId,
    /// Its name.
    pub name: String,
    /// Its level before.
    pub previous_level: u8,
    /// Number of the order, if one was given.
    pub generation: Option<u64>,
}

/// A drone that is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub drone: DroneId,
}

/// What a ticket is good for.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The artifact.
    pub artifact: ArtifactId,
    /// Who got it; for an import nobody.
    pub drone: DroneId,
    /// Why it is good no more; to be told to nobody but who has the secret.
    pub refused: Option<String>,
    /// The secret to compare with.
    pub token: String,
    /// SHA-256 the file must have.
    pub sha256: String,
    /// Bytes it must have.
    pub size: u64,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket {{ artifact: {}, sha256: {}, size: {} }}", self.artifact, self.sha256, self.size)
    }
}

/// What retention took out of the binhost, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// The first of them, at most 1,000.
    pub packages: Vec<CollectedPackage>,
    /// Packages that left their index earlier and whose files wait for their time.
    pub waiting: u64,
    /// Bytes of those files.
    pub waiting_bytes: u64,
}

/// A package retention takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedPackage {
    /// Number.
    pub artifact: ArtifactId,
    /// Its index.
    pub index: IndexKey,
    /// `category/name-version`.
    pub cpv: String,
    /// BUILD_ID.
    pub build_id: u32,
    /// Bytes of its file.
    pub size: u64,
}

/// Whether a person's package is wanted. One that is refused is a [`Refusal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportAnswer {
    /// Upload it, with this ticket, to where drones upload.
    Wanted {
        /// Number of the artifact.
        artifact: ArtifactId,
        /// The ticket's secret.
        token: Secret,
        /// Milliseconds it is good for.
        expires_ms: u64,
        /// The index it goes into.
        index: IndexKey,
    },
    /// It would be wanted; nothing was changed.
    WouldTake {
        /// The index it would go into.
        index: IndexKey,
    },
    /// The binhost has it.
    Present {
        /// Number of the artifact.
        artifact: ArtifactId,
        /// The index it is in.
        index: IndexKey,
    },
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind, for status codes.
    pub kind: RefusalKind,
    /// What went wrong, with what.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request makes no sense.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// It does not fit the state things are in.
    Conflict,
    /// What it names is over.
    Gone,
    /// A bound is reached.
    Full,
}
