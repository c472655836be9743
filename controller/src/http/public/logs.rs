//! Build logs as byte streams.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use swarm_api::ErrorBody;
use swarm_protocol::{Attempt, BuildId, Fence};
use utoipa::IntoParams;

use super::super::error::ApiError;
use super::super::extract::{Path, Query, flag};
use super::super::log_reader::{PIECE, Reader, Told, is_running};
use super::super::ports::LogPiece;
use super::super::{AppState, stream};

/// Bytes of one answer to a `Range`.
const MAX_RANGE: u64 = 1 << 20;

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
/// so far, `X-Log-Ended` whether it grows no more, `X-Log-Complete` whether its tail came. A `Range` of bytes is answered
/// with at most 1 MiB. Followed with `Accept: text/event-stream` it comes as Server-Sent Events: `data` is
/// `{"offset","text"}`, `event: cut` says `{"offset","bytes"}`, `event: end` says `{"total","complete"}`; `id` is where to
/// go on.
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
        (status = 206, description = "A part, as Range asked for it", body = String, content_type = "text/plain"),
        (status = 404, body = ErrorBody),
        (status = 416, description = "The log is shorter", body = ErrorBody),
        (status = 503, description = "Too many followers", body = ErrorBody),
    )
)]
pub async fn log(
    State(state): State<AppState>,
    Path((build, attempt)): Path<(u64, u32)>,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let fence = Fence { build: BuildId(build), attempt: Attempt(attempt) };
    answer(state, fence, &headers, query).await
}

/// The log of an attempt in the form that is asked for: whole, a part, followed as text or as events.
///
/// # Errors
/// 404 without such a log, 416 for a range behind its end, 503 with too many followers.
pub async fn answer(state: AppState, fence: Fence, headers: &HeaderMap, query: LogQuery) -> Result<Response, ApiError> {
    if query.follow {
        return follow(state, fence, headers, query).await;
    }
    if let Some(range) = Range::asked(headers) {
        return part(&state, fence, range).await;
    }
    let first = read(&state, fence, query.offset, PIECE).await?.ok_or_else(|| unknown(fence))?;
    let said = said_of(&first);
    let reader = Reader::new(state, fence, query.offset, query.limit.unwrap_or(u64::MAX), false, first);
    Ok(text(said, Body::from_stream(futures::stream::unfold(reader, Reader::text))))
}

async fn follow(state: AppState, fence: Fence, headers: &HeaderMap, query: LogQuery) -> Result<Response, ApiError> {
    let as_events = stream::wants_events(headers);
    let known = stream::last_event_id(headers).filter(|_| as_events);
    let offset = known.unwrap_or(query.offset);
    let first = read(&state, fence, offset, PIECE).await?;
    if first.is_none() && !is_running(&state, fence) {
        return Err(unknown(fence));
    }
    let first = first.unwrap_or_default();
    if known.is_some() && first.ended && first.bytes.is_empty() {
        // what makes a browser stop to connect again
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = stream::place(&state.followers, "build logs")?;
    let said = said_of(&first);
    let reader = Reader::new(state.clone(), fence, offset, query.limit.unwrap_or(u64::MAX), true, first);
    if as_events {
        return Ok(stream::answer(&state, place, futures::stream::unfold(Told::new(reader), Told::next)));
    }
    let stop = Box::pin(state.stop.clone().cancelled_owned());
    let pieces = futures::stream::unfold(reader, Reader::text).take_until(stop).map(move |piece| {
        let _held = &place;
        piece
    });
    Ok(text(said, Body::from_stream(pieces)))
}

async fn read(state: &AppState, fence: Fence, offset: u64, max: u64) -> Result<Option<LogPiece>, ApiError> {
    state.logs.read(fence, offset, max).await.map_err(|error| ApiError::internal(&error))
}

fn unknown(fence: Fence) -> ApiError {
    let Fence { build, attempt } = fence;
    ApiError::not_found(format!("there is no log of build {build}, attempt {attempt}"))
        .hint(format!("see /api/v1/builds/{build} for its attempts"))
}

type Said = [(&'static str, String); 3];

fn said_of(piece: &LogPiece) -> Said {
    [
        ("x-log-total", piece.total.to_string()),
        ("x-log-ended", piece.ended.to_string()),
        ("x-log-complete", piece.complete.to_string()),
    ]
}

fn text(said: Said, body: Body) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    ([kind, (header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))], said, body).into_response()
}

/// One range of bytes, as a request's header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    From { first: u64, last: Option<u64> },
    Last(u64),
}

impl Range {
    /// `None` for what is no single range of bytes: the whole log is the answer then, as HTTP has it.
    fn asked(headers: &HeaderMap) -> Option<Self> {
        let (first, last) =
            headers.get(header::RANGE)?.to_str().ok()?.trim().strip_prefix("bytes=")?.split_once('-')?;
        match (first.trim().parse().ok(), last.trim()) {
            (Some(first), "") => Some(Self::From { first, last: None }),
            (Some(first), last) => {
                let last = last.parse().ok()?;
                (first <= last).then_some(Self::From { first, last: Some(last) })
            }
            (None, last) if first.trim().is_empty() => last.parse().ok().map(Self::Last),
            (None, _) => None,
        }
    }
}

/// What a range asks for, as far as it lies in one piece: HTTP lets a server give a part of what was asked for.
async fn part(state: &AppState, fence: Fence, range: Range) -> Result<Response, ApiError> {
    let (first, wanted) = match range {
        Range::From { first, last } => (first, last.map_or(MAX_RANGE, |last| (last - first).saturating_add(1))),
        Range::Last(count) => {
            let total = read(state, fence, 0, 0).await?.ok_or_else(|| unknown(fence))?.total;
            (total.saturating_sub(count), count)
        }
    };
    let piece = read(state, fence, first, wanted.min(MAX_RANGE)).await?.ok_or_else(|| unknown(fence))?;
    let length = if piece.ended { piece.total.to_string() } else { "*".to_owned() };
    // of a log that has ended, nothing comes any more that is not there
    if piece.bytes.is_empty() && first < piece.total && !piece.ended {
        return Err(ApiError::busy("these bytes of the log have not come yet").retry_after(2));
    }
    if piece.bytes.is_empty() {
        let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("the log has {} bytes", piece.total));
        let mut response = (said_of(&piece), error).into_response();
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", piece.total)) {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
        return Ok(response);
    }
    let last = piece.offset + piece.bytes.len() as u64 - 1;
    let place = (header::CONTENT_RANGE, format!("bytes {}-{last}/{length}", piece.offset));
    let response = text(said_of(&piece), Body::from(piece.bytes));
    Ok((StatusCode::PARTIAL_CONTENT, [place], response).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_http_has_it() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().unwrap());
            Range::asked(&headers)
        };
        assert_eq!(asked("bytes=0-9"), Some(Range::From { first: 0, last: Some(9) }));
        assert_eq!(asked("bytes=7-"), Some(Range::From { first: 7, last: None }));
        assert_eq!(asked("bytes=-500"), Some(Range::Last(500)));
        for other in ["bytes=9-0", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=-", "0-9"] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
