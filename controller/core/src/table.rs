//! Typed tables that remember which rows an input changed. The store writes exactly those, in one transaction, before any
//! effect leaves. A table never reads or writes anything but memory.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use swarm_protocol::{ArtifactId, BuildId, DroneId, PlanId, SessionId};

/// A key of a row, with an encoding that sorts as the key does.
pub trait RowKey: Ord + Clone + std::fmt::Debug {
    /// Bytes under which the store keeps the row.
    fn bytes(&self) -> Vec<u8>;
}

impl RowKey for u64 {
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

impl RowKey for String {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

/// Identities are stored as what they are made of.
macro_rules! identities {
    ($($id:ty),+) => {
        $(impl RowKey for $id {
            fn bytes(&self) -> Vec<u8> {
                self.0.bytes()
            }
        })+
    };
}

identities!(ArtifactId, BuildId, DroneId, PlanId, SessionId);

/// A row: serialisable, and it knows its key and its table.
pub trait Row: Serialize + DeserializeOwned + Clone {
    /// Type of its key.
    type Key: RowKey;
    /// Name of its table in the store; never reused for another shape.
    const TABLE: &'static str;
    /// Its key.
    fn key(&self) -> Self::Key;
}

/// Takes changed rows; implemented by the store's write transaction.
pub trait Sink {
    /// A row to write, replacing one with the same key.
    fn put<R: Row>(&mut self, row: &R);
    /// A row to remove.
    fn delete(&mut self, table: &'static str, key: &[u8]);
}

/// Gives rows back at start; implemented by the store's read transaction.
pub trait Source {
    /// What can go wrong.
    type Error;
    /// All rows of one table, in the order of their keys.
    fn rows<R: Row>(&self) -> Result<Vec<R>, Self::Error>;
}

/// Rows in memory, and the keys that changed since the last drain.
#[derive(Debug, Clone)]
pub struct Table<R: Row> {
    rows: BTreeMap<R::Key, R>,
    changed: BTreeSet<R::Key>,
    /// Rows that were walked over, ever.
    walked: Cell<u64>,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), changed: BTreeSet::new(), walked: Cell::new(0) }
    }
}

impl<R: Row> Table<R> {
    /// A table as it was stored.
    pub fn load<S: Source>(source: &S) -> Result<Self, S::Error> {
        let rows = source.rows::<R>()?.into_iter().map(|row| (row.key(), row)).collect();
        Ok(Self { rows, ..Self::default() })
    }

    /// A row.
    pub fn get(&self, key: &R::Key) -> Option<&R> {
        self.rows.get(key)
    }

    /// A row to change; it counts as changed from here on.
    pub fn change(&mut self, key: &R::Key) -> Option<&mut R> {
        let row = self.rows.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(row)
    }

    /// Writes a row, new or not.
    pub fn put(&mut self, row: R) {
        let key = row.key();
        self.changed.insert(key.clone());
        self.rows.insert(key, row);
    }

    /// Removes a row.
    pub fn remove(&mut self, key: &R::Key) -> Option<R> {
        let row = self.rows.remove(key)?;
        self.changed.insert(key.clone());
        Some(row)
    }

    /// All rows in the order of their keys. Each is counted: what must not grow with the table does not walk it.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &R> {
        self.rows.values().inspect(|_| self.walked.set(self.walked.get() + 1))
    }

    /// Rows walked over by [`Table::iter`], ever.
    pub(crate) fn walked(&self) -> u64 {
        self.walked.get()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether anything changed since the last drain.
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Hands the changed rows to the store and forgets that they changed.
    pub fn drain(&mut self, sink: &mut impl Sink) {
        for key in std::mem::take(&mut self.changed) {
            match self.rows.get(&key) {
                Some(row) => sink.put(row),
                None => sink.delete(R::TABLE, &key.bytes()),
            }
        }
    }
}

/// Rows that are only ever appended and never kept in memory: history, events.
#[derive(Debug, Clone)]
pub struct Journal<R: Row> {
    fresh: Vec<R>,
}

impl<R: Row> Default for Journal<R> {
    fn default() -> Self {
        Self { fresh: Vec::new() }
    }
}

impl<R: Row> Journal<R> {
    /// Appends a row.
    pub fn append(&mut self, row: R) {
        self.fresh.push(row);
    }

    /// Whether anything was appended since the last drain.
    pub fn is_changed(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Hands the appended rows to the store.
    pub fn drain(&mut self, sink: &mut impl Sink) {
        for row in self.fresh.drain(..) {
            sink.put(&row);
        }
    }
}
