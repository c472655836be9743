//! A controller without its binhost, façade and log store: the real core, engine, redb store, bus link and event stream, in
//! this process on threads of its own. What is left out answers at once, so that the rest is what is measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use swarm_common::watch::spawn;
use swarm_controller::bus::link::{Link, LinkSettings};
use swarm_controller::bus::outbox::{Outbox, OutboxSettings};
use swarm_controller::engine::{
    CommitHook, Engine, EngineHandle, EngineThread, HealingWorks, Loaded, OnFailure, Options, Outlets, SentOrder, Work,
    Works,
};
use swarm_controller::store::Store;
use swarm_core::answer::UploadAnswer;
use swarm_core::ask::Uploaded;
use swarm_core::effect::BinhostWork;
use swarm_core::files::{SignedFile, UploadedFile};
use swarm_core::input::{Pong, RouteOutcome};
use swarm_core::request::{Control, ControlRequest, Demand, QueueRequest, TicketRequest};
use swarm_core::{Input, Settings, Tell as _};
use swarm_protocol::Subjects;
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::machine::WorkerState;
use swarm_tests::fleet::{Ticket, Uploads};
use swarm_tests::packages::CHOST;
use swarm_tests::server::Bus;
use tokio::runtime::Runtime;

/// Name of the controller's threads, the engine's and the binhost's apart.
pub const THREADS: &str = "plant";

/// A runtime whose threads have one name.
///
/// # Errors
/// When it can't be made.
pub fn runtime(name: &str) -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build()?)
}

/// The running controller.
pub struct Plant {
    /// The engine.
    pub engine: EngineHandle,
    /// Its connection.
    pub link: Link,
    /// The last event the stream holds.
    pub published: Arc<AtomicU64>,
    thread: EngineThread,
    runtime: Runtime,
}

impl Plant {
    /// Starts it with its store in `dir`.
    ///
    /// # Errors
    /// When a part of it does not start.
    pub fn start(dir: &Path, bus: &Bus, hook: Option<CommitHook>) -> Result<Self> {
        let runtime = runtime(THREADS)?;
        let store = Store::open(&dir.join("state.redb"))?;
        let loaded = Loaded::load(&store, Settings { min_free_disk: 0, start_grace: 0, ..Settings::default() })?;
        let store_id = loaded.store_id().clone();
        let (outlets, works) = Outlets::new();
        let options = Options { commit_hook: hook, on_failure: OnFailure::EndThread, ..Options::default() };
        let (engine, thread) = loaded.start(outlets, options)?;
        let settings = LinkSettings {
            url: bus.url.clone(),
            ca: None,
            credentials: bus.controller.clone(),
            subjects: Subjects::default(),
            store_id: store_id.clone(),
        };
        let ears: Arc<dyn Engine> = Arc::new(engine.clone());
        let (link, published) = runtime.block_on(async {
            let link = Link::connect(settings).await?;
            link.listen(ears, Arc::new(|_, _| {})).await?;
            link.carry_out(stand_in(works, &engine));
            let source = Arc::new(store.clone());
            let settings = OutboxSettings::new(Subjects::default(), store_id);
            let outbox = Outbox::new(link.client(), settings, source, engine.events());
            let published = outbox.published();
            drop(spawn("outbox", outbox.run()));
            anyhow::Ok((link, published))
        })?;
        Ok(Self { engine, link, published, thread, runtime })
    }

    /// Asks the engine for something a person would ask for.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub fn ask<D: Demand>(&self, demand: D) -> Result<D::Answer> {
        let asked = self.engine.ask_within(Duration::from_secs(120), "bench".to_owned(), demand);
        Ok(self.runtime.block_on(asked)?)
    }

    /// Queues packages.
    ///
    /// # Errors
    /// When they are refused.
    pub fn queue(&self, packages: Vec<String>) -> Result<()> {
        for part in packages.chunks(10_000) {
            self.ask(QueueRequest { packages: part.to_vec(), ..QueueRequest::default() })?;
        }
        Ok(())
    }

    /// Pauses the swarm or lets it go on.
    ///
    /// # Errors
    /// When it is refused.
    pub fn control(&self, action: Control) -> Result<()> {
        self.ask(ControlRequest { action, package: None, drone: None }).map(drop)
    }

    /// Ends it; the store is closed then.
    ///
    /// # Errors
    /// When the engine had failed.
    pub fn stop(self) -> Result<()> {
        self.thread.stop();
        self.thread.join().context("the engine")?;
        // the tasks hold the store
        self.runtime.shutdown_timeout(Duration::from_secs(10));
        Ok(())
    }
}

