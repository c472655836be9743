//! Does what the core has decided about a drone that does not work: by its supervisor over the bus, by SSH, or by the operator's
//! command on the hypervisor. Each has a bound in time, and each outcome is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use swarm_core::Input;
use swarm_core::effect::{Escalation, Route};
use swarm_core::input::RouteOutcome;
use swarm_protocol::StoreId;
use swarm_protocol::order::{Escalated, OrderAnswer, Task};
use tracing::{info, warn};

use super::ssh::{Login, Ssh};
use super::{Bus, Tell};
use crate::bus::link::OrderError;
use crate::engine::Work;
use crate::program::{self, ProgramError};

/// Orders under way at one time; a drone has at most one.
const UNDER_WAY: usize = 64;

/// What the medic needs to know.
#[derive(Debug, Clone)]
pub struct MedicSettings {
    /// The controller's data directory; known hosts are kept below it.
    pub data: PathBuf,
    /// The store, for orders by SSH.
    pub store_id: StoreId,
    /// What SSH runs on a drone, program and first arguments.
    pub ssh_command: Vec<String>,
}

/// Carries out the ladder's orders.
pub struct Medic {
    bus: Arc<dyn Bus>,
    engine: Arc<dyn Tell>,
    ssh: Ssh,
}

impl Medic {
    /// A medic who reaches drones by `bus` and tells `engine`.
    pub fn new(bus: Arc<dyn Bus>, engine: Arc<dyn Tell>, settings: MedicSettings) -> Self {
        Self { bus, engine, ssh: Ssh::new(settings) }
    }

    /// Carries out orders until no more can come.
    pub async fn run(self, queue: Work<Escalation>) {
        let orders = futures::stream::unfold(queue, async |mut queue| queue.next().await.map(|order| (order, queue)));
        orders
            .for_each_concurrent(Some(UNDER_WAY), |order| async {
                let (drone, generation) = (order.drone.clone(), order.generation);
                let (rung, route) = (order.rung.name(), order.route.kind().name());
                info!(%drone, rung, route, generation, reason = order.reason, "doing something about a drone");
                let outcome = self.carry_out(order).await;
                match &outcome {
                    RouteOutcome::Done { detail } | RouteOutcome::DryRun { detail } => {
                        info!(%drone, rung, route, generation, detail, "done");
                    }
                    outcome => warn!(%drone, rung, route, generation, ?outcome, "not done by this way"),
                }
                self.engine.tell(Input::Escalated { drone, generation, outcome }).await;
            })
            .await;
    }

    async fn carry_out(&self, order: Escalation) -> RouteOutcome {
        let within = Duration::from_millis(order.within);
        match order.route.clone() {
            Route::Bus {} => self.by_bus(order, within).await,
            Route::Ssh { user, host, port, key, host_keys } => {
                let login = Login { user, host, port, key, host_keys };
                self.ssh.run(&order, &login, within).await
            }
            Route::Hypervisor { command } => by_hypervisor(&command, within).await,
        }
    }

    async fn by_bus(&self, order: Escalation, within: Duration) -> RouteOutcome {
        let Escalation { drone, generation, rung, reason, .. } = order;
        let task = Task::Escalate { rung, reason, generation };
        let failed = |detail: &str| RouteOutcome::Failed { detail: detail.to_owned() };
        match self.bus.order(drone, task, within).await {
            Ok(OrderAnswer::Escalated { generation: answered, .. }) if answered != generation => {
                failed("the drone answered another order")
            }
            Ok(OrderAnswer::Escalated { outcome, .. }) => told(outcome),
            Ok(OrderAnswer::Refused { reason }) => RouteOutcome::Failed { detail: reason },
            Ok(OrderAnswer::NotUnderstood { .. }) => failed("its agent is too old for this; upgrade it"),
            Ok(_) => failed("its answer makes no sense"),
            Err(OrderError::Absent { .. }) => failed("its supervisor is not on the bus"),
            Err(OrderError::Silent { .. }) => RouteOutcome::TimedOut {},
            Err(OrderError::Failed { reason, .. }) => RouteOutcome::Failed { detail: reason },
        }
    }
}

/// A drone's word as the core takes it.
pub(super) fn told(outcome: Escalated) -> RouteOutcome {
    match outcome {
        Escalated::Done { detail } => RouteOutcome::Done { detail },
        Escalated::DryRun { detail } => RouteOutcome::DryRun { detail },
        Escalated::Refused { why, detail } => RouteOutcome::Refused { why, detail },
        Escalated::Unknown => {
            RouteOutcome::Failed { detail: "the drone answered in a later version's words".to_owned() }
        }
    }
}

async fn by_hypervisor(command: &[String], within: Duration) -> RouteOutcome {
    // its arguments may hold a secret
    let shown = command.first().map(String::as_str).unwrap_or_default();
    match program::run(command, b"", &[], within).await {
        Ok(ran) if ran.status.success() => RouteOutcome::Done { detail: format!("`{shown}` is done") },
        Ok(ran) => RouteOutcome::Failed { detail: format!("`{shown}` ended with {}: {}", ran.status, ran.said()) },
        Err(ProgramError::Slow { .. }) => RouteOutcome::TimedOut {},
        Err(error) => RouteOutcome::Failed { detail: error.to_string() },
    }
}
