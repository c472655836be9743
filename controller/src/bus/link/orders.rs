//! Effects out: orders to drones, in the order the core gave them. A drone's answer to an order is a hint and moves
//! nothing; it is counted and logged.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::{Client, Message, StatusCode};
use futures::StreamExt;
use futures::future::BoxFuture;
use swarm_protocol::envelope::open;
use swarm_protocol::log::LogChunk;
use swarm_protocol::order::{Order, OrderAnswer, Task};
use swarm_protocol::{DroneId, Fence, Subjects};
use thiserror::Error;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Inner, Link};
use crate::engine::{SentOrder, Work};
use crate::logs::LogSource;

/// A drone reads a piece of a file and answers.
const LOGS_WITHIN: Duration = Duration::from_secs(5);

/// Why an order has no answer.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The drone's process is not connected.
    #[error("drone {drone} is not on the bus")]
    Absent {
        /// The drone it was for.
        drone: DroneId,
    },
    /// No answer in time.
    #[error("drone {drone} does not answer")]
    Silent {
        /// The drone it was for.
        drone: DroneId,
    },
    /// The answer can't be read, or the order can't be written.
    #[error("the order to drone {drone} failed: {reason}")]
    Failed {
        /// The drone it was for.
        drone: DroneId,
        /// What the bus or the codec says of it.
        reason: String,
    },
}

impl Link {
    /// Carries out [`swarm_core::Effect::Order`] until the engine has ended and all of them are out.
    pub fn carry_out(&self, orders: Work<SentOrder>) {
        let _ = self.inner.counters.lost_orders.set(orders.lost());
        let all_out = self.inner.orders_out.clone().drop_guard();
        let (client, inner) = (self.client.clone(), self.inner.clone());
        drop(swarm_common::watch::spawn("orders", async move {
            run(client, inner, orders).await;
            drop(all_out);
        }));
    }

    /// Gives an order that leaves no trace (ping, logs) to the drone's supervisor and waits for its answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask_supervisor(
        &self,
        drone: &DroneId,
        task: Task,
        within: Duration,
    ) -> Result<OrderAnswer, OrderError> {
        // an order that names nobody is for anybody, also for another process with the drone's key
        let instance = self.inner.supervisor(drone).ok_or_else(|| OrderError::Absent { drone: drone.clone() })?;
        let order = Order { number: 0, store_id: self.inner.store_id.clone(), instance, task };
        let failed = |reason: String| OrderError::Failed { drone: drone.clone(), reason };
        let (subject, body) = seal(&self.inner, drone, &order).map_err(|error| failed(error.to_string()))?;
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(within));
        let answer = self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
            async_nats::RequestErrorKind::NoResponders => OrderError::Absent { drone: drone.clone() },
            async_nats::RequestErrorKind::TimedOut => OrderError::Silent { drone: drone.clone() },
            _ => failed(error.to_string()),
        })?;
        Ok(open::<OrderAnswer>(&answer.payload).map_err(|error| failed(error.to_string()))?.body)
    }
}

impl LogSource for Link {
    fn fetch(&self, drone: DroneId, fence: Fence, offset: u64, max: u32) -> BoxFuture<'_, Option<LogChunk>> {
        Box::pin(async move {
            match self.ask_supervisor(&drone, Task::Logs { fence, offset, max }, LOGS_WITHIN).await {
                Ok(OrderAnswer::Log { chunk }) if chunk.offset == offset => Some(chunk),
                Ok(answer) => {
                    debug!(%drone, build = %fence.build, attempt = %fence.attempt, ?answer, "no piece of a log");
                    None
                }
                Err(reason) => {
                    debug!(%drone, build = %fence.build, attempt = %fence.attempt, %reason, "no piece of a log");
                    None
                }
            }
        })
    }
}

fn seal(inner: &Inner, drone: &DroneId, order: &Order) -> Result<(String, Vec<u8>), swarm_protocol::CodecError> {
    let token = order.task.token();
    Ok((inner.subjects.order(drone, token), inner.seal(&format!("order.{token}"), order)?))
}

/// Publishes orders one after the other; hints come back on an inbox of their own.
async fn run(client: Client, inner: Arc<Inner>, mut orders: Work<SentOrder>) {
    let hints = format!("{}.hint", Subjects::inbox(&inner.id));
    let mut answers = match client.subscribe(format!("{hints}.>")).await {
        Ok(answers) => answers.boxed(),
        Err(error) => {
            warn!(%error, "answers to orders will not be seen");
            futures::stream::pending().boxed()
        }
    };
    loop {
        tokio::select! {
            order = orders.next() => match order {
                Some((drone, order)) => send(&client, &inner, &hints, &drone, &order).await,
                None => return,
            },
            Some(answer) = answers.next() => hint(&inner, &hints, &answer),
        }
    }
}

/// Bounded: a connection that takes nothing must not hold back what follows for ever.
async fn send(client: &Client, inner: &Inner, hints: &str, drone: &DroneId, order: &Order) {
    let (subject, body) = match seal(inner, drone, order) {
        Ok(sealed) => sealed,
        Err(reason) => {
            inner.counters.refused_orders.fetch_add(1, Relaxed);
            warn!(%drone, order = order.number, %reason, "an order can't be written");
            return;
        }
    };
    let reply = format!("{hints}.{drone}.{}", order.number);
    let published = client.publish_with_reply(subject, reply, body.into());
    if let Err(reason) = timeout(Duration::from_secs(5), published)
        .await
        .map_err(|_| "no room".to_owned())
        .and_then(|sent| sent.map_err(|error| error.to_string()))
    {
        inner.counters.shed_orders.fetch_add(1, Relaxed);
        warn!(%drone, order = order.number, reason, "an order was not sent");
    }
}

fn hint(inner: &Inner, hints: &str, answer: &Message) {
    let about = answer.subject.strip_prefix(hints).unwrap_or_default();
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        inner.counters.refused_orders.fetch_add(1, Relaxed);
        debug!(about, "nobody was there to take an order");
        return;
    }
    match open::<OrderAnswer>(&answer.payload).map(|envelope| envelope.body) {
        Ok(OrderAnswer::Refused { reason } | OrderAnswer::NotUnderstood { reason }) => {
            inner.counters.refused_orders.fetch_add(1, Relaxed);
            debug!(about, reason, "an order was refused");
        }
        Ok(_) => {}
        Err(_) => drop(inner.counters.malformed.fetch_add(1, Relaxed)),
    }
}
