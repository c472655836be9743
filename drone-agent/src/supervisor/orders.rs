//! Orders to the supervisor: pings and requests for logs are answered here, an order of the ladder is handed to `rungs`.
//!
//! Decides whose an order is. One that is for another run, or may be, is met with silence: who answers first is believed, and
//! the run it is for answers, too. Called by the supervisor's loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_nats::Message;
use drone_core::healing::{Asked, Rung};
use futures::Stream;
use futures::stream::select_all;
use swarm_common::clock::wall_ms;
use swarm_common::watch::{blocking, spawn};
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::machine::WorkerState;
use swarm_protocol::order::{Order, OrderAnswer, Task};
use swarm_protocol::{Fence, InstanceId};
use tracing::{debug, warn};

use super::holding::Snapshot;
use super::rungs::{AnswerTo, RungOrder};
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
    pub(super) fn take(&self, message: Message, latest: &Snapshot, worker: WorkerState) -> Option<RungOrder> {
        let reaction = match read_order(&message) {
            Ok(order) => reaction(order, &self.instance),
            Err(answer) => Reaction::Answer(answer),
        };
        match reaction {
            Reaction::Rung { asked, reason } => return Some(RungOrder { asked, reason, to: AnswerTo::Bus(message) }),
            Reaction::Pong { seq } => {
                let (instance, vitals) = (self.instance.clone(), latest.vitals.clone());
                let attempts = latest.attempts.clone();
                self.reply(message, OrderAnswer::Pong { seq, instance, at: wall_ms(), vitals, worker, attempts });
            }
            Reaction::Log { fence, offset, max } => self.log(message, fence, offset, max),
            Reaction::Answer(answer) => self.reply(message, answer),
            Reaction::Silence => {}
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

/// What follows from an order.
#[derive(Debug, PartialEq)]
enum Reaction {
    /// The ping is answered.
    Pong { seq: u64 },
    /// A piece of a log is answered.
    Log { fence: Fence, offset: u64, max: u32 },
    /// It is carried through.
    Rung { asked: Asked, reason: String },
    /// It is no order for a supervisor, which is said.
    Answer(OrderAnswer),
    /// It is another run's, or may be.
    Silence,
}

/// What the run `own` does about an order. One that names no run is for whoever hears it, as a broadcast ping is: it is answered
/// if it changes nothing, and obeyed by nobody if it does.
fn reaction(order: Order, own: &InstanceId) -> Reaction {
    let for_anybody = order.instance.0.is_empty();
    if !for_anybody && order.instance != *own {
        debug!(instance = %order.instance, "an order for another run of this drone's supervisor");
        return Reaction::Silence;
    }
    match order.task {
        Task::Escalate { rung, generation, .. } if for_anybody => {
            warn!(
                rung = rung.name(),
                generation, "an order of the ladder names no run of a supervisor; it is not obeyed"
            );
            Reaction::Silence
        }
        Task::Escalate { rung, reason, generation } => match Rung::of(rung) {
            Ok(rung) => {
                Reaction::Rung { asked: Asked { store_id: order.store_id, generation, rung, running: 0 }, reason }
            }
            Err(outcome) => {
                warn!(generation, "an order of the ladder this version does not know; it is refused");
                Reaction::Answer(OrderAnswer::Escalated { generation, outcome })
            }
        },
        Task::Ping { seq, .. } => Reaction::Pong { seq },
        Task::Logs { fence, offset, max } => Reaction::Log { fence, offset, max },
        Task::Build { .. } | Task::Cancel { .. } | Task::Release { .. } | Task::Sync { .. } | Task::Plan { .. } => {
            Reaction::Answer(OrderAnswer::Refused { reason: "an order for the worker".to_owned() })
        }
        Task::Unknown => {
            let reason = "an order this version does not know".to_owned();
            Reaction::Answer(OrderAnswer::NotUnderstood { reason })
        }
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

#[cfg(test)]
mod tests {
    use swarm_protocol::StoreId;
    use swarm_protocol::order::{self, BuildJob};

    use super::*;

    fn order_for(instance: &str, task: Task) -> Order {
        Order { number: 0, store_id: StoreId::from("s"), instance: InstanceId::from(instance), task }
    }

    fn answer(instance: &str, task: Task) -> Reaction {
        reaction(order_for(instance, task), &InstanceId::from("own"))
    }

    fn reading() -> [Task; 2] {
        [Task::Ping { seq: 7, sent_at: 1 }, Task::Logs { fence: Fence::default(), offset: 5, max: 9 }]
    }

    fn escalate(rung: order::Rung) -> Task {
        Task::Escalate { rung, reason: "3 pings in a row were not answered".to_owned(), generation: 4 }
    }

    #[test]
    fn an_order_of_the_ladder_that_names_no_run_is_obeyed_and_answered_by_none() {
        for rung in [Rung::RestartService.into(), Rung::RebootContainer.into(), order::Rung::Unknown] {
            assert_eq!(answer("", escalate(rung)), Reaction::Silence, "{rung:?}");
            assert_eq!(answer("other", escalate(rung)), Reaction::Silence, "{rung:?}");
        }
        let asked = Asked { store_id: StoreId::from("s"), generation: 4, rung: Rung::HardRestart, running: 0 };
        let reason = "3 pings in a row were not answered".to_owned();
        assert_eq!(answer("own", escalate(Rung::HardRestart.into())), Reaction::Rung { asked, reason });
    }

    #[test]
    fn who_only_asks_is_answered_without_naming_a_run_but_not_by_another_one() {
        for name in ["", "own"] {
            let [ping, logs] = reading();
            assert_eq!(answer(name, ping), Reaction::Pong { seq: 7 });
            assert_eq!(answer(name, logs), Reaction::Log { fence: Fence::default(), offset: 5, max: 9 });
        }
        for task in reading() {
            assert_eq!(answer("other", task), Reaction::Silence);
        }
    }

    #[test]
    fn what_is_no_order_for_a_supervisor_is_refused_in_words() {
        let build = Task::Build { job: BuildJob::default() };
        assert!(matches!(answer("own", build), Reaction::Answer(OrderAnswer::Refused { .. })));
        let later = answer("own", escalate(order::Rung::Unknown));
        assert!(matches!(later, Reaction::Answer(OrderAnswer::Escalated { generation: 4, .. })), "{later:?}");
        assert!(matches!(answer("own", Task::Unknown), Reaction::Answer(OrderAnswer::NotUnderstood { .. })));
    }
}
