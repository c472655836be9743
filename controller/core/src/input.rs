//! All that can happen: what drones report, what people ask, and what the plumbing has done.

use std::collections::BTreeMap;

use swarm_protocol::artifact::ArtifactAsk;
use swarm_protocol::machine::{DroneType, Vitals, WorkerState};
use swarm_protocol::order::EscalationRefusal;
use swarm_protocol::plan::Plan;
use swarm_protocol::report::{BuildReport, Heartbeat, Hello, SyncReport};
use swarm_protocol::{ArtifactId, DroneId, Fence, InstanceId, PlanId, Secret};

use crate::members::InviteRequest;
use crate::rows::{BuildWishes, IndexKey};

/// A moment. The core never asks a clock; it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// The core's clock: milliseconds, monotonic, persisted, never back (decision 8). Rules use it.
    pub at: u64,
    /// Wall clock, Unix milliseconds. For people and names only.
    pub wall: u64,
}

/// Where an answer goes; the engine knows who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// All that can happen. Who speaks (`drone`) is taken from the subject, which the bus enforces, never from a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A process of a drone introduces itself.
    Hello {
        /// Who.
        drone: DroneId,
        /// What it says.
        hello: Box<Hello>,
        /// Answered with [`crate::effect::Answer::Hello`].
        reply: ReplyTo,
    },
    /// Proof of life.
    Heartbeat {
        /// Who.
        drone: DroneId,
        /// What it says.
        beat: Box<Heartbeat>,
    },
    /// News of an attempt.
    Build {
        /// Who.
        drone: DroneId,
        /// What it says.
        report: Box<BuildReport>,
        /// Answered with [`crate::effect::Answer::Build`], perhaps only after packages and log are safe.
        reply: ReplyTo,
    },
    /// A ticket for an upload is wanted.
    Artifact {
        /// Who.
        drone: DroneId,
        /// What it says.
        ask: Box<ArtifactAsk>,
        /// A fresh secret from the plumbing; becomes the ticket's token if one is given.
        token: String,
        /// Answered with [`crate::effect::Answer::Artifact`].
        reply: ReplyTo,
    },
    /// A planner's result, put together from its chunks.
    Planned {
        /// Who.
        drone: DroneId,
        /// The request.
        plan: PlanId,
        /// Which try of it.
        attempt: u32,
        /// The result.
        result: Box<Plan>,
        /// Answered with [`crate::effect::Answer::Plan`].
        reply: ReplyTo,
    },
    /// An order to bring the ebuild repositories up to date has ended.
    Synced {
        /// Who.
        drone: DroneId,
        /// What it says.
        report: Box<SyncReport>,
        /// Answered with [`crate::effect::Answer::Sync`].
        reply: ReplyTo,
    },
    /// A person, or a program of theirs, asks for something.
    Request {
        /// Who, for events and facts.
        actor: String,
        /// What.
        request: Request,
        /// Answered once.
        reply: ReplyTo,
    },
    /// An upload is whole in `incoming` and its structure verified.
    Uploaded {
        /// Which.
        artifact: ArtifactId,
        /// What the file says of itself.
        file: UploadedFile,
        /// Answered with [`crate::effect::Answer::Upload`].
        reply: ReplyTo,
    },
    /// An artifact is signed and at its place.
    Signed {
        /// Which.
        artifact: ArtifactId,
        /// The signed file.
        file: SignedFile,
    },
    /// An artifact could not be signed or moved.
    SigningFailed {
        /// Which.
        artifact: ArtifactId,
        /// Why.
        reason: String,
    },
    /// A generation of an index is on disk.
    IndexWritten {
        /// Which index.
        index: IndexKey,
        /// TIMESTAMP it has.
        timestamp: u64,
    },
    /// The file of a retired package is gone.
    PackageRemoved {
        /// Which.
        artifact: ArtifactId,
    },
    /// The file of a retired package could not be removed.
    RemovalFailed {
        /// Which.
        artifact: ArtifactId,
        /// Why.
        reason: String,
    },
    /// A generation of an index could not be written.
    IndexFailed {
        /// Which index.
        index: IndexKey,
        /// Why.
        reason: String,
    },
    /// A drone answered a ping.
    Pong {
        /// Who.
        drone: DroneId,
        /// The ping's number; 0 for one that a person sent.
        seq: u64,
        /// Microseconds there and back, by the controller's monotonic clock.
        latency_us: u64,
        /// What it said.
        pong: Box<Pong>,
    },
    /// A ping was not answered.
    PingLost {
        /// Who.
        drone: DroneId,
        /// The ping's number; 0 for one that a person sent.
        seq: u64,
        /// Why.
        why: PingLoss,
    },
    /// What became of an [`crate::Effect::Escalate`].
    Escalated {
        /// Which drone.
        drone: DroneId,
        /// The order's number.
        generation: u64,
        /// What became of it.
        outcome: RouteOutcome,
    },
    /// What became of an [`crate::Effect::Notify`].
    Notified {
        /// Which notice.
        notice: u64,
        /// Channels that have it now.
        delivered: Vec<String>,
        /// Channels that do not, and why.
        failed: Vec<(String, String)>,
    },
    /// A drone says more than the bus takes of one; what is beyond is dropped.
    Flood {
        /// Who.
        drone: DroneId,
        /// Messages dropped since this was last told.
        dropped: u64,
    },
    /// An attempt's log is stored as far as it can be had.
    LogStored {
        /// Which.
        fence: Fence,
        /// With its tail.
        complete: bool,
    },
}

