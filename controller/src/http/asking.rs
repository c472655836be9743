//! Asking the engine: what changes something, and what only it can say. Used by every topic.

use std::sync::Arc;
use std::time::Duration;

use swarm_core::{Ask, View};
use tokio::sync::{Semaphore, watch};

use crate::engine::{AskError, Engine};

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

    /// Asks a question and gives its answer, which is on disk then.
    pub(super) async fn ask<A: Ask>(&self, by: impl Into<A::By>, question: A) -> Result<A::Answer, AskError> {
        self.engine.ask(by.into(), question).await
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
