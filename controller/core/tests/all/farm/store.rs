//! A store in memory: rows as JSON, by table and key. What is not in here is forgotten by a restart.

use std::collections::BTreeMap;
use std::convert::Infallible;

use swarm_core::table::{Row, RowKey, Sink, Source};

/// Rows by table and encoded key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Store {
    tables: BTreeMap<&'static str, BTreeMap<Vec<u8>, String>>,
}

impl Store {
    /// All rows of a table, as a restart would read them.
    pub fn all<R: Row>(&self) -> Vec<R> {
        let Some(table) = self.tables.get(R::TABLE) else { return Vec::new() };
        table.values().map(|text| serde_json::from_str(text).expect("a stored row is readable")).collect()
    }

    /// One row.
    pub fn get<R: Row>(&self, key: &R::Key) -> Option<R> {
        let text = self.tables.get(R::TABLE)?.get(&key.bytes())?;
        Some(serde_json::from_str(text).expect("a stored row is readable"))
    }
}

impl Sink for Store {
    fn put<R: Row>(&mut self, row: &R) {
        let text = serde_json::to_string(row).expect("a row can be stored");
        self.tables.entry(R::TABLE).or_default().insert(row.key().bytes(), text);
    }

    fn delete(&mut self, table: &'static str, key: &[u8]) {
        self.tables.entry(table).or_default().remove(key);
    }
}

impl Source for Store {
    type Error = Infallible;

    fn rows<R: Row>(&self) -> Result<Vec<R>, Infallible> {
        Ok(self.all())
    }
}
