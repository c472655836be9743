//! The binhost: how clients use it, what is in it, what people do with its packages, and uploads.

mod check;
mod clients;
mod import;
mod numbers;
mod packages;
mod page;
mod sums;
mod uploads;

pub(super) use page::page;

use utoipa_axum::router::OpenApiRouter;

use crate::http::AppState;

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(clients::public())
        .merge(numbers::public())
        .merge(packages::public())
        .merge(import::public())
        .merge(check::public())
        .merge(uploads::public())
}
