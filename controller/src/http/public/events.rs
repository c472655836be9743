//! Events: as they come, and of the past.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Response, sse};
use serde::Deserialize;
use swarm_api::{ErrorBody, Event, EventHistory, Events};
use swarm_core::rows::EventRow;
use tokio::sync::watch;
use utoipa::IntoParams;

use super::super::error::ApiError;
use super::super::extract::Query;
use super::super::{AppState, reads, stream};

/// Events in one answer of `/events`.
const RECENT: usize = 200;
/// Events in one answer of `/events/history`, if nothing else is said.
const DEFAULT_PAST: usize = 500;
/// Most events in one answer.
const MAX_EVENTS: usize = 2000;
/// Longest wait for a new event.
const MAX_WAIT_S: u64 = 30;
/// A `since` from here on is a moment (Unix seconds), below it is an event's number.
const FIRST_MOMENT: f64 = 1e9;

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Number of the last event you know; without it (or 0) the newest ones are given.
    since: Option<u64>,
    /// At most so many; 200 if not given, 2000 at most.
    limit: Option<usize>,
    /// Only this kind.
    r#type: Option<String>,
    /// Only this drone, by name.
    drone: Option<String>,
    /// Wait so many seconds for a new event if there is none; 30 at most.
    wait: Option<u64>,
}

/// Events after a number, oldest first
///
/// `latest_id` is what to send as `since` next time; nothing is lost that way, also if there are more than `limit`.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(EventsQuery),
    responses((status = 200, body = Events), (status = 400, body = ErrorBody))
)]
pub async fn events(State(state): State<AppState>, Query(query): Query<EventsQuery>) -> Result<Json<Events>, ApiError> {
    let since = known(&state, query.since.unwrap_or(0)).await?;
    if let Some(wait) = query.wait.filter(|&wait| wait > 0 && since > 0) {
        let _place = stream::place(&state.waiters, "events")?;
        wait_for_newer(&state, since, wait.min(MAX_WAIT_S)).await;
    }
    let limit = query.limit.unwrap_or(RECENT).clamp(1, MAX_EVENTS);
    let fits = fits(query.r#type, query.drone);
    let found = state
        .read(move |rows| {
            Ok(if since == 0 {
                reads::events_newest(rows, limit, fits)?
            } else {
                reads::events_after(rows, since, limit, fits)?
            })
        })
        .await?;
    Ok(Json(Events { events: found.events.iter().map(Event::from).collect(), latest_id: found.seen }))
}

/// A number above the newest is of another store, that of 0.4 or one from before a restore: whoever sends it knows none of
/// ours, and would be told nothing until there are as many.
async fn known(state: &AppState, since: u64) -> Result<u64, ApiError> {
    if since <= *state.engine.events().borrow() {
        return Ok(since);
    }
    let newest = newest(state).await?;
    Ok(if since <= newest { since } else { 0 })
}

async fn newest(state: &AppState) -> Result<u64, ApiError> {
    state.read(|rows| Ok(rows.events_newest(None, 1)?.first().map_or(0, |row| row.seq))).await
}

/// Whether an event is of that kind and of that drone; empty and missing words choose nothing.
fn fits(kind: Option<String>, drone: Option<String>) -> impl Fn(&EventRow) -> bool + Clone + Send + 'static {
    let (kind, drone) = (kind.filter(|kind| !kind.is_empty()), drone.filter(|drone| !drone.is_empty()));
    move |row| {
        kind.as_ref().is_none_or(|kind| row.kind == *kind)
            && drone.as_ref().is_none_or(|drone| row.drone.as_ref() == Some(drone))
    }
}

async fn wait_for_newer(state: &AppState, since: u64, seconds: u64) {
    let mut newest = state.engine.events();
    let newer = newest.wait_for(|newest| *newest > since);
    // neither the end of the wait nor that of the engine is an error: the answer is empty then
    let _ = tokio::time::timeout(Duration::from_secs(seconds), newer).await;
}

