//! How a client uses the binhost.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use swarm_api::{BinhostAnswer, BinhostIndex, ErrorBody, PrivateAnswer, PrivateIndex};
use swarm_binhost::snippet;
use swarm_core::rows::IndexRow;
use swarm_protocol::report::BinhostAccess;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sums::{Sum, read};
use crate::http::AppState;
use crate::http::auth::Admin;
use crate::http::error::ApiError;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(key)).routes(routes!(private))
}

/// Path of the key below the base address.
pub(super) const KEY_PATH: &str = "/api/v1/binhost/key.asc";

/// How a client uses the binhost: addresses, key, `binrepos.conf`, commands; and what is in it
#[utoipa::path(get, path = "/api/v1/binhost", operation_id = "binhost_show", tag = "binhost", responses((status = 200, body = BinhostAnswer)))]
pub async fn show(State(state): State<AppState>) -> Result<Json<BinhostAnswer>, ApiError> {
    Ok(Json(answer(&state).await?))
}

pub(super) async fn answer(state: &AppState) -> Result<BinhostAnswer, ApiError> {
    let (rows, mut sums) = read(state).await?;
    let key_url = format!("{}{KEY_PATH}", state.base_url);
    let indexes: Vec<BinhostIndex> = rows
        .iter()
        .map(|row| index(state, row, sums.indexes.remove(&row.index).unwrap_or_default(), &key_url))
        .collect();
    Ok(BinhostAnswer {
        url: indexes.first().map(|index| index.url.clone()),
        packages: indexes.iter().map(|index| index.packages).sum(),
        size_bytes: indexes.iter().map(|index| index.size_bytes).sum(),
        retired: sums.retired,
        retired_bytes: sums.retired_bytes,
        indexes,
        fingerprint: state.binhost.fingerprint(),
        public_key: state.binhost.public_key(),
        key_url,
    })
}

fn index(state: &AppState, row: &IndexRow, sum: Sum, key_url: &str) -> BinhostIndex {
    let url = format!("{}/binhost/{}", state.base_url, row.index);
    let help = state.binhost.client_help(&row.index, &url, key_url);
    BinhostIndex {
        index: row.index.to_string(),
        arch: row.index.arch.clone(),
        profile: row.index.profile.clone(),
        chost: row.index.chost.clone(),
        url,
        timestamp: row.timestamp,
        packages: sum.packages,
        size_bytes: sum.bytes,
        restricted: sum.restricted,
        newest: sum.newest.map(|(_, newest)| newest),
        snippet: help.snippet,
        commands: help.commands,
    }
}

/// The signing key's public half, ASCII-armoured
#[utoipa::path(
    get,
    path = "/api/v1/binhost/key.asc",
    operation_id = "binhost_key",
    tag = "binhost",
    responses((status = 200, body = String, content_type = "application/pgp-keys"))
)]
pub async fn key(State(state): State<AppState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/pgp-keys")], state.binhost.public_key())
}

/// How somebody who may gets at packages whose RESTRICT has `bindist`
///
/// The answer has the secret of the restricted part in it: keep it in a file only root can read.
#[utoipa::path(
    get,
    path = "/api/v1/binhost/private",
    operation_id = "binhost_private",
    tag = "binhost",
    responses((status = 200, body = PrivateAnswer), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn private(_admin: Admin, State(state): State<AppState>) -> Result<Json<PrivateAnswer>, ApiError> {
    let rows = state.read(|snapshot| Ok(snapshot.rows()?)).await?;
    let secret = state.binhost.secret();
    let entry = |row: &IndexRow| {
        let url = format!("{}/binhost-private/{}", state.base_url, row.index);
        let name = format!("swarm-{}", row.index.profile);
        let snippet = snippet::private_binrepos_conf(&name, &url, snippet::CLIENT_PRIORITY, snippet::CLIENT_WGETRC);
        PrivateIndex { index: row.index.to_string(), url, snippet }
    };
    Ok(Json(PrivateAnswer {
        user: BinhostAccess::USER.to_owned(),
        wgetrc: snippet::wgetrc(BinhostAccess::USER, &secret),
        secret: secret.0,
        indexes: rows.iter().map(entry).collect(),
    }))
}
