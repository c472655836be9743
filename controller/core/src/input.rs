//! All that can happen: what drones report, what people ask, and what the plumbing has done.

use swarm_protocol::artifact::ArtifactAsk;
use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::order::EscalationRefusal;
use swarm_protocol::plan::Plan;
use swarm_protocol::report::{BuildReport, Heartbeat, Hello, SyncReport};
use swarm_protocol::{ArtifactId, DroneId, Fence, InstanceId, PlanId};

use crate::answer::ReplyTo;
use crate::files::{SignedFile, UploadedFile};
use crate::request::Request;
use crate::rows::IndexKey;

/// All that can happen. Who speaks (`drone`) is taken from the subject, which the bus enforces, never from a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A process of a drone introduces itself.
    Hello {
        /// The drone that speaks.
        drone: DroneId,
        /// What it says.
        hello: Box<Hello>,
        /// Answered with [`crate::answer::Answer::Hello`].
        reply: ReplyTo,
    },
    /// Proof of life.
    Heartbeat {
        /// The drone that speaks.
        drone: DroneId,
        /// What it says.
        beat: Box<Heartbeat>,
    },
    /// News of an attempt.
    Build {
        /// The drone that speaks.
        drone: DroneId,
        /// What it says.
        report: Box<BuildReport>,
        /// Answered with [`crate::answer::Answer::Build`], perhaps only after packages and log are safe.
        reply: ReplyTo,
    },
    /// A ticket for an upload is wanted.
    Artifact {
        /// The drone that speaks.
        drone: DroneId,
        /// What it says.
        ask: Box<ArtifactAsk>,
        /// A fresh secret from the plumbing; becomes the ticket's token if one is given.
        token: String,
        /// Answered with [`crate::answer::Answer::Artifact`].
        reply: ReplyTo,
    },
    /// A planner's result, put together from its chunks.
    Planned {
        /// The drone that speaks.
        drone: DroneId,
        /// The request.
        plan: PlanId,
        /// Which try of it.
        attempt: u32,
        /// The result.
        result: Box<Plan>,
        /// Answered with [`crate::answer::Answer::Plan`].
        reply: ReplyTo,
    },
    /// An order to bring the ebuild repositories up to date has ended.
    Synced {
        /// The drone that speaks.
        drone: DroneId,
        /// What it says.
        report: Box<SyncReport>,
        /// Answered with [`crate::answer::Answer::Sync`].
        reply: ReplyTo,
    },
    /// A person, or a program of theirs, asks for something.
    Request {
        /// The person or program, for events and facts.
        actor: String,
        /// What is asked for.
        request: Request,
        /// Answered once.
        reply: ReplyTo,
    },
    /// An upload is whole in `incoming` and its structure verified.
    Uploaded {
        /// The artifact it is about.
        artifact: ArtifactId,
        /// What the file says of itself.
        file: UploadedFile,
        /// Answered with [`crate::answer::Answer::Upload`].
        reply: ReplyTo,
    },
    /// An artifact is signed and at its place.
    Signed {
        /// The artifact it is about.
        artifact: ArtifactId,
        /// The signed file.
        file: SignedFile,
    },
    /// An artifact could not be signed or moved.
    SigningFailed {
        /// The artifact it is about.
        artifact: ArtifactId,
        /// Why it failed, for people.
        reason: String,
    },
    /// A generation of an index is on disk.
    IndexWritten {
        /// The index it is about.
        index: IndexKey,
        /// TIMESTAMP it has.
        timestamp: u64,
    },
    /// The file of a retired package is gone.
    PackageRemoved {
        /// The artifact it is about.
        artifact: ArtifactId,
    },
    /// The file of a retired package could not be removed.
    RemovalFailed {
        /// The artifact it is about.
        artifact: ArtifactId,
        /// Why it failed, for people.
        reason: String,
    },
    /// A generation of an index could not be written.
    IndexFailed {
        /// The index it is about.
        index: IndexKey,
        /// Why it failed, for people.
        reason: String,
    },
    /// A drone answered a ping.
    Pong {
        /// The drone that speaks.
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
        /// The drone that speaks.
        drone: DroneId,
        /// The ping's number; 0 for one that a person sent.
        seq: u64,
        /// Why there was no answer.
        why: PingLoss,
    },
    /// What became of an [`crate::Effect::Escalate`].
    Escalated {
        /// The drone that speaks.
        drone: DroneId,
        /// The order's number.
        generation: u64,
        /// What became of it.
        outcome: RouteOutcome,
    },
    /// What became of an [`crate::Effect::Notify`].
    Notified {
        /// Number of the notice.
        notice: u64,
        /// Channels that have it now.
        delivered: Vec<String>,
        /// Channels that do not, and why.
        failed: Vec<(String, String)>,
    },
    /// A drone says more than the bus takes of one; what is beyond is dropped.
    Flood {
        /// The drone that speaks.
        drone: DroneId,
        /// Messages dropped since this was last told.
        dropped: u64,
    },
    /// An attempt's log is stored as far as it can be had.
    LogStored {
        /// The attempt whose log it is.
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
