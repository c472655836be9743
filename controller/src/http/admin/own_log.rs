//! The controller's own log.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response, sse};
use serde::Deserialize;
use swarm_api::{ErrorBody, OwnLogAnswer};
use tokio::sync::watch;
use utoipa::IntoParams;

use super::super::error::ApiError;
use super::super::extract::{Query, flag};
use super::super::{AppState, stream};
use crate::own_log::{Lines, OwnLog};

/// Lines given if nothing else is said.
const DEFAULT_LINES: usize = 200;
/// Most lines of one answer: all that are kept.
const MAX_LINES: usize = 10_000;
/// Lines taken at a time for a follower.
const PAGE: usize = 500;

/// How much.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnLogQuery {
    /// The last so many lines; 200 if not given, 10,000 at most.
    lines: Option<usize>,
    /// Go on as Server-Sent Events.
    #[serde(default, deserialize_with = "flag")]
    follow: bool,
}

/// The controller's own log
///
/// The last lines; with `follow` these and all that come, as Server-Sent Events (`id` counts lines, `data` is one).
#[utoipa::path(
    get,
    path = "/admin/api/logs/control-plane",
    operation_id = "admin_own_log",
    tag = "admin",
    params(OwnLogQuery, ("Last-Event-ID" = Option<u64>, Header, description = "With follow: go on after this line")),
    responses(
        (status = 200, body = OwnLogAnswer),
        (status = 401, body = ErrorBody),
        (status = 503, description = "Too many readers", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn own_log(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(query): Query<OwnLogQuery>,
) -> Result<Response, ApiError> {
    let count = query.lines.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
    if query.follow {
        let place = stream::place(&state.streams, "the controller's log")?;
        let mut follower = Follower::new(&state.own_log);
        // a number above the newest is of a run before this one
        match stream::last_event_id(&headers).filter(|&known| known <= *follower.newest.borrow()) {
            Some(known) => follower.seen = known,
            None => follower.take(state.own_log.last(count)),
        }
        return Ok(stream::answer(&state, place, futures::stream::unfold(follower, Follower::next)));
    }
    let lines = state.own_log.last(count).lines;
    let path = state.own_log.path().map(|path| path.display().to_string()).unwrap_or_default();
    Ok(Json(OwnLogAnswer { path, lines: lines.iter().map(ToString::to_string).collect() }).into_response())
}

/// Takes lines from the ring when its reader has taken those before.
struct Follower {
    log: OwnLog,
    newest: watch::Receiver<u64>,
    seen: u64,
    ready: VecDeque<sse::Event>,
}

impl Follower {
    fn new(log: &OwnLog) -> Self {
        Self { log: log.clone(), newest: log.newest(), seen: 0, ready: VecDeque::new() }
    }

    fn take(&mut self, lines: Lines) {
        let first = lines.newest - lines.lines.len() as u64;
        for (line, id) in lines.lines.iter().zip(first + 1..) {
            // a carriage return would end the line of the stream
            let event = sse::Event::default().id(id.to_string()).data(line.replace('\r', ""));
            self.ready.push_back(event);
        }
        self.seen = lines.newest;
    }

    async fn next(mut self) -> Option<(sse::Event, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            let lines = self.log.after(self.seen, PAGE);
            if lines.lines.is_empty() {
                let seen = self.seen;
                self.newest.wait_for(|newest| *newest > seen).await.ok()?;
            } else {
                self.take(lines);
            }
        }
    }
}
