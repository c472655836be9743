//! The engine as the rooms around it see it: one port for all of them, so that each can be tested beside a pretended engine.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use swarm_core::answer::Refusal;
use swarm_core::{Answer, Ask, Input, ReplyTo, Tell, View};
use tokio::sync::watch;
use tracing::error;

/// Makes the input once the engine has said where its answer goes.
pub type MakeInput = Box<dyn FnOnce(ReplyTo) -> Input + Send>;

/// Why there is no answer of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The queue stayed full; nothing was taken.
    #[error("the controller is busy")]
    Busy,
    /// The engine is gone or going; if the input was taken, its outcome is not known.
    #[error("the controller is stopping")]
    Stopped,
    /// The input was taken and has no answer yet; what was asked may still happen.
    #[error("the controller has not answered in time")]
    TimedOut,
    /// The core refuses.
    #[error("{}", .0.error)]
    Refused(Refusal),
    /// The answer is of another kind; the fault of the program.
    #[error("the controller gave an answer that does not fit the question")]
    Unfit,
}

/// What the rooms need of the engine, besides telling it what has happened.
pub trait Engine: Tell {
    /// Hands in one input and waits for its answer; an answer means that what it says is on disk.
    fn answer(&self, make: MakeInput) -> BoxFuture<'_, Result<Answer, AskError>>;
    /// The published view of soft state; shows nothing that is not on disk.
    fn view(&self) -> Arc<View>;
    /// Number of the newest committed event.
    fn events(&self) -> watch::Receiver<u64>;
    /// Whether it answers within `patience`.
    fn pulse(&self, patience: Duration) -> BoxFuture<'_, bool>;
}

impl dyn Engine {
    /// Asks a question and gives its answer.
    ///
    /// # Errors
    /// When it is refused or there is none.
    pub async fn ask<A: Ask>(&self, by: A::By, question: A) -> Result<A::Answer, AskError> {
        fit(self.answer(Box::new(move |reply| question.input(by, reply))).await?)
    }
}

/// The answer a question has, out of all there are.
pub(super) fn fit<A: TryFrom<Answer, Error = Answer>>(answer: Answer) -> Result<A, AskError> {
    match A::try_from(answer) {
        Ok(answer) => Ok(answer),
        Err(Answer::Refused(refusal)) => Err(AskError::Refused(refusal)),
        Err(_) => {
            // not the answer itself: it may hold a ticket's secret
            error!(wanted = std::any::type_name::<A>(), "an answer of another kind than its question");
            Err(AskError::Unfit)
        }
    }
}
