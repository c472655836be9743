//! Gives the files of the binhost to clients: GET and HEAD, one range, If-Modified-Since, streamed. Only regular files below the
//! root whose names a client has business with; nothing hidden, temporary or on its way in. Read-only. What is below
//! [`router`] is for everybody; [`private_router`] looks at a secret first and shows restricted packages, too.

mod lookup;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, USER_AGENT, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tower_http::compression::CompressionLayer;

use self::lookup::{Found, open_in, relative};
use super::durable;
use super::ranges::{Wanted, wanted};
use super::secret::Lock;

/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// Marks a response that may be compressed on the fly: the plain index. Packages are compressed already.
#[derive(Debug, Clone, Copy)]
struct Compressible;

/// Portage says it has a copy that is this many seconds newer than it is (`TIMESTAMP_TOLERANCE` in its `_urlopen.py`).
const PORTAGE_TOLERANCE: u64 = 5;
/// How Portage's own downloader of indexes names itself.
const PORTAGE: &[u8] = b"Gentoo Portage";

/// What is shown, and to whom.
struct Shelf {
    /// Looked through in this order.
    roots: Vec<PathBuf>,
    /// Who may look; everybody if there is none.
    lock: Option<Lock>,
}

/// Serves what is below `root`, which need not exist yet. Nest it under its prefix, for example `/binhost`.
pub fn router(root: PathBuf) -> Router {
    shelf(Shelf { roots: vec![root], lock: None })
}

/// Serves, to whoever has the secret, what is below `private` and, where nothing is there, what is below `public`: the
/// complete index lists both.
pub fn private_router(private: PathBuf, public: PathBuf, lock: Lock) -> Router {
    shelf(Shelf { roots: vec![private, public], lock: Some(lock) })
}

fn shelf(shelf: Shelf) -> Router {
    let may = |_: StatusCode, _: Version, _: &HeaderMap, marks: &Extensions| marks.get::<Compressible>().is_some();
    Router::new().fallback(file).layer(CompressionLayer::new().compress_when(may)).with_state(Arc::new(shelf))
}

/// Whether the request may look at a shelf.
fn may_look(shelf: &Shelf, asked: &HeaderMap) -> bool {
    let Some(lock) = &shelf.lock else { return true };
    let mut offered = asked.get_all(AUTHORIZATION).iter();
    match (offered.next(), offered.next()) {
        (Some(value), None) => value.to_str().is_ok_and(|value| lock.opens(value)),
        _ => false,
    }
}

