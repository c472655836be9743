//! Reports in: from bytes on a subject to an [`Input`], and the engine's answer back to who asked. `kinds` is the list of those
//! that are answered.

mod kinds;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_core::ask::Planned;
use swarm_core::{Ask, Input};
use swarm_protocol::envelope::open;
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::plan::{PlanAnswer, PlanChunk};
use swarm_protocol::report::Heartbeat;
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{CodecError, DroneId, Subjects};
use tokio::time::timeout;
use tracing::{debug, warn};

use self::kinds::Report;
use super::plans::{Plans, Step};
use super::rates::{LOGS, REPORTS, Rates, Verdict};
use super::room::{Bytes, Room};
use super::{ChunkSink, Inner};
use crate::engine::{AskError, Engine};

/// Longer than any answer takes: a finished build may wait for its log.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// Serves reports.
pub(super) struct Reports {
    client: Client,
    inner: Arc<Inner>,
    engine: Arc<dyn Engine>,
    plans: Mutex<Plans>,
    rates: Rates,
    room: Room,
}

/// A request that may be answered.
struct Asked {
    drone: DroneId,
    kind: ReportKind,
    reply: Option<async_nats::Subject>,
    subject: async_nats::Subject,
}

/// What a request says, and the room it takes until it is read.
struct Unread {
    message: Message,
    _room: Bytes,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.message.payload
    }
}

impl Reports {
    pub(super) fn new(client: Client, inner: Arc<Inner>, engine: Arc<dyn Engine>) -> Self {
        Self { client, inner, engine, plans: Mutex::default(), rates: Rates::new(REPORTS), room: Room::new() }
    }

    /// Heartbeats are handed on at once; each request is served by a task of its own, so that one that waits for the disk
    /// holds up nothing. (In one task for all of them, those that could go on would be looked at again and again while
    /// tokio's cooperative budget lets none of them: thousands in flight came to a crawl.)
    pub(super) async fn run(self, mut messages: Subscriber) {
        let this = Arc::new(self);
        while let Some(message) = messages.next().await {
            this.sort(message);
        }
        warn!("the bus gives no more reports");
    }

    fn sort(self: &Arc<Self>, message: Message) {
        if !self.inner.hears(&message.subject, &self.rates, &*self.engine) {
            return;
        }
        let Some((drone, kind)) = self.inner.subjects.parse_report(&message.subject) else {
            self.malformed(&message.subject, "a report of a kind this version does not know");
            return;
        };
        if kind == ReportKind::Heartbeat {
            self.heartbeat(drone, &message);
            return;
        }
        // whoever lets us answer elsewhere would make us speak in our name to somebody else
        let own = format!("{}.", Subjects::inbox(drone.as_str()));
        if !message.reply.as_ref().is_some_and(|reply| reply.starts_with(&own)) {
            self.inner.counters.foreign_replies.fetch_add(1, Relaxed);
            if self.inner.throttle.lets_pass(&format!("reply {drone}")) {
                warn!(%drone, ?kind, reply = ?message.reply, "a report without an answer's place of its own was dropped");
            }
            return;
        }
        let Some((room, place)) = self.room.take(&drone, message.payload.len()) else {
            return self.shed(&drone);
        };
        let asked = Asked { drone, kind, reply: message.reply.clone(), subject: message.subject.clone() };
        let payload = Unread { message, _room: room };
        let this = self.clone();
        drop(swarm_common::watch::spawn("request", async move {
            this.serve(asked, payload).await;
            drop(place);
        }));
    }

    fn heartbeat(&self, drone: DroneId, message: &Message) {
        match open::<Heartbeat>(&message.payload) {
            Ok(envelope) => {
                if !self.engine.offer(Input::Heartbeat { drone, beat: Box::new(envelope.body) }) {
                    self.inner.counters.shed_heartbeats.fetch_add(1, Relaxed);
                }
            }
            Err(reason) => self.malformed(&message.subject, &reason.to_string()),
        }
    }

    /// Reads, asks, answers.
    async fn serve(&self, mut asked: Asked, payload: Unread) {
        let sealed = self.answer_to(&asked, payload).await;
        let (Some(reply), Some(body)) = (asked.reply.take(), sealed) else { return };
        if let Err(error) = self.client.publish(reply, body.into()).await {
            debug!(drone = %asked.drone, kind = ?asked.kind, %error, "an answer was not sent; the drone asks again");
        }
    }

    /// The sealed answer to a report of the kind `R`, if it has one.
    async fn answer<R: Report>(&self, asked: &Asked, payload: Unread) -> Option<Vec<u8>> {
        let answer = match self.open::<R>(asked, payload)? {
            Ok(report) => match report.not_known() {
                Some(what) => {
                    self.inner.counters.not_understood.fetch_add(1, Relaxed);
                    R::not_understood(format!("not understood: {what}"))
                }
                None => self.ask(asked, report.question()).await?.unwrap_or_else(R::refused),
            },
            Err(version) => R::not_understood(version),
        };
        self.seal(R::ANSWER, answer)
    }

