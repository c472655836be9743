//! Errors as the façade says them: a status, `{"error", "hint"?}`, and `Retry-After` where trying again helps.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use swarm_api::ErrorBody;
use swarm_core::answer::{Refusal, RefusalKind};
use tracing::error;

use super::ports::{NoAnswer, ReadError};

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Its body.
    pub body: ErrorBody,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl ApiError {
    /// An error with a status.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { error: error.into(), hint: None }, retry_after: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// The same with a time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 400.
    pub fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 503, try again soon.
    pub fn busy(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(1)
    }

    /// 500; the cause is logged and not shown.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        error!(error = swarm_common::errors::chain(error), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).hint("look into the controller's log")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<NoAnswer> for ApiError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Busy => Self::busy("the controller is busy").hint("nothing was changed; try again in a moment"),
            NoAnswer::Stopped => {
                Self::busy("the controller is stopping").hint("try again when it is back").retry_after(5)
            }
            NoAnswer::TimedOut => Self::new(StatusCode::GATEWAY_TIMEOUT, "the controller has not answered in time")
                .hint("it may still happen; look before you ask again, or send the same Idempotency-Key"),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::internal(&error)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::Invalid => StatusCode::BAD_REQUEST,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Gone => StatusCode::GONE,
            RefusalKind::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        let retry_after = (refusal.kind == RefusalKind::Full).then_some(30);
        Self { status, body: ErrorBody { error: refusal.error, hint: refusal.hint }, retry_after }
    }
}
