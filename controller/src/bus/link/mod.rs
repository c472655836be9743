//! The controller's own connection: reports in, orders out, live logs to their collector.
//!
//! Decides nothing: a report becomes a question to the engine and the engine's answer goes back to who asked. Who speaks
//! is read from the subject, which the server enforces, never from a body. Called by `swarm serve`; the engine is behind
//! [`Engine`].

mod orders;
mod pings;
mod plans;
mod rates;
mod reports;
mod room;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use swarm_common::clock::wall_ms;
use swarm_common::throttle::Throttle;
use swarm_protocol::{DroneId, InstanceId, StoreId, Subjects};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use orders::OrderError;
pub use pings::Answered;

use super::keys::{KeyError, UserCredentials, read_seed};
use crate::engine::Engine;

/// How long the first connect is tried; a managed server answers at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Silence of the server after which the connection is taken for dead is two of these.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Messages one subscription may hold back; what comes on top is lost, counted, and repeated by whoever sent it.
const HELD_BACK: usize = 16 * 1024;
/// Bounds of the pauses between attempts to connect again.
const RECONNECT: (u64, u64) = (50, 5_000);

/// Live chunks of logs go here (`logs::LogCollector`).
pub type ChunkSink = Arc<dyn Fn(DroneId, swarm_protocol::log::LogChunk) + Send + Sync>;

/// What a connection is made from.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// `nats://…` or `tls://…`; several servers of a cluster parted by commas.
    pub url: String,
    /// The authority to trust, PEM; asks for TLS and trusts no other.
    pub ca: Option<std::path::PathBuf>,
    /// The controller's key.
    pub credentials: UserCredentials,
    /// Subjects under the configured prefix.
    pub subjects: Subjects,
    /// The store's life, for orders that leave no trace.
    pub store_id: StoreId,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The controller's key can't be read.
    #[error("can't read the controller's bus key")]
    Key(#[from] KeyError),
    /// The server does not know the controller's key.
    #[error(
        "the bus at {url} does not accept the controller's key {id}: add it to the users of that server with the \
         permissions of a controller"
    )]
    Unknown {
        /// Where.
        url: String,
        /// Who we are there.
        id: String,
    },
    /// Nobody answers.
    #[error("can't reach the bus at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the client says of it.
        reason: String,
    },
    /// The server refuses a subscription.
    #[error("can't subscribe to {subject}: {reason}")]
    Subscribe {
        /// To what.
        subject: String,
        /// What the client says of it.
        reason: String,
    },
}

/// What was counted since the start; each is a metric.
#[derive(Debug, Default)]
pub struct LinkCounters {
    /// Messages nobody can read, and reports of unknown kinds.
    pub malformed: AtomicU64,
    /// Readable, but of a later version; answered "not understood".
    pub not_understood: AtomicU64,
    /// Requests whose answer was to go to a place that is not the asker's own.
    pub foreign_replies: AtomicU64,
    /// Messages of drones that say more than is taken of one.
    pub flooded: AtomicU64,
    /// Heartbeats the engine had no room for.
    pub shed_heartbeats: AtomicU64,
    /// Requests beyond what is served at one time; their senders repeat them.
    pub shed_requests: AtomicU64,
    /// Requests the engine did not answer in time.
    pub unanswered: AtomicU64,
    /// Orders that could not be given to the socket; the core sends them again.
    pub shed_orders: AtomicU64,
    /// Orders for which there was no room on their way here; counted by the engine, and shown with the others.
    pub lost_orders: OnceLock<Arc<AtomicU64>>,
    /// Orders answered by a refusal or by nobody.
    pub refused_orders: AtomicU64,
    /// Messages lost because a subscription was not read fast enough.
    pub slow: AtomicU64,
    /// Connections after the first.
    pub reconnects: AtomicU64,
}

impl LinkCounters {
    /// Every counter with its name.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let lost_orders = self.lost_orders.get().map_or(0, |lost| lost.load(Relaxed));
        let shed_orders = AtomicU64::new(self.shed_orders.load(Relaxed) + lost_orders);
        [
            ("malformed", &self.malformed),
            ("not_understood", &self.not_understood),
            ("foreign_replies", &self.foreign_replies),
            ("flooded", &self.flooded),
            ("shed_heartbeats", &self.shed_heartbeats),
            ("shed_requests", &self.shed_requests),
            ("unanswered", &self.unanswered),
            ("shed_orders", &shed_orders),
            ("refused_orders", &self.refused_orders),
            ("slow", &self.slow),
            ("reconnects", &self.reconnects),
        ]
        .map(|(name, counter)| (name, counter.load(Relaxed)))
        .to_vec()
    }
}

/// The connection. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Link {
    client: Client,
    inner: Arc<Inner>,
}

struct Inner {
    subjects: Subjects,
    store_id: StoreId,
    id: String,
    counters: Arc<LinkCounters>,
    throttle: Throttle,
    /// Numbers of our messages, for logs.
    number: AtomicU64,
    /// Who knows the drones, as soon as they are listened to.
    engine: OnceLock<Arc<dyn Engine>>,
    /// Cancelled when the engine has ended and every order it gave is published.
    orders_out: CancellationToken,
}

impl Link {
    /// Connects as the controller, and stays connected: a lost connection is made again for ever, with growing pauses.
    ///
    /// # Errors
    /// When the first connection can't be made within 30 s.
    pub async fn connect(settings: LinkSettings) -> Result<Self, LinkError> {
        let counters = Arc::new(LinkCounters::default());
        let client = connect(&settings, &counters).await?;
        let inner = Arc::new(Inner {
            subjects: settings.subjects,
            store_id: settings.store_id,
            id: settings.credentials.id,
            counters,
            throttle: Throttle::default(),
            number: AtomicU64::new(0),
            engine: OnceLock::new(),
            orders_out: CancellationToken::new(),
        });
        Ok(Self { client, inner })
    }

