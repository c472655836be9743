//! The binhost's packages one by one: listed, pinned, removed, collected, brought, checked.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use swarm_api::{
    BinhostDone, BinhostPackage, BinhostPackages, CollectAnswer, CollectBody, CollectedPackage, ErrorBody,
    ImportAnswer, ImportBody, PinBody, RemoveBody, VerifyAnswer, VerifyBody, VerifyFinding, moment, seconds,
};
use swarm_core::input::UploadedFile;
use swarm_core::request::{CollectRequest, ImportRequest, PinRequest, UnpublishRequest};
use swarm_core::rows::{ArtifactRow, ArtifactState};
use swarm_core::{Answer, Request, answer};
use swarm_protocol::{Cpv, Secret};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::auth::Admin;
use super::super::error::ApiError;
use super::super::extract::{Json, Path, Query};
use super::super::{AppState, unexpected};
use swarm_binhost::verify::Report;

/// Packages on a page, if nothing is said, and at most.
const PAGE: (usize, usize) = (1_000, 10_000);
/// The build profile if nothing is said.
const PROFILE: &str = "default";

/// Its paths.
pub fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(pin))
        .routes(routes!(remove))
        .routes(routes!(collect))
        .routes(routes!(import))
        .routes(routes!(verification, verify))
}

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
    State(state): State<AppState>,
    Query(query): Query<ListQuery>,
) -> Result<JsonAnswer<BinhostPackages>, ApiError> {
    let rows = state.walk(|rows| Ok(rows.artifacts()?)).await?;
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
pub async fn one(State(state): State<AppState>, Path(id): Path<u64>) -> Result<JsonAnswer<BinhostPackage>, ApiError> {
    let row = state.read(move |rows| Ok(rows.artifact(id)?)).await?;
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

async fn done(state: &AppState, admin: &Admin, request: Request) -> Result<JsonAnswer<BinhostDone>, ApiError> {
    match state.request(&admin.actor, request).await? {
        Answer::Done(done) => {
            Ok(JsonAnswer(BinhostDone { status: "ok".to_owned(), touched: done.touched, packages: done.what }))
        }
        _ => Err(unexpected()),
    }
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
    State(state): State<AppState>,
    Json(body): Json<PinBody>,
) -> Result<JsonAnswer<BinhostDone>, ApiError> {
    done(&state, &admin, Request::Pin(PinRequest { package: body.package, pinned: body.pinned })).await
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
    State(state): State<AppState>,
    Json(body): Json<RemoveBody>,
) -> Result<JsonAnswer<BinhostDone>, ApiError> {
    done(&state, &admin, Request::Unpublish(UnpublishRequest { package: body.package, force: body.force })).await
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
    State(state): State<AppState>,
    Json(body): Json<CollectBody>,
) -> Result<JsonAnswer<CollectAnswer>, ApiError> {
    let dry_run = body.dry_run;
    let request = Request::Collect(CollectRequest { dry_run });
    let Answer::Collected(collected) = state.request(&admin.actor, request).await? else { return Err(unexpected()) };
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

/// Announce a package somebody has
///
/// What is wanted gets a ticket; put the file to `/api/v1/artifacts/{id}` with it. It is then verified, signed with the
/// swarm's key, given a BUILD_ID and published, in the restricted part if its RESTRICT has `bindist`.
#[utoipa::path(
    post,
    path = "/api/v1/binhost/import",
    operation_id = "binhost_import",
    tag = "binhost",
    request_body = ImportBody,
    responses(
        (status = 200, body = ImportAnswer),
        (status = 400, description = "Not to be taken; the reason says why", body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 413, description = "Larger than what is taken", body = ErrorBody),
        (status = 503, description = "Too many announced and not uploaded", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn import(
    admin: Admin,
    State(state): State<AppState>,
    Json(body): Json<ImportBody>,
) -> Result<JsonAnswer<ImportAnswer>, ApiError> {
    if body.size_bytes > state.max_upload {
        let error =
            format!("a package of {} bytes is larger than the {} taken here", body.size_bytes, state.max_upload);
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error)
            .hint("raise binhost.max_upload in the controller's configuration"));
    }
    let ask = ImportRequest {
        file: UploadedFile {
            sha256: body.sha256,
            size: body.size_bytes,
            cpv: body.package,
            slot: body.slot,
            repository: body.repository,
            use_flags: body.use_flags,
            chost: body.chost,
            restrict: String::new(),
        },
        build_time: body.build_time,
        profile: body.profile.unwrap_or_else(|| PROFILE.to_owned()),
        arch: body.arch,
        header: body.header,
        dry_run: body.dry_run,
        token: Secret(hex::encode(rand::random::<[u8; 24]>())),
    };
    let request = Request::Import(ask);
    let Answer::Import(answer) = state.request(&admin.actor, request).await? else { return Err(unexpected()) };
    let blank = |status: &str, id, index: String| ImportAnswer {
        status: status.to_owned(),
        id,
        index,
        ticket: None,
        expires_s: None,
    };
    Ok(JsonAnswer(match answer {
        answer::ImportAnswer::Wanted { artifact, token, expires_ms, index } => ImportAnswer {
            ticket: Some(token.0),
            expires_s: Some(seconds(expires_ms)),
            ..blank("wanted", Some(artifact.0), index.to_string())
        },
        answer::ImportAnswer::WouldTake { index } => blank("would_take", None, index.to_string()),
        answer::ImportAnswer::Present { artifact, index } => blank("present", Some(artifact.0), index.to_string()),
    }))
}

/// How the last check of the binhost stands
#[utoipa::path(
    get,
    path = "/api/v1/binhost/verify",
    operation_id = "binhost_verification",
    tag = "binhost",
    responses((status = 200, body = VerifyAnswer))
)]
pub async fn verification(State(state): State<AppState>) -> JsonAnswer<VerifyAnswer> {
    JsonAnswer(state.binhost.report().map_or_else(never, checked))
}

/// Recheck every published file and index
///
/// Runs in the background, at a bounded rate; ask for its state with GET.
#[utoipa::path(
    post,
    path = "/api/v1/binhost/verify",
    operation_id = "binhost_verify",
    tag = "binhost",
    request_body = VerifyBody,
    responses(
        (status = 202, body = VerifyAnswer),
        (status = 401, body = ErrorBody),
        (status = 409, description = "One is under way", body = ErrorBody),
    ),
    security(("admin_key" = []))
)]
pub async fn verify(
    admin: Admin,
    State(state): State<AppState>,
    Json(body): Json<VerifyBody>,
) -> Result<(StatusCode, JsonAnswer<VerifyAnswer>), ApiError> {
    if !state.binhost.verify(&admin.actor, body.rebuild, body.force) {
        return Err(ApiError::new(StatusCode::CONFLICT, "a check of the binhost is under way")
            .hint("GET /api/v1/binhost/verify says how far it is"));
    }
    Ok((StatusCode::ACCEPTED, JsonAnswer(state.binhost.report().map_or_else(never, checked))))
}

fn never() -> VerifyAnswer {
    VerifyAnswer { status: "never".to_owned(), ..VerifyAnswer::default() }
}

fn checked(report: Report) -> VerifyAnswer {
    let status = match (report.running, &report.stopped) {
        (true, _) => "running",
        (false, None) => "ended",
        (false, Some(_)) => "stopped",
    };
    let finding = |one: swarm_binhost::verify::Finding| VerifyFinding {
        place: one.place,
        package: one.package,
        id: one.artifact,
        problem: one.what,
        mended: one.mended,
    };
    VerifyAnswer {
        status: status.to_owned(),
        total: report.total,
        checked: report.checked,
        bytes: report.bytes,
        found: report.found,
        mended: report.mended,
        findings: report.findings.into_iter().map(finding).collect(),
        reason: report.stopped,
    }
}
