//! The drone's voice on the bus: hello until welcomed, heartbeats, pongs, logs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use drone_core::rescue::Asked;
use futures::Stream;
use futures::stream::select_all;
use swarm_common::clock::wall_ms;
use swarm_common::errors::chain;
use swarm_common::watch::{blocking, spawn};
use swarm_portage::RootConfig;
use swarm_protocol::machine::{DroneType, Machine, PortageState, WorkerState};
use swarm_protocol::order::{OrderAnswer, Task};
use swarm_protocol::report::{Heartbeat, Hello, HelloAnswer, Phase, Role};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{DroneId, Fence, InstanceId, PROTO_MAX, PROTO_MIN, StoreId};
use tokio::sync::{mpsc, watch};
use tokio::time::Interval;
use tracing::{debug, info, warn};

use super::aid::{AnswerTo, Order};
use super::holding::{self, Shared, Snapshot};
use crate::bus::{Greeting, Link, LinkError, read_order};
use crate::config::Config;
use crate::spool::Spool;

/// Time between heartbeats before a welcome says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long hello waits for an answer.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A random identity of one run of a process.
pub fn fresh_instance() -> InstanceId {
    InstanceId(hex::encode(rand::random::<[u8; 8]>()))
}

/// What the voice's own tasks bring back.
pub(super) enum Heard {
    /// A look at the drone.
    Snapshot(Box<Snapshot>),
    /// Hello was answered, or not.
    Hello(Option<Box<HelloAnswer>>),
    /// Hello is due again.
    HelloDue,
    /// The root's Portage, if it could be had, and the sources at hand.
    Portage(Option<Box<PortageState>>, Vec<u32>),
}

/// Everything the supervisor says.
pub(super) struct Voice {
    link: Arc<Link>,
    drone: DroneId,
    instance: InstanceId,
    name: String,
    tags: Vec<String>,
    slots: u32,
    waiting: u32,
    sources: Vec<u32>,
    machine: Machine,
    root: RootConfig,
    build_dir: PathBuf,
    spool: Spool,
    holding: Shared,
    tell: mpsc::Sender<Heard>,
    greeting: Greeting,
    welcomed: bool,
    refusal: String,
    heartbeats: Interval,
    seq: u64,
    looking: bool,
    latest: Snapshot,
    portage: Option<PortageState>,
}

impl Voice {
    pub(super) fn new(
        config: &Config,
        spool: Spool,
        link: Arc<Link>,
        holding: Shared,
        tell: mpsc::Sender<Heard>,
    ) -> Self {
        Self {
            link,
            drone: config.drone.clone(),
            instance: fresh_instance(),
            name: config.name.clone(),
            tags: config.tags.clone(),
            slots: u32::try_from(config.roots.len()).unwrap_or(u32::MAX),
            waiting: config.limits.waiting,
            sources: Vec::new(),
            machine: crate::machine::describe(&config.bus.url, config.healing.reboot),
            root: config.roots[0].clone(),
            build_dir: config.build_dir.clone(),
            spool,
            holding,
            tell,
            greeting: Greeting::default(),
            welcomed: false,
            refusal: String::new(),
            heartbeats: super::ticks(HEARTBEAT),
            seq: 0,
            looking: false,
            latest: Snapshot::default(),
            portage: None,
        }
    }

    pub(super) fn drone(&self) -> &DroneId {
        &self.drone
    }

    pub(super) fn instance(&self) -> &InstanceId {
        &self.instance
    }

    pub(super) fn connects(&self) -> watch::Receiver<u64> {
        let mut connects = self.link.connects();
        // a connection made before anyone listened counts too
        connects.mark_changed();
        connects
    }

    /// Orders for the supervisor, and broadcast pings.
    pub(super) async fn listen(&self) -> Result<impl Stream<Item = Message> + use<>, LinkError> {
        let mut all = vec![self.link.pings().await?];
        for token in Task::FOR_SUPERVISOR {
            all.push(self.link.orders(token).await?);
        }
        Ok(select_all(all))
    }

    /// The machine's type by its own detection.
    pub(super) fn detected(&self) -> DroneType {
        self.machine.drone_type
    }

