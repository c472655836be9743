//! The heartbeats: every few seconds a look at the drone, and then what it holds is told, whatever the worker does.
//!
//! A look is taken beside the supervisor's own loop, one at a time: a slow disk makes a heartbeat late and nothing else. Called
//! by the supervisor's loop; hello and pongs read the latest look here.

use std::sync::Arc;
use std::time::Duration;

use swarm_common::watch::{blocking, spawn};
use swarm_protocol::InstanceId;
use swarm_protocol::machine::WorkerState;
use swarm_protocol::report::{Heartbeat, Phase};
use swarm_protocol::subject::ReportKind;
use tokio::sync::mpsc;
use tokio::time::Interval;
use tracing::{debug, warn};

use super::holding::{Holding, SharedHolding, Snapshot};
use crate::bus::Link;

/// Time between heartbeats before a welcome says otherwise.
const PERIOD: Duration = Duration::from_secs(5);

/// What is to be heard here.
pub(super) enum Moment {
    /// A look at the drone is due.
    Due,
    /// A look is done.
    Looked(Box<Snapshot>),
}

/// Takes the looks and says the heartbeats.
pub(super) struct Heartbeats {
    link: Arc<Link>,
    instance: InstanceId,
    holding: Arc<SharedHolding>,
    ticks: Interval,
    /// Number of the last heartbeat said.
    seq: u64,
    /// A look is being taken.
    looking: bool,
    latest: Snapshot,
    tell: mpsc::Sender<Box<Snapshot>>,
    looks: mpsc::Receiver<Box<Snapshot>>,
}

impl Heartbeats {
    pub(super) fn new(link: Arc<Link>, instance: InstanceId, holding: Holding) -> Self {
        let (tell, looks) = mpsc::channel(4);
        Self {
            link,
            instance,
            holding: Arc::new(SharedHolding::new(holding)),
            ticks: super::ticks(PERIOD),
            seq: 0,
            looking: false,
            latest: Snapshot::default(),
            tell,
            looks,
        }
    }

    /// Waits for the next moment. Giving up the wait loses none.
    pub(super) async fn next(&mut self) -> Moment {
        tokio::select! {
            _ = self.ticks.tick() => Moment::Due,
            Some(snapshot) = self.looks.recv() => Moment::Looked(snapshot),
        }
    }

    /// The controller wants them this often.
    pub(super) fn set_period(&mut self, period: Duration) {
        if period != self.ticks.period() {
            self.ticks = super::ticks(period);
        }
    }

    /// Looks at the drone in the background; [`Moment::Looked`] follows.
    pub(super) fn look(&mut self, worker_pid: Option<u32>) {
        if std::mem::replace(&mut self.looking, true) {
            return warn!("the last look at the drone is not over: its disk is slow; this heartbeat is late");
        }
        let (holding, tell) = (Arc::clone(&self.holding), self.tell.clone());
        let agents: Vec<u32> = [std::process::id()].into_iter().chain(worker_pid).collect();
        let _detached = spawn("look", async move {
            let snapshot = blocking("look", move || holding.snapshot(&agents)).await;
            let _ = tell.send(Box::new(snapshot)).await;
        });
    }

    /// A look is done: it is the latest from here on.
    pub(super) fn looked(&mut self, snapshot: Snapshot) {
        self.looking = false;
        self.latest = snapshot;
    }

    /// The drone at the last look.
    pub(super) fn latest(&self) -> &Snapshot {
        &self.latest
    }

    /// Attempts that ran at the last look.
    pub(super) fn running(&self) -> usize {
        self.latest.attempts.iter().filter(|status| status.phase != Phase::Queued).count()
    }

    /// The worker changed the ebuild repositories: the next look is at them as they are now.
    pub(super) fn tree_changed(&self) {
        self.holding.forget_tree();
    }

    /// Says what the last look saw, and how the worker is now.
    pub(super) fn say(&mut self, worker: WorkerState, worker_instance: Option<InstanceId>) {
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
}
