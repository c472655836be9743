//! The controller's rows, as bytes: what is not in here is forgotten by a restart. Journals are looked at as they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use swarm_core::rows::{EventRow, HistoryRow, HistoryStatus};
use swarm_core::table::{Row, RowKey, Sink, Source};
use swarm_protocol::{BuildId, Fence};

/// Rows by table and key.
#[derive(Default)]
pub(super) struct Store {
    tables: BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The last event's number.
    pub last_event: u64,
    /// Attempts in the history.
    pub ended: BTreeSet<Fence>,
    /// Builds with a success in the history, and by which attempt.
    pub accepted: BTreeMap<BuildId, Fence>,
    /// Events by kind.
    pub kinds: BTreeMap<String, u64>,
    /// The last events' texts, newest last.
    pub tail: std::collections::VecDeque<String>,
    /// What the journals should not hold.
    pub wrong: Vec<String>,
}

/// Events whose texts are kept.
const TAIL: usize = 60;

impl Store {
    /// All rows of a table.
    pub(super) fn all<R: Row>(&self) -> Vec<R> {
        let Some(table) = self.tables.get(R::TABLE) else { return Vec::new() };
        table.values().map(|bytes| rmp_serde::from_slice(bytes).expect("a stored row is readable")).collect()
    }

    /// One row.
    pub(super) fn get<R: Row>(&self, key: &R::Key) -> Option<R> {
        let bytes = self.tables.get(R::TABLE)?.get(&key.bytes())?;
        Some(rmp_serde::from_slice(bytes).expect("a stored row is readable"))
    }

    fn look_at_event(&mut self, event: &EventRow) {
        if event.seq != self.last_event + 1 {
            self.wrong.push(format!("event {} follows event {}", event.seq, self.last_event));
        }
        self.last_event = event.seq;
        *self.kinds.entry(event.kind.clone()).or_default() += 1;
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(format!("{} {}: {}", event.at / 1000 % 1_000_000, event.kind, event.message));
    }

    fn look_at_history(&mut self, row: &HistoryRow) {
        if !self.ended.insert(row.fence) {
            self.wrong.push(format!("attempt {} ended twice", row.fence));
        }
        if row.status == HistoryStatus::Success
            && let Some(other) = self.accepted.insert(row.fence.build, row.fence)
        {
            self.wrong.push(format!("build {} was accepted as {other} and as {}", row.fence.build, row.fence));
        }
    }
}

impl Sink for Store {
    fn put<R: Row>(&mut self, row: &R) {
        let bytes = rmp_serde::to_vec_named(row).expect("a row can be stored");
        // journals are only looked at: nobody reads them back
        if R::TABLE == EventRow::TABLE {
            let event: EventRow = rmp_serde::from_slice(&bytes).expect("an event is readable");
            return self.look_at_event(&event);
        }
        if R::TABLE == HistoryRow::TABLE {
            let history: HistoryRow = rmp_serde::from_slice(&bytes).expect("history is readable");
            return self.look_at_history(&history);
        }
        self.tables.entry(R::TABLE).or_default().insert(row.key().bytes(), bytes);
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
