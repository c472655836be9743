//! The OpenAPI document, generated from the handlers, and a page to browse it.

use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};

use super::{AppState, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Build Swarm",
        description = "The ports of the controller: everything below /admin/api is on the administrators' port \
                       (8093), where all of /api/v1 is, too; the rest on the public one (8100). Times are Unix seconds as numbers; `null` where unknown. \
                       Errors are `{\"error\", \"hint\"?}`. Writing needs the admin key in `X-Admin-Key`."
    ),
    modifiers(&Keys)
)]
struct Document;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        components.add_security_scheme("admin_key", header("X-Admin-Key"));
        components.add_security_scheme("upload_ticket", header("X-Upload-Ticket"));
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(routes::public().into_openapi());
    document.merge(routes::admin().into_openapi());
    document
}

/// The document as it is checked in and printed by `swarm openapi`.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

pub(crate) fn pages() -> Router<AppState> {
    let document = document();
    Router::new()
        .route("/api/openapi.json", get(move || std::future::ready(Json(document.clone()))))
        .route("/api", get(|| std::future::ready(Html(include_str!("browse.html")))))
}
