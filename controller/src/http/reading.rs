//! Reading the store: short snapshots, off the async threads, and few walks over whole tables at one time. Used by every topic.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::error::ApiError;
use crate::store::{Snapshot, Store};

/// Answers made at one time by walking over all rows of a kind: each may hold thousands of them. More wait their turn.
const MAX_WALKS: usize = 4;

/// The store, as far as handlers have to do with it. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    store: Store,
    walks: Arc<Semaphore>,
    /// Snapshots taken so far.
    #[cfg(test)]
    pub(super) reads: Arc<std::sync::atomic::AtomicUsize>,
}

impl Reading {
    /// Reads this store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            walks: Arc::new(Semaphore::new(MAX_WALKS)),
            #[cfg(test)]
            reads: Arc::default(),
        }
    }

    /// Reads one snapshot off the async threads.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot) -> Result<T, ApiError> + Send + 'static,
    {
        #[cfg(test)]
        self.reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || read(&store.read()?)).await.map_err(|error| ApiError::internal(&error))?
    }

    /// Reads all rows of a kind, when it is this one's turn: few do so at one time, however many ask.
    pub(super) async fn walk<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot) -> Result<T, ApiError> + Send + 'static,
    {
        self.read_in_turn(&self.walks, read).await
    }

    /// Reads while holding a place of `turns`: until it is read, also when whoever asked has gone meanwhile.
    pub(super) async fn read_in_turn<T, F>(&self, turns: &Arc<Semaphore>, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot) -> Result<T, ApiError> + Send + 'static,
    {
        // never closed
        let turn = turns.clone().acquire_owned().await.ok();
        let read = move |snapshot: &Snapshot| {
            let _turn = turn;
            read(snapshot)
        };
        self.read(read).await
    }
}
