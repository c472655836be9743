//! What the drone holds, read from the attempts' directories: never from the worker, which may hang.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use swarm_common::errors::chain;
use swarm_portage::{RootConfig, state};
use swarm_protocol::Fence;
use swarm_protocol::machine::{TreeState, Vitals};
use swarm_protocol::report::AttemptStatus;
use tracing::warn;

use crate::attempt::{AttemptDir, AttemptState};
use crate::spool::Spool;
use crate::vitals::Gauge;

/// How long a look at the trees is good for; a tree without a time stamp or commit has to be walked.
const TREE_AGE: Duration = Duration::from_secs(60);
/// The drone at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Highest order number seen: read before the directories, so that it claims nothing they don't show.
    pub orders_seen: u64,
    /// Attempts that run or wait.
    pub attempts: Vec<AttemptStatus>,
    /// Attempts that are over and not yet acknowledged.
    pub finished: Vec<Fence>,
    /// Condition.
    pub vitals: Vitals,
    /// State of the ebuild repositories.
    pub tree: TreeState,
}

/// Takes snapshots; blocking.
#[derive(Debug)]
pub struct Holding {
    spool: Spool,
    build_dir: PathBuf,
    root: RootConfig,
    gauge: Gauge,
    tree: Option<(Instant, TreeState)>,
}

/// One [`Holding`] for whoever takes the next snapshot.
pub struct SharedHolding {
    holding: Mutex<Holding>,
    /// The trees were changed since the last snapshot. Beside the lock, which a snapshot holds for as long as a disk is slow.
    tree_changed: AtomicBool,
}

impl SharedHolding {
    /// For whoever takes snapshots of it.
    pub fn new(holding: Holding) -> Self {
        Self { holding: Mutex::new(holding), tree_changed: AtomicBool::new(false) }
    }

    /// A snapshot; waits for the one that is being taken. `agents` are the agent's own processes.
    pub fn snapshot(&self, agents: &[u32]) -> Snapshot {
        let mut holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tree_changed.swap(false, Ordering::SeqCst) {
            holding.tree = None;
        }
        holding.snapshot(agents)
    }

    /// The next snapshot looks at the trees anew. Waits for nothing.
    pub fn forget_tree(&self) {
        self.tree_changed.store(true, Ordering::SeqCst);
    }
}

impl Holding {
    /// Of the drone with this memory, these builds and this root.
    pub fn new(spool: Spool, build_dir: PathBuf, root: RootConfig) -> Self {
        let gauge = Gauge::new(&build_dir);
        Self { spool, build_dir, root, gauge, tree: None }
    }

    fn snapshot(&mut self, agents: &[u32]) -> Snapshot {
        let orders_seen = self.spool.seen().map_or(0, |(number, _)| number);
        let mut snapshot = Snapshot { orders_seen, ..Snapshot::default() };
        for dir in AttemptDir::list(&self.build_dir) {
            match dir.state() {
                AttemptState::Waiting | AttemptState::Running { .. } | AttemptState::Unknown => {
                    snapshot.attempts.extend(dir.status())
                }
                AttemptState::Finished(_) | AttemptState::Vanished => snapshot.finished.push(dir.fence()),
            }
        }
        snapshot.vitals = self.gauge.read(agents);
        snapshot.tree = self.tree();
        snapshot
    }

    fn tree(&mut self) -> TreeState {
        if let Some((at, tree)) = &self.tree
            && at.elapsed() < TREE_AGE
        {
            return tree.clone();
        }
        let tree = state::tree_state(&self.root).unwrap_or_else(|error| {
            warn!(error = chain(&error), "the state of the ebuild repository can't be had");
            TreeState::default()
        });
        self.tree = Some((Instant::now(), tree.clone()));
        tree
    }
}
