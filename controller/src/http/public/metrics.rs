//! Curves of the last day, sums by package, and `/metrics` for Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use swarm_api::{ErrorBody, Metrics, MetricsSample, PackageStats, QueueCounts, SampledDrone, drone_metrics, seconds};
use swarm_common::clock::wall_ms;
use swarm_core::view::Presence;
use utoipa::IntoParams;

use super::super::error::ApiError;
use super::super::extract::Query;
use super::super::{AppState, reads};
use crate::metrics::prometheus;
use crate::metrics::samples::{Point, Sample};

/// What is shown if nothing else is said, milliseconds.
const LAST_HOUR: u64 = 3_600_000;
/// Measurements of drones in one answer; beyond, only the sums are given.
const MAX_POINTS: usize = 50_000;
/// How old the sums by package may be.
const STATS_AGE: Duration = Duration::from_secs(5);
/// Attempts the sums by package look at.
const STATS_ATTEMPTS: usize = 50_000;

/// Which part of the day, which drone.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricsQuery {
    /// Unix seconds: only samples after it. Without it the last hour; 0 for all of the day.
    since: Option<f64>,
    /// Only this drone, by name.
    node: Option<String>,
}

/// The last day as curves, and this moment
///
/// Samples every 15 s, 24 h of them, oldest first; kept in memory, so a restart of the controller begins anew.
#[utoipa::path(
    get,
    path = "/api/v1/metrics",
    operation_id = "metrics",
    tag = "status",
    params(MetricsQuery),
    responses((status = 200, body = Metrics), (status = 400, body = ErrorBody))
)]
pub async fn metrics(State(state): State<AppState>, Query(query): Query<MetricsQuery>) -> Json<Metrics> {
    let (view, now) = (state.view(), wall_ms());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of milliseconds")]
    let since = match query.since.filter(|since| since.is_finite()) {
        Some(since) => (since.max(0.0) * 1000.0) as u64,
        None => now.saturating_sub(LAST_HOUR),
    };
    let samples = state.samples.since(since);
    let node = query.node.filter(|node| !node.is_empty());
    let many = node.is_none() && samples.iter().map(|sample| sample.drones.len()).sum::<usize>() > MAX_POINTS;
    let wanted = |name: &str| node.as_deref().is_none_or(|node| node == name);
    let history = samples.iter().map(|sample| shown(sample, |point| !many && wanted(&point.drone))).collect();
    let online = view.drones.values().filter(|drone| drone.presence == Presence::Online);
    let drones = online
        .filter(|drone| wanted(&drone.row.name))
        .map(|drone| (drone.row.name.clone(), drone_metrics(drone)))
        .collect();
    Json(Metrics { timestamp: seconds(now), history, current_queue: QueueCounts::from(&view.counts), drones })
}

/// Two decimals.
fn short(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

/// A sample with the drones `wanted` chooses.
fn shown(sample: &Sample, wanted: impl Fn(&Point) -> bool) -> MetricsSample {
    let [cpu, memory, load] = sample.means;
    let drone = |point: &Point| {
        let sampled = SampledDrone {
            cpu_percent: short(point.cpu),
            ram_percent: short(point.memory),
            load_1m: short(point.load),
        };
        (point.drone.to_string(), sampled)
    };
    MetricsSample {
        timestamp: seconds(sample.at),
        queue: QueueCounts::from(&sample.counts),
        nodes_online: sample.online,
        building: sample.building,
        cpu_percent: short(cpu),
        ram_percent: short(memory),
        load_1m: short(load),
        drones: sample.drones.iter().filter(|point| wanted(point)).map(drone).collect(),
    }
}

/// Attempts by package
///
/// Of the newest 50,000 attempts; at most 5 s old.
#[utoipa::path(
    get,
    path = "/api/v1/build-stats/by-package",
    operation_id = "build_stats_by_package",
    tag = "history",
    responses((status = 200, body = PackageStats))
)]
pub async fn by_package(State(state): State<AppState>) -> Result<Json<PackageStats>, ApiError> {
    let read = async || {
        state.read(|rows| Ok(PackageStats::new(&reads::history(rows, STATS_ATTEMPTS, |_| true, |_| false)?))).await
    };
    let stats = state.packages.get(STATS_AGE, read).await?;
    Ok(Json(PackageStats::clone(&stats)))
}

/// `/metrics`: not part of the API, hence not of its document.
pub fn route() -> Router<AppState> {
    Router::new().route("/metrics", get(scrape))
}

async fn scrape(State(state): State<AppState>) -> Response {
    let text = prometheus::text(state.view(), (state.counted)(), &state.requests, state.uptime_s(), state.following());
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}