/// What a drone says when it is pinged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pong {
    /// The supervisor's run.
    pub instance: InstanceId,
    /// The drone's wall clock, Unix milliseconds.
    pub at: u64,
    /// The controller's wall clock half-way between ping and pong, Unix milliseconds.
    pub middle: u64,
    /// Condition.
    pub vitals: Vitals,
    /// Its worker.
    pub worker: WorkerState,
    /// Attempts it runs.
    pub attempts: Vec<Fence>,
}

/// Why a ping was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingLoss {
    /// No answer in time.
    Silent,
    /// Nobody listens: its supervisor is not on the bus.
    Absent,
    /// The answer made no sense.
    Nonsense,
    /// The controller itself has no bus; that says nothing of the drone.
    NoBus,
}

/// What became of an order by one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteOutcome {
    /// Done.
    Done {
        /// What, for people.
        detail: String,
    },
    /// The drone said what it would do.
    DryRun {
        /// What, for people.
        detail: String,
    },
    /// The drone refuses it by a rule of its own: no other route may do it either.
    Refused {
        /// The rule.
        why: EscalationRefusal,
        /// For people.
        detail: String,
    },
    /// This route did not do it.
    Failed {
        /// Why, for people.
        detail: String,
    },
    /// The host shows another SSH key than the one it is known by; nothing was said to it.
    Distrusted {
        /// What it showed, for people.
        detail: String,
    },
    /// No answer in time.
    TimedOut {},
}

/// What an uploaded file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadedFile {
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// `category/name-version`.
    pub cpv: String,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// Enabled flags of its IUSE, sorted.
    pub use_flags: Vec<String>,
    /// CHOST.
    pub chost: String,
    /// RESTRICT.
    pub restrict: String,
}

/// A signed file at its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedFile {
    /// Path below the index's folder.
    pub path: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Its block in the index.
    pub stanza: BTreeMap<String, String>,
}

