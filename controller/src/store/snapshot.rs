//! Reading: a consistent picture of one moment, which neither waits for a commit nor holds one up. Used by the engine once at
//! start (as the core's [`Source`]) and by the HTTP façade, the outbox and the SQL explorer for every answer.

use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableError};
use swarm_core::table::{Row, RowKey, Source};

use super::schema::{self, DecodeError, FLOORS, show_key};

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A row is damaged, or from another version.
    #[error("row {key} of table {table} cannot be read")]
    Row {
        /// The table.
        table: &'static str,
        /// The key, for people.
        key: String,
        /// Why.
        source: DecodeError,
    },
    /// The file failed.
    #[error("read the store")]
    Storage(#[source] Box<redb::Error>),
}

impl ReadError {
    pub(super) fn storage(error: impl Into<redb::Error>) -> Self {
        Self::Storage(Box::new(error.into()))
    }
}

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// One moment of the store.
pub struct Snapshot {
    transaction: ReadTransaction,
    /// Keeps the file open for as long as somebody reads; dropped after the transaction.
    _database: Arc<Database>,
}

impl Snapshot {
    pub(super) fn new(transaction: ReadTransaction, database: Arc<Database>) -> Self {
        Self { transaction, _database: database }
    }

    /// A row by its key.
    pub fn get<R: Row>(&self, key: &R::Key) -> Result<Option<R>, ReadError> {
        let Some(rows) = self.open(R::TABLE)? else { return Ok(None) };
        let bytes = key.bytes();
        if self.is_forgotten(R::TABLE, &bytes)? {
            return Ok(None);
        }
        let value = rows.get(bytes.as_slice()).map_err(ReadError::storage)?;
        value.map(|value| decode(&bytes, value.value())).transpose()
    }

    /// All rows of a table, in the order of their keys.
    pub fn rows<R: Row>(&self) -> Result<Vec<R>, ReadError> {
        let Some(rows) = self.open(R::TABLE)? else { return Ok(Vec::new()) };
        rows.iter().map_err(ReadError::storage)?.map(read).collect()
    }

    /// Rows of a journal with a number greater than `key`, oldest first, at most `limit`.
    pub fn after<R: Row<Key = u64>>(&self, key: u64, limit: usize) -> Result<Vec<R>, ReadError> {
        let Some(rows) = self.open(R::TABLE)? else { return Ok(Vec::new()) };
        let Some(first) = key.max(self.floor(R::TABLE)?).checked_add(1) else { return Ok(Vec::new()) };
        let first = first.bytes();
        let range = rows.range(first.as_slice()..).map_err(ReadError::storage)?;
        range.take(limit).map(read).collect()
    }

    /// Rows of a journal with a number less than `before` (all if `None`), newest first, at most `limit`.
    pub fn newest<R: Row<Key = u64>>(&self, before: Option<u64>, limit: usize) -> Result<Vec<R>, ReadError> {
        let Some(rows) = self.open(R::TABLE)? else { return Ok(Vec::new()) };
        let Some(first) = self.floor(R::TABLE)?.checked_add(1) else { return Ok(Vec::new()) };
        if before.is_some_and(|before| before <= first) {
            return Ok(Vec::new());
        }
        let first = first.bytes();
        let range = match before {
            Some(before) => rows.range(first.as_slice()..before.bytes().as_slice()),
            None => rows.range(first.as_slice()..),
        };
        range.map_err(ReadError::storage)?.rev().take(limit).map(read).collect()
    }

    /// Number of rows of a table, without those that are forgotten but not yet removed.
    pub fn count(&self, table: &'static str) -> Result<u64, ReadError> {
        let Some(rows) = self.open(table)? else { return Ok(0) };
        let all = rows.len().map_err(ReadError::storage)?;
        let floor = self.floor(table)?;
        if floor == 0 {
            return Ok(all);
        }
        // Only what retention has not yet removed is walked, a few batches at most.
        let mut forgotten = 0;
        for row in rows.range(..=floor.bytes().as_slice()).map_err(ReadError::storage)? {
            row.map_err(ReadError::storage)?;
            forgotten += 1;
        }
        Ok(all - forgotten)
    }

    /// The last number of a journal that is forgotten; 0 if none is.
    pub fn floor(&self, table: &'static str) -> Result<u64, ReadError> {
        let floors = match self.transaction.open_table(FLOORS) {
            Ok(floors) => floors,
            Err(TableError::TableDoesNotExist(_)) => return Ok(0),
            Err(error) => return Err(ReadError::storage(error)),
        };
        Ok(floors.get(table).map_err(ReadError::storage)?.map_or(0, |floor| floor.value()))
    }

    fn is_forgotten(&self, table: &'static str, key: &[u8]) -> Result<bool, ReadError> {
        match <[u8; 8]>::try_from(key) {
            Ok(number) => {
                let floor = self.floor(table)?;
                Ok(floor > 0 && u64::from_be_bytes(number) <= floor)
            }
            Err(_) => Ok(false),
        }
    }

    /// The table; `None` if no row was ever written to it.
    fn open(&self, table: &'static str) -> Result<Option<Rows>, ReadError> {
        match self.transaction.open_table(schema::table(table)) {
            Ok(rows) => Ok(Some(rows)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(ReadError::storage(error)),
        }
    }
}

impl Source for Snapshot {
    type Error = ReadError;

    fn rows<R: Row>(&self) -> Result<Vec<R>, ReadError> {
        Self::rows(self)
    }
}

type Guard<'a> = redb::AccessGuard<'a, &'static [u8]>;

fn read<R: Row>(entry: Result<(Guard<'_>, Guard<'_>), redb::StorageError>) -> Result<R, ReadError> {
    let (key, value) = entry.map_err(ReadError::storage)?;
    decode(key.value(), value.value())
}

fn decode<R: Row>(key: &[u8], value: &[u8]) -> Result<R, ReadError> {
    schema::decode(value).map_err(|source| ReadError::Row { table: R::TABLE, key: show_key(key), source })
}
