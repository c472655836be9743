//! The composition root of `swarm serve`: opens the store, starts the engine, the bus, the binhost and the façade, and ends
//! them in the order intake, engine, bus.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result};
use swarm_common::clock::wall_ms;
use swarm_common::notify::Manager;
use swarm_common::stop::Stop;
use swarm_core::request::LocalDronesRequest;
use swarm_core::rows::ConfigRow;
use swarm_core::table::Source as _;
use swarm_core::{Input, Membership, Settings, Tell as _};
use swarm_protocol::{DroneId, Secret, Subjects};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::books::Books;
use crate::bus::gate::{self, Gate};
use crate::bus::keys;
use crate::bus::link::{Link, LinkSettings};
use crate::bus::permissions;
use crate::bus::server::{BusServer, ManagedServer, ServerSettings, find_server};
use crate::config::Config;
use crate::config::runtime::{Feel, Runtime};
use crate::engine::{EngineHandle, EngineThread, Loaded, Options, Outlets, Works};
use crate::healing::{Escalations, Pings, SshSettings};
use crate::http::adapters::{Door, Gateway};
use crate::http::listen::{allow_files, listen, serve_until};
use crate::http::ports::Care;
use crate::http::{AdminKey, AppState, Parts, Place, admin_router, router};
use crate::logs::{LogBounds, LogCollector};
use crate::metrics::{Counted, Samples, samples};
use crate::notices::Notices;
use crate::notify;
use crate::own_log::{LevelSwitch, Logging, OwnLog};
use crate::store::outbox::{Outbox, OutboxSettings};
use crate::store::{Snapshot, Store};
use swarm_binhost::gpkg::Limits;
use swarm_binhost::secret::{self, Lock};
use swarm_binhost::service::{Folders, Service};
use swarm_binhost::sign::SigningKey;
use swarm_binhost::verifying::Verifying;
use swarm_binhost::{durable, serve as files};

/// Logs that are whole and wait to be told of.
const LOGS_DONE: usize = 4096;
/// How long open requests may take when the controller ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// Runs the controller until a signal ends it.
///
/// # Errors
/// When something it cannot do without does not start.
pub async fn serve(config: Config, logging: Logging) -> Result<()> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let data = config.data_dir();
    // others may pass, not look: drones of this machine may have their roots below it, and Portage verifies as nobody
    folder(&data, 0o711)?;
    folder(&data.join("keys"), 0o700)?;
    folder(&data.join("drones"), 0o700)?;
    folder(&data.join("log"), 0o700)?;
    if let Err(error) = logging.own.keep_in(&data.join("log/controller.log")) {
        warn!(%error, "the controller's own log is kept in memory alone");
    }
    let mut signals = Stop::listen()?;
    let listener = listen(config.http.listen, config.http.port, "http.port chooses another port").await?;
    let admin_address = config.http.admin_listen.unwrap_or(config.http.listen);
    let admin_listener = match config.http.admin_port {
        0 => None,
        port => Some(listen(admin_address, port, "http.admin_port chooses another port, 0 none").await?),
    };
    let admin_key = admin_key(&data)?;
    let own_log = logging.own.clone();
    allow_files();
    let running = start(&config, &data, logging.level).await?;
    let stop = CancellationToken::new();
    let state = AppState::new(parts(&config, &data, &running, admin_key, own_log, &stop));
    let (folders, lock) = (running.folders.clone(), running.lock.clone());
    let private = files::private_router(folders.private, folders.root.clone(), lock);
    let app = router(state.clone(), files::router(folders.root), private);
    let done = serve_until("http", listener, app, &stop);
    if let Some(listener) = admin_listener {
        info!(address = %SocketAddr::new(admin_address, config.http.admin_port), "administrators' port");
        let ended = serve_until("admin http", listener, admin_router(state), &stop);
        let public_too = done.clone();
        drop(swarm_common::watch::spawn("admin http end", async move {
            ended.cancelled().await;
            public_too.cancel();
        }));
    }
    info!(address = %SocketAddr::new(config.http.listen, config.http.port), url = config.public_url(), "the controller is up");
    let manager = Arc::new(Manager::from_environment());
    notify::say(&manager, "READY=1");
    let (feeder, fed, until) = (manager.clone(), running.engine.clone(), stop.clone());
    drop(swarm_common::watch::spawn("watchdog", async move { notify::feed(&feeder, &fed, &until).await }));
    let engine_ended = running.thread.ended();
    tokio::select! {
        () = signals.next() => info!("ending: open requests, then the engine, then the bus"),
        () = engine_ended.cancelled() => anyhow::bail!("the engine ended"),
        () = done.cancelled() => anyhow::bail!("the façade ended"),
    }
    notify::say(&manager, "STOPPING=1");
    let goodbye = async {
        stop.cancel();
        drop(tokio::time::timeout(GOODBYE, done.cancelled()).await);
        running.thread.stop();
        engine_ended.cancelled().await;
        running.link.flush(Duration::from_secs(2)).await;
        running.bus.stop().await.context("end the bus server")
    };
    tokio::select! {
        ended = goodbye => ended,
        () = signals.next() => { warn!("cut short by a second signal"); Ok(()) }
    }
}

