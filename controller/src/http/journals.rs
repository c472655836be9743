//! Filters over journals, with bounds: each question looks at a limited number of rows.

use swarm_core::rows::{BuildRow, EventRow, HistoryRow};
use swarm_protocol::BuildId;

use crate::store::{ReadError, Snapshot};

/// Rows of a journal one question looks at.
const MAX_SCANNED: usize = 50_000;

/// Rows of a journal read at a time.
const PAGE: usize = 512;

/// Newest first: at most `limit` attempts that fit, among the newest 50,000; `done` ends the search early.
pub fn history(
    snapshot: &Snapshot,
    limit: usize,
    fits: impl Fn(&HistoryRow) -> bool,
    done: impl Fn(&HistoryRow) -> bool,
) -> Result<Vec<HistoryRow>, ReadError> {
    let (mut found, mut before, mut scanned) = (Vec::new(), None, 0);
    while found.len() < limit && scanned < MAX_SCANNED {
        let page: Vec<HistoryRow> = snapshot.newest(before, PAGE)?;
        scanned += page.len();
        before = page.last().map(|row| row.id);
        let (last, ended) = (page.len() < PAGE, page.iter().any(&done));
        found.extend(page.into_iter().filter(|row| !done(row)).filter(&fits));
        if last || ended {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// The attempts of one build that ended, newest first.
pub fn attempts(snapshot: &Snapshot, build: BuildId) -> Result<(Option<BuildRow>, Vec<HistoryRow>), ReadError> {
    let row: Option<BuildRow> = snapshot.get(&build)?;
    // nothing of this build is older than the build itself; without its row only the bound ends the search
    let since = row.as_ref().map_or(0, |row| row.created_at);
    let found = history(snapshot, MAX_SCANNED, |row| row.fence.build == build, |row| row.built_at < since)?;
    Ok((row, found))
}

/// Events that fit, oldest first, and the number up to which all were looked at.
pub struct FoundEvents {
    /// Oldest first.
    pub events: Vec<EventRow>,
    /// Everything up to this number was looked at.
    pub seen: u64,
}

/// At most `limit` events above `since` that fit, beginning with the oldest.
pub fn events_after(
    snapshot: &Snapshot,
    since: u64,
    limit: usize,
    fits: impl Fn(&EventRow) -> bool,
) -> Result<FoundEvents, ReadError> {
    let (mut events, mut seen, mut scanned) = (Vec::new(), since, 0);
    while scanned < MAX_SCANNED {
        let page: Vec<EventRow> = snapshot.after(seen, PAGE)?;
        scanned += page.len();
        let last = page.len() < PAGE;
        for row in page {
            seen = row.seq;
            if fits(&row) {
                events.push(row);
                if events.len() == limit {
                    return Ok(FoundEvents { events, seen });
                }
            }
        }
        if last {
            break;
        }
    }
    Ok(FoundEvents { events, seen })
}

/// The newest `limit` events that fit, oldest first.
pub fn events_newest(
    snapshot: &Snapshot,
    limit: usize,
    fits: impl Fn(&EventRow) -> bool,
) -> Result<FoundEvents, ReadError> {
    let (mut events, mut before, mut scanned, mut seen) = (Vec::new(), None, 0, 0);
    while events.len() < limit && scanned < MAX_SCANNED {
        let page: Vec<EventRow> = snapshot.newest(before, PAGE)?;
        scanned += page.len();
        seen = seen.max(page.first().map_or(0, |row| row.seq));
        before = page.last().map(|row| row.seq);
        let last = page.len() < PAGE;
        events.extend(page.into_iter().filter(&fits));
        if last {
            break;
        }
    }
    events.truncate(limit);
    events.reverse();
    Ok(FoundEvents { events, seen })
}

/// Number of the newest event; 0 if there is none.
pub fn newest_event(snapshot: &Snapshot) -> Result<u64, ReadError> {
    Ok(snapshot.newest::<EventRow>(None, 1)?.first().map_or(0, |row| row.seq))
}

/// Number of the last event before the wall clock `at` (Unix milliseconds): what `events_after` takes to begin there.
pub fn last_event_before(snapshot: &Snapshot, at: u64) -> Result<u64, ReadError> {
    let (mut low, mut high) = (0, newest_event(snapshot)?);
    while low < high {
        let middle = low + (high - low) / 2;
        match snapshot.after::<EventRow>(middle, 1)?.first() {
            Some(row) if row.at < at => low = row.seq,
            _ => high = middle,
        }
    }
    Ok(low)
}
