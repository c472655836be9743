//! Carries out the core's effects: each in a task of its own, each ending in an input.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::Message;
use drone_core::{Input, Tomb};
use swarm_common::clock::wall_ms;
use swarm_common::errors::chain;
use swarm_common::watch::{blocking, spawn};
use swarm_portage::RootConfig;
use swarm_protocol::order::{BuildJob, OrderAnswer, PlanJob, SyncJob};
use swarm_protocol::report::{BinhostAccess, BuildAnswer, BuildReport, Failure, FailureClass};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{Fence, InstanceId, StoreId};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::syncer::SyncWork;
use super::tail::Tail;
use super::uploads::Uploads;
use super::{Event, planner, syncer};
use crate::attempt::dir::DirError;
use crate::attempt::{AttemptDir, AttemptJob, AttemptState};
use crate::bus::Link;
use crate::config::{Config, LimitsConfig, SyncConfig};
use crate::program::own_program;
use crate::spool::Spool;

/// How long a report waits for its answer; the controller holds a finished one back for 4 s while it publishes.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait before a disk that failed is tried again.
const DISK_RETRY: Duration = Duration::from_secs(5);

/// Everything the worker does with its hands.
pub(crate) struct Hands {
    instance: InstanceId,
    link: Arc<Link>,
    spool: Spool,
    build_dir: PathBuf,
    plan_dir: PathBuf,
    sync_dir: PathBuf,
    roots: Vec<RootConfig>,
    limits: LimitsConfig,
    sync: SyncConfig,
    program: PathBuf,
    tell: mpsc::Sender<Event>,
    uploads: Uploads,
    tail: Tail,
    /// Where new attempts find the swarm's packages.
    binhost: BinhostAccess,
    seen: watch::Sender<Option<(u64, StoreId)>>,
    /// What is being written or started, counted.
    writes: Arc<AtomicUsize>,
}

impl Hands {
    pub(crate) fn new(
        config: &Config,
        instance: InstanceId,
        spool: Spool,
        link: Arc<Link>,
        dirs: &BTreeMap<Fence, AttemptDir>,
        tell: mpsc::Sender<Event>,
    ) -> anyhow::Result<Self> {
        let results = dirs.iter().filter_map(|(fence, dir)| match dir.state() {
            AttemptState::Finished(result) => Some((*fence, result)),
            _ => None,
        });
        let (seen, see) = watch::channel(None);
        let writes = Arc::new(AtomicUsize::new(0));
        let _detached = spawn("seen", remember_seen(spool.clone(), see, Arc::clone(&writes)));
        let adopted = dirs.keys().copied().collect();
        Ok(Self {
            uploads: Uploads::new(Arc::clone(&link), instance.clone(), results.collect(), tell.clone()),
            tail: Tail::new(Arc::clone(&link), config.build_dir.clone(), adopted, tell.clone()),
            instance,
            link,
            spool,
            build_dir: config.build_dir.clone(),
            plan_dir: config.state_dir.join("plan"),
            sync_dir: syncer::place(config),
            roots: config.roots.clone(),
            limits: config.limits.clone(),
            sync: config.sync.clone(),
            program: own_program()?,
            tell,
            binhost: BinhostAccess::default(),
            seen,
            writes,
        })
    }

    /// The controller welcomed us.
    pub(crate) fn welcomed(&mut self, http_url: String, binhost: BinhostAccess) {
        self.binhost = binhost;
        self.uploads.welcomed(http_url);
    }

    /// Whether something is being written or started that the next worker would miss.
    pub(crate) fn writes_under_way(&self) -> bool {
        self.writes.load(Ordering::SeqCst) > 0
    }

    /// Takes note of what an input brings before the core hears it.
    pub(crate) fn note(&mut self, input: &Input) {
        if let Input::Exited { fence, result } = input {
            self.uploads.ended(*fence, result.clone());
        }
    }

    pub(crate) fn answer(&self, message: Message, answer: OrderAnswer) {
        let link = Arc::clone(&self.link);
        let _detached = spawn("answer", async move { link.answer(&message, &answer).await });
    }

