//! Pings: one drone's supervisor, or the whole fleet's by one broadcast. The round trip is measured here, by the monotonic
//! clock, from the moment the ping leaves to the moment its answer is in our hands; what a ping means is the core's to say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use swarm_core::input::{PingLoss, Pong};
use swarm_protocol::envelope::open;
use swarm_protocol::order::{Order, OrderAnswer, Task};
use swarm_protocol::{DroneId, InstanceId};
use tokio::time::{Instant as TokioInstant, timeout_at};

use super::{Link, OrderError, Relaxed, wall_ms};

/// An answered ping.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What the drone said.
    pub pong: Pong,
    /// Microseconds there and back.
    pub latency_us: u64,
}

impl Link {
    /// Pings a drone's supervisor.
    ///
    /// # Errors
    /// Why there is no answer; our own connection's loss is told apart from the drone's silence.
    pub async fn ping(&self, drone: &DroneId, seq: u64, within: Duration) -> Result<Answered, PingLoss> {
        let connection = self.connection().ok_or(PingLoss::NoBus)?;
        let (sent_at, sent) = (wall_ms(), Instant::now());
        let answer = self.ask_supervisor(drone, Task::Ping { seq, sent_at }, within).await;
        let latency = sent.elapsed();
        match answer {
            Ok(OrderAnswer::Pong { seq: answered, .. }) if answered != seq => Err(PingLoss::Nonsense),
            Ok(answer) => answered(answer, sent_at, latency).ok_or(PingLoss::Nonsense),
            // lost and made again meanwhile: the ping may have gone down with it
            Err(_) if self.connection() != Some(connection) => Err(PingLoss::NoBus),
            Err(OrderError::Absent { .. }) => Err(PingLoss::Absent),
            Err(OrderError::Silent { .. }) => Err(PingLoss::Silent),
            Err(OrderError::Failed { .. }) => Err(PingLoss::Nonsense),
        }
    }

    /// Pings everyone by one broadcast and gathers the answers until all of `expected` have answered, at most `within`. Who
    /// answers is known by the supervisor's run, `runs`, which a drone tells nobody but the controller.
    ///
    /// # Errors
    /// [`PingLoss::NoBus`] when our own connection is away.
    pub async fn ping_all(
        &self,
        seq: u64,
        runs: &BTreeMap<InstanceId, DroneId>,
        expected: usize,
        within: Duration,
    ) -> Result<BTreeMap<DroneId, Answered>, PingLoss> {
        self.connection().ok_or(PingLoss::NoBus)?;
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|_| PingLoss::NoBus)?;
        // an empty instance: it is for whoever hears it
        let task = Task::Ping { seq, sent_at: wall_ms() };
        let order =
            Order { number: 0, store_id: self.inner.store_id.clone(), instance: InstanceId(String::new()), task };
        let body = self.inner.seal("order.ping", &order).map_err(|_| PingLoss::Nonsense)?;
        let (sent_at, sent) = (wall_ms(), Instant::now());
        let published = self.client.publish_with_reply(self.inner.subjects.ping_all(), inbox, body.into());
        published.await.map_err(|_| PingLoss::NoBus)?;
        let until = TokioInstant::from_std(sent) + within;
        let (mut gathered, mut missing) = (BTreeMap::new(), expected);
        while missing > 0 {
            let Ok(Some(message)) = timeout_at(until, answers.next()).await else { break };
            let latency = sent.elapsed();
            let Ok(envelope) = open::<OrderAnswer>(&message.payload) else {
                // also the server's word that nobody listens
                self.inner.counters.malformed.fetch_add(u64::from(!message.payload.is_empty()), Relaxed);
                if message.payload.is_empty() {
                    break;
                }
                continue;
            };
            let OrderAnswer::Pong { seq: theirs, .. } = &envelope.body else { continue };
            let fits = *theirs == seq;
            let Some(answer) = answered(envelope.body, sent_at, latency).filter(|_| fits) else { continue };
            if let Some(drone) = runs.get(&answer.pong.instance)
                && gathered.insert(drone.clone(), answer).is_none()
            {
                missing -= 1;
            }
        }
        Ok(gathered)
    }

    /// Which connection it is, counted from the first; `None` while there is none.
    fn connection(&self) -> Option<u64> {
        self.is_connected().then(|| self.inner.counters.reconnects.load(Relaxed))
    }
}

fn answered(answer: OrderAnswer, sent_at: u64, latency: Duration) -> Option<Answered> {
    let OrderAnswer::Pong { instance, at, vitals, worker, attempts, .. } = answer else { return None };
    let half = u64::try_from(latency.as_millis() / 2).unwrap_or_default();
    let attempts = attempts.into_iter().map(|status| status.fence).collect();
    let pong = Pong { instance, at, middle: sent_at + half, vitals, worker, attempts };
    Some(Answered { pong, latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX) })
}
