//! Logs as streams: those of builds, and the controller's own.

pub(super) mod builds;
mod own;
mod reader;

use std::sync::Arc;

use swarm_protocol::Fence;
use utoipa_axum::router::OpenApiRouter;

use crate::http::ports::{LogPiece, Logs};
use crate::http::{AppState, Asking};

/// Stored logs of builds, and who knows whether an attempt still runs. Cheap to clone.
#[derive(Clone)]
pub struct BuildLogs {
    stored: Arc<dyn Logs>,
    asking: Asking,
}

impl BuildLogs {
    /// These logs; `asking` knows what runs.
    pub fn new(stored: Arc<dyn Logs>, asking: Asking) -> Self {
        Self { stored, asking }
    }

    /// At most `max` bytes from `offset`; `None` if there is no log of that attempt.
    async fn read(&self, fence: Fence, offset: u64, max: u64) -> std::io::Result<Option<LogPiece>> {
        self.stored.read(fence, offset, max).await
    }

    /// Whether a drone has that attempt now.
    fn is_running(&self, fence: Fence) -> bool {
        self.asking.view().drones.values().any(|drone| drone.tasks.iter().any(|task| task.fence == fence))
    }
}

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(builds::public())
}

/// Its paths on the administrators' port.
pub fn admin() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(own::admin())
}