/// What the façade works with.
fn parts(
    config: &Config,
    data: &Path,
    running: &Running,
    admin_key: AdminKey,
    own_log: OwnLog,
    stop: &CancellationToken,
) -> Parts {
    let (engine, link, logs) = (running.engine.clone(), running.link.clone(), running.logs.clone());
    let (store, published) = (running.store.clone(), running.published.clone());
    let samples = Arc::new(Samples::default());
    let (fed, view) = (samples.clone(), engine.clone());
    drop(swarm_common::watch::spawn("samples", async move {
        let mut every = tokio::time::interval(samples::EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            every.tick().await;
            fed.take(&view.view(), wall_ms());
        }
    }));
    Parts {
        engine: Arc::new(running.engine.clone()),
        store: Arc::new(running.store.clone()),
        logs: Arc::new(running.logs.clone()),
        binhost: running.door.clone(),
        ready: Arc::new(running.link.clone()),
        care: Care {
            pings: running.pings.clone(),
            channels: running.notices.channels(),
            rules: config.rules.healing.clone(),
        },
        bus: running.gateway.clone(),
        admin_key,
        base_url: config.public_url(),
        runtime: running.runtime.clone(),
        own_log,
        samples,
        counted: Arc::new(move || Counted {
            engine: engine.stats(),
            bus_connected: link.is_connected(),
            bus: link.counters().all(),
            logs: logs.counters().all(),
            events_published: published.load(Relaxed),
            store_bytes: fs_err::metadata(store.path()).map_or(0, |file| file.len()),
        }),
        place: Place {
            data_dir: data.to_owned(),
            db_path: running.store.path().to_owned(),
            bus_url: running.bus.url(),
            public_port: config.http.port,
            admin_port: config.http.admin_port,
            metrics: config.http.metrics,
        },
        max_upload: config.binhost.max_upload,
        stop: stop.clone(),
    }
}

/// What runs.
struct Running {
    store: Store,
    runtime: Arc<Runtime>,
    published: Arc<AtomicU64>,
    engine: EngineHandle,
    thread: EngineThread,
    logs: LogCollector,
    link: Link,
    bus: Arc<BusServer>,
    gateway: Arc<Gateway>,
    door: Arc<Door>,
    pings: Arc<Pings>,
    notices: Arc<Notices>,
    folders: Folders,
    lock: Lock,
}