    /// A plan comes in chunks; the engine is asked when it is whole, and repeats are answered from what it said.
    async fn plan(&self, asked: &Asked, payload: Unread) -> Option<Vec<u8>> {
        let step = match self.open::<PlanChunk>(asked, payload)? {
            Ok(chunk) => self.plans().take(&asked.drone, chunk, Instant::now()),
            Err(reason) => Step::Answer(PlanAnswer::Refused { reason }),
        };
        let answer = match step {
            Step::Answer(answer) => answer,
            Step::Whole { plan, attempt, result } => match self.ask(asked, Planned { plan, attempt, result }).await? {
                Ok(answer) => {
                    self.plans().answered(&asked.drone, plan, attempt, answer.clone());
                    answer
                }
                Err(reason) => PlanAnswer::Refused { reason },
            },
        };
        self.seal("answer.plan", answer)
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal<B: Serialize>(&self, kind: &str, answer: B) -> Option<Vec<u8>> {
        self.inner.seal(kind, answer).inspect_err(|reason| warn!(kind, %reason, "an answer can't be written")).ok()
    }

    /// Decodes. `None`: malformed, counted and dropped. `Some(Err)`: of another version, and why it is not understood.
    fn open<B: DeserializeOwned>(&self, asked: &Asked, payload: Unread) -> Option<Result<B, String>> {
        match open::<B>(payload.as_ref()) {
            Ok(envelope) => Some(Ok(envelope.body)),
            Err(reason) => match other_version(payload.as_ref()) {
                Some(version) => {
                    self.inner.counters.not_understood.fetch_add(1, Relaxed);
                    Some(Err(format!("not understood: {version}")))
                }
                None => {
                    self.malformed(&asked.subject, &reason.to_string());
                    None
                }
            },
        }
    }

    /// Asks the engine. `None`: no answer in time, the drone asks again. `Some(Err)`: refused, and why.
    async fn ask<A: Ask<By = DroneId>>(&self, asked: &Asked, question: A) -> Option<Result<A::Answer, String>> {
        let asking = self.engine.ask(asked.drone.clone(), question);
        match timeout(ANSWER_WITHIN, asking).await {
            Ok(Ok(answer)) => Some(Ok(answer)),
            Ok(Err(AskError::Refused(refusal))) => Some(Err(refusal.error)),
            Ok(Err(AskError::Unfit)) => None,
            Ok(Err(AskError::Busy | AskError::Stopped | AskError::TimedOut)) | Err(_) => {
                self.inner.counters.unanswered.fetch_add(1, Relaxed);
                debug!(drone = %asked.drone, kind = ?asked.kind, "the engine gave no answer; the drone asks again");
                None
            }
        }
    }

    fn malformed(&self, subject: &str, reason: &str) {
        self.inner.malformed(subject, reason);
    }

    fn shed(&self, drone: &DroneId) {
        self.inner.counters.shed_requests.fetch_add(1, Relaxed);
        if self.inner.throttle.lets_pass(&format!("shed {drone}")) {
            warn!(%drone, "requests of a drone are let go: more than are served at one time");
        }
    }
}

/// A later version may have changed the body past reading; the envelope stays.
fn other_version(payload: &[u8]) -> Option<CodecError> {
    open::<serde::de::IgnoredAny>(payload).err().filter(|reason| matches!(reason, CodecError::Version(_)))
}

impl Inner {
    /// Whether there is room for one more message of who speaks. What is dropped is counted, and told the core now and then.
    fn hears(&self, subject: &str, rates: &Rates, engine: &dyn Engine) -> bool {
        // what is nobody's is malformed, and found so by who reads it
        let Some(drone) = self.subjects.speaker(subject) else { return true };
        let dropped = match rates.one_more(&drone) {
            Verdict::Pass => return true,
            Verdict::Drop => None,
            Verdict::DropAndTell(dropped) => Some(dropped),
        };
        self.counters.flooded.fetch_add(1, Relaxed);
        if let Some(dropped) = dropped {
            warn!(%drone, dropped, "a drone says more than is taken of one; its messages are dropped");
            // told again in a minute, if there is no room now
            engine.offer(Input::Flood { drone, dropped });
        }
        false
    }

    /// Counts, and says so once per speaker and minute. Nothing of the bytes is logged.
    fn malformed(&self, subject: &str, reason: &str) {
        self.counters.malformed.fetch_add(1, Relaxed);
        // not per subject: who speaks could make up as many as it likes
        let speaker = self.subjects.speaker(subject).map(|drone| drone.0).unwrap_or_default();
        if self.throttle.lets_pass(&format!("malformed {speaker}")) {
            warn!(subject, reason, "a message can't be read and was dropped");
        }
    }
}

/// Live chunks to their collector; the attempt is that of the subject.
pub(super) async fn live_logs(inner: Arc<Inner>, mut messages: Subscriber, engine: Arc<dyn Engine>, chunks: ChunkSink) {
    let rates = Rates::new(LOGS);
    while let Some(message) = messages.next().await {
        if !inner.hears(&message.subject, &rates, &*engine) {
            continue;
        }
        let Some((drone, build, attempt)) = inner.subjects.parse_build_log(&message.subject) else {
            inner.malformed(&message.subject, "not the subject of a build's log");
            continue;
        };
        match open::<LogChunk>(&message.payload).map(|envelope| envelope.body) {
            Ok(chunk) if (chunk.fence.build, chunk.fence.attempt) != (build, attempt) => {
                inner.malformed(&message.subject, "the chunk is of another attempt than its subject says");
            }
            Ok(chunk) if chunk.bytes.len() > MAX_CHUNK => {
                inner.malformed(&message.subject, "the chunk is too large");
            }
            Ok(chunk) => chunks(drone, chunk),
            Err(reason) => inner.malformed(&message.subject, &reason.to_string()),
        }
    }
    warn!("the bus gives no more logs");
}
