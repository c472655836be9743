//! The composition root of `swarm serve`: opens the store, starts the engine, then each room around it, and ends them in the
//! order intake, engine, bus. A room's file here makes its parts, its tasks and its face to the façade; it is handed the queue
//! of the effects it carries out.

mod admin_key;
mod binhost;
mod bus;
mod facade;
mod healing;
mod logs;

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result};
use swarm_common::files;
use swarm_common::notify::Manager;
use swarm_common::stop::Stop;
use swarm_common::watch::spawn;
use swarm_core::rows::ConfigRow;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::binhost::{Binhost, Shelves};
use self::bus::Bus;
use self::facade::Ports;
use crate::config::Config;
use crate::config::runtime::{Feel, Runtime};
use crate::engine::{EngineHandle, EngineThread, Loaded, Options, Outlets, Works};
use crate::http::HealingPart;
use crate::logs::LogCollector;
use crate::notify;
use crate::own_log::{LevelSwitch, Logging};
use crate::store::Store;

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
    make_folders(&data)?;
    if let Err(error) = logging.own.keep_in(&data.join("log/controller.log")) {
        warn!(%error, "the controller's own log is kept in memory alone");
    }
    let mut signals = Stop::listen()?;
    let ports = Ports::take(&config).await?;
    let admin_key = admin_key::admin_key(&data)?;
    let running = Running::start(&config, data, logging.level).await?;
    let stop = CancellationToken::new();
    let state = facade::state(&config, &running, admin_key, logging.own, &stop)?;
    let done = ports.serve(&state, running.binhost.routers(), &stop);
    info!(address = %SocketAddr::new(config.http.listen, config.http.port), url = config.public_url(), "the controller is up");
    let manager = Arc::new(Manager::from_environment());
    notify::say(&manager, "READY=1");
    let (feeder, fed, until) = (manager.clone(), running.engine.clone(), stop.clone());
    drop(spawn("watchdog", async move { notify::feed(&feeder, &fed, &until).await }));
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
        running.bus.stop().await
    };
    tokio::select! {
        ended = goodbye => ended,
        () = signals.next() => { warn!("cut short by a second signal"); Ok(()) }
    }
}

/// What runs.
struct Running {
    data: PathBuf,
    store: Store,
    runtime: Arc<Runtime>,
    engine: EngineHandle,
    thread: EngineThread,
    binhost: Binhost,
    bus: Bus,
    logs: LogCollector,
    healing: HealingPart,
    /// Events that have left for the bus.
    published: Arc<AtomicU64>,
}

impl Running {
    async fn start(config: &Config, data: PathBuf, level: LevelSwitch) -> Result<Self> {
        let store = Store::open(&data.join("state.redb"))?;
        // only now: whoever has the store has the folders, and another controller may be writing there until then
        [&data, &data.join("keys")].into_iter().try_for_each(|folder| sweep(folder))?;
        let shelves = Shelves::open(config, &data)?;
        let json = Arc::new(AtomicBool::default());
        let configured = Config { rules: shelves.settings(config), ..config.clone() };
        let runtime = runtime(configured, &store, level, json.clone())?;
        let loaded = Loaded::load(&store, runtime.held().config.rules.clone())?;
        let store_id = loaded.store_id().clone();
        let server = bus::start_server(config, &data, &store_id, &loaded.membership()).await?;

        let (outlets, works) = Outlets::new();
        let Works { orders, binhost: binhost_work, logs: wanted, healing: healing_works } = works;
        let (keep_events, keep_history) = (config.events.keep, config.history.keep);
        let rows = store.read()?;
        let (engine, thread) = loaded.start(outlets, Options { keep_events, keep_history, ..Options::default() })?;

        let binhost = Binhost::start(shelves, config, &store, &rows, &engine, binhost_work)?;
        drop(rows);
        let (logs, log_work) = logs::open(config, &data, &engine)?;
        let bus = Bus::start(server, config, &data, store_id.clone(), &engine, orders).await?;
        logs::start(&logs, log_work, &bus.link, &engine, wanted);
        bus.listen(&engine, &logs).await?;
        let healing = healing::start(config, &data, store_id.clone(), &bus.link, &engine, healing_works);
        let published = bus.publish_events(config, store_id, &store, &engine, json);
        Ok(Self { data, store, runtime, engine, thread, binhost, bus, logs, healing, published })
    }
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

fn make_folders(data: &Path) -> Result<()> {
    // others may pass, not look: drones of this machine may have their roots below it, and Portage verifies as nobody
    folder(data, 0o711)?;
    ["keys", "drones", "log"].into_iter().try_for_each(|name| folder(&data.join(name), 0o700))
}

/// Removes files that were not whole when the machine or the program stopped; they may hold a key.
fn sweep(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let half_made = entry.file_name().as_encoded_bytes().starts_with(files::TEMPORARY.as_bytes());
        if half_made && entry.file_type()?.is_file() {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder(path: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_half_made_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".tmpAb12", "admin.key", "x.tmp"] {
            fs_err::write(dir.path().join(name), "secret").unwrap();
        }
        fs_err::create_dir(dir.path().join(".tmpfolder")).unwrap();
        sweep(dir.path()).unwrap();
        let left = [".tmpAb12", "admin.key", "x.tmp", ".tmpfolder"].map(|name| dir.path().join(name).exists());
        assert_eq!(left, [false, true, true, true]);
    }
}
