//! The process and its places; whether a key is right.

use axum::Json;
use axum::extract::State;
use swarm_api::{AuthCheck, ErrorBody, SystemInfo, seconds};
use swarm_common::clock::wall_ms;
use swarm_core::view::Presence;

use super::super::AppState;
use super::super::auth::Admin;

/// The controller's process and its places
#[utoipa::path(
    get,
    path = "/admin/api/system/info",
    operation_id = "admin_system_info",
    tag = "admin",
    responses((status = 200, body = SystemInfo), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn info(State(state): State<AppState>) -> Json<SystemInfo> {
    let (view, counted, uptime_s) = (state.view(), (state.counted)(), state.uptime_s());
    let place = &state.place;
    #[expect(clippy::cast_precision_loss, reason = "a size, for people")]
    let db_size_mb = (counted.store_bytes as f64 / f64::from(1 << 20) * 100.0).round() / 100.0;
    Json(SystemInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: state.name(),
        uptime_s,
        uptime_human: human(uptime_s),
        started_at: seconds(wall_ms()) - uptime_s,
        pid: std::process::id(),
        data_dir: place.data_dir.display().to_string(),
        db_path: place.db_path.display().to_string(),
        db_size_mb,
        control_plane_port: place.public_port,
        admin_port: place.admin_port,
        public_url: state.base_url.to_string(),
        bus_url: place.bus_url.clone(),
        bus_connected: counted.bus_connected,
        log_path: state.own_log.path().map(|path| path.display().to_string()),
        nodes: view.drones.len(),
        nodes_online: view.drones.values().filter(|drone| drone.presence == Presence::Online).count(),
    })
}

/// `2d 3h 4m`, `3h 4m`, `4m 5s`, `5s`.
fn human(uptime_s: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
    let all = uptime_s.max(0.0) as u64;
    let (days, hours, minutes, seconds) = (all / 86_400, all / 3600 % 24, all / 60 % 60, all % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h {minutes}m"),
    }
}

/// Whether the key is right
#[utoipa::path(
    get,
    path = "/admin/api/auth/check",
    operation_id = "admin_auth_check",
    tag = "admin",
    responses((status = 200, body = AuthCheck), (status = 401, body = ErrorBody)),
    security(("admin_key" = []))
)]
pub async fn auth_check(admin: Admin) -> Json<AuthCheck> {
    Json(AuthCheck { authenticated: true, version: env!("CARGO_PKG_VERSION").to_owned(), actor: admin.actor })
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn a_time_for_people() {
        for (seconds, text) in [(0.4, "0s"), (65.0, "1m 5s"), (3_600.0, "1h 0m"), (183_840.0, "2d 3h 4m")] {
            assert_eq!(human(seconds), text);
        }
    }
}
