//! Does what the core has decided about a drone that does not work: by its supervisor over the bus, by SSH, or by the operator's
//! command on the hypervisor. Each has a bound in time, and each outcome is told.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use swarm_core::effect::{Escalation, Route};
use swarm_core::input::RouteOutcome;
use swarm_core::{Input, Tell};
use swarm_protocol::order::{OrderAnswer, Task};
use tracing::{info, warn};

use super::Bus;
use super::outcome::outcome_of;
use super::ssh::{Login, Ssh, SshSettings};
use crate::bus::link::OrderError;
use crate::engine::Work;
use crate::program::{self, ProgramError};

/// Orders under way at one time; a drone has at most one.
const UNDER_WAY: usize = 64;

/// Carries out the ladder's orders.
pub struct Escalations {
    bus: Arc<dyn Bus>,
    engine: Arc<dyn Tell>,
    ssh: Ssh,
}

impl Escalations {
    /// Reaches drones by `bus` or by SSH, and tells `engine` what became of each order.
    pub fn new(bus: Arc<dyn Bus>, engine: Arc<dyn Tell>, ssh: SshSettings) -> Self {
        Self { bus, engine, ssh: Ssh::new(ssh) }
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
            Ok(OrderAnswer::Escalated { outcome, .. }) => outcome_of(outcome),
            Ok(OrderAnswer::Refused { reason }) => RouteOutcome::Failed { detail: reason },
            Ok(OrderAnswer::NotUnderstood { .. }) => failed("its agent is too old for this; upgrade it"),
            Ok(_) => failed("its answer makes no sense"),
            Err(OrderError::Absent { .. }) => failed("its supervisor is not on the bus"),
            Err(OrderError::Silent { .. }) => RouteOutcome::TimedOut {},
            Err(OrderError::Failed { reason, .. }) => RouteOutcome::Failed { detail: reason },
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
