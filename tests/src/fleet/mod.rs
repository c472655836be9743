//! A fleet of simulated drones on a real bus: the real wire, the real rules of the agent (`drone_core::Worker`) and one real
//! connection per drone. What a drone does with its disk and with Portage is stood in for ([`Builds`], [`Uploads`]).
//!
//! One process holds thousands of them, for benches and soak tests. Each has a connection of its own, because the bus lets
//! an identity speak only for itself and hear only its own orders (and the controller answers only below the asker's inbox);
//! a real agent has two, one for each of its long-lived processes.

mod identity;
mod member;
mod standing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use swarm_common::watch::spawn;
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::order::{BuildJob, PlanJob};
use swarm_protocol::plan::Plan;
use swarm_protocol::report::BuildResult;
use swarm_protocol::{ArtifactId, DroneId, Subjects};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use identity::Identity;
use member::Member;
pub use standing::{HttpUploads, Standing};

/// Connections made at one time.
const CONNECTING: usize = 32;

/// What stands in for Portage.
pub trait Builds: Send + Sync + 'static {
    /// Resolves a request.
    fn plan(&self, job: &PlanJob) -> Plan;

    /// How long a build takes, and how it ends.
    fn build(&self, drone: &DroneId, job: &BuildJob) -> (Duration, BuildResult);

    /// A build counts no more; what was kept for its upload may go.
    fn forget(&self, _result: &BuildResult) {}
}

/// Carries a package to the controller once a ticket for it is there.
pub trait Uploads: Send + Sync + 'static {
    /// Delivers it; the error is for people.
    fn upload(&self, ticket: Ticket, artifact: ArtifactRef) -> BoxFuture<'_, Result<(), String>>;
}

/// Leave to upload one package.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Which.
    pub artifact: ArtifactId,
    /// The secret.
    pub token: String,
    /// Base address of the façade, from the welcome.
    pub http_url: String,
}

/// How a fleet is made.
#[derive(Clone)]
pub struct FleetSettings {
    /// Where the bus is.
    pub url: String,
    /// The authority to trust for it, PEM; `None` for one without TLS.
    pub ca: Option<std::path::PathBuf>,
    /// Subjects under the configured prefix.
    pub subjects: Subjects,
    /// Builds each drone does at a time.
    pub slots: u32,
    /// What builds.
    pub builds: Arc<dyn Builds>,
    /// What uploads.
    pub uploads: Arc<dyn Uploads>,
}

/// What the fleet did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Build orders that came.
    pub orders: u64,
    /// Requests resolved.
    pub plans: u64,
    /// Results answered "durable".
    pub durable: u64,
    /// Results answered "superseded".
    pub superseded: u64,
    /// Results told to ask again.
    pub pending: u64,
    /// Reports without an answer in time.
    pub unanswered: u64,
    /// Uploads that failed.
    pub failed_uploads: u64,
}

#[derive(Default)]
struct Counters {
    heartbeats: AtomicU64,
    orders: AtomicU64,
    plans: AtomicU64,
    durable: AtomicU64,
    superseded: AtomicU64,
    pending: AtomicU64,
    unanswered: AtomicU64,
    failed_uploads: AtomicU64,
    welcomed: AtomicUsize,
}

/// What all members share.
struct Shared {
    settings: FleetSettings,
    counters: Counters,
    /// Milliseconds from order to durable result, since the last look.
    journeys: std::sync::Mutex<Vec<u32>>,
    began: Instant,
    /// Wall clock of `began`, Unix milliseconds.
    wall: u64,
    pace: watch::Receiver<Option<Duration>>,
    stop: CancellationToken,
}

impl Shared {
    fn now(&self) -> u64 {
        self.wall + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }
}

/// Drones that run until the fleet is dropped or leaves.
pub struct Fleet {
    shared: Arc<Shared>,
    pace: watch::Sender<Option<Duration>>,
    size: usize,
}

impl Fleet {
    /// Connects all drones and waits until the controller has welcomed each of them, supervisor and worker.
    ///
    /// # Errors
    /// When one can't connect, or they are not all welcomed in time.
    pub async fn join(settings: FleetSettings, identities: &[Identity], within: Duration) -> Result<Self> {
        let (pace, paced) = watch::channel(None);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shared = Arc::new(Shared {
            settings,
            counters: Counters::default(),
            journeys: std::sync::Mutex::default(),
            began: Instant::now(),
            wall: u64::try_from(wall.as_millis()).unwrap_or(0),
            pace: paced,
            stop: CancellationToken::new(),
        });
        let fleet = Self { shared: shared.clone(), pace, size: identities.len() };
        let connecting = stream::iter(identities.iter().enumerate().map(|(number, identity)| {
            let shared = shared.clone();
            async move { Member::connect(shared, number, identity).await }
        }));
        let joined = connecting.buffer_unordered(CONNECTING).try_for_each(|member| {
            drop(spawn("drone", member.run()));
            std::future::ready(Ok(()))
        });
        tokio::time::timeout(within, joined).await.context("connect the fleet in time")??;
        fleet.until(within, "all drones to be welcomed", |_| fleet.welcomed() >= fleet.size).await?;
        Ok(fleet)
    }

    /// How many drones there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Drones the controller has welcomed.
    pub fn welcomed(&self) -> usize {
        self.shared.counters.welcomed.load(Relaxed)
    }

    /// Sets the time between two heartbeats of each drone; `None` is what the controller's welcome said.
    pub fn pace(&self, every: Option<Duration>) {
        self.pace.send_replace(every);
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let counters = &self.shared.counters;
        Done {
            heartbeats: of(&counters.heartbeats),
            orders: of(&counters.orders),
            plans: of(&counters.plans),
            durable: of(&counters.durable),
            superseded: of(&counters.superseded),
            pending: of(&counters.pending),
            unanswered: of(&counters.unanswered),
            failed_uploads: of(&counters.failed_uploads),
        }
    }

    /// Milliseconds from order to durable result of the builds that ended since the last call.
    pub fn journeys(&self) -> Vec<u32> {
        let mut journeys = self.shared.journeys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *journeys)
    }

    /// Waits for a condition, bounded.
    ///
    /// # Errors
    /// When it does not come true in time; the error says what was waited for and what was done.
    pub async fn until(&self, within: Duration, what: &str, condition: impl Fn(Done) -> bool) -> Result<()> {
        let end = Instant::now() + within;
        loop {
            let done = self.done();
            if condition(done) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("waited {within:?} for {what}; {} of {} welcomed, {done:?}", self.welcomed(), self.size);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
