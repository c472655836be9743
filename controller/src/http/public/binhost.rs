//! How a client uses the binhost.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use swarm_core::rows::{ArtifactState, IndexKey, IndexRow};

use super::super::AppState;
use super::super::error::ApiError;
use super::super::views::{BinhostAnswer, BinhostIndex};

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
