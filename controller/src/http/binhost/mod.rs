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

use std::sync::Arc;

use swarm_api::BinhostStats;
use swarm_protocol::artifact::UPLOADS_AT_A_TIME;
use utoipa_axum::router::OpenApiRouter;

use crate::http::cache::Aged;
use crate::http::{AppState, ports};
use crate::permits::Permits;

/// Uploads at one time, in all and of one drone; each holds a file open and a core busy hashing.
const MAX_UPLOADS: (usize, usize) = (32, UPLOADS_AT_A_TIME);

/// The built-in binhost, with bounds for uploads and what is kept of it. Cheap to clone.
#[derive(Clone)]
pub struct Binhost {
    built_in: Arc<dyn ports::Binhost>,
    /// Largest upload, bytes.
    max_upload: u64,
    uploads: Arc<Permits>,
    /// Its numbers, shared by all who ask.
    numbers: Arc<Aged<BinhostStats>>,
}

impl Binhost {
    /// This binhost, which takes packages of at most `max_upload` bytes.
    pub fn new(built_in: Arc<dyn ports::Binhost>, max_upload: u64) -> Self {
        let uploads = Arc::new(Permits::new(MAX_UPLOADS.0, MAX_UPLOADS.1));
        Self { built_in, max_upload, uploads, numbers: Arc::default() }
    }
}

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
