//! The kinds of reports that are answered: what is asked of the engine by each, and what a drone hears that can't be asked for.
//! A new report is an `impl` here and a line of the list.

use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_core::Ask;
use swarm_core::ask::WantedTicket;
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildReport, Hello, HelloAnswer, Role, SyncAnswer, SyncReport};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{DroneId, PROTO_MAX, PROTO_MIN};

use super::{Asked, Reports, Unread};

/// What a drone hears to a report.
pub(super) type AnswerTo<R> = <<R as Report>::Question as Ask>::Answer;

/// A report that is answered.
pub(super) trait Report: DeserializeOwned + Send {
    /// What is asked of the engine by it.
    type Question: Ask<By = DroneId, Answer: Serialize>;
    /// Kind of the envelope its answer goes in.
    const ANSWER: &'static str;

    /// What this version does not know of it, though it can be read.
    fn not_known(&self) -> Option<&'static str> {
        None
    }

    /// The question.
    fn question(self) -> Self::Question;

    /// What is said to one of another version, with the reason.
    fn not_understood(reason: String) -> AnswerTo<Self>;

    /// What is said when the core refuses the question, with the reason.
    fn refused(reason: String) -> AnswerTo<Self> {
        Self::not_understood(reason)
    }
}

impl Reports {
    /// The sealed answer to a report of whatever kind, if it has one.
    pub(super) async fn answer_to(&self, asked: &Asked, payload: Unread) -> Option<Vec<u8>> {
        match asked.kind {
            ReportKind::Hello => self.answer::<Hello>(asked, payload).await,
            ReportKind::Build => self.answer::<BuildReport>(asked, payload).await,
            ReportKind::Artifact => self.answer::<ArtifactAsk>(asked, payload).await,
            ReportKind::Sync => self.answer::<SyncReport>(asked, payload).await,
            ReportKind::Plan => self.plan(asked, payload).await,
            ReportKind::Heartbeat => None,
        }
    }
}

impl Report for Hello {
    type Question = Self;
    const ANSWER: &'static str = "answer.hello";

    fn not_known(&self) -> Option<&'static str> {
        (self.role == Role::Unknown).then_some("neither supervisor nor worker")
    }

    fn question(self) -> Self {
        self
    }

    fn not_understood(reason: String) -> HelloAnswer {
        let hint =
            format!("this controller speaks {PROTO_MIN} to {PROTO_MAX}: bring agent and controller to one release");
        HelloAnswer::Refused { reason, hint }
    }

    fn refused(reason: String) -> HelloAnswer {
        HelloAnswer::Refused { reason, hint: String::new() }
    }
}

impl Report for BuildReport {
    type Question = Self;
    const ANSWER: &'static str = "answer.build";

    fn not_known(&self) -> Option<&'static str> {
        (self.news == BuildNews::Unknown).then_some("news of a kind this version does not know")
    }

    fn question(self) -> Self {
        self
    }

    fn not_understood(reason: String) -> BuildAnswer {
        BuildAnswer::NotUnderstood { reason }
    }
}

impl Report for ArtifactAsk {
    type Question = WantedTicket;
    const ANSWER: &'static str = "answer.artifact";

    fn question(self) -> WantedTicket {
        WantedTicket { ask: self, token: hex::encode(rand::random::<[u8; 32]>()) }
    }

    fn not_understood(reason: String) -> ArtifactAnswer {
        ArtifactAnswer::Refused { reason }
    }
}

impl Report for SyncReport {
    type Question = Self;
    const ANSWER: &'static str = "answer.sync";

    fn question(self) -> Self {
        self
    }

    fn not_understood(reason: String) -> SyncAnswer {
        SyncAnswer::Superseded { reason }
    }
}
