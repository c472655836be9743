//! One process's connection to the bus: asks, tells, answers. Supervisor and worker hold one each, so that a worker stuck
//! in a build delays no ping.
//!
//! Decides nothing. While the bus is away, asking and telling fail at once instead of piling up: whoever asks repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_common::clock::wall_ms;
use swarm_protocol::envelope::{CodecError, Envelope, encode, open};
use swarm_protocol::order::{Order, OrderAnswer};
use swarm_protocol::subject::{ReportKind, Subjects};
use swarm_protocol::{DroneId, Fence};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Config;

/// How long a publish may wait for room in the client's queue.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the bus could not be joined.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The address or the credentials are no good.
    #[error("connect to the bus at {url}")]
    Connect {
        /// The bus's address, as configured.
        url: String,
        /// What the client or the codec said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// A subscription was not taken.
    #[error("subscribe to {subject}")]
    Subscribe {
        /// The subject that was not taken.
        subject: String,
        /// What the client or the codec said.
        #[source]
        source: async_nats::SubscribeError,
    },
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// The bus is away.
    #[error("the bus is away")]
    Away,
    /// Nobody listens, or nobody answered in time.
    #[error("ask {subject}: {text}")]
    NoAnswer {
        /// What was asked.
        subject: String,
        /// The client's word.
        text: String,
    },
    /// What was to be said or what was answered can't be written or read.
    #[error("message for {subject}")]
    Codec {
        /// What was asked.
        subject: String,
        /// What the client or the codec said.
        #[source]
        source: CodecError,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    client: Client,
    subjects: Subjects,
    drone: DroneId,
    next: AtomicU64,
    connects: watch::Receiver<u64>,
}

impl Link {
    /// Joins the bus. Does not wait for it: while it is away, connecting goes on in the background.
    pub async fn join(config: &Config, role: &str) -> Result<Arc<Self>, LinkError> {
        let (told, connects) = watch::channel(0u64);
        let refused = Arc::new(AtomicBool::new(false));
        let still_refused = Arc::clone(&refused);
        let mut options = ConnectOptions::with_nkey(config.seed.clone())
            .name(format!("{} {role}", config.name))
            .custom_inbox_prefix(Subjects::inbox(config.drone.as_str()))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .client_capacity(256)
            .subscription_capacity(1024)
            .read_buffer_capacity(16 * 1024)
            .ping_interval(Duration::from_secs(10))
            .connection_timeout(Duration::from_secs(5))
            .reconnect_delay_callback(move |attempts| pause(attempts, still_refused.load(Ordering::Relaxed)))
            .event_callback(move |event| {
                hear(&event, &told, &refused);
                async {}
            });
        if let Some(ca) = &config.bus.ca {
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        let client = options
            .connect(servers(&config.bus.url).as_slice())
            .await
            .map_err(|source| LinkError::Connect { url: config.bus.url.clone(), source })?;
        let (subjects, drone) = (config.subjects(), config.drone.clone());
        Ok(Arc::new(Self { client, subjects, drone, next: AtomicU64::new(1), connects }))
    }

    /// Counts connections made; changes on each.
    pub fn connects(&self) -> watch::Receiver<u64> {
        self.connects.clone()
    }

    /// Whether the bus is there.
    pub fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Reports and waits for the answer.
    pub async fn ask<B: Serialize, A: DeserializeOwned>(
        &self,
        kind: ReportKind,
        body: &B,
        within: Duration,
    ) -> Result<A, AskError> {
        let subject = self.subjects.report(&self.drone, kind);
        if !self.is_up() {
            return Err(AskError::Away);
        }
        let codec = |source| AskError::Codec { subject: subject.clone(), source };
        let payload = self.pack(&format!("report.{}", kind.token()), body).map_err(codec)?;
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(within));
        match tokio::time::timeout(within, self.client.send_request(subject.clone(), request)).await {
            Ok(Ok(message)) => open::<A>(&message.payload).map(|envelope| envelope.body).map_err(codec),
            Ok(Err(error)) => Err(AskError::NoAnswer { subject, text: error.to_string() }),
            Err(_) => Err(AskError::NoAnswer { subject, text: format!("no answer within {within:?}") }),
        }
    }

    /// Reports without an answer.
    pub async fn tell<B: Serialize>(&self, kind: ReportKind, body: &B) -> Result<(), AskError> {
        let subject = self.subjects.report(&self.drone, kind);
        self.publish(subject, &format!("report.{}", kind.token()), body).await
    }

    /// Publishes a piece of an attempt's log.
    pub async fn tell_log(&self, chunk: &swarm_protocol::log::LogChunk) -> Result<(), AskError> {
        let Fence { build, attempt } = chunk.fence;
        self.publish(self.subjects.build_log(&self.drone, build, attempt), "log", chunk).await
    }

    /// Hears orders of one kind.
    pub async fn orders(&self, token: &str) -> Result<Subscriber, LinkError> {
        self.subscribe(self.subjects.order(&self.drone, token)).await
    }

    /// Hears the broadcast ping.
    pub async fn pings(&self) -> Result<Subscriber, LinkError> {
        self.subscribe(self.subjects.ping_all()).await
    }

    /// Answers an order; nothing happens if nobody waits.
    pub async fn answer(&self, order: &Message, answer: &OrderAnswer) {
        let Some(to) = order.reply.clone() else { return };
        if let Err(error) = self.publish(to.to_string(), "answer.order", answer).await {
            warn!(%error, "an order could not be answered; it will come again");
        }
    }

    /// Waits until what was said has left this process.
    pub async fn flush(&self) {
        let _ = tokio::time::timeout(TELL_TIMEOUT, self.client.flush()).await;
    }

    async fn subscribe(&self, subject: String) -> Result<Subscriber, LinkError> {
        self.client.subscribe(subject.clone()).await.map_err(|source| LinkError::Subscribe { subject, source })
    }

    async fn publish<B: Serialize>(&self, subject: String, kind: &str, body: &B) -> Result<(), AskError> {
        if !self.is_up() {
            return Err(AskError::Away);
        }
        let payload = self.pack(kind, body).map_err(|source| AskError::Codec { subject: subject.clone(), source })?;
        match tokio::time::timeout(TELL_TIMEOUT, self.client.publish(subject.clone(), payload.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(AskError::NoAnswer { subject, text: error.to_string() }),
            Err(_) => Err(AskError::Away),
        }
    }

    fn pack<B: Serialize>(&self, kind: &str, body: &B) -> Result<Vec<u8>, CodecError> {
        encode(&Envelope::new(kind, self.next.fetch_add(1, Ordering::Relaxed), wall_ms(), body))
    }
}

/// Reads an order; the error is what to answer.
#[expect(clippy::result_large_err, reason = "the error is the answer that is sent")]
pub fn read_order(message: &Message) -> Result<Order, OrderAnswer> {
    open::<Order>(&message.payload)
        .map(|envelope| envelope.body)
        .map_err(|error| OrderAnswer::NotUnderstood { reason: error.to_string() })
}

/// The servers of an address: one, or several of a cluster parted by commas.
pub fn servers(url: &str) -> Vec<&str> {
    url.split(',').map(str::trim).filter(|server| !server.is_empty()).collect()
}

/// How long to wait before connecting again: 25 ms to 2 s with jitter, so that a thousand drones are back some 3 s after the
/// server; a bus that refuses our key (`refused`) is asked again only now and then.
fn pause(attempts: usize, refused: bool) -> Duration {
    if refused && attempts > 3 {
        return Duration::from_millis(15_000 + rand::random_range(0..15_000));
    }
    let cap = 50u64 << attempts.min(6);
    Duration::from_millis(25 + rand::random_range(0..cap.min(2_000)))
}

/// The client's word for a key the server does not know.
const REFUSED: &str = "authorization violation";

fn hear(event: &Event, connects: &watch::Sender<u64>, refused: &AtomicBool) {
    match event {
        Event::ClientError(error) if error.to_string().contains(REFUSED) => {
            if !refused.swap(true, Ordering::Relaxed) {
                warn!(
                    "the bus does not accept this drone's key: it was revoked, or never let in; `drone-agent join` with a new invitation"
                );
            }
        }
        Event::Connected => {
            info!("connected to the bus");
            refused.store(false, Ordering::Relaxed);
            connects.send_modify(|count| *count += 1);
        }
        Event::Disconnected => warn!("the bus is away; connecting again"),
        Event::Closed => warn!("the connection to the bus is closed"),
        Event::SlowConsumer(_) => warn!("messages of the bus were dropped: too many at once"),
        Event::ServerError(error) => warn!(%error, "the bus complains; check this drone's credentials and rights"),
        Event::ClientError(error) => warn!(%error, "the bus client complains"),
        Event::LameDuckMode | Event::Draining => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_refuses_the_key_is_asked_seldom_one_that_is_away_soon() {
        for attempts in [1, 4, 50] {
            assert!(pause(attempts, false) <= Duration::from_millis(2_025), "{attempts}");
        }
        assert!(pause(2, true) < Duration::from_secs(1), "a reload of the server may be under way");
        assert!(pause(4, true) >= Duration::from_secs(15) && pause(99, true) <= Duration::from_secs(30));
    }

    #[test]
    fn a_cluster_is_several_servers() {
        assert_eq!(servers("tls://a:1, tls://b:2,"), ["tls://a:1", "tls://b:2"]);
        assert_eq!(servers("nats://a:1"), ["nats://a:1"]);
    }
}
