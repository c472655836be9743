//! The way of the events from the store to the stream `SWARM_EVENTS`.
//!
//! Events are published in order, each with the sequence number the stream must stand at before it, so that the stream's
//! sequence is the event's. Where to go on is read from the stream itself, at every connect: a crash between commit and
//! publish, a lost answer or a repeat neither lose nor double an event. Never changes a row. Run by `swarm serve`; how it
//! reads the store is behind [`EventSource`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, State, StorageType};
use async_nats::jetstream::{self, ErrorCode, message::PublishMessage};
use swarm_core::rows::EventRow;
use swarm_protocol::event::Event;
use swarm_protocol::subject::EVENT_STREAM;
use swarm_protocol::{Envelope, StoreId, Subjects, encode};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::store::Store;

/// Events read and published in one go; each waits for its own answer, all answers together.
const BATCH: usize = 256;
/// How long the server may take for one answer; with `sync_interval: always` it takes a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// Name of the stream's metadata field that says whose events it holds.
const STORE: &str = "store_id";

/// Reads committed events.
pub trait EventSource: Send + Sync + 'static {
    /// Events with a number above `after`, in order, at most `max`. Blocks on the disk.
    ///
    /// # Errors
    /// When the store can't be read; it is tried again.
    fn events(&self, after: u64, max: usize) -> Result<Vec<EventRow>, Box<dyn std::error::Error + Send + Sync>>;
}

impl EventSource for Store {
    fn events(&self, after: u64, max: usize) -> Result<Vec<EventRow>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.read()?.after(after, max)?)
    }
}

/// What the outbox is to do.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// Subjects under the configured prefix.
    pub subjects: Subjects,
    /// The store whose events these are. A stream of another store is replaced.
    pub store_id: StoreId,
    /// Events older than this leave the stream (they stay in the store by its own bounds).
    pub max_age: Duration,
    /// Bytes the stream may hold; the oldest events go first.
    pub max_bytes: i64,
    /// Mirror each event as JSON on `<p>.json.event.<kind>`, outside the stream. May change at any time.
    pub json: Arc<AtomicBool>,
    /// Servers of a cluster that hold the stream.
    pub replicas: usize,
}

impl OutboxSettings {
    /// 7 days, 256 MiB, no JSON, one server.
    pub fn new(subjects: Subjects, store_id: StoreId) -> Self {
        Self {
            subjects,
            store_id,
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_bytes: 256 << 20,
            json: Arc::default(),
            replicas: 1,
        }
    }
}

/// Why events do not leave; each is tried again.
#[derive(Debug, Error)]
enum OutboxError {
    #[error("can't read events after {after} from the store: {source}")]
    Read { after: u64, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("can't prepare the stream {EVENT_STREAM}: {reason}")]
    Stream { reason: String },
    #[error("event {seq} was not taken by the stream: {reason}")]
    Publish { seq: u64, reason: String },
    #[error("the stream gave event {seq} the number {got}")]
    Number { seq: u64, got: u64 },
}

/// Publishes committed events for ever.
pub struct Outbox {
    settings: OutboxSettings,
    client: async_nats::Client,
    stream: jetstream::Context,
    source: Arc<dyn EventSource>,
    /// Number of the newest committed event.
    newest: watch::Receiver<u64>,
    published: Arc<AtomicU64>,
}

impl Outbox {
    /// An outbox on the controller's connection. `newest` tells the number of the newest committed event.
    pub fn new(
        client: async_nats::Client,
        settings: OutboxSettings,
        source: Arc<dyn EventSource>,
        newest: watch::Receiver<u64>,
    ) -> Self {
        let mut stream = jetstream::new(client.clone());
        stream.set_timeout(ANSWER_WITHIN);
        Self { settings, client, stream, source, newest, published: Arc::default() }
    }

    /// Number of the last event the stream is known to hold, for metrics.
    pub fn published(&self) -> Arc<AtomicU64> {
        self.published.clone()
    }

