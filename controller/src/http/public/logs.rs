//! Build logs as byte streams.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use swarm_protocol::{Attempt, BuildId, Fence};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::super::AppState;
use super::super::error::{ApiError, ErrorBody};
use super::super::extract::{Path, Query, flag};
use super::super::ports::LogPiece;

/// Bytes read at a time.
const PIECE: u64 = 256 << 10;
/// A follower looks again after this, told or not.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A log of an attempt that runs no more is given up when nothing was added for so long; its tail has 60 s to come.
const TAIL_WAIT: Duration = Duration::from_secs(75);

/// Which part of the log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// From this byte of the stream on.
    #[serde(default)]
    offset: u64,
    /// At most so many bytes.
    limit: Option<u64>,
    /// Go on until the attempt has ended.
    #[serde(default, deserialize_with = "flag")]
    follow: bool,
}

/// The log of an attempt
///
/// Offsets are those of the uncut stream; a line in brackets stands where bytes were cut out. `X-Log-Total` is the length
/// so far, `X-Log-Ended` whether it grows no more, `X-Log-Complete` whether its tail came.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{build}/{attempt}/log",
    operation_id = "build_log",
    tag = "history",
    params(
        ("build" = u64, Path, description = "Number of the build"),
        ("attempt" = u32, Path, description = "Counts from 1"),
        LogQuery,
    ),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 404, body = ErrorBody),
        (status = 503, description = "Too many followers", body = ErrorBody),
    )
)]
pub async fn log(
    State(state): State<AppState>,
    Path((build, attempt)): Path<(u64, u32)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let fence = Fence { build: BuildId(build), attempt: Attempt(attempt) };
    let first = state.logs.read(fence, query.offset, PIECE).await.map_err(|error| ApiError::internal(&error))?;
    if first.is_none() && !(query.follow && is_running(&state, fence)) {
        return Err(ApiError::not_found(format!("there is no log of build {build}, attempt {attempt}"))
            .hint(format!("see /api/v1/builds/{build} for its attempts")));
    }
    let place = if query.follow {
        let place = state.followers.clone().try_acquire_owned();
        Some(place.map_err(|_| ApiError::busy("too many readers follow logs").retry_after(5))?)
    } else {
        None
    };
    let piece = first.unwrap_or_default();
    let headers = [
        ("x-log-total", piece.total.to_string()),
        ("x-log-ended", piece.ended.to_string()),
        ("x-log-complete", piece.complete.to_string()),
    ];
    let mut reader = Reader::new(state, fence, &query, place);
    reader.take(piece);
    let body = Body::from_stream(futures::stream::unfold(reader, Reader::step));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], headers, body).into_response())
}

fn is_running(state: &AppState, fence: Fence) -> bool {
    state.view().drones.values().any(|drone| drone.tasks.iter().any(|task| task.fence == fence))
}

/// Reads a log piece by piece, to its end or for as long as it grows.
struct Reader {
    state: AppState,
    fence: Fence,
    offset: u64,
    left: u64,
    follow: bool,
    /// All that can be had was had.
    over: bool,
    ready: VecDeque<Bytes>,
    grown_at: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

impl Reader {
    fn new(state: AppState, fence: Fence, query: &LogQuery, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            state,
            fence,
            offset: query.offset,
            left: query.limit.unwrap_or(u64::MAX),
            follow: query.follow,
            over: false,
            ready: VecDeque::new(),
            grown_at: Instant::now(),
            _place: place,
        }
    }

    /// Puts what was read into the stream.
    fn take(&mut self, piece: LogPiece) {
        let LogPiece { offset, mut bytes, total, ended, .. } = piece;
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        if !bytes.is_empty() {
            if offset > self.offset {
                self.ready
                    .push_back(format!("\n[{} bytes of the log were cut out here]\n", offset - self.offset).into());
            }
            self.offset = offset + bytes.len() as u64;
            self.left -= bytes.len() as u64;
            self.ready.push_back(bytes.into());
            self.grown_at = Instant::now();
        } else if !self.follow || ended {
            self.over = true;
        }
        self.over |= self.left == 0 || (self.offset >= total && (ended || !self.follow));
    }

    async fn step(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some((Ok(bytes), self));
            }
            if self.over {
                return None;
            }
            let grown = self.state.logs.grown(self.fence);
            let (at, before) = (self.offset, self.grown_at);
            match self.state.logs.read(self.fence, self.offset, PIECE).await {
                Ok(Some(piece)) => self.take(piece),
                Ok(None) if self.follow => {}
                Ok(None) => self.over = true,
                Err(error) => {
                    self.over = true;
                    return Some((Err(error), self));
                }
            }
            if self.offset == at && !self.over {
                self.over = before.elapsed() > TAIL_WAIT && !is_running(&self.state, self.fence);
                // a hint or a second, whichever comes first
                let _ = tokio::time::timeout(LOOK_AGAIN, grown).await;
            }
        }
    }
}
