//! What the overview shows of the queue. It is read at most once a second, and seldom enough that reading takes but a share of
//! the time, however often it is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use swarm_api::{Trouble, reasons, seconds};
use swarm_common::clock::wall_ms;
use swarm_core::View;
use swarm_core::forecast::{Forecast, forecast};
use swarm_core::rows::{BuildRow, BuildState};
use swarm_core::view::Counts;
use swarm_protocol::{BuildId, SessionId};
use tokio::sync::{Mutex, Semaphore};

use crate::http::Reading;
use crate::http::error::ApiError;
use crate::store::Snapshot;

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
/// reading the queue takes but a share of the time. Cheap to clone.
#[derive(Clone)]
pub struct Overviews {
    kept: Arc<Mutex<Option<Known>>>,
    /// Held by whoever reads the queue for it: one at a time.
    reading: Arc<Semaphore>,
}

impl Default for Overviews {
    fn default() -> Self {
        Self { kept: Arc::default(), reading: Arc::new(Semaphore::new(1)) }
    }
}

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

impl Overviews {
    /// The overview of what `view` shows, at most a second old; who asks while it is made waits for it.
    pub(super) async fn of(&self, reading: &Reading, view: &View) -> Result<Arc<Overview>, ApiError> {
        let counts = &view.counts;
        if counts.needed == 0 && counts.blocked == 0 && counts.failed == 0 && counts.delegated == 0 {
            return Ok(Arc::default());
        }
        let key = Key { session: view.session, counts: view.counts };
        let mut kept = self.kept.lock().await;
        if let Some(known) = kept.as_ref().filter(|known| known.holds(&key)) {
            return Ok(known.overview.clone());
        }
        let (view, began) = (view.clone(), Instant::now());
        let read = move |snapshot: &Snapshot| Ok(Overview::of(&snapshot.rows()?, &view, wall_ms()));
        let overview = Arc::new(reading.read_in_turn(&self.reading, read).await?);
        *kept = Some(Known { key, at: Instant::now(), cost: began.elapsed(), overview: overview.clone() });
        Ok(overview)
    }
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
