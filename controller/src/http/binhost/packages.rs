//! The binhost's packages, and what people do with them.

use axum::Json as JsonAnswer;
use axum::extract::State;
use serde::Deserialize;
use swarm_api::{
    BinhostDone, BinhostPackage, BinhostPackages, CollectAnswer, CollectBody, CollectedPackage, ErrorBody, PinBody,
    RemoveBody, moment,
};
use swarm_core::answer::{self, Done};
use swarm_core::request::{CollectRequest, Demand, PinRequest, UnpublishRequest};
use swarm_core::rows::{ArtifactRow, ArtifactState};
use swarm_protocol::{ArtifactId, Cpv};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Admin;
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::{AppState, Asking, Reading};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(pin))
        .routes(routes!(remove))
        .routes(routes!(collect))
}

/// Packages on a page, if nothing is said, and at most.
const PAGE: (usize, usize) = (1_000, 10_000);

/// Which packages.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `category/name`, `category/name-version`, or a part of it.
    package: Option<String>,
    /// `arch/build profile/CHOST`.
    index: Option<String>,
    /// Also those out of the index, whose files wait to be removed.
    #[serde(deserialize_with = "super::super::extract::flag")]
    #[param(value_type = bool)]
    retired: bool,
    /// Only those with a greater number.
    after: Option<u64>,
    /// At most so many; 1,000 without it, never more than 10,000.
    limit: Option<usize>,
}

/// The binhost's packages
#[utoipa::path(
    get,
    path = "/api/v1/binhost/packages",
    operation_id = "binhost_packages",
    tag = "binhost",
    params(ListQuery),
    responses((status = 200, body = BinhostPackages))
)]
pub async fn list(
    State(reading): State<Reading>,
    Query(query): Query<ListQuery>,
) -> Result<JsonAnswer<BinhostPackages>, ApiError> {
    let rows: Vec<ArtifactRow> = reading.walk(|snapshot| Ok(snapshot.rows()?)).await?;
    let fits: Vec<ArtifactRow> = rows.into_iter().filter(|row| fits(row, &query)).collect();
    let total = fits.len() as u64;
    let limit = query.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let after = query.after.unwrap_or(0);
    let mut packages: Vec<BinhostPackage> =
        fits.into_iter().filter(|row| row.id.0 > after).take(limit + 1).map(package).collect();
    let more = packages.len() > limit;
    packages.truncate(limit);
    let next = packages.last().filter(|_| more).map(|last| last.id);
    Ok(JsonAnswer(BinhostPackages { packages, total, next }))
}

fn fits(row: &ArtifactRow, query: &ListQuery) -> bool {
    let shown = match row.state {
        ArtifactState::Published { .. } => true,
        ArtifactState::Retired { .. } => query.retired,
        ArtifactState::Ticketed {} | ArtifactState::Uploaded { .. } | ArtifactState::Gone { .. } => false,
    };
    let named = query.package.as_deref().is_none_or(|wanted| {
        let wanted = wanted.trim().trim_start_matches('=');
        let of = |cpv: Cpv| cpv.cp() == wanted || cpv.name() == wanted;
        row.cpv == wanted || row.cpv.parse().is_ok_and(of) || (!wanted.contains('/') && row.cpv.contains(wanted))
    });
    shown && named && query.index.as_deref().is_none_or(|index| row.index.to_string() == index)
}

/// One package of the binhost, whatever became of it
#[utoipa::path(
    get,
    path = "/api/v1/binhost/packages/{id}",
    operation_id = "binhost_package",
    tag = "binhost",
    params(("id" = u64, Path, description = "Number of the package")),
    responses((status = 200, body = BinhostPackage), (status = 404, body = ErrorBody))
)]
pub async fn one(State(reading): State<Reading>, Path(id): Path<u64>) -> Result<JsonAnswer<BinhostPackage>, ApiError> {
    let row = reading.read(move |snapshot| Ok(snapshot.get(&ArtifactId(id))?)).await?;
    let row = row.ok_or_else(|| {
        ApiError::not_found(format!("the binhost knows no package {id}")).hint("`swarm binhost list` shows what it has")
    })?;
    Ok(JsonAnswer(package(row)))
}

