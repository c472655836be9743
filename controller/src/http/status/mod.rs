//! Health, readiness, the overview.

mod overview;

pub use overview::Overviews;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use swarm_api::{
    DelegatedTo, DroneHealth, Health, Ready, Session, Status, StatusDrone, StatusPackages, Timing, seconds,
};
use swarm_common::clock::wall_ms;
use swarm_core::View;
use swarm_core::rows::{SessionRow, StatsRow};
use swarm_core::view::Presence;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::http::ports::Readiness;
use crate::http::{About, AppState, Asking, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(readyz)).routes(routes!(status))
}

/// What keeps the controller from its work, by those who know. Cheap to clone.
#[derive(Clone)]
pub struct Missing(Arc<[Arc<dyn Readiness>]>);

impl Missing {
    /// Asks these, in their order.
    pub fn new(who: impl IntoIterator<Item = Arc<dyn Readiness>>) -> Self {
        Self(who.into_iter().collect())
    }

    /// In sentences; none means ready.
    fn all(&self) -> Vec<String> {
        self.0.iter().flat_map(|one| one.missing()).collect()
    }
}

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
pub async fn health(State(about): State<About>, State(asking): State<Asking>) -> (StatusCode, Json<Health>) {
    let (status, word) = match asking.pulse(PULSE_WITHIN).await {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "hung"),
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    (status, Json(Health { status: word.to_owned(), version, uptime_s: about.uptime_s() }))
}

/// Whether engine, bus, store and binhost can do their work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "status",
    responses((status = 200, body = Ready), (status = 503, description = "Not ready, with reasons", body = Ready))
)]
pub async fn readyz(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    State(missing): State<Missing>,
) -> Response {
    let mut reasons = missing.all();
    if !asking.pulse(PULSE_WITHIN).await {
        reasons.push("the engine does not answer".to_owned());
    }
    if reading.read(|snapshot| Ok(snapshot.rows::<StatsRow>()?)).await.is_err() {
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
pub async fn status(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    State(missing): State<Missing>,
    State(overviews): State<Overviews>,
) -> Result<Json<Status>, ApiError> {
    let view = asking.view();
    let overview = overviews.of(&reading, &view).await?;
    let active = view.session;
    let (stats, session) = reading
        .read(move |snapshot| {
            let session = active.map(|id| snapshot.get::<SessionRow>(&id)).transpose()?.flatten();
            Ok((snapshot.rows()?, session))
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
        warnings: missing.all(),
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
