//! How a client uses the binhost.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use swarm_core::rows::{ArtifactState, IndexKey, IndexRow};

use super::super::AppState;
use super::super::error::ApiError;
use super::super::ports::Rows;
use super::super::views::{BinhostAnswer, BinhostIndex, BinhostStats, IndexStats};

/// Path of the key below the base address.
const KEY_PATH: &str = "/api/v1/binhost/key.asc";

/// Packages and bytes of an index.
type Sums = BTreeMap<IndexKey, (u64, u64)>;

/// How a client uses the binhost: addresses, key, `binrepos.conf`, commands
#[utoipa::path(get, path = "/api/v1/binhost", operation_id = "binhost_show", tag = "binhost", responses((status = 200, body = BinhostAnswer)))]
pub async fn show(State(state): State<AppState>) -> Result<Json<BinhostAnswer>, ApiError> {
    let (indexes, sums) = state
        .read(|rows| {
            let mut sums = Sums::new();
            for artifact in rows.artifacts()? {
                if let ArtifactState::Published { listed: Some(_), size_out, .. } = artifact.state {
                    let sum = sums.entry(artifact.index).or_default();
                    *sum = (sum.0 + 1, sum.1 + size_out);
                }
            }
            Ok((rows.indexes()?, sums))
        })
        .await?;
    let key_url = format!("{}{KEY_PATH}", state.base_url);
    let indexes: Vec<BinhostIndex> = indexes.iter().map(|row| index(&state, row, &sums, &key_url)).collect();
    Ok(Json(BinhostAnswer {
        url: indexes.first().map(|index| index.url.clone()),
        indexes,
        fingerprint: state.binhost.fingerprint(),
        public_key: state.binhost.public_key(),
        key_url,
    }))
}

fn index(state: &AppState, row: &IndexRow, sums: &Sums, key_url: &str) -> BinhostIndex {
    let url = format!("{}/binhost/{}", state.base_url, row.index);
    let help = state.binhost.client_help(&row.index, &url, key_url);
    let (packages, size_bytes) = sums.get(&row.index).copied().unwrap_or_default();
    BinhostIndex {
        index: row.index.to_string(),
        arch: row.index.arch.clone(),
        profile: row.index.profile.clone(),
        chost: row.index.chost.clone(),
        url,
        timestamp: row.timestamp,
        packages,
        size_bytes,
        snippet: help.snippet,
        commands: help.commands,
    }
}

/// How old the sums may be.
const STATS_AGE: Duration = Duration::from_secs(5);

/// What the binhost holds
#[utoipa::path(
    get,
    path = "/api/v1/binhost-stats",
    operation_id = "binhost_stats",
    tag = "binhost",
    responses((status = 200, body = BinhostStats))
)]
pub async fn stats(State(state): State<AppState>) -> Result<Json<BinhostStats>, ApiError> {
    let stats = state.stock.get(STATS_AGE, async || state.read(stock).await).await?;
    Ok(Json(BinhostStats::clone(&stats)))
}

/// What the binhost holds, under its other name
#[utoipa::path(
    get,
    path = "/api/v1/binhost/status",
    operation_id = "binhost_status",
    tag = "binhost",
    responses((status = 200, body = BinhostStats))
)]
pub async fn status(state: State<AppState>) -> Result<Json<BinhostStats>, ApiError> {
    stats(state).await
}

fn stock(rows: &dyn Rows) -> Result<BinhostStats, ApiError> {
    let (mut sums, mut pending) = (Sums::new(), 0);
    for artifact in rows.artifacts()? {
        match artifact.state {
            ArtifactState::Published { listed: Some(_), size_out, .. } => {
                let sum = sums.entry(artifact.index).or_default();
                *sum = (sum.0 + 1, sum.1 + size_out);
            }
            ArtifactState::Published { .. } | ArtifactState::Uploaded { .. } => pending += 1,
            _ => {}
        }
    }
    let indexes: Vec<IndexStats> = rows
        .indexes()?
        .into_iter()
        .map(|row| {
            let (packages, size_bytes) = sums.get(&row.index).copied().unwrap_or_default();
            IndexStats { index: row.index.to_string(), packages, size_bytes, timestamp: row.timestamp }
        })
        .collect();
    let size_bytes = indexes.iter().map(|index| index.size_bytes).sum();
    let written = indexes.iter().map(|index| index.timestamp).max().filter(|&timestamp| timestamp > 0);
    #[expect(clippy::cast_precision_loss, reason = "a size and Unix seconds, for people")]
    let (size_mb, last_updated) =
        ((size_bytes as f64 / f64::from(1 << 20) * 100.0).round() / 100.0, written.map(|seconds| seconds as f64));
    let packages = indexes.iter().map(|index| index.packages).sum();
    let status = if packages > 0 { "ok" } else { "empty" }.to_owned();
    Ok(BinhostStats { status, packages, size_mb, size_bytes, pending, last_updated, indexes })
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
