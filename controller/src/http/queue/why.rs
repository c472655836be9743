//! Why a package is not building.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use swarm_api::{ErrorBody, WhyAnswer, WhyEntry};
use swarm_core::explanation::Explanation;
use swarm_core::request::WhyRequest;
use swarm_core::rows::BuildRow;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::{AppState, Asking, Reading};
use crate::store::Snapshot;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(why))
}

/// Which of several entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhyQuery {
    /// Only this main slot.
    slot: Option<String>,
    /// Only from this repository.
    repo: Option<String>,
    /// Only this build.
    build: Option<u64>,
}

/// Why a package stands where it stands
///
/// For each drone of the fleet every reason against it, and its score.
#[utoipa::path(
    get,
    path = "/api/v1/packages/{category}/{package}/why",
    tag = "queue",
    params(
        ("category" = String, Path, description = "Category"),
        ("package" = String, Path, description = "name or name-version"),
        WhyQuery,
    ),
    responses((status = 200, body = WhyAnswer), (status = 404, description = "Not in the queue", body = ErrorBody))
)]
pub async fn why(
    State(asking): State<Asking>,
    State(reading): State<Reading>,
    Path((category, package)): Path<(String, String)>,
    Query(query): Query<WhyQuery>,
) -> Result<Json<WhyAnswer>, ApiError> {
    let package = format!("{category}/{package}");
    // the engine itself goes through the fleet for it: one after the other
    let turn = asking.explaining.acquire().await;
    let mut found = asking.ask("reader", WhyRequest { package: package.clone() }).await?;
    drop(turn);
    found.retain(|entry| query.build.is_none_or(|build| entry.build.0 == build));
    if query.slot.is_some() || query.repo.is_some() {
        found = reading.read(move |snapshot| narrow(snapshot, found, &query)).await?;
    }
    if found.is_empty() {
        return Err(ApiError::not_found(format!("{package} is not in the queue"))
            .hint("look at /api/v1/queue for what is, or at /api/v1/history for what was"));
    }
    Ok(Json(WhyAnswer { package, entries: found.iter().map(WhyEntry::from).collect() }))
}

fn narrow(snapshot: &Snapshot, found: Vec<Explanation>, query: &WhyQuery) -> Result<Vec<Explanation>, ApiError> {
    let mut kept = Vec::new();
    for entry in found {
        let fits = snapshot.get::<BuildRow>(&entry.build)?.is_some_and(|row| {
            query.slot.as_ref().is_none_or(|slot| row.slot == *slot)
                && query.repo.as_ref().is_none_or(|repo| row.repository == *repo)
        });
        if fits {
            kept.push(entry);
        }
    }
    Ok(kept)
}
