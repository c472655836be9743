//! The binhost in numbers.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use swarm_api::{BinhostStats, IndexStats, moment};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Binhost;
use super::sums::read;
use crate::http::error::ApiError;
use crate::http::{AppState, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stats)).routes(routes!(status))
}

/// How old the numbers may be.
const STATS_AGE: Duration = Duration::from_secs(5);

/// The binhost in numbers
#[utoipa::path(get, path = "/api/v1/binhost-stats", operation_id = "binhost_stats", tag = "binhost", responses((status = 200, body = BinhostStats)))]
pub async fn stats(
    State(reading): State<Reading>,
    State(binhost): State<Binhost>,
) -> Result<Json<BinhostStats>, ApiError> {
    let stats = binhost.numbers.get(STATS_AGE, async || numbers(&reading).await).await?;
    Ok(Json(BinhostStats::clone(&stats)))
}

/// The binhost in numbers, by its other name
#[utoipa::path(get, path = "/api/v1/binhost/status", operation_id = "binhost_status", tag = "binhost", responses((status = 200, body = BinhostStats)))]
pub async fn status(reading: State<Reading>, binhost: State<Binhost>) -> Result<Json<BinhostStats>, ApiError> {
    stats(reading, binhost).await
}

#[expect(clippy::cast_precision_loss, reason = "a size and Unix seconds, for people")]
async fn numbers(reading: &Reading) -> Result<BinhostStats, ApiError> {
    let (rows, sums) = read(reading).await?;
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
