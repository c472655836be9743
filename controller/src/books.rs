//! The store and the engine as the binhost's check needs them: rows to compare files with, and requests for what is to be
//! done about a damaged one. Decides nothing. Made by `serve`; called on the check's own thread.

use swarm_binhost::verifying::Ledger;

use swarm_core::answer::Done;
use swarm_core::request::{DamagedRequest, Demand, ReindexRequest};
use swarm_core::rows::{ArtifactRow, IndexRow};
use swarm_core::table::Source;
use tokio::runtime::Handle;

use crate::engine::EngineHandle;
use crate::store::Store;

/// What the swarm has written down of its packages.
pub struct Books {
    store: Store,
    engine: EngineHandle,
    runtime: Handle,
}

impl Books {
    /// The store's rows, and the engine that changes them. To be called within the runtime.
    pub fn new(store: Store, engine: EngineHandle) -> Self {
        Self { store, engine, runtime: Handle::current() }
    }

    fn ask(&self, actor: &str, change: impl Demand<Answer = Done>) -> Result<u64, String> {
        let done = self.runtime.block_on(self.engine.ask(actor.to_owned(), change));
        done.map(|done| done.touched).map_err(|error| error.to_string())
    }
}

impl Ledger for Books {
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String> {
        let rows = self.store.read().map_err(|error| error.to_string())?;
        let artifacts = rows.rows::<ArtifactRow>().map_err(|error| error.to_string())?;
        Ok((artifacts, rows.rows::<IndexRow>().map_err(|error| error.to_string())?))
    }

    fn damaged(&self, actor: &str, damage: DamagedRequest) -> Result<u64, String> {
        self.ask(actor, damage)
    }

    fn reindex(&self, actor: &str, index: ReindexRequest) -> Result<u64, String> {
        self.ask(actor, index)
    }
}