fn locked() -> Response {
    let hint = "`swarm binhost show --private` says how a client gets in; `/binhost` is open to everybody";
    let error = "this part of the binhost needs its secret";
    let mut response = refusal(StatusCode::UNAUTHORIZED, error, Some(hint));
    let challenge = HeaderValue::from_static("Basic realm=\"Build Swarm binhost\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

async fn file(State(shelf): State<Arc<Shelf>>, request: Request) -> Response {
    // before anything else: a stranger learns not even which names there are
    if !may_look(&shelf, request.headers()) {
        return locked();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "the binhost is read only", Some("use GET or HEAD"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(relative) = relative(request.uri().path()) else {
        return not_found();
    };
    let opening = tokio::task::spawn_blocking(move || open_in(&shelf.roots, &relative));
    match opening.await {
        Ok(Ok(Some(found))) => respond(found, request.headers(), *request.method() == Method::HEAD).await,
        Ok(Ok(None)) => not_found(),
        Ok(Err(error)) => {
            tracing::error!(%error, "a file of the binhost could not be opened");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None)
        }
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None),
    }
}

fn not_found() -> Response {
    let hint = "indexes are at <arch>/<build profile>/<chost>/Packages; `swarm binhost show` prints the addresses";
    refusal(StatusCode::NOT_FOUND, "no such file in the binhost", Some(hint))
}

fn refusal(status: StatusCode, error: &str, hint: Option<&str>) -> Response {
    let mut body = serde_json::json!({ "error": error });
    if let Some(hint) = hint {
        body["hint"] = hint.into();
    }
    (status, axum::Json(body)).into_response()
}

async fn respond(found: Found, asked: &HeaderMap, head: bool) -> Response {
    if is_unchanged(&found, asked) {
        return answer(StatusCode::NOT_MODIFIED, &found, Body::empty(), &[]);
    }
    let range = asked.get(RANGE).and_then(|range| range.to_str().ok()).filter(|_| range_holds(&found, asked));
    let size = found.size;
    match wanted(range, size) {
        Wanted::Whole => {
            let mut response = send(StatusCode::OK, found, 0, size, head, None).await;
            // a range of it is wanted as it is on disk, all of it may be packed
            if range.is_none() && response.headers().get(ETAG).is_some_and(|tag| tag.as_bytes().starts_with(b"W/")) {
                response.extensions_mut().insert(Compressible);
            }
            response
        }
        Wanted::Part(from, to) => {
            let span = format!("bytes {from}-{to}/{size}");
            send(StatusCode::PARTIAL_CONTENT, found, from, to - from + 1, head, Some(span)).await
        }
        Wanted::Nothing => {
            let mut response =
                refusal(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such bytes", Some("ask without Range"));
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            response
        }
    }
}

async fn send(status: StatusCode, found: Found, from: u64, length: u64, head: bool, span: Option<String>) -> Response {
    let mut headers = vec![(CONTENT_LENGTH, length.to_string())];
    headers.extend(span.map(|span| (CONTENT_RANGE, span)));
    if head {
        return answer(status, &found, Body::empty(), &headers);
    }
    let (file, path) = match found.file.try_clone() {
        Ok(file) => file.into_parts(),
        Err(error) => {
            tracing::error!(%error, "a file of the binhost could not be read");
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None);
        }
    };
    let mut file = tokio::fs::File::from_std(file);
    if let Err(error) = file.seek(io::SeekFrom::Start(from)).await {
        tracing::error!(%error, path = %path.display(), "a file of the binhost could not be read");
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None);
    }
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), PIECE));
    answer(status, &found, body, &headers)
}

fn answer(status: StatusCode, found: &Found, body: Body, more: &[(HeaderName, String)]) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(ACCEPT_RANGES, "bytes");
    set(CONTENT_TYPE, content_type(&found.name));
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(LAST_MODIFIED, &httpdate::fmt_http_date(found.modified));
    set(ETAG, &found.tag);
    // a proxy may keep it, but asks before it gives it out: an index changes under its name
    set(CACHE_CONTROL, "no-cache");
    for (name, value) in more {
        set(name.clone(), value);
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        _ if name == "Packages" => "text/plain; charset=utf-8",
        Some("tar") => "application/x-tar",
        Some("gz") => "application/gzip",
        Some("asc") => "application/pgp-keys",
        Some("json") => "application/json",
        Some(_) | None => "application/octet-stream",
    }
}

/// If-None-Match decides; only without it does If-Modified-Since.
fn is_unchanged(found: &Found, asked: &HeaderMap) -> bool {
    if let Some(tags) = asked.get(IF_NONE_MATCH) {
        let strip = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let tags = tags.to_str().unwrap_or_default();
        return tags.split(',').any(|tag| tag.trim() == "*" || strip(tag) == strip(&found.tag));
    }
    // Taken at its word, Portage would miss a generation that followed its copy within those seconds, until the next one.
    let is_portage = asked.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(PORTAGE));
    let tolerance = if is_portage { PORTAGE_TOLERANCE } else { 0 };
    let modified = durable::seconds(found.modified);
    date(asked, &IF_MODIFIED_SINCE).is_some_and(|since| modified + tolerance <= durable::seconds(since))
}

/// Whether a Range counts: If-Range, if there, must name exactly this version.
fn range_holds(found: &Found, asked: &HeaderMap) -> bool {
    let Some(condition) = asked.get(IF_RANGE) else { return true };
    if condition.as_bytes() == found.tag.as_bytes() {
        return !found.tag.starts_with("W/");
    }
    date(asked, &IF_RANGE).is_some_and(|moment| durable::seconds(found.modified) == durable::seconds(moment))
}

fn date(asked: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(asked.get(name)?.to_str().ok()?).ok()
}