fn package(row: ArtifactRow) -> BinhostPackage {
    let restricted = row.is_restricted();
    let mut shown = BinhostPackage {
        id: row.id.0,
        index: row.index.to_string(),
        package: row.cpv,
        build_id: None,
        slot: row.slot,
        repository: row.repository,
        use_flags: row.use_flags,
        size_bytes: row.size_in,
        state: "announced".to_owned(),
        reason: None,
        published_at: None,
        pinned_by: row.pinned.map(|fact| fact.by),
        imported_by: row.imported.map(|fact| fact.by),
        restricted,
        path: None,
    };
    match row.state {
        ArtifactState::Ticketed {} => {}
        ArtifactState::Uploaded { build_id, .. } => {
            (shown.state, shown.build_id) = ("uploaded".to_owned(), Some(build_id));
        }
        ArtifactState::Published { build_id, path, size_out, listed, at, .. } => {
            shown.state = if listed.is_some() { "published" } else { "signed" }.to_owned();
            (shown.build_id, shown.path, shown.size_bytes) = (Some(build_id), Some(path), size_out);
            shown.published_at = moment(at);
        }
        ArtifactState::Retired { build_id, path, size, why, .. } => {
            (shown.state, shown.reason) = ("retired".to_owned(), Some(why));
            (shown.build_id, shown.path, shown.size_bytes) = (Some(build_id), Some(path), size);
        }
        ArtifactState::Gone { build_id, .. } => (shown.state, shown.build_id) = ("gone".to_owned(), Some(build_id)),
    }
    shown
}

async fn done(
    asking: &Asking,
    admin: &Admin,
    request: impl Demand<Answer = Done>,
) -> Result<JsonAnswer<BinhostDone>, ApiError> {
    let done = asking.ask(&admin.actor, request).await?;
    Ok(JsonAnswer(BinhostDone { status: "ok".to_owned(), touched: done.touched, packages: done.what }))
}

/// Keep packages, whatever retention says; or no longer
#[utoipa::path(
    post,
    path = "/api/v1/binhost/pin",
    operation_id = "binhost_pin",
    tag = "binhost",
    request_body = PinBody,
    responses((status = 200, body = BinhostDone), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn pin(
    admin: Admin,
    State(asking): State<Asking>,
    Json(body): Json<PinBody>,
) -> Result<JsonAnswer<BinhostDone>, ApiError> {
    done(&asking, &admin, PinRequest { package: body.package, pinned: body.pinned }).await
}

/// Take packages out of the binhost
///
/// They leave the index at once and their files later, when no client can still hold an index that lists them.
#[utoipa::path(
    post,
    path = "/api/v1/binhost/remove",
    operation_id = "binhost_remove",
    tag = "binhost",
    request_body = RemoveBody,
    responses(
        (status = 200, body = BinhostDone),
        (status = 400, description = "No version named", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "Pinned, or an open session builds on it", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn remove(
    admin: Admin,
    State(asking): State<Asking>,
    Json(body): Json<RemoveBody>,
) -> Result<JsonAnswer<BinhostDone>, ApiError> {
    done(&asking, &admin, UnpublishRequest { package: body.package, force: body.force }).await
}

/// Apply retention now
#[utoipa::path(
    post,
    path = "/api/v1/binhost/gc",
    operation_id = "binhost_gc",
    tag = "binhost",
    request_body = CollectBody,
    responses((status = 200, body = CollectAnswer), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn collect(
    admin: Admin,
    State(asking): State<Asking>,
    Json(body): Json<CollectBody>,
) -> Result<JsonAnswer<CollectAnswer>, ApiError> {
    let dry_run = body.dry_run;
    let collected = asking.ask(&admin.actor, CollectRequest { dry_run }).await?;
    let package = |one: answer::CollectedPackage| CollectedPackage {
        id: one.artifact.0,
        index: one.index.to_string(),
        package: one.cpv,
        build_id: one.build_id,
        size_bytes: one.size,
    };
    Ok(JsonAnswer(CollectAnswer {
        dry_run,
        count: collected.count,
        size_bytes: collected.bytes,
        packages: collected.packages.into_iter().map(package).collect(),
        waiting: collected.waiting,
        waiting_bytes: collected.waiting_bytes,
    }))
}
