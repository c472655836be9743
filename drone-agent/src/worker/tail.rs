//! Follows running attempts: publishes new bytes of their logs as they come, and notices their ends.
//!
//! Live chunks are hints: what does not get through is not said again, for whoever needs the log whole asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drone_core::Input;
use swarm_common::watch::{blocking, spawn};
use swarm_protocol::Fence;
use swarm_protocol::log::LogChunk;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info};

use super::Event;
use crate::attempt::{AttemptDir, AttemptState};
use crate::bus::Link;

/// How often logs are looked at: batches by time.
const PERIOD: Duration = Duration::from_millis(50);
/// Most bytes per message: batches by size.
const BATCH: usize = 64 * 1024;
/// Most messages per attempt and look.
const MOST: usize = 16;
/// Every so many looks, the attempt's process is looked at too.
const LOOKS_PER_STATE: u32 = 4;
/// For so many looks at its process an attempt may exist without having taken its directory, or not be looked at at all.
const PATIENCE: u32 = 50;

/// An attempt to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Followed {
    path: PathBuf,
    /// Of a former run: followed from where its log stands.
    adopted: bool,
}

/// Which attempts are followed; a task of its own does it.
pub(crate) struct Tail {
    build_dir: PathBuf,
    /// Attempts of a former run: their logs are followed from where they stand.
    adopted: BTreeSet<Fence>,
    followed: watch::Sender<BTreeMap<Fence, Followed>>,
}

impl Tail {
    pub(crate) fn new(
        link: Arc<Link>,
        build_dir: PathBuf,
        adopted: BTreeSet<Fence>,
        tell: mpsc::Sender<Event>,
    ) -> Self {
        let (followed, set) = watch::channel(BTreeMap::new());
        let _detached = spawn("tail", follow(link, set, tell));
        Self { build_dir, adopted, followed }
    }

    /// Follows these, and no others.
    pub(crate) fn follow(&self, running: &BTreeSet<Fence>) {
        self.followed.send_if_modified(|followed| {
            let before = followed.len();
            followed.retain(|fence, _| running.contains(fence));
            let mut changed = followed.len() != before;
            for fence in running {
                if !followed.contains_key(fence) {
                    let adopted = self.adopted.contains(fence);
                    followed.insert(*fence, Followed { path: self.build_dir.join(fence.to_string()), adopted });
                    changed = true;
                }
            }
            changed
        });
    }

    /// The attempt is over; another one of that fence would be a new one.
    pub(crate) fn forget(&mut self, fence: Fence) {
        self.adopted.remove(&fence);
    }
}

/// Where following one attempt stands.
struct Trail {
    dir: AttemptDir,
    offset: u64,
    /// Looks at its process while it had not taken its directory yet.
    unborn: u32,
    /// Looks in a row at which nothing of it could be read.
    unread: u32,
    over: bool,
}

/// What one look brought.
#[derive(Default)]
struct Look {
    chunks: Vec<LogChunk>,
    ends: Vec<Input>,
}

/// Follows what `set` names until the worker ends. With nothing to follow, sleeps.
async fn follow(link: Arc<Link>, mut set: watch::Receiver<BTreeMap<Fence, Followed>>, tell: mpsc::Sender<Event>) {
    let mut trails: BTreeMap<Fence, Trail> = BTreeMap::new();
    let mut looks = 0u32;
    loop {
        if set.borrow().is_empty() {
            trails.clear();
            if set.changed().await.is_err() {
                return;
            }
        }
        let wanted = set.borrow_and_update().clone();
        looks = looks.wrapping_add(1);
        let states = looks.is_multiple_of(LOOKS_PER_STATE);
        let (kept, look) = blocking("tail", move || {
            trails.retain(|fence, _| wanted.contains_key(fence));
            for (fence, followed) in wanted {
                if !trails.contains_key(&fence) {
                    trails.extend(begin(&followed).map(|trail| (fence, trail)));
                }
            }
            let mut look = Look::default();
            trails.values_mut().for_each(|trail| trail.look(states, &mut look));
            (trails, look)
        })
        .await;
        trails = kept;
        for chunk in &look.chunks {
            if let Err(error) = link.tell_log(chunk).await {
                debug!(attempt = %chunk.fence, %error, "a piece of log was not sent live");
            }
        }
        for end in look.ends {
            if tell.send(Event::Core(end)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn begin(followed: &Followed) -> Option<Trail> {
    let dir = AttemptDir::open(&followed.path).ok()?;
    let offset = if followed.adopted { dir.read_log(u64::MAX, 0).map_or(0, |chunk| chunk.total) } else { 0 };
    Some(Trail { dir, offset, unborn: 0, unread: 0, over: false })
}

impl Trail {
    fn look(&mut self, states: bool, look: &mut Look) {
        if self.over {
            return;
        }
        // the state first: what the log holds when the attempt is over is all of it
        let state = states.then(|| self.dir.state());
        self.read(look);
        let fence = self.dir.fence();
        let end = match state {
            None => return,
            Some(AttemptState::Running { .. }) => {
                self.unread = 0;
                return;
            }
            // it may well run: a moment without file descriptors must not cost hours of work
            Some(AttemptState::Unknown) if self.unread < PATIENCE => {
                self.unread += 1;
                return;
            }
            Some(AttemptState::Waiting) => {
                // its process was started and has not taken the directory: just born, or dead at birth
                self.unborn += 1;
                if self.unborn < PATIENCE {
                    return;
                }
                Input::Vanished { fence }
            }
            Some(AttemptState::Finished(result)) => {
                let failure = result.failure.as_ref().map(|failure| failure.class.name());
                info!(attempt = %fence, failure, seconds = result.duration_ms / 1000, "an attempt ended");
                Input::Exited { fence, result }
            }
            Some(AttemptState::Vanished | AttemptState::Unknown) => {
                info!(attempt = %fence, "an attempt is gone without a result");
                Input::Vanished { fence }
            }
        };
        self.over = true;
        look.ends.push(end);
        // the end of the stream, said once even if no byte is new
        if let Ok(last) = self.dir.read_log(self.offset, BATCH) {
            look.chunks.push(LogChunk { end: true, ..last });
        }
    }

    fn read(&mut self, look: &mut Look) {
        for _ in 0..MOST {
            let Ok(chunk) = self.dir.read_log(self.offset, BATCH) else { return };
            if chunk.bytes.is_empty() && chunk.cut == 0 {
                return;
            }
            let next = self.offset + chunk.bytes.len() as u64 + chunk.cut;
            if next == self.offset {
                return;
            }
            self.offset = next;
            look.chunks.push(chunk);
        }
    }
}
