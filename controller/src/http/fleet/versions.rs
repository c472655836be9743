//! Where the controller is, and what everybody runs.

use axum::Json;
use axum::extract::State;
use swarm_api::{
    ControllerVersion, DroneVersion, DroneVersions, ErrorBody, Orchestrator, PortageBase, PortageConfig, Version,
    Versions,
};
use swarm_core::view::Presence;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{About, AppState, Asking};

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(versions)).routes(routes!(orchestrator)).routes(routes!(portage_config))
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(admin_versions))
}

/// Who runs which version
#[utoipa::path(get, path = "/api/v1/versions", tag = "drones", responses((status = 200, body = Versions)))]
pub async fn versions(State(about): State<About>, State(asking): State<Asking>) -> Json<Versions> {
    let view = asking.view();
    let mut drones: Vec<Version> = view
        .drones
        .values()
        .map(|drone| Version {
            name: drone.row.name.clone(),
            ip: drone.row.address.clone(),
            version: drone.row.agent_version.clone(),
            online: drone.presence == Presence::Online,
        })
        .collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    let control_plane = ControllerVersion {
        name: about.name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        status: "online".to_owned(),
    };
    Json(Versions { control_plane, drones })
}

/// How the drones' Portage is configured
///
/// Drones with the same configuration and tree are together.
#[utoipa::path(get, path = "/api/v1/portage-config", tag = "drones", responses((status = 200, body = PortageConfig)))]
pub async fn portage_config(State(asking): State<Asking>) -> Json<PortageConfig> {
    let view = asking.view();
    let mut rows: Vec<_> = view.drones.values().map(|drone| &drone.row).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let mut answer = PortageConfig::default();
    for row in rows {
        let same = |known: &PortageBase| {
            known.base == row.base && known.tree == row.tree && known.build_profile == row.build_profile
        };
        let place = answer.configurations.iter().position(same).unwrap_or_else(|| {
            answer.configurations.push(PortageBase {
                build_profile: row.build_profile.clone(),
                arch: row.arch.clone(),
                chost: row.chost.clone(),
                portage_version: row.portage_version.clone(),
                base: row.base.clone(),
                tree: row.tree.clone(),
                portage_timestamp: row.tree_timestamp,
                settings: row.index_header.clone(),
                drones: Vec::new(),
            });
            answer.configurations.len() - 1
        });
        answer.configurations[place].drones.push(row.name.clone());
        answer.drones.insert(row.name.clone(), place);
    }
    Json(answer)
}

/// Where the controller is
#[utoipa::path(get, path = "/api/v1/orchestrator", tag = "drones", responses((status = 200, body = Orchestrator)))]
pub async fn orchestrator(State(about): State<About>) -> Json<Orchestrator> {
    let uri: axum::http::Uri = about.base_url.parse().unwrap_or_default();
    let ip = uri.host().unwrap_or_default().to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let admin_port = Some(about.place.admin_port).filter(|&port| port != 0);
    Json(Orchestrator { ip, name: about.name(), port, admin_port })
}

/// What each drone runs
#[utoipa::path(
    get,
    path = "/admin/api/drones/versions",
    operation_id = "admin_drone_versions",
    tag = "admin",
    responses((status = 200, body = DroneVersions), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn admin_versions(State(about): State<About>, State(asking): State<Asking>) -> Json<DroneVersions> {
    let version = env!("CARGO_PKG_VERSION");
    let view = asking.view();
    let mut drones: Vec<DroneVersion> = view
        .drones
        .values()
        .map(|drone| DroneVersion {
            name: drone.row.name.clone(),
            ip: drone.row.address.clone(),
            version: drone.row.agent_version.clone(),
            online: drone.presence == Presence::Online,
            is_current: drone.row.agent_version == version,
            portage_version: drone.row.portage_version.clone(),
            portage_timestamp: drone.row.tree_timestamp,
        })
        .collect();
    drones.sort_by(|one, other| one.name.cmp(&other.name));
    let control_plane =
        ControllerVersion { name: about.name(), version: version.to_owned(), status: "online".to_owned() };
    Json(DroneVersions { control_plane, drones })
}
