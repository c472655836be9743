//! The one list of topics. Each lists its paths next to their handlers: those of the public port, which the administrators'
//! port has, too, and those below `/admin/api`, which it has alone.

use utoipa_axum::router::OpenApiRouter;

use super::{
    AppState, binhost, config, control, events, fleet, healing, history, logs, members, metrics, notices, queue,
    status, system,
};

/// Every path of the public port with its documentation.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(status::public())
        .merge(fleet::public())
        .merge(metrics::public())
        .merge(queue::public())
        .merge(control::public())
        .merge(history::public())
        .merge(events::public())
        .merge(logs::public())
        .merge(binhost::public())
        .merge(members::public())
        .merge(healing::public())
}

/// Every path below `/admin/api` with its documentation. All of them need the admin key; the port itself sees to it
/// (`auth::admins_only`).
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(system::admin())
        .merge(config::admin())
        .merge(logs::admin())
        .merge(fleet::admin())
        .merge(healing::admin())
        .merge(notices::admin())
}