    /// Attempts that ran at the last look.
    pub(super) fn running(&self) -> usize {
        self.latest.attempts.iter().filter(|status| status.phase != Phase::Queued).count()
    }

    pub(super) async fn heartbeat_due(&mut self) {
        self.heartbeats.tick().await;
    }

    /// Looks at the drone in the background; the heartbeat follows when the look is done.
    pub(super) fn look(&mut self, worker_pid: Option<u32>) {
        if std::mem::replace(&mut self.looking, true) {
            return warn!("the last look at the drone is not over: its disk is slow; this heartbeat is late");
        }
        let (holding, tell) = (Arc::clone(&self.holding), self.tell.clone());
        let agents: Vec<u32> = [std::process::id()].into_iter().chain(worker_pid).collect();
        let _detached = spawn("look", async move {
            let snapshot = blocking("look", move || holding::snapshot(&holding, &agents)).await;
            let _ = tell.send(Heard::Snapshot(Box::new(snapshot))).await;
        });
    }

    /// The worker changed the ebuild repositories: the next look is at them as they are now.
    pub(super) fn tree_changed(&self) {
        holding::forget_tree(&self.holding);
    }

    /// Hello is due.
    pub(super) fn greet(&mut self) {
        if !self.greeting.due() {
            return;
        }
        let (root, known, tell) = (self.root.clone(), self.portage.clone(), self.tell.clone());
        let _detached = spawn("portage", async move {
            let (portage, sources) =
                blocking("portage", move || (holding::portage(&root, known), holding::sources(&root))).await;
            let portage = portage.inspect_err(|error| {
                warn!(error = chain(error), "Portage can't be described; until it can, nothing is built here");
            });
            let _ = tell.send(Heard::Portage(portage.ok().map(Box::new), sources)).await;
        });
    }

    /// Something came back; a welcome gives the store it is of.
    pub(super) fn heard(
        &mut self,
        heard: Heard,
        worker: WorkerState,
        worker_instance: Option<InstanceId>,
    ) -> Option<StoreId> {
        match heard {
            Heard::Snapshot(snapshot) => {
                self.looking = false;
                self.latest = *snapshot;
                if self.welcomed {
                    self.heartbeat(worker, worker_instance);
                }
                if self.portage.as_ref().is_some_and(|portage| portage.tree != self.latest.tree) {
                    info!("the ebuild repository changed; saying hello again");
                    self.greet();
                }
            }
            Heard::Portage(portage, sources) => {
                self.portage = portage.map(|portage| *portage);
                self.sources = sources;
                self.say_hello();
            }
            Heard::Hello(Some(answer)) => return self.answered(*answer),
            Heard::Hello(None) => self.hello_later(),
            Heard::HelloDue => self.greet(),
        }
        None
    }

    fn heartbeat(&mut self, worker: WorkerState, worker_instance: Option<InstanceId>) {
        self.seq += 1;
        let beat = Heartbeat {
            instance: self.instance.clone(),
            seq: self.seq,
            orders_seen: self.latest.orders_seen,
            vitals: self.latest.vitals.clone(),
            worker,
            worker_instance,
            attempts: self.latest.attempts.clone(),
            finished: self.latest.finished.clone(),
            tree: self.latest.tree.clone(),
        };
        let link = Arc::clone(&self.link);
        let _detached = spawn("heartbeat", async move {
            if let Err(error) = link.tell(ReportKind::Heartbeat, &beat).await {
                debug!(%error, "a heartbeat was not sent");
            }
        });
    }

    fn say_hello(&mut self) {
        let hello = Hello {
            instance: self.instance.clone(),
            role: Role::Supervisor,
            supervisor: None,
            name: self.name.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            proto_min: PROTO_MIN,
            proto_max: PROTO_MAX,
            store_id: self.spool.seen().map(|(_, store_id)| store_id),
            machine: self.machine.clone(),
            portage: self.portage.clone().unwrap_or_default(),
            tags: self.tags.clone(),
            slots: self.slots,
            waiting: Some(self.waiting),
            sources: self.sources.clone(),
            orders_seen: self.latest.orders_seen,
            running: self.latest.attempts.iter().map(|status| status.fence).collect(),
            finished: self.latest.finished.clone(),
        };
        let (link, tell) = (Arc::clone(&self.link), self.tell.clone());
        let _detached = spawn("hello", async move {
            let answer = link.ask::<_, HelloAnswer>(ReportKind::Hello, &hello, HELLO_TIMEOUT).await;
            let answer = answer.inspect_err(|error| debug!(%error, "no answer to hello")).ok();
            let _ = tell.send(Heard::Hello(answer.map(Box::new))).await;
        });
    }