/// Carries out everything but orders as soon as it is asked for. Ends with the engine.
fn stand_in(works: Works, engine: &EngineHandle) -> Work<SentOrder> {
    let Works { orders, binhost, logs, healing, .. } = works;
    let HealingWorks { pings, escalations, notices, .. } = healing;
    let told = engine.clone();
    std::thread::spawn(move || {
        // until the engine has ended
        let _ = binhost.iter().filter_map(done).try_for_each(|news| told.tell_blocking(news));
    });
    carry_out(engine, logs, |log| Input::LogStored { fence: log.fence, complete: true });
    carry_out(engine, pings, |ping| {
        // the way there and back is measured elsewhere; here it is what the core does with an answer
        let pong = Box::new(Pong { worker: WorkerState::Alive, ..Pong::default() });
        Input::Pong { drone: ping.drone, seq: ping.seq, latency_us: 300, pong }
    });
    carry_out(engine, escalations, |order| {
        let outcome = RouteOutcome::Failed { detail: "there is nobody to help here".to_owned() };
        Input::Escalated { drone: order.drone, generation: order.generation, outcome }
    });
    carry_out(engine, notices, |notice| Input::Notified {
        notice: notice.id,
        delivered: Vec::new(),
        failed: Vec::new(),
    });
    orders
}

/// Answers each piece of work at once. No queue waits for another.
fn carry_out<T: Send + 'static>(engine: &EngineHandle, mut works: Work<T>, done: fn(T) -> Input) {
    let told = engine.clone();
    drop(spawn("stand-in", async move {
        while let Some(work) = works.next().await {
            told.tell(done(work)).await;
        }
    }));
}

fn done(work: BinhostWork) -> Option<Input> {
    Some(match work {
        BinhostWork::Sign { artifact, build_id, path, .. } => {
            let stanza = stanza(artifact.0, build_id, &path);
            let file = SignedFile { path, sha256: "0".repeat(64), size: 200_000, stanza };
            Input::Signed { artifact, file }
        }
        BinhostWork::WriteIndex { index, timestamp, .. } => Input::IndexWritten { index, timestamp },
        BinhostWork::RemovePackage { artifact, .. } => Input::PackageRemoved { artifact },
        BinhostWork::DropUpload { .. } => return None,
    })
}

/// A block of an index as long as real ones.
fn stanza(number: u64, build_id: u32, path: &str) -> BTreeMap<String, String> {
    let fields = [
        ("BDEPEND", "virtual/pkgconfig >=dev-build/cmake-3.28.5".to_owned()),
        ("BUILD_ID", build_id.to_string()),
        ("BUILD_TIME", "1795449718".to_owned()),
        ("CHOST", CHOST.to_owned()),
        ("CPV", format!("app-misc/package-{number}")),
        ("DEFINED_PHASES", "compile configure install prepare test".to_owned()),
        ("DEPEND", ">=dev-libs/glib-2.60:2/2= dev-libs/openssl:0/3= || ( sys-libs/zlib sys-libs/zlib-ng )".to_owned()),
        ("EAPI", "8".to_owned()),
        ("IUSE", "+nls +ssl doc examples systemd test".to_owned()),
        ("KEYWORDS", "~alpha amd64 arm arm64 ~hppa ppc ppc64 ~riscv ~s390 sparc x86".to_owned()),
        ("LICENSE", "GPL-2+".to_owned()),
        ("MD5", "0".repeat(32)),
        ("PATH", path.to_owned()),
        ("RDEPEND", ">=dev-libs/glib-2.60:2/2= dev-libs/openssl:0/3=".to_owned()),
        ("SHA1", "0".repeat(40)),
        ("SIZE", "200000".to_owned()),
        ("USE", "amd64 elibc_glibc kernel_linux nls ssl".to_owned()),
        ("_mtime_", "1795449718".to_owned()),
        ("repository", "gentoo".to_owned()),
    ];
    fields.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Uploads of packages that are only spoken of: what the façade asks of the engine for each, and no file.
pub struct Spoken(pub EngineHandle);

impl Uploads for Spoken {
    fn upload(&self, ticket: Ticket, made: ArtifactRef) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let artifact = ticket.artifact;
            let asked = self.0.ask("upload".to_owned(), TicketRequest { artifact }).await;
            let good = asked.map_err(|error| error.to_string())?;
            if good.token != ticket.token {
                return Err(format!("{good:?}"));
            }
            let file = UploadedFile {
                sha256: made.sha256,
                size: made.size,
                cpv: made.cpv,
                slot: made.slot,
                repository: made.repository,
                use_flags: made.use_flags,
                chost: CHOST.to_owned(),
                restrict: String::new(),
            };
            match self.0.ask((), Uploaded { artifact, file }).await.map_err(|error| error.to_string())? {
                UploadAnswer::Taken {} => Ok(()),
                UploadAnswer::Refused { reason } => Err(reason),
            }
        })
    }
}
