//! Reports in: from bytes on a subject to an [`Input`], and the engine's answer back to who asked.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_core::{Answer, Input};
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::envelope::open;
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::plan::{PlanAnswer, PlanChunk};
use swarm_protocol::report::{
    BuildAnswer, BuildNews, BuildReport, Heartbeat, Hello, HelloAnswer, Role, SyncAnswer, SyncReport,
};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{CodecError, DroneId, PROTO_MAX, PROTO_MIN, Subjects};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::plans::{Plans, Step};
use super::rates::{LOGS, REPORTS, Rates, Verdict};
use super::room::{Bytes, Room};
use super::{ChunkSink, Inner, Intake};

/// Longer than any answer takes: a finished build may wait for its log.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// Serves reports.
pub(super) struct Reports {
    client: Client,
    inner: Arc<Inner>,
    engine: Arc<dyn Intake>,
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

/// What is to be said to a request.
enum Said {
    Hello(HelloAnswer),
    Build(BuildAnswer),
    Artifact(ArtifactAnswer),
    Plan(PlanAnswer),
    Sync(SyncAnswer),
}

impl Reports {
    pub(super) fn new(client: Client, inner: Arc<Inner>, engine: Arc<dyn Intake>) -> Self {
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
        // decision 26: whoever lets us answer elsewhere would make us speak in our name to somebody else
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
        let said = match asked.kind {
            ReportKind::Hello => self.hello(&asked, payload).await,
            ReportKind::Build => self.build(&asked, payload).await,
            ReportKind::Artifact => self.artifact(&asked, payload).await,
            ReportKind::Plan => self.plan(&asked, payload).await,
            ReportKind::Sync => self.sync(&asked, payload).await,
            ReportKind::Heartbeat => None,
        };
        let Some(reply) = asked.reply.take() else { return };
        let sealed = match said {
            None => return,
            Some(Said::Hello(answer)) => self.seal("answer.hello", answer),
            Some(Said::Build(answer)) => self.seal("answer.build", answer),
            Some(Said::Artifact(answer)) => self.seal("answer.artifact", answer),
            Some(Said::Plan(answer)) => self.seal("answer.plan", answer),
            Some(Said::Sync(answer)) => self.seal("answer.sync", answer),
        };
        let drone = &asked.drone;
        let Some(body) = sealed else { return };
        if let Err(error) = self.client.publish(reply, body.into()).await {
            debug!(%drone, kind = ?asked.kind, %error, "an answer was not sent; the drone asks again");
        }
    }

    fn seal<B: Serialize>(&self, kind: &str, answer: B) -> Option<Vec<u8>> {
        self.inner.seal(kind, answer).inspect_err(|reason| warn!(kind, %reason, "an answer can't be written")).ok()
    }

    async fn hello(&self, asked: &Asked, payload: Unread) -> Option<Said> {
        let refused = |reason: String| {
            let hint =
                format!("this controller speaks {PROTO_MIN} to {PROTO_MAX}: bring agent and controller to one release");
            Said::Hello(HelloAnswer::Refused { reason, hint })
        };
        let hello: Hello = match self.open(asked, payload, refused)? {
            Ok(hello) => hello,
            Err(said) => return Some(said),
        };
        if hello.role == Role::Unknown {
            self.inner.counters.not_understood.fetch_add(1, Relaxed);
            return Some(refused("not understood: neither supervisor nor worker".to_owned()));
        }
        let drone = asked.drone.clone();
        let hello = Box::new(hello);
        match self.ask(asked, move |reply| Input::Hello { drone, hello, reply }).await? {
            Answer::Hello(answer) => Some(Said::Hello(answer)),
            other => self.mismatch(asked, &other),
        }
    }

    async fn build(&self, asked: &Asked, payload: Unread) -> Option<Said> {
        let not_understood = |reason: String| Said::Build(BuildAnswer::NotUnderstood { reason });
        let report: BuildReport = match self.open(asked, payload, not_understood)? {
            Ok(report) => report,
            Err(said) => return Some(said),
        };
        if report.news == BuildNews::Unknown {
            self.inner.counters.not_understood.fetch_add(1, Relaxed);
            return Some(not_understood("not understood: news of a kind this version does not know".to_owned()));
        }
        let drone = asked.drone.clone();
        let report = Box::new(report);
        match self.ask(asked, move |reply| Input::Build { drone, report, reply }).await? {
            Answer::Build(answer) => Some(Said::Build(answer)),
            other => self.mismatch(asked, &other),
        }
    }

