//! How long packages take on an ordinary drone: the median of each one's last successes. Readers share it with the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rows::DurationRow;

/// Medians by `category/name`, milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Medians {
    by_cp: Arc<BTreeMap<String, u64>>,
}

impl Medians {
    /// As the rows say.
    pub(crate) fn of<'a>(rows: impl Iterator<Item = &'a DurationRow>) -> Self {
        Self { by_cp: Arc::new(rows.filter_map(|row| Some((row.cp.clone(), row.median_ms()?))).collect()) }
    }

    /// A package's median, if it was ever built.
    pub(super) fn get(&self, cp: &str) -> Option<u64> {
        self.by_cp.get(cp).copied()
    }

    /// A package's median is another one now.
    pub(super) fn set(&mut self, cp: &str, median: u64) {
        Arc::make_mut(&mut self.by_cp).insert(cp.to_owned(), median);
    }

    /// All of them, shared.
    pub(crate) fn shared(&self) -> Arc<BTreeMap<String, u64>> {
        Arc::clone(&self.by_cp)
    }
}
