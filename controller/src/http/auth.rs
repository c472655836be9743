//! Who may write: whoever sends the admin key in `X-Admin-Key`. Compared in constant time; never taken from an address,
//! never logged.

use std::fmt;

use axum::extract::{FromRef, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;

/// Header of the admin key.
pub const ADMIN_KEY_HEADER: &str = "x-admin-key";
/// Header in which a holder of the key may say who asks, for events and facts.
pub const ACTOR_HEADER: &str = "x-swarm-actor";

/// The admin key. Only its digest is kept; printing it prints nothing.
#[derive(Clone)]
pub struct AdminKey([u8; 32]);

impl AdminKey {
    /// A key as it stands in its file.
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key.trim()).into())
    }

    /// Whether `offered` is the key, in a time that tells nothing of it.
    pub fn matches(&self, offered: &str) -> bool {
        secrets_equal(&self.0, &Sha256::digest(offered))
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}

/// Whether two secrets are equal, in constant time for equal lengths.
pub fn secrets_equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Proof that a request carried the admin key, and who it says asks. Every handler that writes takes one, first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Who, for events and facts.
    pub actor: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Admin
where
    AdminKey: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let known = AdminKey::from_ref(state);
        let mut offered = parts.headers.get_all(ADMIN_KEY_HEADER).iter();
        match (offered.next(), offered.next()) {
            (Some(key), None) if key.to_str().is_ok_and(|key| known.matches(key)) => {
                Ok(Self { actor: actor(&parts.headers) })
            }
            _ => Err(refusal()),
        }
    }
}

/// Lets nobody pass without the admin key, whatever they ask for.
pub async fn admins_only(_: Admin, request: Request, next: Next) -> Response {
    next.run(request).await
}

fn refusal() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "Admin authentication required").hint(
        "send the admin key in the X-Admin-Key header (it is in admin.key in the controller's data directory), \
         or use the admin dashboard",
    )
}

/// Who asks, as they say themselves; bounded and printable.
fn actor(headers: &HeaderMap) -> String {
    let said = headers.get(ACTOR_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(64).collect();
    if said.trim().is_empty() { "admin".to_owned() } else { said.trim().to_owned() }
}
