//! What the drone holds, read from the attempts' directories: never from the worker, which may hang (decision 12).

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fs_err as fs;
use swarm_common::errors::chain;
use swarm_portage::{RootConfig, state};
use swarm_protocol::Fence;
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::machine::{PortageState, TreeState, Vitals};
use swarm_protocol::order::OrderAnswer;
use swarm_protocol::report::{AttemptStatus, Hello};
use tracing::warn;

use crate::attempt::{AttemptDir, AttemptState};
use crate::spool::Spool;
use crate::vitals::Gauge;

/// How long a look at the trees is good for; a tree without a time stamp or commit has to be walked.
const TREE_AGE: Duration = Duration::from_secs(60);
/// Source files looked at for a hello.
const MAX_SOURCES_LOOKED_AT: usize = 20_000;

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
pub type Shared = Arc<Held>;

/// See [`Shared`].
pub struct Held {
    holding: Mutex<Holding>,
    /// The trees were changed since the last snapshot. Beside the lock, which a snapshot holds for as long as a disk is slow.
    tree_changed: AtomicBool,
}

impl Held {
    /// For whoever takes snapshots of it.
    pub fn new(holding: Holding) -> Self {
        Self { holding: Mutex::new(holding), tree_changed: AtomicBool::new(false) }
    }
}

impl Holding {
    /// Of the drone with this memory, these builds and this root.
    pub fn new(spool: Spool, build_dir: PathBuf, root: RootConfig) -> Self {
        let gauge = Gauge::new(&build_dir);
        Self { spool, build_dir, root, gauge, tree: None }
    }

    /// A snapshot. `agents` are the agent's own processes.
    pub fn snapshot(&mut self, agents: &[u32]) -> Snapshot {
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

/// A snapshot of a shared [`Holding`].
pub fn snapshot(shared: &Shared, agents: &[u32]) -> Snapshot {
    let mut holding = shared.holding.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.tree_changed.swap(false, Ordering::SeqCst) {
        holding.tree = None;
    }
    holding.snapshot(agents)
}

/// The next snapshot looks at the trees anew. Waits for nothing.
pub fn forget_tree(shared: &Shared) {
    shared.tree_changed.store(true, Ordering::SeqCst);
}

/// Names of source files at hand, hashed; the newest, as many as a hello may tell. Blocking. A directory that can't be read
/// has none: this is a hint for placement.
pub fn sources(root: &RootConfig) -> Vec<u32> {
    let own = root.path.join("var/cache/distfiles");
    let files = root.distfiles.iter().chain([&own]).filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    let dated = files.take(MAX_SOURCES_LOOKED_AT).filter_map(|entry| {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((meta.modified().ok()?, swarm_protocol::plan::source_hash(entry.file_name().to_str()?)))
    });
    let mut newest: Vec<_> = dated.collect();
    newest.sort_unstable_by(|one, other| other.cmp(one));
    newest.into_iter().map(|(_, hash)| hash).take(Hello::MAX_SOURCES).collect()
}

/// The Portage of a root: `known`, if its tree is still that, else looked at anew. Blocking.
pub fn portage(root: &RootConfig, known: Option<PortageState>) -> Result<PortageState, state::StateError> {
    match known {
        Some(known) if state::tree_state(root)? == known.tree => Ok(known),
        Some(_) | None => state::inspect(root),
    }
}

/// A piece of an attempt's log; blocking.
pub fn log(build_dir: &std::path::Path, fence: Fence, offset: u64, max: u32) -> OrderAnswer {
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
    use swarm_protocol::plan::source_hash;

    use super::*;

    #[test]
    fn sources_at_hand_are_told_by_their_names() {
        let (dir, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = dir.path().join("var/cache/distfiles");
        fs::create_dir_all(own.join("a-folder")).unwrap();
        fs::write(own.join("waggle-1.1.tar.xz"), "").unwrap();
        fs::write(shared.path().join("comb-2.tar.gz"), "").unwrap();
        let distfiles = vec![shared.path().to_owned(), dir.path().join("nowhere")];
        let root = RootConfig { path: dir.path().to_owned(), distfiles, ..RootConfig::default() };
        let mut found = sources(&root);
        found.sort_unstable();
        let mut expected = vec![source_hash("waggle-1.1.tar.xz"), source_hash("comb-2.tar.gz")];
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
