//! Reads of the store with bounds: filters over journals look at a limited number of rows, and what the overview shows of
//! the queue is read at most once a second while nothing changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use swarm_api::{Trouble, reasons, seconds};
use swarm_common::clock::wall_ms;
use swarm_core::View;
use swarm_core::forecast::{Forecast, forecast};
use swarm_core::rows::{BuildRow, BuildState, EventRow, HistoryRow};
use swarm_core::view::Counts;
use swarm_protocol::{BuildId, SessionId};

use super::AppState;
use super::error::ApiError;
use super::ports::{ReadError, Rows};

/// Rows of a journal one question looks at.
const MAX_SCANNED: usize = 50_000;
/// Rows of a journal read at a time.
const PAGE: usize = 512;
/// How long the overview's lists may be old.
const OVERVIEW_AGE: Duration = Duration::from_secs(1);
/// Reading it again takes at most one part in so many of the time, if things change all the time.
const OVERVIEW_SHARE: u32 = 10;
/// Needed packages in the overview.
const OVERVIEW_NEEDED: usize = 10;
/// Blocked packages in the overview.
const OVERVIEW_BLOCKED: usize = 200;
/// Packages in the overview that need a person, with their reasons.
const OVERVIEW_TROUBLES: usize = 50;

/// Newest first: at most `limit` attempts that fit, among the newest 50,000; `done` ends the search early.
pub fn history(
    rows: &dyn Rows,
    limit: usize,
    fits: impl Fn(&HistoryRow) -> bool,
    done: impl Fn(&HistoryRow) -> bool,
) -> Result<Vec<HistoryRow>, ReadError> {
    let (mut found, mut before, mut scanned) = (Vec::new(), None, 0);
    while found.len() < limit && scanned < MAX_SCANNED {
        let page = rows.history(before, PAGE)?;
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
pub fn attempts(rows: &dyn Rows, build: u64) -> Result<(Option<BuildRow>, Vec<HistoryRow>), ReadError> {
    let row = rows.build(build)?;
    // nothing of this build is older than the build itself; without its row only the bound ends the search
    let since = row.as_ref().map_or(0, |row| row.created_at);
    let found = history(rows, MAX_SCANNED, |row| row.fence.build.0 == build, |row| row.built_at < since)?;
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
    rows: &dyn Rows,
    since: u64,
    limit: usize,
    fits: impl Fn(&EventRow) -> bool,
) -> Result<FoundEvents, ReadError> {
    let (mut events, mut seen, mut scanned) = (Vec::new(), since, 0);
    while scanned < MAX_SCANNED {
        let page = rows.events_after(seen, PAGE)?;
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
    rows: &dyn Rows,
    limit: usize,
    fits: impl Fn(&EventRow) -> bool,
) -> Result<FoundEvents, ReadError> {
    let (mut events, mut before, mut scanned, mut seen) = (Vec::new(), None, 0, 0);
    while events.len() < limit && scanned < MAX_SCANNED {
        let page = rows.events_newest(before, PAGE)?;
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

/// Number of the last event before the wall clock `at` (Unix milliseconds): what `events_after` takes to begin there.
pub fn last_event_before(rows: &dyn Rows, at: u64) -> Result<u64, ReadError> {
    let newest = rows.events_newest(None, 1)?.first().map_or(0, |row| row.seq);
    let (mut low, mut high) = (0, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        match rows.events_after(middle, 1)?.first() {
            Some(row) if row.at < at => low = row.seq,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// What the overview shows of the queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// The first needed atoms.
    pub needed: Vec<String>,
    /// Blocked atoms.
    pub blocked: Vec<String>,
    /// Atoms at the head of the line.
    pub next: Vec<String>,
    /// What needs a person, the newest first.
    pub troubles: Vec<Trouble>,
    /// When what will be built, as it was then.
    pub forecast: Forecast,
}

/// When what was read still holds.
#[derive(PartialEq)]
struct Key {
    session: Option<SessionId>,
    counts: Counts,
}

/// The last overview, shared by all who ask: however often a status page is asked for, and however much happens meanwhile,
/// reading the queue takes but a share of the time.
#[derive(Default)]
pub struct OverviewCache(tokio::sync::Mutex<Option<Known>>);

struct Known {
    key: Key,
    at: Instant,
    /// What it took to make.
    cost: Duration,
    overview: Arc<Overview>,
}

impl Known {
    fn holds(&self, key: &Key) -> bool {
        let age = self.at.elapsed();
        age < OVERVIEW_AGE && (self.key == *key || age < self.cost * OVERVIEW_SHARE)
    }
}

/// The overview of what `view` shows, at most a second old; who asks while it is made waits for it.
pub async fn overview(state: &AppState, view: &View) -> Result<Arc<Overview>, ApiError> {
    let counts = &view.counts;
    if counts.needed == 0 && counts.blocked == 0 && counts.failed == 0 && counts.delegated == 0 {
        return Ok(Arc::default());
    }
    let key = Key { session: view.session, counts: view.counts };
    let mut kept = state.overview.0.lock().await;
    if let Some(known) = kept.as_ref().filter(|known| known.holds(&key)) {
        return Ok(known.overview.clone());
    }
    let (view, began) = (view.clone(), Instant::now());
    let read =
        state.read_in_turn(&state.overviewing, move |rows| Ok(Overview::of(&rows.builds()?, &view, wall_ms()))).await?;
    let overview = Arc::new(read);
    *kept = Some(Known { key, at: Instant::now(), cost: began.elapsed(), overview: overview.clone() });
    Ok(overview)
}

impl Overview {
    fn of(all: &[BuildRow], view: &View, now: u64) -> Self {
        let forecast = forecast(all, view, now);
        let inside = |row: &&BuildRow| view.session.is_none_or(|session| row.session == session);
        let builds = || all.iter().filter(inside);
        let needed = |row: &&BuildRow| matches!(row.state, BuildState::Needed { .. } | BuildState::Planning { .. });
        let blocked = |row: &&BuildRow| matches!(row.state, BuildState::Blocked { .. });
        let by_id: HashMap<BuildId, &BuildRow> = builds().map(|row| (row.id, row)).collect();
        Self {
            needed: builds().filter(needed).take(OVERVIEW_NEEDED).map(BuildRow::atom).collect(),
            blocked: builds().filter(blocked).take(OVERVIEW_BLOCKED).map(BuildRow::atom).collect(),
            next: view.next.iter().filter_map(|id| Some(by_id.get(id)?.atom())).collect(),
            troubles: troubles(builds()),
            forecast,
        }
    }
}

fn troubles<'a>(builds: impl Iterator<Item = &'a BuildRow> + Clone) -> Vec<Trouble> {
    let mut found: Vec<(&BuildRow, u64, bool)> = builds
        .clone()
        .filter_map(|row| match &row.state {
            BuildState::Blocked { since, retry_at, .. } => Some((row, *since, retry_at.is_some())),
            BuildState::Failed { since, .. } => Some((row, *since, false)),
            _ => None,
        })
        .collect();
    found.sort_by_key(|(row, since, _)| std::cmp::Reverse((*since, row.id)));
    found.truncate(OVERVIEW_TROUBLES);
    let mut waiting: HashMap<BuildId, usize> = found.iter().map(|(row, ..)| (row.id, 0)).collect();
    let open = builds.filter(|row| !matches!(row.state, BuildState::Received { .. }));
    for need in open.flat_map(|row| &row.after) {
        if let Some(count) = waiting.get_mut(need) {
            *count += 1;
        }
    }
    let trouble = |(row, since, will_retry): (&BuildRow, u64, bool)| Trouble {
        package: row.atom(),
        status: row.state.name().to_owned(),
        build: row.id.0,
        reason: reasons(row).pop().unwrap_or_default(),
        since: seconds(since),
        will_retry,
        waiting: waiting.get(&row.id).copied().unwrap_or_default(),
    };
    found.into_iter().map(trouble).collect()
}