/// What a person can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Queue packages. Answered with [`crate::effect::Answer::Queued`].
    Queue(QueueRequest),
    /// Take an entry out of the queue. Answered with [`crate::effect::Answer::Done`].
    Remove {
        /// Atom or `category/name-version`; every variant of it in the active session.
        package: String,
    },
    /// One of the controls. Answered with [`crate::effect::Answer::Done`].
    Control {
        /// What.
        action: Control,
        /// Only this package.
        package: Option<String>,
        /// Only this drone, by name or identity.
        drone: Option<String>,
    },
    /// Something for one drone. Answered with [`crate::effect::Answer::Done`].
    Drone {
        /// Name or identity.
        drone: String,
        /// What.
        action: DroneAction,
    },
    /// A rung of the ladder by hand, or the ladder's reset. Answered with [`crate::effect::Answer::Healed`].
    Heal {
        /// Name or identity.
        drone: String,
        /// What.
        action: HealAction,
    },
    /// The operator's wishes for a drone; what is `None` stays as it is. Answered with [`crate::effect::Answer::Done`].
    Wish {
        /// Name or identity.
        drone: String,
        /// The changes.
        wishes: Box<DroneWishes>,
    },
    /// Send a notice to see whether it arrives. Answered with [`crate::effect::Answer::Done`].
    TestNotice {},
    /// Why is this package not building? Answered with [`crate::effect::Answer::Why`].
    Why {
        /// `category/name-version` with or without `=`, or `category/name`.
        package: String,
    },
    /// Change a setting at run time. Answered with [`crate::effect::Answer::Done`].
    Configure(Box<ConfigChange>),
    /// Something about the packages the binhost has.
    Binhost(BinhostRequest),
    /// Invite a drone. Answered with [`crate::effect::Answer::Invited`].
    Invite(InviteRequest),
    /// Take open invitations back. Answered with [`crate::effect::Answer::Done`].
    Uninvite {
        /// Number, or name they are for.
        which: String,
    },
    /// What proofs for an invitation are checked against. Answered with [`crate::effect::Answer::Verifier`].
    Invitation {
        /// Its number.
        id: String,
    },
    /// Somebody's proof for an invitation was wrong. Always refused; too many close the invitation.
    WrongProof {
        /// Its number.
        invitation: String,
    },
    /// A drone proved to have the token of an invitation. Answered with [`crate::effect::Answer::Enrolled`].
    Enrol {
        /// Number of the invitation.
        invitation: String,
        /// The drone's key.
        drone: DroneId,
    },
    /// The drones of this machine, all of them. Answered with [`crate::effect::Answer::Done`]: those that stay out.
    LocalDrones {
        /// Identities and names.
        drones: Vec<(DroneId, String)>,
    },
    /// Let somebody read the events on the bus. Answered with [`crate::effect::Answer::Done`].
    Tapper {
        /// Its identity.
        id: String,
        /// Its name.
        name: String,
    },
    /// Let a tapper read no more. Answered with [`crate::effect::Answer::Done`].
    RevokeTapper {
        /// Name or identity.
        name: String,
    },
    /// What a ticket is good for; the caller compares the secret. Answered with [`crate::effect::Answer::Ticket`].
    Ticket {
        /// The artifact it was given for.
        artifact: ArtifactId,
    },
}

/// What can be asked of the binhost. A package is named by its number, `=category/name-version`, `category/name-version`
/// or `category/name`.
#[derive(Debug, Clone, PartialEq)]
pub enum BinhostRequest {
    /// Keep packages whatever retention says, or no longer. Answered with [`crate::effect::Answer::Done`].
    Pin {
        /// Which.
        package: String,
        /// Keep it.
        pinned: bool,
    },
    /// Take packages out. Answered with [`crate::effect::Answer::Done`].
    Remove {
        /// Which; not by `category/name` alone.
        package: String,
        /// Also those an open session builds on.
        force: bool,
    },
    /// Apply retention now. Answered with [`crate::effect::Answer::Collected`].
    Collect {
        /// Only say what would go.
        dry_run: bool,
    },
    /// A person has a package: is it wanted? Answered with [`crate::effect::Answer::Import`].
    Import(Box<ImportAsk>),
    /// A published file is not what its row says. Answered with [`crate::effect::Answer::Done`]; nothing is touched if the
    /// package is not published any more.
    Damaged {
        /// Which.
        artifact: ArtifactId,
        /// What is wrong with its file.
        reason: String,
        /// Queue it to be built again.
        rebuild: bool,
    },
    /// An index on disk is not what the rows say: write it anew. Answered with [`crate::effect::Answer::Done`].
    Reindex {
        /// Which.
        index: IndexKey,
    },
}