    pub(crate) fn keep(&mut self, job: BuildJob, slot: u32, order_number: u64, store_id: StoreId) {
        let fence = job.fence;
        info!(attempt = %fence, package = job.cpv, "taking a build");
        let root = self.roots.get(slot as usize).unwrap_or(&self.roots[0]).clone();
        let instance = self.instance.clone();
        let job = AttemptJob { job, root, binhost: self.binhost.clone(), order_number, store_id, instance };
        let build_dir = self.build_dir.clone();
        // the directory's place is known before it is there
        let path = build_dir.join(fence.to_string());
        self.write("keep", async move {
            let made = blocking("keep", move || match AttemptDir::create(&build_dir, &job) {
                // written by a former run for the same order, and not listed then: damaged or of a moment ago
                Err(DirError::Exists(_)) => AttemptDir::open(&path),
                made => made,
            });
            match made.await {
                Ok(_) => Input::Kept { fence },
                Err(error) => Input::NotKept { fence, failure: not_written(&error) },
            }
        });
    }

    pub(crate) fn start(&mut self, fence: Fence) {
        let (path, program) = (self.path(fence), self.program.clone());
        let tell = self.tell.clone();
        let writes = under_way(&self.writes);
        let _detached = spawn("start", async move {
            let _writes = writes;
            let started = blocking("start", move || -> Result<u32, String> {
                let dir = AttemptDir::open(&path).map_err(|e| chain(&e))?;
                dir.spawn(&program).map_err(|e| format!("start {}: {e}", program.display()))
            });
            let input = match started.await {
                Ok(pid) => {
                    info!(attempt = %fence, pid, "started an attempt");
                    Input::Started { fence, at: wall_ms() }
                }
                Err(message) => {
                    warn!(attempt = %fence, error = message, "an attempt can't be started");
                    let failure = Failure { class: FailureClass::AgentLost, message, ..Failure::default() };
                    Input::NotStarted { fence, failure }
                }
            };
            let _ = tell.send(Event::Core(input)).await;
        });
    }

    pub(crate) fn end(&self, fence: Fence) {
        let (path, grace, tell) = (self.path(fence), self.limits.end_grace, self.tell.clone());
        info!(attempt = %fence, "ending an attempt");
        let _detached = spawn("end", async move {
            loop {
                let path = path.clone();
                let ended = blocking("end", move || match AttemptDir::open(&path) {
                    Ok(dir) => dir.end(grace),
                    Err(error) if path.exists() => Err(error),
                    Err(_) => Ok(()),
                });
                match ended.await {
                    Ok(()) => break,
                    Err(error) => {
                        warn!(attempt = %fence, error = chain(&error), "an attempt does not end; trying again")
                    }
                }
                tokio::time::sleep(DISK_RETRY).await;
            }
            let _ = tell.send(Event::Core(Input::Ended { fence })).await;
        });
    }

    pub(crate) fn upload(&mut self, fence: Fence, sha256: String) {
        self.uploads.upload(fence, sha256, self.path(fence));
    }

    pub(crate) fn report(&self, report: BuildReport) {
        let (link, tell) = (Arc::clone(&self.link), self.tell.clone());
        let _detached = spawn("report", async move {
            let (fence, number, store_id) = (report.fence, report.number, report.store_id.clone());
            let answer = link.ask::<_, BuildAnswer>(ReportKind::Build, &report, REPORT_TIMEOUT).await;
            let input = match answer {
                Ok(answer) => {
                    debug!(attempt = %fence, number, ?answer, "a report was answered");
                    Input::Answered { fence, store_id, number, answer }
                }
                Err(error) => {
                    debug!(attempt = %fence, number, %error, "a report was not answered");
                    Input::Unanswered { fence, number }
                }
            };
            let _ = tell.send(Event::Core(input)).await;
        });
    }

