//! The store and the engine as the binhost's check needs them: rows to compare files with, and requests for what is to be
//! done about a damaged one. Decides nothing. Made by `serve`; called on the check's own thread.

use swarm_binhost::verifying::Ledger;
use swarm_core::input::BinhostRequest;
use swarm_core::rows::{ArtifactRow, IndexRow};
use swarm_core::table::Source;
use swarm_core::{Answer, Input, Request};
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
}

impl Ledger for Books {
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String> {
        let rows = self.store.read().map_err(|error| error.to_string())?;
        let artifacts = rows.rows::<ArtifactRow>().map_err(|error| error.to_string())?;
        Ok((artifacts, rows.rows::<IndexRow>().map_err(|error| error.to_string())?))
    }

    fn ask(&self, actor: &str, request: BinhostRequest) -> Result<u64, String> {
        let actor = actor.to_owned();
        let asked = self.engine.ask(|reply| Input::Request { actor, request: Request::Binhost(request), reply });
        match self.runtime.block_on(asked) {
            Ok(Answer::Done(done)) => Ok(done.touched),
            Ok(Answer::Refused(refusal)) => Err(refusal.error),
            Ok(_) => Err("the engine gave an answer that does not fit".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