    /// Subscribes to the reports and live logs of all drones. When it returns, the server knows.
    ///
    /// # Errors
    /// When the server does not let us.
    pub async fn listen(&self, engine: Arc<dyn Engine>, chunks: ChunkSink) -> Result<(), LinkError> {
        let _ = self.inner.engine.set(Arc::clone(&engine));
        let reports = self.subscribe(self.inner.subjects.all_reports()).await?;
        let logs = self.subscribe(self.inner.subjects.all_build_logs()).await?;
        self.settled().await;
        let work = reports::Reports::new(self.client.clone(), self.inner.clone(), engine.clone());
        drop(swarm_common::watch::spawn("reports", work.run(reports)));
        drop(swarm_common::watch::spawn("live logs", reports::live_logs(self.inner.clone(), logs, engine, chunks)));
        Ok(())
    }

    async fn subscribe(&self, subject: String) -> Result<async_nats::Subscriber, LinkError> {
        let subscribed = self.client.subscribe(subject.clone()).await;
        subscribed.map_err(|error| LinkError::Subscribe { subject, reason: error.to_string() })
    }

    /// A request nobody serves comes back refused, after everything sent before it: then our subscriptions hold.
    /// (`flush` writes to the socket and waits for no answer.)
    async fn settled(&self) {
        let unserved = format!("{}.settled", self.inner.subjects.prefix());
        if let Err(error) = self.client.request(unserved, Vec::new().into()).await {
            debug!(%error, "the server has all subscriptions");
        }
    }

    /// The client, for the outbox.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What was counted.
    pub fn counters(&self) -> &LinkCounters {
        &self.inner.counters
    }

    /// Whether the server is there at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// After the engine's end: sends what is still in our hands and waits for it, at most `within`.
    pub async fn flush(&self, within: Duration) {
        let asked = tokio::time::timeout(within, async {
            self.inner.orders_out.cancelled().await;
            self.settled().await;
        });
        if asked.await.is_err() {
            warn!(?within, "the bus did not take everything in time");
        }
    }
}

impl Inner {
    /// The run of a drone's supervisor that was welcomed last: what is asked of the drone is asked of that one, for another
    /// with the same key may listen, too.
    fn supervisor(&self, drone: &DroneId) -> Option<InstanceId> {
        let known = self.engine.get()?.view().drones.get(drone)?.row.supervisor.clone();
        (!known.0.is_empty()).then_some(known)
    }

    fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed) + 1
    }

    /// Wraps and encodes.
    fn seal<B: serde::Serialize>(&self, kind: &str, body: B) -> Result<Vec<u8>, swarm_protocol::CodecError> {
        swarm_protocol::encode(&swarm_protocol::Envelope::new(kind, self.next_number(), wall_ms(), body))
    }
}

async fn connect(settings: &LinkSettings, counters: &Arc<LinkCounters>) -> Result<Client, LinkError> {
    let (id, _) = read_seed(&settings.credentials.seed_file)?;
    let until = Instant::now() + CONNECT_WITHIN;
    let mut pause = RECONNECT.0;
    loop {
        let servers: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let tried = options(settings, counters)?.connect(servers.as_slice()).await;
        let error = match tried {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let url = settings.url.clone();
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                return Err(LinkError::Unknown { url, id });
            }
            _ if Instant::now() >= until => return Err(LinkError::Unreachable { url, reason: error.to_string() }),
            _ => sleep(Duration::from_millis(pause)).await,
        }
        pause = (pause * 2).min(RECONNECT.1);
    }
}

fn options(settings: &LinkSettings, counters: &Arc<LinkCounters>) -> Result<ConnectOptions, LinkError> {
    let (id, seed) = read_seed(&settings.credentials.seed_file)?;
    let counters = counters.clone();
    let first = std::sync::atomic::AtomicBool::new(true);
    let throttle = Arc::new(Throttle::default());
    let mut options = ConnectOptions::with_nkey(seed.expose().to_owned());
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    Ok(options
        .name("controller")
        .custom_inbox_prefix(Subjects::inbox(&id))
        .ping_interval(PING_EVERY)
        .subscription_capacity(HELD_BACK)
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_after)
        .event_callback(move |event| {
            on_event(&event, &counters, &first, &throttle);
            std::future::ready(())
        }))
}

fn on_event(event: &Event, counters: &LinkCounters, first: &std::sync::atomic::AtomicBool, throttle: &Throttle) {
    match event {
        Event::Connected if first.swap(false, Relaxed) => info!("connected to the bus"),
        Event::Connected => {
            counters.reconnects.fetch_add(1, Relaxed);
            info!("connected to the bus again");
        }
        Event::Disconnected => warn!("lost the bus; connecting again"),
        Event::SlowConsumer(_) => {
            counters.slow.fetch_add(1, Relaxed);
            if throttle.lets_pass("slow") {
                warn!("messages were lost because they came faster than they were read; their senders repeat them");
            }
        }
        other => {
            if throttle.lets_pass(&other.to_string()) {
                warn!(event = %other, "the bus says");
            }
        }
    }
}

/// Doubling pauses, half of each by chance, so that a fleet of controllers and drones does not come back in step.
fn reconnect_after(attempts: usize) -> Duration {
    let doubled = RECONNECT.0 << attempts.min(10);
    let pause = doubled.min(RECONNECT.1);
    Duration::from_millis(pause / 2 + rand::random_range(0..=pause / 2))
}
