//! Asking the engine: what changes something, and what only it can say. Used by every topic.

use std::sync::Arc;
use std::time::Duration;

use swarm_core::{Answer, Input, Request, View};
use tokio::sync::{Semaphore, watch};

use super::error::ApiError;
use super::ports::{Engine, MakeInput, NoAnswer};

/// The engine, as far as handlers have to do with it. Cheap to clone.
#[derive(Clone)]
pub struct Asking {
    engine: Arc<dyn Engine>,
    /// Held by whoever has the engine explain something: it goes through the fleet for it, so one after the other.
    pub(super) explaining: Arc<Semaphore>,
}

impl Asking {
    /// Asks this engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, explaining: Arc::new(Semaphore::new(1)) }
    }

    /// Asks the engine; a refusal is an error.
    pub(super) async fn request(&self, actor: &str, request: Request) -> Result<Answer, ApiError> {
        let actor = actor.to_owned();
        let make = Box::new(move |reply| Input::Request { actor, request, reply });
        match self.engine.ask(make).await? {
            Answer::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    }

    /// Hands in one input and waits for its answer.
    pub(super) async fn put(&self, make: MakeInput) -> Result<Answer, NoAnswer> {
        self.engine.ask(make).await
    }

    /// The published view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.engine.view()
    }

    /// Number of the newest committed event.
    pub(super) fn events(&self) -> watch::Receiver<u64> {
        self.engine.events()
    }

    /// Whether the engine answers within `patience`.
    pub(super) async fn pulse(&self, patience: Duration) -> bool {
        self.engine.pulse(patience).await
    }
}
