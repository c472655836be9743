//! An order to a drone that does not work on its way through the supervisor: looked at, decided, written down, done, answered.
//!
//! What is allowed is `drone_core::Healing`'s to decide. Nothing here waits for the disk in the supervisor's own loop, and no
//! disk is waited for without bound: it may be what does not work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use drone_core::Healing;
use drone_core::healing::{Asked, Decision, Done, Rung};
use drone_core::watchdog::Sign;
use swarm_common::errors::chain;
use swarm_common::watch::{blocking, spawn};
use swarm_protocol::StoreId;
use swarm_protocol::machine::DroneType;
use swarm_protocol::order::{Escalated, EscalationRefusal, OrderAnswer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::attempt::AttemptDir;
use crate::bus::Link;
use crate::config::{Config, HealingConfig};
use crate::healing::{self, door, manager};
use crate::machine_type::ThisMachine;
use crate::spool::Spool;

/// A disk that gives no answer by then is taken for one that gives none.
const DISK: Duration = Duration::from_secs(3);
/// From the answer to the reboot: what was said must have left the machine.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where the answer goes.
pub(super) enum AnswerTo {
    /// To the controller.
    Bus(Message),
    /// To `drone-agent escalate`.
    Caller(oneshot::Sender<Escalated>),
}

/// An order to climb a rung.
pub(super) struct RungOrder {
    pub(super) asked: Asked,
    pub(super) reason: String,
    pub(super) to: AnswerTo,
}

impl RungOrder {
    pub(super) fn of_caller(caller: door::Caller) -> Self {
        Self { asked: caller.asked, reason: "drone-agent escalate".to_owned(), to: AnswerTo::Caller(caller.reply) }
    }
}

/// What the order's own tasks bring back.
pub(super) enum Step {
    /// How many attempts run is known.
    Looked(RungOrder),
    /// It is written down, or can't be.
    Kept { order: RungOrder, done: Done, kept: bool, only_if_kept: bool },
    /// What a killed worker left half-made is removed, or can't be: the next one may start.
    Swept,
}

/// Carries orders through.
pub(super) struct Rungs {
    rules: Healing,
    spool: Spool,
    build_dir: PathBuf,
    healing: HealingConfig,
    link: Arc<Link>,
    tell: mpsc::Sender<Step>,
    steps: mpsc::Receiver<Step>,
}

impl Rungs {
    pub(super) fn new(config: &Config, detected: DroneType, spool: Spool, link: Arc<Link>) -> Self {
        let rules = Healing::new(healing::own(detected, config.healing.reboot), spool.last_rung());
        let (tell, steps) = mpsc::channel(16);
        Self { rules, spool, build_dir: config.build_dir.clone(), healing: config.healing.clone(), link, tell, steps }
    }

    /// Waits for what an order's task brings back; [`Rungs::step`] is to hear it.
    pub(super) async fn next(&mut self) -> Step {
        match self.steps.recv().await {
            Some(step) => step,
            // a sender is kept here
            None => std::future::pending().await,
        }
    }

    pub(super) fn welcomed(&mut self, store_id: StoreId) {
        self.rules.welcomed(store_id);
    }

    /// An order came. `listed` is how many attempts ran when the drone was last looked at.
    pub(super) fn order(&self, mut order: RungOrder, listed: usize) {
        let (rung, generation) = (order.asked.rung.name(), order.asked.generation);
        warn!(rung, generation, reason = order.reason, "an order for a drone that does not work");
        order.asked.running = listed;
        let (tell, dir) = (self.tell.clone(), self.build_dir.clone());
        let _detached = spawn("rung", async move {
            // the lower rungs leave attempts alone, however many there are: no disk is asked for them
            if order.asked.rung == Rung::RebootContainer {
                let look = blocking("rung", move || healing::running(&dir));
                order.asked.running = timeout(DISK, look).await.unwrap_or(listed);
            }
            let _ = tell.send(Step::Looked(order)).await;
        });
    }

    /// Goes on with an order; a sign for the worker's watchdog may follow.
    pub(super) fn step(&mut self, step: Step) -> Option<Sign> {
        match step {
            Step::Looked(order) => {
                match self.rules.decide(&order.asked) {
                    Decision::Answer(outcome) => self.answer(order, outcome, None),
                    Decision::Act { done, only_if_kept } => self.keep(order, done, only_if_kept),
                }
                None
            }
            Step::Kept { order, kept: false, only_if_kept: true, .. } => {
                self.answer(order, failed("the order could not be written down, so it is not done"), None);
                None
            }
            Step::Kept { order, done, .. } => self.carry_out(order, done),
            Step::Swept => Some(Sign::Swept),
        }
    }

    /// Removes what a killed worker left half-made; [`Step::Swept`] follows, also from a disk that does not answer.
    pub(super) fn sweep(&self) {
        let (tell, spool, dir) = (self.tell.clone(), self.spool.clone(), self.build_dir.clone());
        let _detached = spawn("sweep", async move {
            let sweep = blocking("sweep", move || AttemptDir::sweep(&dir).and_then(|()| spool.sweep()));
            match timeout(DISK, sweep).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "what the worker left half-made could not be removed"),
                Err(_) => {
                    warn!("what the worker left half-made could not be removed in time: the disk does not answer")
                }
            }
            let _ = tell.send(Step::Swept).await;
        });
    }

    fn keep(&self, order: RungOrder, done: Done, only_if_kept: bool) {
        let (tell, spool) = (self.tell.clone(), self.spool.clone());
        let _detached = spawn("rung", async move {
            let written = done.clone();
            let write = blocking("rung", move || spool.remember_rung(&written));
            let kept = match timeout(DISK, write).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    warn!(error = chain(&error), "an order could not be written down");
                    false
                }
                Err(_) => {
                    warn!("an order could not be written down in time: the disk does not answer");
                    false
                }
            };
            let _ = tell.send(Step::Kept { order, done, kept, only_if_kept }).await;
        });
    }

    fn carry_out(&mut self, order: RungOrder, done: Done) -> Option<Sign> {
        let (rung, outcome) = (done.rung, done.outcome.clone());
        let reboot = match rung {
            Rung::RebootContainer => match manager::reboots(&self.healing, &ThisMachine) {
                Some(command) => Some(command),
                None => {
                    let why = "no init system that reboots was found; set healing.reboot_command";
                    self.answer(order, failed(why), None);
                    return None;
                }
            },
            Rung::RestartService | Rung::HardRestart => None,
        };
        self.rules.did(done);
        self.answer(order, outcome, reboot);
        match rung {
            Rung::RestartService => Some(Sign::Restart),
            Rung::HardRestart => Some(Sign::HardRestart),
            Rung::RebootContainer => None,
        }
    }

    /// Answers; then, and only then, reboots.
    fn answer(&self, order: RungOrder, outcome: Escalated, reboot: Option<Vec<String>>) {
        info!(rung = order.asked.rung.name(), generation = order.asked.generation, ?outcome, "the order is answered");
        let link = Arc::clone(&self.link);
        let _detached = spawn("answer", async move {
            let generation = order.asked.generation;
            match order.to {
                AnswerTo::Bus(message) => {
                    link.answer(&message, &OrderAnswer::Escalated { generation, outcome }).await;
                    link.flush().await;
                }
                // a caller that went away has heard enough
                AnswerTo::Caller(reply) => drop(reply.send(outcome)),
            }
            let Some(command) = reboot else { return };
            sleep(LAST_WORDS).await;
            warn!(command = command.join(" "), "rebooting by order");
            if let Err(error) = blocking("reboot", move || manager::run(&command)).await {
                error!(error = chain(&error), "the reboot was not begun");
            }
        });
    }
}

fn failed(detail: &str) -> Escalated {
    Escalated::Refused { why: EscalationRefusal::Failed, detail: detail.to_owned() }
}