async fn start(config: &Config, data: &Path, level: LevelSwitch) -> Result<Running> {
    let store = Store::open(&data.join("state.redb"))?;
    let shelves = Shelves::open(config, data)?;
    let folders = shelves.folders.clone();
    let settings = Settings {
        binhost_secret: shelves.secret.clone(),
        http_url: config.public_url(),
        key_fingerprint: shelves.key.fingerprint().to_owned(),
        public_key: shelves.public_key.clone(),
        ..config.rules.clone()
    };
    let json = Arc::new(AtomicBool::default());
    let runtime = runtime(Config { rules: settings.clone(), ..config.clone() }, &store, level, json.clone())?;
    let settings = runtime.held().config.rules.clone();
    let loaded = Loaded::load(&store, settings)?;
    let store_id = loaded.store_id().clone();
    let bus = Arc::new(start_bus(config, data, &store_id, &loaded.membership()).await?);
    let subjects = Subjects::new(config.bus.prefix.clone());

    let (outlets, works) = Outlets::new();
    let Works { orders, binhost: work_queue, logs: mut wanted, pings: due, escalations, notices: told } = works;
    let options = Options { keep_events: config.events.keep, keep_history: config.history.keep, ..Options::default() };
    let rows = store.read()?;
    let (engine, thread) = loaded.start(outlets, options)?;
    let lock = Lock::new(&shelves.secret);
    let (door, service) = shelves.take_up(config, &store, &rows, &engine)?;
    drop(rows);
    let signing = engine.clone();
    std::thread::Builder::new()
        .name("binhost".to_owned())
        .spawn(move || swarm_common::watch::watched("binhost", || service.run(&work_queue, &signing)))?;

    let bounds = LogBounds {
        stored: config.logs.keep,
        complete_within: Duration::from_millis(config.rules.log_wait),
        ..LogBounds::default()
    };
    let seen = engine.clone();
    let holds = move |drone: &DroneId, fence| {
        seen.view().drones.get(drone).is_some_and(|view| view.tasks.iter().any(|task| task.fence == fence))
    };
    let (logs, log_work) = LogCollector::open(&data.join("logs"), bounds, Arc::new(holds))?;
    let gate = admit(config, data, &bus, &engine).await?;
    let link = Link::connect(LinkSettings {
        url: bus.url(),
        ca: bus.ca().map(Path::to_owned),
        credentials: bus.credentials().clone(),
        subjects: subjects.clone(),
        store_id: store_id.clone(),
    })
    .await?;
    let (done, mut done_queue) = tokio::sync::mpsc::channel(LOGS_DONE);
    drop(swarm_common::watch::spawn("logs", log_work.run(Arc::new(link.clone()), done)));
    let (collector, news) = (logs.clone(), engine.clone());
    drop(swarm_common::watch::spawn("log orders", async move {
        while let Some(log) = wanted.next().await {
            collector.complete(log.fence, log.drone, log.bytes).await;
        }
    }));
    drop(swarm_common::watch::spawn("log news", async move {
        while let Some(log) = done_queue.recv().await {
            // waits as long as the engine is busy: a result whose log is never told of is never accepted
            news.tell(Input::LogStored { fence: log.fence, complete: log.complete }).await;
        }
    }));
    link.carry_out(orders);
    let chunks = logs.clone();
    link.listen(Arc::new(engine.clone()), Arc::new(move |drone, chunk| chunks.offer(drone, chunk))).await?;
    let healing = Pings::new(Arc::new(link.clone()), Arc::new(engine.clone()));
    let pings = healing.clone();
    drop(swarm_common::watch::spawn("pings", async move { pings.run(due).await }));
    let ssh = SshSettings {
        data: data.to_owned(),
        store_id: store_id.clone(),
        ssh_command: config.healing.ssh_command.clone(),
    };
    let healing_orders = Escalations::new(Arc::new(link.clone()), Arc::new(engine.clone()), ssh);
    drop(swarm_common::watch::spawn("escalations", healing_orders.run(escalations)));
    let notices = Arc::new(Notices::new(&config.notify.settings(), &config.name, store_id.as_str()));
    let (postman, answers) = (notices.clone(), engine.clone());
    drop(swarm_common::watch::spawn("notices", async move { postman.run(told, &answers).await }));
    let outbox = OutboxSettings {
        max_age: Duration::from_millis(config.events.stream_age),
        max_bytes: i64::try_from(config.events.stream_size).unwrap_or(i64::MAX),
        json,
        replicas: config.events.replicas,
        ..OutboxSettings::new(subjects, store_id)
    };
    let outbox = Outbox::new(link.client(), outbox, Arc::new(store.clone()), engine.events());
    let published = outbox.published();
    drop(swarm_common::watch::spawn("outbox", outbox.run()));
    let gateway = Arc::new(Gateway::new(config, bus.clone(), gate, link.clone(), logs.clone())?);
    let door = Arc::new(door);
    let pings = Arc::new(healing);
    Ok(Running {
        store,
        runtime,
        published,
        engine,
        thread,
        logs,
        link,
        bus,
        gateway,
        door,
        pings,
        notices,
        folders,
        lock,
    })
}

/// The configuration with what was changed at run time, and who feels such a change.
fn runtime(configured: Config, store: &Store, level: LevelSwitch, json: Arc<AtomicBool>) -> Result<Arc<Runtime>> {
    let kept = store.read()?.rows::<ConfigRow>()?;
    let feel: Vec<Feel> = vec![
        Box::new(move |held| level(held.level)),
        Box::new(move |held| json.store(held.config.events.json, Relaxed)),
    ];
    let (runtime, warnings) = Runtime::new(configured, &kept, feel);
    for warning in warnings {
        warn!("{warning}");
    }
    Ok(Arc::new(runtime))
}

/// What the binhost has to begin with.
struct Shelves {
    folders: Folders,
    key: SigningKey,
    public_key: String,
    secret: Secret,
}

impl Shelves {
    /// Folders and keys, made if they are missing; what a crash left is tidied up.
    fn open(config: &Config, data: &Path) -> Result<Self> {
        let key = SigningKey::load_or_create(&data.join("keys"), &config.binhost.user_id)?;
        let secret = secret::load_or_create(&data.join("keys/binhost-private.secret"))
            .context("keep the secret of the binhost's restricted part")?;
        let at = |name: &str| data.join(name);
        let folders = Folders { root: at("binhost"), private: at("binhost-private"), incoming: at("incoming") };
        fs_err::create_dir_all(&folders.root)?;
        folder(&folders.private, 0o700)?;
        fs_err::create_dir_all(&folders.incoming)?;
        durable::tidy(&folders.root, &folders.incoming)?;
        durable::tidy(&folders.private, &folders.incoming)?;
        let public_key = key.public_armored()?;
        fs_err::write(folders.root.join("binhost.asc"), &public_key)?;
        Ok(Self { folders, key, public_key, secret })
    }

