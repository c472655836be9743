//! Orders to the supervisor: pings and requests for logs are answered here, an order of the ladder is handed to `aid`.
//!
//! Decides whose an order is. One that is for another run is met with silence: who answers first is believed, and the run it
//! is for answers, too. Called by the supervisor's loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_nats::Message;
use drone_core::rescue::Asked;
use futures::Stream;
use futures::stream::select_all;
use swarm_common::clock::wall_ms;
use swarm_common::watch::{blocking, spawn};
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::machine::WorkerState;
use swarm_protocol::order::{OrderAnswer, Task};
use swarm_protocol::{Fence, InstanceId};
use tracing::debug;

use super::aid::{AnswerTo, Order};
use super::holding::Snapshot;
use crate::attempt::AttemptDir;
use crate::bus::{Link, LinkError, read_order};

/// Hears orders and answers them.
pub(super) struct Orders {
    link: Arc<Link>,
    instance: InstanceId,
    build_dir: PathBuf,
}

impl Orders {
    pub(super) fn new(link: Arc<Link>, instance: InstanceId, build_dir: PathBuf) -> Self {
        Self { link, instance, build_dir }
    }

    /// Orders for the supervisor, and broadcast pings.
    pub(super) async fn listen(&self) -> Result<impl Stream<Item = Message> + use<>, LinkError> {
        let mut all = vec![self.link.pings().await?];
        for token in Task::FOR_SUPERVISOR {
            all.push(self.link.orders(token).await?);
        }
        Ok(select_all(all))
    }

    /// Carries out an order; one to a drone that does not work is given back. `latest` is the last look at the drone.
    pub(super) fn take(&self, message: Message, latest: &Snapshot, worker: WorkerState) -> Option<Order> {
        let (task, store_id) = match read_order(&message) {
            Ok(order) if !order.instance.0.is_empty() && order.instance != self.instance => {
                debug!(instance = %order.instance, "an order for another run of this drone's supervisor");
                return None;
            }
            Ok(order) => (order.task, order.store_id),
            Err(answer) => {
                self.reply(message, answer);
                return None;
            }
        };
        match task {
            Task::Escalate { rung, reason, generation } => {
                let asked = Asked { store_id, generation, rung, running: 0 };
                return Some(Order { asked, reason, to: AnswerTo::Bus(message) });
            }
            Task::Ping { seq, .. } => {
                let (instance, vitals) = (self.instance.clone(), latest.vitals.clone());
                let attempts = latest.attempts.clone();
                self.reply(message, OrderAnswer::Pong { seq, instance, at: wall_ms(), vitals, worker, attempts });
            }
            Task::Logs { fence, offset, max } => self.log(message, fence, offset, max),
            Task::Build { .. } | Task::Cancel { .. } | Task::Release { .. } | Task::Sync { .. } | Task::Plan { .. } => {
                self.reply(message, OrderAnswer::Refused { reason: "an order for the worker".to_owned() });
            }
            Task::Unknown => {
                let reason = "an order this version does not know".to_owned();
                self.reply(message, OrderAnswer::NotUnderstood { reason });
            }
        }
        None
    }

    fn log(&self, message: Message, fence: Fence, offset: u64, max: u32) {
        let (link, build_dir) = (Arc::clone(&self.link), self.build_dir.clone());
        let _detached = spawn("log", async move {
            let answer = blocking("log", move || piece_of_log(&build_dir, fence, offset, max)).await;
            link.answer(&message, &answer).await;
        });
    }

    fn reply(&self, message: Message, answer: OrderAnswer) {
        let link = Arc::clone(&self.link);
        let _detached = spawn("answer", async move { link.answer(&message, &answer).await });
    }
}

/// A piece of an attempt's log; blocking.
fn piece_of_log(build_dir: &Path, fence: Fence, offset: u64, max: u32) -> OrderAnswer {
    let found = AttemptDir::open(&build_dir.join(fence.to_string()));
    let piece: Result<LogChunk, String> = match found {
        Ok(dir) => dir.read_log(offset, (max as usize).min(MAX_CHUNK)).map_err(|e| e.to_string()),
        Err(_) => Err(format!("attempt {fence} is not on this drone")),
    };
    match piece {
        Ok(chunk) => OrderAnswer::Log { chunk },
        Err(reason) => OrderAnswer::Refused { reason },
    }
}
