//! Where effects go: one queue for each room that carries effects out. The engine fills them between two batches and never
//! waits; each room is handed the end it reads from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use swarm_common::throttle::Throttle;
use swarm_core::Effect;
use swarm_core::effect::{BinhostWork, Escalation, Ping, WantedLog};
use swarm_core::rows::NoticeRow;
use swarm_protocol::DroneId;
use swarm_protocol::order::Order;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, error, warn};

/// Orders that may wait for the bus; what does not fit is sent again by the core, so more would only be older.
const ORDERS: usize = 4096;
/// Logs that may wait for the collector; one that does not fit is asked for again with its result.
const LOGS: usize = 4096;
/// Pings that may wait for the bus: three for each of 10,000 drones' ticks; one that does not fit is sent later by the core.
const PINGS: usize = 32 * 1024;
/// Orders of the ladder that may wait; a drone has at most one, and the core gives up one that is lost.
const ESCALATIONS: usize = 4096;
/// Notices that may wait; the core sends again what is not answered.
const NOTICES: usize = 256;

/// An order and its receiver.
pub type SentOrder = (DroneId, Box<Order>);

/// The end of a queue that a room reads its work from.
pub struct Work<T> {
    queue: mpsc::Receiver<T>,
    lost: Arc<AtomicU64>,
}

impl<T> Work<T> {
    /// The next piece of work; `None` when the engine has ended and everything was read.
    pub async fn next(&mut self) -> Option<T> {
        self.queue.recv().await
    }

    /// What waits now, without waiting for more.
    pub fn try_next(&mut self) -> Option<T> {
        self.queue.try_recv().ok()
    }

    /// Counts what found no room; goes on counting.
    pub fn lost(&self) -> Arc<AtomicU64> {
        self.lost.clone()
    }
}

/// The ends that the rooms read from, room by room.
pub struct Works {
    /// For the bus: orders to drones.
    pub orders: Work<SentOrder>,
    /// For the binhost's thread. Has no bound of its own: the rows bound how much there is, and none may be lost.
    pub binhost: std::sync::mpsc::Receiver<BinhostWork>,
    /// For the log collector.
    pub logs: Work<WantedLog>,
    /// For healing.
    pub healing: HealingWorks,
}

/// The ends that healing reads from.
pub struct HealingWorks {
    /// Proof of life.
    pub pings: Work<Ping>,
    /// The orders of the ladder.
    pub escalations: Work<Escalation>,
    /// What people are told.
    pub notices: Work<Box<NoticeRow>>,
}

/// A queue as the engine sees it.
pub struct Outlet<T> {
    queue: mpsc::Sender<T>,
    lost: Arc<AtomicU64>,
    /// What becomes of a piece of work that finds no room, for the log.
    at_bound: &'static str,
    throttle: Throttle,
}

impl<T> Outlet<T> {
    /// A queue for so many pieces of work. `at_bound` is logged when one finds no room: what becomes of it.
    pub fn new(bound: usize, at_bound: &'static str) -> (Self, Work<T>) {
        let (sender, queue) = mpsc::channel(bound);
        let lost = Arc::new(AtomicU64::new(0));
        let outlet = Self { queue: sender, lost: lost.clone(), at_bound, throttle: Throttle::default() };
        (outlet, Work { queue, lost })
    }

    /// Whether it found no room. A room that has ended takes nothing, and nobody misses it.
    fn is_full_for(&self, work: T) -> bool {
        let full = matches!(self.queue.try_send(work), Err(TrySendError::Full(_)));
        if full {
            self.lost.fetch_add(1, Relaxed);
        }
        full
    }

    /// Puts work in, without waiting for room.
    pub fn put(&self, work: T) {
        if self.is_full_for(work) && self.throttle.lets_pass("") {
            warn!("{}", self.at_bound);
        }
    }
}

/// The engine's way out.
pub struct Outlets {
    orders: Outlet<SentOrder>,
    /// `None`: the effects on the binhost's files go nowhere.
    binhost: Option<std::sync::mpsc::Sender<BinhostWork>>,
    logs: Outlet<WantedLog>,
    pings: Outlet<Ping>,
    escalations: Outlet<Escalation>,
    notices: Outlet<Box<NoticeRow>>,
}

impl Outlets {
    /// The engine's ends of the queues, and the rooms'.
    pub fn new() -> (Self, Works) {
        let (orders, sent_orders) = Outlet::new(ORDERS, "orders are let go: the bus does not take them fast enough");
        let (binhost, binhost_work) = std::sync::mpsc::channel();
        let (logs, wanted) = Outlet::new(LOGS, "a log's completion waits for its result to be reported again");
        let (pings, due) = Outlet::new(PINGS, "a ping waits for the bus; the next one comes later");
        let given_up = "an order of the ladder found no room; the core gives it up and goes on";
        let (escalations, ladder) = Outlet::new(ESCALATIONS, given_up);
        let (notices, told) = Outlet::new(NOTICES, "a notice found no room; it comes again");
        let outlets = Self { orders, binhost: Some(binhost), logs, pings, escalations, notices };
        let works = Works {
            orders: sent_orders,
            binhost: binhost_work,
            logs: wanted,
            healing: HealingWorks { pings: due, escalations: ladder, notices: told },
        };
        (outlets, works)
    }

    /// Lets every effect but answers go nowhere: for benches and tests of engine and store alone.
    pub fn discard() -> Self {
        let (outlets, _) = Self::new();
        Self { binhost: None, ..outlets }
    }

    /// Lets a ping out. It says nothing of any row, so it is let out before the commit.
    pub(super) fn ping(&self, ping: Ping) {
        if self.pings.is_full_for(ping) {
            debug!("{}", self.pings.at_bound);
        }
    }

    /// Hands an effect whose rows are on disk to the room that carries it out. Gives back what is the engine's own to do.
    pub(super) fn carry(&self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Order { drone, order } => self.orders.put((drone, order)),
            Effect::Binhost(work) => self.binhost(work),
            Effect::CompleteLog(log) => self.logs.put(log),
            Effect::Ping(ping) => self.ping(ping),
            Effect::Escalate(order) => self.escalations.put(order),
            Effect::Notify(notice) => self.notices.put(notice),
            own @ (Effect::Reply { .. } | Effect::TrimHistory { .. }) => return Some(own),
        }
        None
    }

    /// The engine ends, and the binhost may have ended before it: what is still to be done follows from the rows at the next
    /// start.
    pub(super) fn binhost_may_end(&mut self) {
        self.binhost = None;
    }

    fn binhost(&self, work: BinhostWork) {
        if self.binhost.as_ref().is_some_and(|queue| queue.send(work).is_err()) {
            error!("the binhost's thread is gone; the process ends so that its supervisor starts it anew");
            std::process::exit(super::EXIT_PANICKED);
        }
    }
}
