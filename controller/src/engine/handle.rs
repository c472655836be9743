//! How everyone else talks to the engine. Used by `bus`, `http` and `binhost`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use swarm_core::tell::Stopped;
use swarm_core::{Answer, Ask, Input, ReplyTo, Tell, View};
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{mpsc, oneshot, watch};

use super::port::{AskError, Engine, MakeInput, fit};
use super::stats::{EngineStats, StatsNow};

/// What is on its way to the engine.
#[expect(clippy::large_enum_variant, reason = "nearly all are inputs; a box for each costs more than a pulse wastes")]
pub(super) enum Message {
    /// One input, with whoever waits for its answer.
    Input { input: Input, waiter: Option<(ReplyTo, oneshot::Sender<Answer>)> },
    /// Somebody wants to know whether the engine still answers.
    Pulse(oneshot::Sender<()>),
}

/// The engine, for everyone but itself. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    inputs: mpsc::Sender<Message>,
    next_reply: Arc<AtomicU64>,
    view: Arc<ArcSwap<View>>,
    events: watch::Receiver<u64>,
    stats: Arc<EngineStats>,
    room_within: Duration,
    answer_within: Duration,
}

impl EngineHandle {
    pub(super) fn new(
        inputs: mpsc::Sender<Message>,
        next_reply: Arc<AtomicU64>,
        view: Arc<ArcSwap<View>>,
        events: watch::Receiver<u64>,
        stats: Arc<EngineStats>,
        (room_within, answer_within): (Duration, Duration),
    ) -> Self {
        Self { inputs, next_reply, view, events, stats, room_within, answer_within }
    }

    /// Asks a question and gives its answer; an answer means that what it says is on disk.
    ///
    /// # Errors
    /// When it is refused or there is none.
    pub async fn ask<A: Ask>(&self, by: A::By, question: A) -> Result<A::Answer, AskError> {
        self.ask_within(self.answer_within, by, question).await
    }

    /// [`EngineHandle::ask`] with another patience for the answer; some come only when packages and log are safe.
    ///
    /// # Errors
    /// As for [`EngineHandle::ask`].
    pub async fn ask_within<A: Ask>(&self, patience: Duration, by: A::By, question: A) -> Result<A::Answer, AskError> {
        fit(self.answer(patience, |reply| question.input(by, reply)).await?)
    }

    async fn answer(&self, patience: Duration, make: impl FnOnce(ReplyTo) -> Input) -> Result<Answer, AskError> {
        let reply = ReplyTo(self.next_reply.fetch_add(1, Relaxed));
        let (waiter, answer) = oneshot::channel();
        self.pass(Message::Input { input: make(reply), waiter: Some((reply, waiter)) }).await?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Stopped),
            Err(_) => Err(AskError::TimedOut),
        }
    }

    /// Hands in one input that has no answer; waits for room.
    ///
    /// # Errors
    /// [`AskError::Busy`] or [`AskError::Stopped`]; the input was not taken then.
    pub async fn send(&self, input: Input) -> Result<(), AskError> {
        self.pass(Message::Input { input, waiter: None }).await
    }

    /// Hands in what repeats anyway (heartbeats). False: it was shed, because the queue is more than three quarters full
    /// and the rest is kept for what does not repeat.
    pub fn offer(&self, input: Input) -> bool {
        let taken = self.inputs.capacity() > self.inputs.max_capacity() / 4
            && match self.inputs.try_send(Message::Input { input, waiter: None }) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => false,
            };
        if !taken {
            self.stats.shed.fetch_add(1, Relaxed);
        }
        taken
    }

    /// Whether the engine answers within `patience`. Behind a queue that long it is busy, not dead: having handled something
    /// meanwhile counts as an answer.
    pub async fn pulse(&self, patience: Duration) -> bool {
        let before = self.stats().batches;
        let (waiter, answer) = oneshot::channel();
        let asked = async { self.inputs.send(Message::Pulse(waiter)).await.is_ok() && answer.await.is_ok() };
        match tokio::time::timeout(patience, asked).await {
            Ok(answered) => answered,
            Err(_) => self.stats().batches > before,
        }
    }

    /// The published view of soft state; shows nothing that is not on disk.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Number of the newest committed event. Its sender goes with the engine.
    pub fn events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// What was counted so far.
    pub fn stats(&self) -> StatsNow {
        self.stats.now(self.inputs.max_capacity() - self.inputs.capacity())
    }

    async fn pass(&self, message: Message) -> Result<(), AskError> {
        match self.inputs.send_timeout(message, self.room_within).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => {
                self.stats.busy.fetch_add(1, Relaxed);
                Err(AskError::Busy)
            }
            Err(SendTimeoutError::Closed(_)) => Err(AskError::Stopped),
        }
    }
}

impl Tell for EngineHandle {
    fn offer(&self, input: Input) -> bool {
        Self::offer(self, input)
    }

    fn tell(&self, input: Input) -> BoxFuture<'_, ()> {
        Box::pin(async move { while let Err(AskError::Busy) = self.send(input.clone()).await {} })
    }

    fn tell_blocking(&self, input: Input) -> Result<(), Stopped> {
        self.inputs.blocking_send(Message::Input { input, waiter: None }).map_err(|_| Stopped)
    }
}

impl Engine for EngineHandle {
    fn answer(&self, make: MakeInput) -> BoxFuture<'_, Result<Answer, AskError>> {
        Box::pin(Self::answer(self, self.answer_within, make))
    }

    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    fn events(&self) -> watch::Receiver<u64> {
        Self::events(self)
    }

    fn pulse(&self, patience: Duration) -> BoxFuture<'_, bool> {
        Box::pin(Self::pulse(self, patience))
    }
}
