//! Where effects go. Whoever implements [`Outlets`] must never wait: the engine calls it between two batches.

use swarm_core::effect::{BinhostWork, Route};
use swarm_core::rows::NoticeRow;
use swarm_protocol::order::{Order, Rung};
use swarm_protocol::{DroneId, Fence};

/// A log the collector is to get whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLog {
    /// Which attempt.
    pub fence: Fence,
    /// Who has its log.
    pub drone: DroneId,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Something to be done to a drone that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Which drone.
    pub drone: DroneId,
    /// Number of the order.
    pub generation: u64,
    /// What.
    pub rung: Rung,
    /// Why, for people.
    pub reason: String,
    /// By which way.
    pub route: Route,
    /// Milliseconds to wait.
    pub within: u64,
}

/// Takes effects whose rows are on disk, in their order. None of the methods may block.
pub trait Outlets: Send + 'static {
    /// Send an order. One that is lost is sent again by the core.
    fn order(&self, drone: DroneId, order: Box<Order>);
    /// Work for the binhost. Must not be lost, or the package waits until the next start; the rows bound how much there is.
    fn binhost(&self, work: BinhostWork);
    /// Work for the log collector. If it is lost, the log is marked incomplete.
    fn complete_log(&self, work: WantedLog);
    /// Ping a drone, waiting so many milliseconds. Says nothing of any row, so it is let out before the commit. If it is
    /// lost, the core sends the next one later.
    fn ping(&self, drone: DroneId, seq: u64, within: u64);
    /// Do something about a drone that does not work. If it is lost, the core gives it up in time and goes on.
    fn escalate(&self, work: Escalation);
    /// Tell people outside. If it is lost, the core sends it again.
    fn notify(&self, notice: Box<NoticeRow>);
}

/// Lets every effect but answers go nowhere: for benches and tests of engine and store alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Outlets for Discard {
    fn order(&self, _: DroneId, _: Box<Order>) {}
    fn binhost(&self, _: BinhostWork) {}
    fn complete_log(&self, _: WantedLog) {}
    fn ping(&self, _: DroneId, _: u64, _: u64) {}
    fn escalate(&self, _: Escalation) {}
    fn notify(&self, _: Box<NoticeRow>) {}
}
