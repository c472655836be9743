//! Writing: what one batch of inputs changed, in one durable transaction. Used by the engine thread alone.
//!
//! Journals are forgotten in two steps, so that no transaction gets long: a floor is written with the batch (readers see
//! nothing at or below it from that commit on), and the rows are removed later, a bounded number at a time.

use std::sync::Arc;

use redb::{Database, Durability, ReadableTable, WriteTransaction};
use swarm_core::table::{Row, RowKey, Sink};

use super::schema::{self, FLOORS, show_key};

/// Why a batch could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A row has no encoding; the fault of the program.
    #[error("encode row {key} of table {table}")]
    Encode {
        /// The table.
        table: &'static str,
        /// The key, for people.
        key: String,
        /// Why.
        source: rmp_serde::encode::Error,
    },
    /// The file failed.
    #[error("write the store")]
    Storage(#[source] Box<redb::Error>),
    /// A test or a drill wanted it so.
    #[error("the commit was made to fail: {0}")]
    Injected(String),
}

fn storage(error: impl Into<redb::Error>) -> WriteError {
    WriteError::Storage(Box::new(error.into()))
}

/// What is to be forgotten of one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The journal.
    pub table: &'static str,
    /// Rows up to and including this number are forgotten.
    pub floor: u64,
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its table.
    pub table: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value as stored; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Collects the changes of a batch and commits them together. Dropped without a commit, nothing has happened.
pub struct Writer {
    database: Arc<Database>,
    changes: Vec<Change>,
    floors: Vec<Retention>,
    removals: Vec<(Retention, usize)>,
    failed: Option<WriteError>,
}

impl Writer {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database, changes: Vec::new(), floors: Vec::new(), removals: Vec::new(), failed: None }
    }

    /// Rows to write or remove.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The rows to write or remove, table by table.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether a commit would change nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.floors.is_empty() && self.removals.is_empty() && self.failed.is_none()
    }

    /// From this commit on, readers see nothing of the journal up to the floor. A floor never sinks.
    pub fn forget(&mut self, retention: Retention) {
        self.floors.push(retention);
    }

    /// Removes at most `limit` rows that are forgotten.
    pub fn remove_forgotten(&mut self, retention: Retention, limit: usize) {
        self.removals.push((retention, limit));
    }

    /// One transaction, on disk when this returns. Answers how many forgotten rows it removed.
    pub fn commit(self) -> Result<usize, WriteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut transaction = self.database.begin_write().map_err(storage)?;
        transaction.set_durability(Durability::Immediate).map_err(storage)?;
        apply(&transaction, self.changes)?;
        raise_floors(&transaction, &self.floors)?;
        let mut removed = 0;
        for (retention, limit) in self.removals {
            removed += remove(&transaction, retention, limit)?;
        }
        transaction.commit().map_err(storage)?;
        Ok(removed)
    }
}

impl Sink for Writer {
    fn put<R: Row>(&mut self, row: &R) {
        let key = row.key().bytes();
        match schema::encode(row) {
            Ok(value) => self.changes.push(Change { table: R::TABLE, key, value: Some(value) }),
            Err(source) => {
                let key = show_key(&key);
                self.failed.get_or_insert(WriteError::Encode { table: R::TABLE, key, source });
            }
        }
    }

    fn delete(&mut self, table: &'static str, key: &[u8]) {
        self.changes.push(Change { table, key: key.to_vec(), value: None });
    }
}

/// Writes the changes, opening each table once per run of changes to it: the core drains table by table.
fn apply(transaction: &WriteTransaction, changes: Vec<Change>) -> Result<(), WriteError> {
    for run in changes.chunk_by(|a, b| a.table == b.table) {
        let mut rows = transaction.open_table(schema::table(run[0].table)).map_err(storage)?;
        for change in run {
            match &change.value {
                Some(value) => rows.insert(change.key.as_slice(), value.as_slice()).map(drop),
                None => rows.remove(change.key.as_slice()).map(drop),
            }
            .map_err(storage)?;
        }
    }
    Ok(())
}

fn raise_floors(transaction: &WriteTransaction, floors: &[Retention]) -> Result<(), WriteError> {
    if floors.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(FLOORS).map_err(storage)?;
    for retention in floors {
        let now = table.get(retention.table).map_err(storage)?.map_or(0, |floor| floor.value());
        if retention.floor > now {
            table.insert(retention.table, retention.floor).map_err(storage)?;
        }
    }
    Ok(())
}

fn remove(transaction: &WriteTransaction, retention: Retention, limit: usize) -> Result<usize, WriteError> {
    let mut rows = transaction.open_table(schema::table(retention.table)).map_err(storage)?;
    let last = retention.floor.bytes();
    let mut keys = Vec::new();
    for row in rows.range(..=last.as_slice()).map_err(storage)?.take(limit) {
        keys.push(row.map_err(storage)?.0.value().to_vec());
    }
    for key in &keys {
        rows.remove(key.as_slice()).map_err(storage)?;
    }
    Ok(keys.len())
}
