//! Extractors whose refusals are the façade's own JSON errors.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// How long a request's body may take: most are smaller than a packet.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The whole body, of at most 1 MiB and within half a minute: one that drips holds a place others wait for.
#[derive(Debug)]
pub struct Whole(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let slow = |_| {
            let within = BODY_WITHIN.as_secs();
            ApiError::new(StatusCode::REQUEST_TIMEOUT, format!("the request's body did not come within {within} s"))
        };
        let body = tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, state)).await.map_err(slow)?;
        body.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is larger than 1 MiB")
                    .hint("send it in several requests")
            } else {
                ApiError::bad_request("the request's body could not be read")
            }
        })
    }
}

/// A JSON body; the content type is not insisted on, because 0.4's scripts do not all send it.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Whole(body) = Whole::from_request(request, state).await?;
        serde_json::from_slice(&body).map(Json).map_err(|error| {
            ApiError::bad_request(format!("the request's body is not the JSON expected here: {error}"))
                .hint("see /api/openapi.json for what belongs there")
        })
    }
}

/// A query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state).await.map(|query| Self(query.0)).map_err(|rejection| {
            ApiError::bad_request(rejection.body_text()).hint("see /api/openapi.json for the parameters of this path")
        })
    }
}

/// Parameters of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))
    }
}

/// `true`, `1`, `yes` and an empty value are true: what scripts write into query strings.
///
/// # Errors
/// Anything else but `false`, `0`, `no`.
pub fn flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(from)?;
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
    }
}
