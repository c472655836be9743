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
use tokio_util::sync::CancellationToken;

use super::error::ApiError;

/// Readers that follow a build log at one time.
const MAX_FOLLOWERS: usize = 128;
/// Readers that follow events or the controller's log at one time.
const MAX_READERS: usize = 128;
/// Requests that wait for an event at one time.
const MAX_WAITERS: usize = 128;
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

/// Places of those who follow something, and the end of all streams. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    /// Of those who follow a build log.
    pub(super) followers: Arc<Semaphore>,
    /// Of those who follow events or the controller's log.
    pub(super) readers: Arc<Semaphore>,
    /// Of those who wait for one event.
    pub(super) waiters: Arc<Semaphore>,
    /// Cancelled when the controller ends; streams end with it.
    pub(super) stop: CancellationToken,
}

impl Streams {
    /// Streams that end with `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
            waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
            stop,
        }
    }

    /// Readers that follow something now.
    pub(super) fn following(&self) -> usize {
        MAX_FOLLOWERS + MAX_READERS - self.followers.available_permits() - self.readers.available_permits()
    }

    /// The answer; `place` is given back when it ends.
    pub(super) fn answer<S>(&self, place: OwnedSemaphorePermit, events: S) -> Response
    where
        S: Stream<Item = Event> + Send + 'static,
    {
        let stop = self.stop.clone().cancelled_owned();
        let stream = events.take_until(Box::pin(stop)).map(move |event| {
            let _held = &place;
            Ok::<_, Infallible>(event)
        });
        let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
        // a proxy that collects the answer first would make it no stream
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}