    /// Runs until the engine is gone (`newest` has no sender any more).
    pub async fn run(mut self) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let before = self.published.load(Relaxed);
            match self.go_on().await {
                Ok(()) => return,
                Err(reason) => {
                    if self.published.load(Relaxed) > before {
                        backoff = FIRST_BACKOFF;
                    }
                    warn!(%reason, again_in = ?backoff, "events wait in the store");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(LAST_BACKOFF);
                }
            }
        }
    }

    /// Asks the stream where it stands and goes on from there, until something fails or the engine is gone.
    async fn go_on(&mut self) -> Result<(), OutboxError> {
        let mut cursor = self.settle().await?;
        self.published.store(cursor, Relaxed);
        loop {
            let batch = self.read(cursor, BATCH).await?;
            if batch.is_empty() {
                if self.newest.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            self.publish(cursor, &batch).await?;
            cursor = batch.last().map_or(cursor, |event| event.seq);
            self.published.store(cursor, Relaxed);
        }
    }

    async fn read(&self, after: u64, max: usize) -> Result<Vec<EventRow>, OutboxError> {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.events(after, max)).await;
        read.unwrap_or_else(|error| Err(error.into())).map_err(|source| OutboxError::Read { after, source })
    }

    /// Makes the stream ours, and says which event it holds last.
    async fn settle(&self) -> Result<u64, OutboxError> {
        let oldest = self.read(0, 1).await?.first().map(|event| event.seq);
        let newest = *self.newest.borrow();
        // with no event in the store the next one follows the newest ever
        let first = oldest.unwrap_or(newest + 1);
        let (state, config) = match self.stream.get_stream(EVENT_STREAM).await {
            Ok(stream) => (stream.cached_info().state.clone(), stream.cached_info().config.clone()),
            Err(error) if is_missing(error.kind()) => return self.create(first).await,
            Err(error) => return Err(OutboxError::Stream { reason: error.to_string() }),
        };
        let reason = if config.metadata.get(STORE) != Some(&self.settings.store_id.0) {
            Some("it holds the events of another store")
        } else if state.last_sequence > newest.max(first - 1) {
            Some("it is ahead of the store")
        } else if state.last_sequence + 1 < first {
            Some("events it lacks are no longer in the store")
        } else {
            None
        };
        if let Some(reason) = reason {
            warn!(reason, stream_at = state.last_sequence, oldest = first, newest, "the event stream is made anew");
            let removed = self.stream.delete_stream(EVENT_STREAM).await;
            removed.map_err(|error| OutboxError::Stream { reason: error.to_string() })?;
            return self.create(first).await;
        }
        self.keep_bounds(config, &state).await?;
        Ok(state.last_sequence)
    }

    async fn create(&self, first: u64) -> Result<u64, OutboxError> {
        let wanted = Config { first_sequence: Some(first), ..self.wanted() };
        match self.stream.create_stream(wanted).await {
            Ok(stream) => {
                let state = &stream.cached_info().state;
                info!(first, "event stream made");
                // an option the server does not know would be dropped in silence
                if state.last_sequence + 1 == first {
                    return Ok(state.last_sequence);
                }
                let reason = format!("it was to begin at {first} and stands at {}", state.last_sequence);
                Err(OutboxError::Stream { reason })
            }
            Err(error) => Err(OutboxError::Stream { reason: error.to_string() }),
        }
    }

    /// Changed bounds, a changed prefix or another number of servers reach a stream that is there already.
    async fn keep_bounds(&self, now: Config, state: &State) -> Result<(), OutboxError> {
        let wanted = self.wanted();
        let same = now.subjects == wanted.subjects
            && now.max_age == wanted.max_age
            && now.max_bytes == wanted.max_bytes
            && now.num_replicas == wanted.num_replicas;
        if !same {
            info!(stream_at = state.last_sequence, "the event stream gets its new bounds");
            let changed = Config {
                subjects: wanted.subjects,
                max_age: wanted.max_age,
                max_bytes: wanted.max_bytes,
                num_replicas: wanted.num_replicas,
                ..now
            };
            let updated = self.stream.update_stream(changed).await;
            updated.map_err(|error| OutboxError::Stream { reason: error.to_string() })?;
        }
        Ok(())
    }

    fn wanted(&self) -> Config {
        Config {
            name: EVENT_STREAM.to_owned(),
            description: Some("Events of the swarm; sequence = event number".to_owned()),
            subjects: vec![self.settings.subjects.all_events()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_age: self.settings.max_age,
            max_bytes: self.settings.max_bytes,
            num_replicas: self.settings.replicas,
            metadata: [(STORE.to_owned(), self.settings.store_id.0.clone())].into(),
            ..Config::default()
        }
    }

    /// Publishes a run of events that follow `cursor`, all at once, and waits for every answer. If one is refused, so are
    /// those behind it: each expects the one before.
    async fn publish(&self, cursor: u64, batch: &[EventRow]) -> Result<(), OutboxError> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut last = cursor;
        for row in batch {
            let failed = |reason: String| OutboxError::Publish { seq: row.seq, reason };
            let message = PublishMessage::build().payload(body(row).into()).expected_last_sequence(last);
            let subject = self.settings.subjects.event(&token(&row.kind));
            let answer = self.stream.send_publish(subject, message).await.map_err(|error| failed(error.to_string()))?;
            answers.push((row, answer));
            last = row.seq;
        }
        for (row, answer) in answers {
            let failed = |reason: String| OutboxError::Publish { seq: row.seq, reason };
            let answer = timeout(ANSWER_WITHIN, std::future::IntoFuture::into_future(answer)).await;
            let taken = answer.map_err(|_| failed("no answer".to_owned()))?.map_err(|error| match error.kind() {
                PublishErrorKind::WrongLastSequence => failed("the stream stands elsewhere".to_owned()),
                _ => failed(error.to_string()),
            })?;
            if taken.sequence != row.seq {
                return Err(OutboxError::Number { seq: row.seq, got: taken.sequence });
            }
            self.mirror(row).await;
        }
        Ok(())
    }

    /// The JSON twin is a convenience for people; a lost one is not repeated.
    async fn mirror(&self, row: &EventRow) {
        if !self.settings.json.load(Relaxed) {
            return;
        }
        if let Ok(json) = serde_json::to_vec(&event(row)) {
            let subject = self.settings.subjects.json_event(&token(&row.kind));
            if let Err(error) = self.client.publish(subject, json.into()).await {
                warn!(event = row.seq, %error, "an event's JSON mirror was not published");
            }
        }
    }
}

fn is_missing(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The event as tappers see it.
fn event(row: &EventRow) -> Event {
    Event {
        seq: row.seq,
        at: row.at,
        kind: row.kind.clone(),
        message: row.message.clone(),
        drone: row.drone.clone(),
        package: row.package.clone(),
        build: row.build,
        attempt: row.attempt,
        session: row.session,
        details: row.details.clone(),
    }
}

/// The encoded message. An event too large for the bus must not stop those behind it: its number goes out without its
/// contents, which stay in the store.
fn body(row: &EventRow) -> Vec<u8> {
    let whole = Envelope::new("event", row.seq, row.at, event(row));
    encode(&whole).unwrap_or_else(|reason| {
        warn!(event = row.seq, %reason, "an event is published without its contents");
        let kind = token(&row.kind);
        let bare =
            Event { seq: row.seq, at: row.at, kind, message: "too large for the bus".to_owned(), ..Event::default() };
        encode(&Envelope::new("event", row.seq, row.at, bare)).unwrap_or_default()
    })
}

/// A kind as one token of a subject.
fn token(kind: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let token: String = kind.chars().take(64).map(fits).collect();
    if token.is_empty() { "unknown".to_owned() } else { token }
}

#[cfg(test)]
mod tests;
