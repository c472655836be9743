//! Coming onto the bus: invitations, enrolment, tappers, leaving, and what an operator of another bus has to configure.

mod attempts;
mod bus;
mod enrolment;
mod invites;
mod leave;
mod tappers;

use std::sync::Arc;

use swarm_api::DroneDone;
use swarm_core::answer::Done;
use utoipa_axum::router::OpenApiRouter;

use crate::http::error::ApiError;
use crate::http::ports::Bus;
use crate::http::{AppState, Asking};
use attempts::Attempts;

/// The bus, and who comes onto it. Cheap to clone.
#[derive(Clone)]
pub struct Members {
    bus: Arc<dyn Bus>,
    /// Those who try tokens that are not good are slowed down.
    attempts: Arc<Attempts>,
}

impl Members {
    /// Who comes onto this bus.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, attempts: Arc::default() }
    }
}

/// Its paths on the public port.
pub fn public() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(invites::public())
        .merge(enrolment::public())
        .merge(bus::public())
        .merge(tappers::public())
        .merge(leave::public())
}

/// Waits until the bus has taken what was just committed.
async fn admitted(asking: &Asking, members: &Members) -> Result<bool, ApiError> {
    let membership = asking.view().membership.clone();
    members.bus.admitted(membership).await.map_err(|reason| {
        ApiError::busy(reason)
            .hint("it is written down and the bus is told again and again; ask again in a moment")
            .retry_after(3)
    })
}

fn ended(status: &str, done: Done, asked: String) -> DroneDone {
    DroneDone { status: status.to_owned(), name: done.what.into_iter().next().unwrap_or(asked) }
}