    fn answered(&mut self, answer: HelloAnswer) -> Option<StoreId> {
        match answer {
            HelloAnswer::Welcome { heartbeat_ms, controller_version, store_id, .. } => {
                if !std::mem::replace(&mut self.welcomed, true) {
                    info!(controller = controller_version, "welcome");
                }
                self.refusal.clear();
                let period = Duration::from_millis(heartbeat_ms.clamp(100, 60_000));
                if period != self.heartbeats.period() {
                    self.heartbeats = super::ticks(period);
                }
                if self.portage.is_none() {
                    // welcome without a Portage: nothing is built here until it can be described
                    self.hello_later();
                } else if self.greeting.welcomed() {
                    self.greet();
                }
                return Some(store_id);
            }
            HelloAnswer::Refused { reason, hint } => {
                if self.refusal != reason {
                    warn!(reason, hint, "the controller refuses this drone");
                    self.refusal = reason;
                }
                self.hello_later();
            }
            HelloAnswer::Unknown => self.hello_later(),
        }
        None
    }

    fn hello_later(&mut self) {
        let (wait, tell) = (self.greeting.failed(), self.tell.clone());
        let _detached = spawn("hello later", async move {
            tokio::time::sleep(wait).await;
            let _ = tell.send(Heard::HelloDue).await;
        });
    }

    /// Carries out an order for the supervisor; one to a drone that does not work is given back.
    pub(super) fn order(&mut self, message: Message, worker: WorkerState) -> Option<Order> {
        let link = Arc::clone(&self.link);
        let (task, store_id) = match read_order(&message) {
            // silence: who answers first is believed, and the one it is for answers, too
            Ok(order) if !order.instance.0.is_empty() && order.instance != self.instance => {
                debug!(instance = %order.instance, "an order for another run of this drone's supervisor");
                return None;
            }
            Ok(order) => (order.task, order.store_id),
            Err(answer) => {
                reply(link, message, answer);
                return None;
            }
        };
        match task {
            Task::Escalate { rung, reason, generation } => {
                let asked = Asked { store_id, generation, rung, running: 0 };
                return Some(Order { asked, reason, to: AnswerTo::Bus(message) });
            }
            Task::Ping { seq, .. } => {
                let (instance, vitals) = (self.instance.clone(), self.latest.vitals.clone());
                let attempts = self.latest.attempts.clone();
                reply(link, message, OrderAnswer::Pong { seq, instance, at: wall_ms(), vitals, worker, attempts });
            }
            Task::Logs { fence, offset, max } => self.log(link, message, fence, offset, max),
            Task::Build { .. } | Task::Cancel { .. } | Task::Release { .. } | Task::Sync { .. } | Task::Plan { .. } => {
                reply(link, message, OrderAnswer::Refused { reason: "an order for the worker".to_owned() });
            }
            Task::Unknown => {
                let reason = "an order this version does not know".to_owned();
                reply(link, message, OrderAnswer::NotUnderstood { reason });
            }
        }
        None
    }

    fn log(&self, link: Arc<Link>, message: Message, fence: Fence, offset: u64, max: u32) {
        let build_dir = self.build_dir.clone();
        let _detached = spawn("log", async move {
            let answer = blocking("log", move || holding::log(&build_dir, fence, offset, max)).await;
            link.answer(&message, &answer).await;
        });
    }

    /// Everything said has left the process.
    pub(super) async fn goodbye(&self) {
        self.link.flush().await;
    }
}

fn reply(link: Arc<Link>, message: Message, answer: OrderAnswer) {
    let _detached = spawn("answer", async move { link.answer(&message, &answer).await });
}