/// A package a person has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportAsk {
    /// What its file says of itself.
    pub file: UploadedFile,
    /// When it was built, as its file says; equal for copies of one build.
    pub build_time: String,
    /// Build profile whose index it goes into.
    pub profile: String,
    /// ARCH, needed while no index of that profile and CHOST is known.
    pub arch: Option<String>,
    /// Header of the `Packages` it comes from; the index's, while no drone has given it one.
    pub header: BTreeMap<String, String>,
    /// Only say what would become of it.
    pub dry_run: bool,
    /// A fresh secret from the plumbing; becomes the ticket's token.
    pub token: Secret,
}

/// Packages to queue.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueueRequest {
    /// Atoms.
    pub packages: Vec<String>,
    /// Joins the open session of this name, or opens one.
    pub session_name: Option<String>,
    /// Build profile; `default` if not given.
    pub profile: Option<String>,
    /// Lines of `package.use`.
    pub package_use: Vec<String>,
    /// Build what the binhost has, too.
    pub rebuild: bool,
    /// A session of its own that lists every dependency, also those the binhost has.
    pub fresh: bool,
    /// What is wished of the builds.
    pub wishes: BuildWishes,
    /// The same key within 24 h gets the same answer and queues nothing.
    pub idempotency_key: Option<String>,
}

/// A setting that changes at run time. Whoever asks has read and checked the value.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigChange {
    /// `section.key`.
    pub key: String,
    /// Its new value as text; `None` gives it back to the configuration.
    pub value: Option<String>,
    /// What held until now, as text, for the event.
    pub before: String,
    /// What holds from now on, as text, for the event.
    pub after: String,
    /// All numbers of the rules as they are with the change.
    pub settings: crate::Settings,
}

/// The controls of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Give out no work.
    Pause,
    /// Give out work again.
    Resume,
    /// Blocked packages back to needed.
    Unblock,
    /// Block a package until a person unblocks it.
    Block,
    /// Take back work of drones that are offline or, with a drone named, of that drone.
    Reclaim,
    /// End groundings and upload impairments.
    Unground,
    /// End upload impairments only.
    ResetUpload,
    /// Everything not received back to needed, marks cleared.
    Reset,
    /// Take back work that has not begun.
    Rebalance,
    /// Clear failure marks.
    ClearFailures,
    /// Blocked and failed packages back to needed, marks cleared.
    RetryFailures,
    /// Forget the history of attempts.
    ClearHistory,
}

/// What a person can do about a drone that does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealAction {
    /// Back to level 0; what is wrong is judged anew.
    Reset,
    /// Level 1 now.
    Restart,
    /// Level 2 now.
    HardRestart,
    /// Level 3 now, where the rules allow it.
    Reboot,
    /// The operator's word on its type; `None` takes it back.
    SetType(Option<DroneType>),
}

/// Changes of the operator's wishes: the outer `None` leaves a wish as it is, an inner one takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DroneWishes {
    /// Never rebooted.
    pub protected: Option<bool>,
    /// May be rebooted.
    pub auto_reboot: Option<Option<bool>>,
    /// Number or name on the hypervisor.
    pub vmid: Option<Option<String>>,
    /// SSH user.
    pub ssh_user: Option<Option<String>>,
    /// SSH address.
    pub ssh_host: Option<Option<String>>,
    /// SSH port.
    pub ssh_port: Option<Option<u16>>,
    /// SSH private key.
    pub ssh_key_path: Option<Option<String>>,
    /// SSH host keys, `type base64`.
    pub ssh_host_keys: Option<Option<Vec<String>>>,
    /// Name for people.
    pub display_name: Option<Option<String>>,
    /// Notes.
    pub notes: Option<Option<String>>,
}

/// What a person can do with a drone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DroneAction {
    /// No new work; what runs goes on.
    Pause,
    /// End a pause or a drain.
    Resume,
    /// No new work; ends by itself when it is empty and stays out until resumed.
    Drain,
    /// Forget an offline drone; its key is let in no more.
    Forget,
    /// Cut it off, whatever it does; its key is never let in again.
    Revoke,
}