    /// The façade's door and the writer; the rows are those the engine began with.
    fn take_up(
        self,
        config: &Config,
        store: &Store,
        rows: &Snapshot,
        engine: &EngineHandle,
    ) -> Result<(Door, Service)> {
        let Self { folders, key, public_key, secret } = self;
        let limits = Limits { package: config.binhost.max_upload, ..Limits::default() };
        let rate = config.binhost.verify_rate;
        let door = Door {
            folders: folders.clone(),
            fingerprint: key.fingerprint().to_owned(),
            public_key,
            secret,
            verifying: Verifying::new(folders.clone(), rate, Arc::new(Books::new(store.clone(), engine.clone()))),
            max_upload: config.binhost.max_upload,
            min_free_percent: config.binhost.min_free_percent,
            limits: limits.clone(),
        };
        Ok((door, Service::load(folders, key, limits, rows)?))
    }
}

/// The bus with its users: the controller, and who was let in before.
async fn start_bus(
    config: &Config,
    data: &Path,
    store_id: &swarm_protocol::StoreId,
    membership: &Membership,
) -> Result<BusServer> {
    let own = match &config.bus.credentials {
        Some(path) => keys::UserCredentials { id: keys::read_seed(path)?.0, seed_file: path.clone() },
        None => keys::controller(&data.join("keys"))?,
    };
    if let Some(url) = &config.bus.url {
        return Ok(BusServer::External { url: url.clone(), credentials: own, ca: config.bus.ca.clone() });
    }
    let binary = find_server(data, config.bus.server.as_deref()).await?;
    info!(server = %binary.path.display(), version = %binary.version, "starting the bus");
    let settings = ServerSettings {
        binary,
        data_dir: data.to_owned(),
        store_id: store_id.to_string(),
        listen: config.bus.listen,
        port: config.bus.port,
        names: config.bus_names(),
    };
    let users = permissions::render(&config.bus.prefix, &gate::members(own.id.clone(), membership))?;
    Ok(BusServer::Managed(ManagedServer::start(settings, own, &users).await?))
}

/// Lets in the drones of this machine, whose keys are files here, and opens the gate for everybody else.
async fn admit(config: &Config, data: &Path, bus: &Arc<BusServer>, engine: &EngineHandle) -> Result<Gate> {
    let mut drones = Vec::new();
    for name in &config.local_drones {
        drones.push((DroneId(keys::enrol_local(&data.join("drones"), name)?.id), name.clone()));
    }
    for name in engine.ask("serve".to_owned(), LocalDronesRequest { drones }).await?.what {
        let key = data.join("drones").join(format!("{name}.nk"));
        warn!(
            drone = name,
            "this drone of local_drones stays out: `swarm events` says why. If its key was revoked, remove {} and \
             start again to give it a new one",
            key.display()
        );
    }
    let seen = engine.clone();
    let gate = Gate::open(
        bus.clone(),
        config.bus.prefix.clone(),
        Arc::new(move || seen.view().membership.clone()),
        engine.events(),
    );
    gate.admitted(engine.view().membership.generation).await?;
    // Drones of this machine find the bus by this file; `swarm up` writes it into their configuration.
    fs_err::write(data.join("bus.url"), bus.url())?;
    Ok(gate)
}

fn folder(path: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

/// The name of the admin key among systemd's credentials.
const CREDENTIAL: &str = "build-swarm.admin-key";

/// ADMIN_KEY, else the service manager's credential, else the key in the data directory, made at the first start and said
/// once on a terminal.
fn admin_key(data: &Path) -> Result<AdminKey> {
    if let Some(key) = std::env::var("ADMIN_KEY").ok().filter(|key| !key.trim().is_empty()) {
        return Ok(AdminKey::new(&key));
    }
    if let Some(path) = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(CREDENTIAL))
        && path.exists()
    {
        let key = fs_err::read_to_string(path).context("read the admin key the service manager hands over")?;
        anyhow::ensure!(!key.trim().is_empty(), "the credential {CREDENTIAL} is empty: put the admin key into it");
        return Ok(AdminKey::new(&key));
    }
    let path: PathBuf = data.join("admin.key");
    let fresh = !path.exists();
    let key = secret::load_or_create(&path).context("keep the admin key")?.0;
    if fresh && std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("The admin key is {key}; it is kept in {} and not shown again.", path.display());
    }
    Ok(AdminKey::new(&key))
}