    pub(crate) fn forget(&mut self, tomb: Tomb) {
        let fence = tomb.fence;
        self.uploads.forget(fence);
        self.tail.forget(fence);
        let (path, spool) = (self.path(fence), self.spool.clone());
        self.write("forget", async move {
            loop {
                let (path, spool, tomb) = (path.clone(), spool.clone(), tomb.clone());
                let forgotten = blocking("forget", move || -> Result<(), String> {
                    spool.add_tomb(&tomb).map_err(|e| chain(&e))?;
                    match AttemptDir::open(&path) {
                        Ok(dir) => dir.remove().map_err(|e| chain(&e)),
                        Err(_) if !path.exists() => Ok(()),
                        Err(error) => Err(chain(&error)),
                    }
                });
                match forgotten.await {
                    Ok(()) => return Input::Forgotten { fence },
                    Err(error) => warn!(attempt = %fence, error, "an attempt can't be removed; trying again"),
                }
                tokio::time::sleep(DISK_RETRY).await;
            }
        });
    }

    pub(crate) fn seen(&self, number: u64, store_id: StoreId) {
        self.seen.send_replace(Some((number, store_id)));
    }

    pub(crate) fn plan(&self, job: PlanJob, store_id: StoreId) {
        info!(plan = %job.plan, attempt = job.attempt, atoms = job.atoms.len(), "resolving a request");
        let (link, tell, instance) = (Arc::clone(&self.link), self.tell.clone(), self.instance.clone());
        let (root, dir, limit) = (self.roots[0].clone(), self.plan_dir.clone(), self.limits.plan);
        let _detached = spawn("plan", async move {
            let (plan, attempt) = (job.plan, job.attempt);
            planner::resolve_and_deliver(&link, root, dir, limit, job, store_id, instance).await;
            let _ = tell.send(Event::Core(Input::Planned { plan, attempt })).await;
        });
    }

    pub(crate) fn sync(&self, number: u64, job: &SyncJob, store_id: StoreId) {
        let (link, tell, instance) = (Arc::clone(&self.link), self.tell.clone(), self.instance.clone());
        let work = SyncWork {
            root: self.roots[0].clone(),
            dir: self.sync_dir.clone(),
            command: self.sync.command.clone(),
            timeout: Duration::from_millis(job.timeout_ms),
        };
        info!(order = number, expected = job.expected.id, "bringing the ebuild repositories up to date");
        let _detached = spawn("sync", async move {
            syncer::sync_and_tell(&link, work, number, store_id, instance).await;
            let _ = tell.send(Event::Core(Input::Synced { number })).await;
        });
    }

    /// Follows the logs and ends of these attempts, and of no others.
    pub(crate) fn follow(&self, running: &BTreeSet<Fence>) {
        self.tail.follow(running);
    }

    fn path(&self, fence: Fence) -> PathBuf {
        self.build_dir.join(fence.to_string())
    }

    /// Runs a write that the end of the worker waits for; its input goes to the core.
    fn write(&self, name: &'static str, work: impl Future<Output = Input> + Send + 'static) {
        let (tell, writes) = (self.tell.clone(), under_way(&self.writes));
        let _detached = spawn(name, async move {
            let input = work.await;
            let _ = tell.send(Event::Core(input)).await;
            drop(writes);
        });
    }
}

/// Counts as under way until dropped.
struct UnderWay(Arc<AtomicUsize>);

fn under_way(writes: &Arc<AtomicUsize>) -> UnderWay {
    writes.fetch_add(1, Ordering::SeqCst);
    UnderWay(Arc::clone(writes))
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Writes the latest number seen; earlier ones it may skip.
async fn remember_seen(spool: Spool, mut see: watch::Receiver<Option<(u64, StoreId)>>, writes: Arc<AtomicUsize>) {
    while see.changed().await.is_ok() {
        let _writes = under_way(&writes);
        let Some((number, store_id)) = see.borrow_and_update().clone() else { continue };
        let spool = spool.clone();
        if let Err(error) = blocking("seen", move || spool.remember_seen(number, &store_id)).await {
            warn!(error = chain(&error), "the highest order number can't be remembered; orders will come again");
        }
    }
}

fn not_written(error: &DirError) -> Failure {
    let full = matches!(error, DirError::Io(e) if e.kind() == std::io::ErrorKind::StorageFull);
    let class = if full { FailureClass::DiskFull } else { FailureClass::AgentLost };
    Failure { class, message: format!("the order can't be written to disk: {}", chain(error)), ..Failure::default() }
}
