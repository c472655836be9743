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

use super::Binhost;
use super::sums::{Sum, read};
use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::{About, AppState, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(key)).routes(routes!(private))
}

/// Path of the key below the base address.
pub(super) const KEY_PATH: &str = "/api/v1/binhost/key.asc";

/// How a client uses the binhost: addresses, key, `binrepos.conf`, commands; and what is in it
#[utoipa::path(get, path = "/api/v1/binhost", operation_id = "binhost_show", tag = "binhost", responses((status = 200, body = BinhostAnswer)))]
pub async fn show(
    State(about): State<About>,
    State(reading): State<Reading>,
    State(binhost): State<Binhost>,
) -> Result<Json<BinhostAnswer>, ApiError> {
    Ok(Json(answer(&about, &reading, &binhost).await?))
}

pub(super) async fn answer(about: &About, reading: &Reading, binhost: &Binhost) -> Result<BinhostAnswer, ApiError> {
    let (rows, mut sums) = read(reading).await?;
    let key_url = format!("{}{KEY_PATH}", about.base_url);
    let indexes: Vec<BinhostIndex> = rows
        .iter()
        .map(|row| index(about, binhost, row, sums.indexes.remove(&row.index).unwrap_or_default(), &key_url))
        .collect();
    Ok(BinhostAnswer {
        url: indexes.first().map(|index| index.url.clone()),
        packages: indexes.iter().map(|index| index.packages).sum(),
        size_bytes: indexes.iter().map(|index| index.size_bytes).sum(),
        retired: sums.retired,
        retired_bytes: sums.retired_bytes,
        indexes,
        fingerprint: binhost.built_in.fingerprint(),
        public_key: binhost.built_in.public_key(),
        key_url,
    })
}

fn index(about: &About, binhost: &Binhost, row: &IndexRow, sum: Sum, key_url: &str) -> BinhostIndex {
    let url = format!("{}/binhost/{}", about.base_url, row.index);
    let help = binhost.built_in.client_help(&row.index, &url, key_url);
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
pub async fn key(State(binhost): State<Binhost>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/pgp-keys")], binhost.built_in.public_key())
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
pub async fn private(
    _admin: Admin,
    State(about): State<About>,
    State(reading): State<Reading>,
    State(binhost): State<Binhost>,
) -> Result<Json<PrivateAnswer>, ApiError> {
    let rows = reading.read(|snapshot| Ok(snapshot.rows()?)).await?;
    let secret = binhost.built_in.secret();
    let entry = |row: &IndexRow| {
        let url = format!("{}/binhost-private/{}", about.base_url, row.index);
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
