//! Proof of life: carries out the core's pings, a bounded number at a time, and those people ask for. People's pings do not pass
//! through the engine, so they are answered while its disk is slow; the core hears of each, as number 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use swarm_core::effect::Ping;
use swarm_core::input::{PingLoss, Pong};
use swarm_core::view::{DroneView, Presence, View};
use swarm_core::{Input, Tell};
use swarm_protocol::{DroneId, InstanceId};
use tokio::sync::{Mutex, Semaphore};

use super::Bus;
use crate::bus::link::Answered;
use crate::engine::Work;

/// Pings of the core under way at one time: a fleet of 10,000 of which half is silent for 4 s, pinged every 5 s.
const UNDER_WAY: usize = 4096;
/// People's pings under way at one time.
const BY_HAND: usize = 32;
/// A broadcast is shared by all who ask within this time of it: its answers are no older.
const SHARED_FOR: Duration = Duration::from_secs(1);
/// How long people wait for an answer.
const WITHIN: Duration = Duration::from_secs(4);

/// What became of a person's ping.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinged {
    /// Whose answer it is; with a broadcast there are many.
    pub drone: DroneId,
    /// Number of the ping.
    pub seq: u64,
    /// What came back.
    pub outcome: Result<Answered, PingLoss>,
}

/// People's pings, as `http` sees them.
pub trait PingNow: Send + Sync {
    /// Pings one drone; `None` when too many do so already.
    fn ping(&self, drone: DroneId) -> BoxFuture<'_, Option<Pinged>>;
    /// Pings all drones of the view by one broadcast. Who asks while one is under way, or just after, gets its answers.
    fn ping_all(&self, view: Arc<View>) -> BoxFuture<'_, Arc<Vec<Pinged>>>;
}

/// Sends pings. Cheap to clone.
#[derive(Clone)]
pub struct Pings {
    bus: Arc<dyn Bus>,
    engine: Arc<dyn Tell>,
    numbers: Arc<AtomicU64>,
    by_hand: Arc<Semaphore>,
    last: Arc<Mutex<Option<Broadcast>>>,
}

/// The last broadcast: when its answers were in, and what they were.
type Broadcast = (Instant, Arc<Vec<Pinged>>);

impl Pings {
    /// Pings by `bus`, telling `engine`.
    pub fn new(bus: Arc<dyn Bus>, engine: Arc<dyn Tell>) -> Self {
        let by_hand = Arc::new(Semaphore::new(BY_HAND));
        Self { bus, engine, numbers: Arc::default(), by_hand, last: Arc::default() }
    }

    /// Carries out the core's pings until no more can come.
    pub async fn run(&self, queue: Work<Ping>) {
        let pings = futures::stream::unfold(queue, async |mut queue| queue.next().await.map(|ping| (ping, queue)));
        pings
            .for_each_concurrent(Some(UNDER_WAY), |Ping { drone, seq, within }| async move {
                let outcome = self.bus.ping(drone.clone(), seq, Duration::from_millis(within)).await;
                self.engine.offer(input(drone, seq, outcome));
            })
            .await;
    }

    async fn one(&self, drone: DroneId) -> Option<Pinged> {
        let _room = self.by_hand.try_acquire().ok()?;
        let seq = self.numbers.fetch_add(1, Relaxed) + 1;
        let outcome = self.bus.ping(drone.clone(), seq, WITHIN).await;
        self.engine.offer(input(drone.clone(), 0, outcome.clone()));
        Some(Pinged { drone, seq, outcome })
    }

    async fn all(&self, view: &View) -> Arc<Vec<Pinged>> {
        // whoever comes while a broadcast is under way waits here, and then finds it fresh
        let mut last = self.last.lock().await;
        if let Some((at, pinged)) = &*last
            && at.elapsed() < SHARED_FOR
        {
            return pinged.clone();
        }
        let seq = self.numbers.fetch_add(1, Relaxed) + 1;
        let runs: BTreeMap<InstanceId, DroneId> =
            view.drones.iter().map(|(id, drone)| (drone.row.supervisor.clone(), id.clone())).collect();
        let is_online = |drone: &&Arc<DroneView>| drone.presence == Presence::Online;
        let online = view.drones.values().filter(is_online).count();
        let gathered = self.bus.ping_all(seq, &runs, online, WITHIN).await;
        let of = |drone: &DroneId| match &gathered {
            Ok(answers) => answers.get(drone).cloned().ok_or(PingLoss::Silent),
            Err(loss) => Err(*loss),
        };
        let pinged: Vec<Pinged> =
            view.drones.iter().map(|(drone, _)| Pinged { drone: drone.clone(), seq, outcome: of(drone) }).collect();
        for Pinged { drone, outcome, .. } in &pinged {
            self.engine.offer(input(drone.clone(), 0, outcome.clone()));
        }
        let pinged = Arc::new(pinged);
        *last = Some((Instant::now(), pinged.clone()));
        pinged
    }
}

impl PingNow for Pings {
    fn ping(&self, drone: DroneId) -> BoxFuture<'_, Option<Pinged>> {
        Box::pin(self.one(drone))
    }

    fn ping_all(&self, view: Arc<View>) -> BoxFuture<'_, Arc<Vec<Pinged>>> {
        Box::pin(async move { self.all(&view).await })
    }
}

fn input(drone: DroneId, seq: u64, outcome: Result<Answered, PingLoss>) -> Input {
    match outcome {
        Ok(Answered { pong, latency_us }) => Input::Pong { drone, seq, latency_us, pong: Box::<Pong>::new(pong) },
        Err(why) => Input::PingLost { drone, seq, why },
    }
}
