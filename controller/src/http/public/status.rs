//! Health, readiness, the overview.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use swarm_api::{
    DelegatedTo, DroneHealth, Health, Ready, Session, Status, StatusDrone, StatusPackages, Timing, seconds,
};
use swarm_common::clock::wall_ms;

use super::super::{AppState, error::ApiError, reads};
use swarm_core::View;
use swarm_core::view::Presence;

/// How long the engine may take to answer before it counts as hung; it takes milliseconds.
const PULSE_WITHIN: Duration = Duration::from_secs(5);

/// Whether the controller lives
///
/// `hung` when its engine does not answer: only a restart helps then. Whether it can do its work is `/readyz`.
#[utoipa::path(
    get,
    path = "/api/v1/health",
    tag = "status",
    responses((status = 200, body = Health), (status = 503, description = "The engine does not answer", body = Health))
)]
pub async fn health(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let (status, word) = match state.engine.pulse(PULSE_WITHIN).await {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "hung"),
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    (status, Json(Health { status: word.to_owned(), version, uptime_s: state.uptime_s() }))
}

/// Whether engine, bus, store and binhost can do their work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "status",
    responses((status = 200, body = Ready), (status = 503, description = "Not ready, with reasons", body = Ready))
)]
pub async fn readyz(State(state): State<AppState>) -> Response {
    let mut reasons = state.missing();
    if !state.engine.pulse(PULSE_WITHIN).await {
        reasons.push("the engine does not answer".to_owned());
    }
    if state.read(|rows| Ok(rows.stats()?)).await.is_err() {
        reasons.push("the store can't be read".to_owned());
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not ready" };
    (status, Json(Ready { status: word.to_owned(), ready, reasons })).into_response()
}

/// The overview
///
/// Sums, the active session, the fleet and what it does. Costs the same however long the history is.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = Status)))]
pub async fn status(State(state): State<AppState>) -> Result<Json<Status>, ApiError> {
    let view = state.view();
    let overview = reads::overview(&state, &view).await?;
    let active = view.session;
    let (stats, session) = state
        .read(move |rows| {
            let session = active.map(|id| rows.session(id.0)).transpose()?.flatten();
            Ok((rows.stats()?, session))
        })
        .await?;
    let session = session.map(|row| {
        let counts = view.sessions.get(&row.id).copied().unwrap_or_default();
        Session::new(&row, &counts).with(&overview.forecast)
    });
    let packages = StatusPackages {
        needed: overview.needed.clone(),
        delegated: delegated(&view),
        blocked: overview.blocked.clone(),
    };
    Ok(Json(Status {
        eta_s: overview.forecast.end_ms().map(seconds),
        next: overview.next.clone(),
        troubles: overview.troubles.clone(),
        warnings: state.missing(),
        ..assemble(&view, session, packages, Timing::new(&stats))
    }))
}

fn delegated(view: &View) -> std::collections::BTreeMap<String, DelegatedTo> {
    let each = view.drones.values().flat_map(|drone| drone.tasks.iter().map(move |task| (drone, task)));
    each.map(|(drone, task)| (task.package.clone(), DelegatedTo { drone: drone.row.name.clone() })).collect()
}

fn assemble(view: &View, session: Option<Session>, packages: StatusPackages, timing: Timing) -> Status {
    let (now, counts) = (wall_ms(), view.counts);
    let online = || view.drones.values().filter(|drone| drone.presence == Presence::Online);
    let by_name = view.drones.values().map(|drone| (drone.row.name.clone(), StatusDrone::new(drone, now)));
    let health = view.drones.values().filter_map(|drone| Some((drone.row.name.clone(), DroneHealth::new(drone)?)));
    Status {
        needed: counts.needed,
        delegated: counts.delegated,
        received: counts.received,
        blocked: counts.blocked,
        failed: counts.failed,
        total: counts.total(),
        waiting: counts.waiting,
        queue_depth: counts.needed + counts.delegated,
        queue_received: counts.received,
        queue_blocked: counts.blocked,
        nodes: view.drones.len(),
        nodes_online: online().count(),
        total_cores: online().map(|drone| u64::from(drone.row.cores)).sum(),
        paused: view.paused.is_some(),
        cut_off: view.cut_off.map(seconds),
        eta_s: None,
        session,
        packages,
        next: Vec::new(),
        troubles: Vec::new(),
        warnings: Vec::new(),
        drones: by_name.collect(),
        drone_health: health.collect(),
        timing,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
