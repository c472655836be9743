//! How a client uses the binhost, and what is in it in numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use swarm_api::{
    BinhostAnswer, BinhostIndex, BinhostStats, ErrorBody, IndexStats, NewestPackage, PrivateAnswer, PrivateIndex,
    moment, seconds,
};
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow};
use swarm_protocol::report::BinhostAccess;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::AppState;
use super::super::auth::Admin;
use super::super::error::ApiError;
use swarm_binhost::snippet;

/// Path of the key below the base address.
const KEY_PATH: &str = "/api/v1/binhost/key.asc";

/// Its paths.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(key))
        .routes(routes!(private))
        .routes(routes!(stats))
        .routes(routes!(status))
}

/// What an index holds.
#[derive(Default)]
struct Sum {
    packages: u64,
    bytes: u64,
    restricted: u64,
    newest: Option<(u64, NewestPackage)>,
}

/// What all of them hold.
#[derive(Default)]
struct Sums {
    indexes: BTreeMap<IndexKey, Sum>,
    retired: u64,
    retired_bytes: u64,
    /// Uploaded, and in no index yet.
    pending: u64,
}

impl Sums {
    fn add(&mut self, row: ArtifactRow) {
        let restricted = row.is_restricted();
        match row.state {
            ArtifactState::Published { listed: Some(_), size_out, at, build_id, .. } => {
                let sum = self.indexes.entry(row.index).or_default();
                sum.packages += 1;
                sum.bytes += size_out;
                sum.restricted += u64::from(restricted);
                if sum.newest.as_ref().is_none_or(|(newest, _)| *newest <= at) {
                    sum.newest = Some((at, NewestPackage { package: row.cpv, build_id, published_at: seconds(at) }));
                }
            }
            ArtifactState::Retired { size, .. } => {
                self.retired += 1;
                self.retired_bytes += size;
            }
            ArtifactState::Published { .. } | ArtifactState::Uploaded { .. } => self.pending += 1,
            _ => {}
        }
    }
}

async fn read(state: &AppState) -> Result<(Vec<IndexRow>, Sums), ApiError> {
    state
        .walk(|rows| {
            let mut sums = Sums::default();
            for artifact in rows.artifacts()? {
                sums.add(artifact);
            }
            Ok((rows.indexes()?, sums))
        })
        .await
}

/// How a client uses the binhost: addresses, key, `binrepos.conf`, commands; and what is in it
#[utoipa::path(get, path = "/api/v1/binhost", operation_id = "binhost_show", tag = "binhost", responses((status = 200, body = BinhostAnswer)))]
pub async fn show(State(state): State<AppState>) -> Result<Json<BinhostAnswer>, ApiError> {
    Ok(Json(answer(&state).await?))
}

async fn answer(state: &AppState) -> Result<BinhostAnswer, ApiError> {
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
    let rows = state.read(|rows| Ok(rows.indexes()?)).await?;
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

/// How old the numbers may be.
const STATS_AGE: Duration = Duration::from_secs(5);

/// The binhost in numbers
#[utoipa::path(get, path = "/api/v1/binhost-stats", operation_id = "binhost_stats", tag = "binhost", responses((status = 200, body = BinhostStats)))]
pub async fn stats(State(state): State<AppState>) -> Result<Json<BinhostStats>, ApiError> {
    let stats = state.stock.get(STATS_AGE, async || numbers(&state).await).await?;
    Ok(Json(BinhostStats::clone(&stats)))
}

/// The binhost in numbers, by its other name
#[utoipa::path(get, path = "/api/v1/binhost/status", operation_id = "binhost_status", tag = "binhost", responses((status = 200, body = BinhostStats)))]
pub async fn status(state: State<AppState>) -> Result<Json<BinhostStats>, ApiError> {
    stats(state).await
}

#[expect(clippy::cast_precision_loss, reason = "a size and Unix seconds, for people")]
async fn numbers(state: &AppState) -> Result<BinhostStats, ApiError> {
    let (rows, sums) = read(state).await?;
    let newest = sums.indexes.values().filter_map(|sum| sum.newest.as_ref().map(|(at, _)| *at)).max();
    let written = rows.iter().map(|row| row.timestamp).max().filter(|&timestamp| timestamp > 0);
    let indexes: Vec<IndexStats> = rows
        .into_iter()
        .map(|row| {
            let (packages, size_bytes) = sums.indexes.get(&row.index).map_or((0, 0), |sum| (sum.packages, sum.bytes));
            IndexStats { index: row.index.to_string(), packages, size_bytes, timestamp: row.timestamp }
        })
        .collect();
    let packages = indexes.iter().map(|index| index.packages).sum();
    let size_bytes = indexes.iter().map(|index| index.size_bytes).sum();
    Ok(BinhostStats {
        status: if packages > 0 { "ok" } else { "empty" }.to_owned(),
        packages,
        size_mb: (size_bytes as f64 / f64::from(1 << 20) * 100.0).round() / 100.0,
        size_bytes,
        pending: sums.pending,
        last_updated: written.map(|seconds| seconds as f64),
        last_published_at: moment(newest.unwrap_or(0)),
        indexes,
    })
}

/// A page for people who come to `/binhost` with a browser.
pub async fn page(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    Ok((
        [(header::CONTENT_SECURITY_POLICY, policy)],
        Html(html(&state.runtime.held().config.name, &answer(&state).await?)),
    ))
}

fn html(name: &str, answer: &BinhostAnswer) -> String {
    let mut body = String::new();
    for index in &answer.indexes {
        let newest = index.newest.as_ref().map(|newest| format!(", newest {}", newest.package)).unwrap_or_default();
        let path = format!("/binhost/{}/Packages", index.index);
        let _ = write!(
            body,
            "<h2>{}</h2><p>{} packages, {} MiB{}. <a href=\"{}\">Packages</a></p>\
             <p>/etc/portage/binrepos.conf/swarm.conf:</p><pre>{}</pre><p>As root, once:</p><pre>{}</pre>",
            escaped(&index.index),
            index.packages - index.restricted,
            index.size_bytes >> 20,
            escaped(&newest),
            escaped(&path),
            escaped(&index.snippet),
            escaped(&index.commands.join("\n")),
        );
    }
    if answer.indexes.is_empty() {
        body.push_str("<p>Nothing is published yet.</p>");
    }
    let style = "body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;padding:1rem;background:#8882}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#9cf}}";
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Binhost of {0}</title><style>{style}</style><h1>Binhost of {0}</h1>\
         <p>Signing key <code>{1}</code>, <a href=\"{KEY_PATH}\">its public half</a>.</p>{body}</html>\n",
        escaped(name),
        escaped(&answer.fingerprint),
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