    async fn artifact(&self, asked: &Asked, payload: Unread) -> Option<Said> {
        let refused = |reason: String| Said::Artifact(ArtifactAnswer::Refused { reason });
        let ask: ArtifactAsk = match self.open(asked, payload, refused)? {
            Ok(ask) => ask,
            Err(said) => return Some(said),
        };
        let drone = asked.drone.clone();
        let ask = Box::new(ask);
        let token = hex::encode(rand::random::<[u8; 32]>());
        match self.ask(asked, move |reply| Input::Artifact { drone, ask, token, reply }).await? {
            Answer::Artifact(answer) => Some(Said::Artifact(answer)),
            other => self.mismatch(asked, &other),
        }
    }

    async fn plan(&self, asked: &Asked, payload: Unread) -> Option<Said> {
        let refused = |reason: String| Said::Plan(PlanAnswer::Refused { reason });
        let chunk: PlanChunk = match self.open(asked, payload, refused)? {
            Ok(chunk) => chunk,
            Err(said) => return Some(said),
        };
        let step = self.plans.lock().unwrap_or_else(PoisonError::into_inner).take(&asked.drone, chunk, Instant::now());
        let (plan, attempt, result) = match step {
            Step::Answer(answer) => return Some(Said::Plan(answer)),
            Step::Whole { plan, attempt, result } => (plan, attempt, result),
        };
        let drone = asked.drone.clone();
        match self.ask(asked, move |reply| Input::Planned { drone, plan, attempt, result, reply }).await? {
            Answer::Plan(answer) => {
                let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
                plans.answered(&asked.drone, plan, attempt, answer.clone());
                Some(Said::Plan(answer))
            }
            other => self.mismatch(asked, &other),
        }
    }

    async fn sync(&self, asked: &Asked, payload: Unread) -> Option<Said> {
        let superseded = |reason: String| Said::Sync(SyncAnswer::Superseded { reason });
        let report: SyncReport = match self.open(asked, payload, superseded)? {
            Ok(report) => report,
            Err(said) => return Some(said),
        };
        let (drone, report) = (asked.drone.clone(), Box::new(report));
        match self.ask(asked, move |reply| Input::Synced { drone, report, reply }).await? {
            Answer::Sync(answer) => Some(Said::Sync(answer)),
            other => self.mismatch(asked, &other),
        }
    }

    /// Decodes. `None`: malformed, counted and dropped. `Some(Err)`: of another version, to be answered so.
    fn open<B: DeserializeOwned>(
        &self,
        asked: &Asked,
        payload: Unread,
        not_understood: impl Fn(String) -> Said,
    ) -> Option<Result<B, Said>> {
        match open::<B>(payload.as_ref()) {
            Ok(envelope) => Some(Ok(envelope.body)),
            Err(reason) => match other_version(payload.as_ref()) {
                Some(version) => {
                    self.inner.counters.not_understood.fetch_add(1, Relaxed);
                    Some(Err(not_understood(format!("not understood: {version}"))))
                }
                None => {
                    self.malformed(&asked.subject, &reason.to_string());
                    None
                }
            },
        }
    }

    async fn ask(
        &self,
        asked: &Asked,
        input: impl FnOnce(swarm_core::ReplyTo) -> Input + Send + 'static,
    ) -> Option<Answer> {
        let answer = timeout(ANSWER_WITHIN, self.engine.ask(Box::new(input))).await.ok().flatten();
        if answer.is_none() {
            self.inner.counters.unanswered.fetch_add(1, Relaxed);
            debug!(drone = %asked.drone, kind = ?asked.kind, "the engine gave no answer; the drone asks again");
        }
        answer
    }

    /// The core answers a question of one kind by an answer of that kind; only a refusal may come instead.
    fn mismatch(&self, asked: &Asked, answer: &Answer) -> Option<Said> {
        let reason = match answer {
            Answer::Refused(refusal) => refusal.error.clone(),
            other => {
                warn!(drone = %asked.drone, kind = ?asked.kind, ?other, "an answer of another kind");
                return None;
            }
        };
        match asked.kind {
            ReportKind::Hello => Some(Said::Hello(HelloAnswer::Refused { reason, hint: String::new() })),
            ReportKind::Build => Some(Said::Build(BuildAnswer::NotUnderstood { reason })),
            ReportKind::Artifact => Some(Said::Artifact(ArtifactAnswer::Refused { reason })),
            ReportKind::Plan => Some(Said::Plan(PlanAnswer::Refused { reason })),
            ReportKind::Sync => Some(Said::Sync(SyncAnswer::Superseded { reason })),
            ReportKind::Heartbeat => None,
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
    fn hears(&self, subject: &str, rates: &Rates, engine: &dyn Intake) -> bool {
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
pub(super) async fn live_logs(inner: Arc<Inner>, mut messages: Subscriber, engine: Arc<dyn Intake>, chunks: ChunkSink) {
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
