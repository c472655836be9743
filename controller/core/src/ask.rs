//! Questions and their answers, paired. Whoever asks the core anything has one type for the question, and by it knows the type
//! of the answer: requests of people (see [`crate::request`]), and what drones report and are answered.

use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::plan::{Plan, PlanAnswer};
use swarm_protocol::report::{BuildAnswer, BuildReport, Hello, HelloAnswer, SyncAnswer, SyncReport};
use swarm_protocol::{ArtifactId, DroneId, PlanId};

use crate::answer::{Answer, ReplyTo, UploadAnswer};
use crate::files::UploadedFile;
use crate::input::Input;
use crate::request::Demand;

/// A question to the core, answered once.
pub trait Ask: Send + 'static {
    /// Who asks: a person by name, a drone by its identity.
    type By: Send + 'static;
    /// What its answer tells, unless it is refused.
    type Answer: TryFrom<Answer, Error = Answer> + Send + 'static;

    /// The input it becomes.
    fn input(self, by: Self::By, reply: ReplyTo) -> Input;
}

impl<D: Demand> Ask for D {
    type By = String;
    type Answer = D::Answer;

    fn input(self, actor: String, reply: ReplyTo) -> Input {
        Input::Request { actor, request: self.into(), reply }
    }
}

impl Ask for Hello {
    type By = DroneId;
    type Answer = HelloAnswer;

    fn input(self, drone: DroneId, reply: ReplyTo) -> Input {
        Input::Hello { drone, hello: Box::new(self), reply }
    }
}

impl Ask for BuildReport {
    type By = DroneId;
    type Answer = BuildAnswer;

    fn input(self, drone: DroneId, reply: ReplyTo) -> Input {
        Input::Build { drone, report: Box::new(self), reply }
    }
}

impl Ask for SyncReport {
    type By = DroneId;
    type Answer = SyncAnswer;

    fn input(self, drone: DroneId, reply: ReplyTo) -> Input {
        Input::Synced { drone, report: Box::new(self), reply }
    }
}

/// A drone wants a ticket for an upload.
#[derive(Debug)]
pub struct WantedTicket {
    /// What it says of the file.
    pub ask: ArtifactAsk,
    /// A fresh secret from the plumbing; becomes the ticket's token if one is given.
    pub token: String,
}

impl Ask for WantedTicket {
    type By = DroneId;
    type Answer = ArtifactAnswer;

    fn input(self, drone: DroneId, reply: ReplyTo) -> Input {
        Input::Artifact { drone, ask: Box::new(self.ask), token: self.token, reply }
    }
}

/// A planner's result, put together from its chunks.
#[derive(Debug)]
pub struct Planned {
    /// The request it answers.
    pub plan: PlanId,
    /// Which try of it.
    pub attempt: u32,
    /// The result.
    pub result: Box<Plan>,
}

impl Ask for Planned {
    type By = DroneId;
    type Answer = PlanAnswer;

    fn input(self, drone: DroneId, reply: ReplyTo) -> Input {
        Input::Planned { drone, plan: self.plan, attempt: self.attempt, result: self.result, reply }
    }
}

/// An upload is whole in `incoming` and its structure verified. Its ticket says whose it is.
#[derive(Debug)]
pub struct Uploaded {
    /// The artifact it was uploaded for.
    pub artifact: ArtifactId,
    /// What the file says of itself.
    pub file: UploadedFile,
}

impl Ask for Uploaded {
    type By = ();
    type Answer = UploadAnswer;

    fn input(self, (): (), reply: ReplyTo) -> Input {
        Input::Uploaded { artifact: self.artifact, file: self.file, reply }
    }
}