/// Which events to be told.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Number of the last event you know: those after it come first. Without it only what happens from now on.
    since: Option<u64>,
    /// Only this kind.
    r#type: Option<String>,
    /// Only this drone, by name.
    drone: Option<String>,
}

/// Events as they happen, as Server-Sent Events
///
/// `id` is the event's number, `data` the event as JSON. A reader that connects again sends the last `id` as
/// `Last-Event-ID` (browsers do so by themselves) and misses nothing that is still kept. A comment every 15 s shows that the
/// stream lives.
#[utoipa::path(
    get,
    path = "/api/v1/events/stream",
    operation_id = "event_stream",
    tag = "events",
    params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "Wins over since")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = ErrorBody),
        (status = 503, description = "Too many readers", body = ErrorBody),
    )
)]
pub async fn stream(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> Result<Response, ApiError> {
    let place = stream::place(&state.streams, "events")?;
    let newest = newest(&state).await?;
    // as with `known`
    let known = stream::last_event_id(&headers).or(query.since).filter(|&known| known <= newest);
    let fits = fits(query.r#type, query.drone);
    let told = move |teller: Teller| Teller::next(teller, fits.clone());
    let teller = Teller {
        newest: state.engine.events(),
        state: state.clone(),
        seen: known.unwrap_or(newest),
        ready: VecDeque::new(),
    };
    Ok(stream::answer(&state, place, futures::stream::unfold(teller, told)))
}

/// Reads on, a page at a time, whenever its reader has taken the page before.
struct Teller {
    state: AppState,
    newest: watch::Receiver<u64>,
    seen: u64,
    ready: VecDeque<sse::Event>,
}

impl Teller {
    async fn next(mut self, fits: impl Fn(&EventRow) -> bool + Clone + Send + 'static) -> Option<(sse::Event, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            let (since, fits) = (self.seen, fits.clone());
            // a store that can't be read ends the stream; its reader comes again
            let found = self.state.read(move |rows| Ok(reads::events_after(rows, since, RECENT, fits)?)).await.ok()?;
            self.seen = found.seen;
            for row in &found.events {
                let event = sse::Event::default().id(row.seq.to_string());
                self.ready.push_back(event.json_data(Event::from(row)).ok()?);
            }
            if self.ready.is_empty() {
                let seen = self.seen;
                self.newest.wait_for(|newest| *newest > seen).await.ok()?;
            }
        }
    }
}

/// Which events of the past.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PastQuery {
    /// Unix seconds, or (below 1e9) the number of an event: everything after it. Without it the newest are given.
    since: Option<f64>,
    /// Only this kind.
    r#type: Option<String>,
    /// Only this drone, by name.
    drone: Option<String>,
    /// At most so many; 500 if not given, 2000 at most.
    limit: Option<usize>,
}

/// Events of the past, oldest first
#[utoipa::path(
    get,
    path = "/api/v1/events/history",
    operation_id = "event_history",
    tag = "events",
    params(PastQuery),
    responses((status = 200, body = EventHistory), (status = 400, body = ErrorBody))
)]
pub async fn past(
    State(state): State<AppState>,
    Query(query): Query<PastQuery>,
) -> Result<Json<EventHistory>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_PAST).clamp(1, MAX_EVENTS);
    let fits = fits(query.r#type, query.drone);
    let since = query.since.filter(|since| *since > 0.0);
    let since = match since {
        Some(number) if number < FIRST_MOMENT && number > newest(&state).await? as f64 => None,
        since => since,
    };
    let found = state
        .read(move |rows| {
            Ok(match since {
                None => reads::events_newest(rows, limit, fits)?,
                Some(since) => reads::events_after(rows, begin(rows, since)?, limit, fits)?,
            })
        })
        .await?;
    let events: Vec<Event> = found.events.iter().map(Event::from).collect();
    Ok(Json(EventHistory { total: events.len(), events }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of milliseconds")]
fn begin(rows: &dyn super::super::ports::Rows, since: f64) -> Result<u64, ApiError> {
    if since < FIRST_MOMENT {
        return Ok(since as u64);
    }
    Ok(reads::last_event_before(rows, (since * 1000.0) as u64)?)
}
