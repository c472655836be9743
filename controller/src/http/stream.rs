//! Answers that go on: Server-Sent Events with keep-alives, bounded in number, ended with the controller.
//!
//! A stream holds nothing back for its reader: each asks for the next piece when the last one is out, from rows or rings that
//! are there anyway. A reader that is slow gets it later; one that reads nothing at all is cut off by the socket's own bound
//! (see `serve`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AppState;
use super::error::ApiError;

/// Between two signs of life on a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A place among the readers that follow something.
///
/// # Errors
/// 503 when all are taken.
pub fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, ApiError> {
    places.clone().try_acquire_owned().map_err(|_| {
        ApiError::busy(format!("too many readers follow {what}"))
            .hint("try again in a moment, or ask without following")
            .retry_after(5)
    })
}

/// The number of the last event a reader has had, as browsers send it when they connect again.
pub fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// Whether the asker wants Server-Sent Events where there is another form, too.
pub fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(axum::http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.trim().starts_with("text/event-stream"))
}

/// The answer; `place` is given back when it ends.
pub fn answer<S>(state: &AppState, place: OwnedSemaphorePermit, events: S) -> Response
where
    S: Stream<Item = Event> + Send + 'static,
{
    let stop = state.stop.clone().cancelled_owned();
    let stream = events.take_until(Box::pin(stop)).map(move |event| {
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // a proxy that collects the answer first would make it no stream
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
