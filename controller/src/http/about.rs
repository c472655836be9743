//! What the controller says of itself: its name, where it lives, since when.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::config::runtime::Runtime;

/// Where the controller lives, for administrators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The store's file.
    pub db_path: PathBuf,
    /// Address of the bus.
    pub bus_url: String,
    /// The public port.
    pub public_port: u16,
    /// The administrators' port; 0 if there is none.
    pub admin_port: u16,
    /// `/metrics` is served.
    pub metrics: bool,
}

/// The controller itself. Cheap to clone.
#[derive(Clone)]
pub struct About {
    pub(super) place: Arc<Place>,
    /// Base address as clients reach the public port, without a slash at its end.
    pub(super) base_url: Arc<str>,
    runtime: Arc<Runtime>,
    started: Instant,
}

impl About {
    /// A controller that starts now; `base_url` is where clients reach its public port.
    pub fn new(place: Place, base_url: &str, runtime: Arc<Runtime>) -> Self {
        let base_url = base_url.trim_end_matches('/').into();
        Self { place: Arc::new(place), base_url, runtime, started: Instant::now() }
    }

    /// The controller's name.
    pub(super) fn name(&self) -> String {
        self.runtime.held().config.name.clone()
    }

    /// Seconds since the façade's start.
    pub(super) fn uptime_s(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}
