//! The bus's room: the server, who is let in, the controller's own connection with the orders that leave by it, and the events
//! on their way out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use anyhow::{Context as _, Result};
use swarm_core::Membership;
use swarm_core::request::LocalDronesRequest;
use swarm_protocol::{DroneId, StoreId, Subjects};
use tracing::{info, warn};

use crate::bus::gate::{self, Gate};
use crate::bus::link::{Link, LinkSettings};
use crate::bus::outbox::{Outbox, OutboxSettings};
use crate::bus::server::{BusServer, ManagedServer, ServerSettings, find_server};
use crate::bus::{keys, permissions};
use crate::config::Config;
use crate::engine::{EngineHandle, SentOrder, Work};
use crate::http::adapters::Gateway;
use crate::logs::LogCollector;
use crate::store::Store;

/// How long what is still to be sent may take when the controller ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The bus, running.
pub(super) struct Bus {
    /// The server, ours or another's.
    pub server: Arc<BusServer>,
    /// The controller's connection.
    pub link: Link,
    gate: Gate,
}

impl Bus {
    /// Lets in whom the rows let in, connects, and begins to send orders.
    pub(super) async fn start(
        server: BusServer,
        config: &Config,
        data: &Path,
        store_id: StoreId,
        engine: &EngineHandle,
        orders: Work<SentOrder>,
    ) -> Result<Self> {
        let server = Arc::new(server);
        let gate = admit(config, data, &server, engine).await?;
        let link = Link::connect(LinkSettings {
            url: server.url(),
            ca: server.ca().map(Path::to_owned),
            credentials: server.credentials().clone(),
            subjects: subjects(config),
            store_id,
        })
        .await?;
        link.carry_out(orders);
        Ok(Self { server, link, gate })
    }

    /// Hears the drones: reports go to the engine, live logs to their collector.
    pub(super) async fn listen(&self, engine: &EngineHandle, logs: &LogCollector) -> Result<()> {
        let chunks = logs.clone();
        let sink = Arc::new(move |drone, chunk| chunks.offer(drone, chunk));
        Ok(self.link.listen(Arc::new(engine.clone()), sink).await?)
    }

    /// Publishes events, as JSON too while `json` is set; counts what has left.
    pub(super) fn publish_events(
        &self,
        config: &Config,
        store_id: StoreId,
        store: &Store,
        engine: &EngineHandle,
        json: Arc<AtomicBool>,
    ) -> Arc<AtomicU64> {
        let settings = OutboxSettings {
            max_age: Duration::from_millis(config.events.stream_age),
            max_bytes: i64::try_from(config.events.stream_size).unwrap_or(i64::MAX),
            json,
            replicas: config.events.replicas,
            ..OutboxSettings::new(subjects(config), store_id)
        };
        let outbox = Outbox::new(self.link.client(), settings, Arc::new(store.clone()), engine.events());
        let published = outbox.published();
        drop(swarm_common::watch::spawn("outbox", outbox.run()));
        published
    }

    /// Its face to the façade.
    pub(super) fn gateway(&self, config: &Config, logs: &LogCollector) -> Result<Arc<Gateway>> {
        let (server, gate) = (self.server.clone(), self.gate.clone());
        Ok(Arc::new(Gateway::new(config, server, gate, self.link.clone(), logs.clone())?))
    }

    /// After the engine's end: what it said last leaves, then the server ends.
    pub(super) async fn stop(&self) -> Result<()> {
        self.link.flush(LAST_WORDS).await;
        self.server.stop().await.context("end the bus server")
    }
}

fn subjects(config: &Config) -> Subjects {
    Subjects::new(config.bus.prefix.clone())
}

/// The server with its users: the controller, and who was let in before.
pub(super) async fn start_server(
    config: &Config,
    data: &Path,
    store_id: &StoreId,
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
