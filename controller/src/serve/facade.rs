//! The façade's room: what every handler works with, and the two ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;
use swarm_common::clock::wall_ms;
use swarm_common::watch::spawn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Running;
use crate::config::Config;
use crate::engine::EngineHandle;
use crate::http::listen::{allow_files, listen, serve_until};
use crate::http::ports::Readiness;
use crate::http::{
    About, AdminKey, AppState, Asking, Binhost, BuildLogs, Changes, Measured, Members, Missing, Overviews, Place,
    Reading, Streams, Tallies, admin_router, router,
};
use crate::metrics::{Counted, Samples, samples};
use crate::own_log::OwnLog;

/// The ports, taken before anything else is started: whoever has them already is named at once.
pub(super) struct Ports {
    public: TcpListener,
    admin: Option<TcpListener>,
    admin_address: SocketAddr,
}

impl Ports {
    pub(super) async fn take(config: &Config) -> Result<Self> {
        let http = &config.http;
        let public = listen(http.listen, http.port, "http.port chooses another port").await?;
        let admin_address = SocketAddr::new(http.admin_listen.unwrap_or(http.listen), http.admin_port);
        let admin = match http.admin_port {
            0 => None,
            port => Some(listen(admin_address.ip(), port, "http.admin_port chooses another port, 0 none").await?),
        };
        allow_files();
        Ok(Self { public, admin, admin_address })
    }

    /// Serves until `stop`; the token tells when one of them has ended.
    pub(super) fn serve(
        self,
        state: &AppState,
        (files, private): (axum::Router, axum::Router),
        stop: &CancellationToken,
    ) -> CancellationToken {
        let done = serve_until("http", self.public, router(state.clone(), files, private), stop);
        if let Some(listener) = self.admin {
            info!(address = %self.admin_address, "administrators' port");
            let ended = serve_until("admin http", listener, admin_router(state.clone()), stop);
            let public_too = done.clone();
            drop(spawn("admin http end", async move {
                ended.cancelled().await;
                public_too.cancel();
            }));
        }
        done
    }
}

/// What every handler works with.
pub(super) fn state(
    config: &Config,
    running: &Running,
    admin_key: AdminKey,
    own_log: OwnLog,
    stop: &CancellationToken,
) -> Result<AppState> {
    let asking = Asking::new(Arc::new(running.engine.clone()));
    let place = Place {
        data_dir: running.data.clone(),
        db_path: running.store.path().to_owned(),
        bus_url: running.bus.server.url(),
        public_port: config.http.port,
        admin_port: config.http.admin_port,
        metrics: config.http.metrics,
    };
    let door = running.binhost.door.clone();
    let ready: [Arc<dyn Readiness>; 2] = [Arc::new(running.bus.link.clone()), door.clone()];
    Ok(AppState {
        admin_key,
        about: About::new(place, &config.public_url(), running.runtime.clone()),
        reading: Reading::new(running.store.clone()),
        streams: Streams::new(stop.clone()),
        missing: Missing::new(ready),
        overviews: Overviews::default(),
        tallies: Tallies::default(),
        changes: Changes::new(running.runtime.clone()),
        build_logs: BuildLogs::new(Arc::new(running.logs.clone()), asking.clone()),
        own_log,
        binhost: Binhost::new(door, config.binhost.max_upload),
        members: Members::new(running.bus.gateway(config, &running.logs)?),
        healing: running.healing.clone(),
        measured: Measured::new(sample(running.engine.clone()), Arc::new(counted(running))),
        asking,
    })
}

/// The last day as curves, taken from the view now and then.
fn sample(engine: EngineHandle) -> Arc<Samples> {
    let samples = Arc::new(Samples::default());
    let fed = samples.clone();
    drop(spawn("samples", async move {
        let mut every = tokio::time::interval(samples::EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            every.tick().await;
            fed.take(&engine.view(), wall_ms());
        }
    }));
    samples
}

/// What the rooms have counted, for `/metrics`.
fn counted(running: &Running) -> impl Fn() -> Counted + Send + Sync + 'static {
    let (engine, store, logs) = (running.engine.clone(), running.store.clone(), running.logs.clone());
    let (link, published) = (running.bus.link.clone(), running.published.clone());
    move || Counted {
        engine: engine.stats(),
        bus_connected: link.is_connected(),
        bus: link.counters().all(),
        logs: logs.counters().all(),
        events_published: published.load(Relaxed),
        store_bytes: fs_err::metadata(store.path()).map_or(0, |file| file.len()),
    }
}
