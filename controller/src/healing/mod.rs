//! The hands of the core's healing: pings go out and their answers come in, and what is to be done to a drone that does not
//! work is done, by the bus, by SSH or by the operator's command on the hypervisor.
//!
//! Decides nothing: whom to ping when, what a silence means, what is done and by which way is said by `swarm_core`. Each
//! effect is answered by an input, whatever becomes of it. `pings`: proof of life · `escalations`: the ladder's orders · `ssh`: one
//! of its ways. Started by `serve`; people's own pings come from `http`.

mod escalations;
mod outcome;
mod pings;
mod ssh;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use swarm_core::input::PingLoss;
use swarm_protocol::order::{OrderAnswer, Task};
use swarm_protocol::{DroneId, InstanceId};

pub use escalations::Escalations;
pub use pings::{PingNow, Pinged, Pings};
pub use ssh::SshSettings;

use crate::bus::link::{Answered, Link, OrderError};

/// The bus as it is needed here.
pub trait Bus: Send + Sync + 'static {
    /// Pings one drone.
    fn ping(&self, drone: DroneId, seq: u64, within: Duration) -> BoxFuture<'_, Result<Answered, PingLoss>>;
    /// Pings all drones by one broadcast, until so many have answered.
    fn ping_all<'a>(
        &'a self,
        seq: u64,
        runs: &'a BTreeMap<InstanceId, DroneId>,
        expected: usize,
        within: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<DroneId, Answered>, PingLoss>>;
    /// Gives an order to a drone's supervisor.
    fn order(&self, drone: DroneId, task: Task, within: Duration) -> BoxFuture<'_, Result<OrderAnswer, OrderError>>;
}

impl Bus for Link {
    fn ping(&self, drone: DroneId, seq: u64, within: Duration) -> BoxFuture<'_, Result<Answered, PingLoss>> {
        Box::pin(async move { Link::ping(self, &drone, seq, within).await })
    }

    fn ping_all<'a>(
        &'a self,
        seq: u64,
        runs: &'a BTreeMap<InstanceId, DroneId>,
        expected: usize,
        within: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<DroneId, Answered>, PingLoss>> {
        Box::pin(Link::ping_all(self, seq, runs, expected, within))
    }

    fn order(&self, drone: DroneId, task: Task, within: Duration) -> BoxFuture<'_, Result<OrderAnswer, OrderError>> {
        Box::pin(async move { self.ask_supervisor(&drone, task, within).await })
    }
}
