//! What surrounds every handler: a bound on requests at a time, bodies of at most 1 MiB, panics that become answers,
//! compressed JSON, and headers that keep answers out of caches.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tracing::error;

use super::error::ApiError;
use crate::http::Measured;
use crate::metrics::Requests;

/// Requests worked on at one time; a request beyond is answered 503.
pub const MAX_REQUESTS: usize = 512;
/// Largest body of a request that is not an upload.
pub const MAX_BODY: usize = 1 << 20;
/// Answers smaller than this are not worth compressing.
const MIN_COMPRESSED: u64 = 1024;

/// Puts the layers around `router`.
pub fn around(router: Router, measured: &Measured) -> Router {
    let room = Arc::new(Semaphore::new(MAX_REQUESTS));
    router
        .layer(from_fn_with_state(measured.requests.clone(), counted))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CompressionLayer::new().gzip(true).zstd(true).compress_when(SizeAbove::new(MIN_COMPRESSED).and(is_json)))
        .layer(from_fn(headers))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(room, bounded))
}

/// Logs are streamed, packages are compressed: only JSON gains.
fn is_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

async fn bounded(State(room): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match room.try_acquire_owned() {
        Ok(_held) => next.run(request).await,
        Err(_) => ApiError::busy(format!("more than {MAX_REQUESTS} requests at one time"))
            .hint("try again in a moment")
            .into_response(),
    }
}

/// Counts what was answered, by route; what met no route is counted together.
async fn counted(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = if ["GET", "HEAD", "POST", "PUT", "DELETE"].contains(&request.method().as_str()) {
        request.method().to_string()
    } else {
        "other".to_owned()
    };
    let response = next.run(request).await;
    requests.answered(&method, &path, response.status().as_u16(), began.elapsed().as_secs_f64());
    response
}

async fn headers(request: Request, next: Next) -> Response {
    let is_api = ["/api/", "/admin/api/"].iter().any(|api| request.uri().path().starts_with(api));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    error!(panic = what, "a request's handler panicked");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the controller stumbled over this request")
        .hint("this is a defect; its log says where")
        .into_response()
}
