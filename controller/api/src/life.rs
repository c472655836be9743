//! Signs of life of a drone: what its views in `fleet`, `ping`, `healing` and `status` have in common.

use swarm_core::rows::ProbeRecord;
use swarm_core::view::{DroneView, Presence};
use swarm_protocol::machine::WorkerState;

use super::number::millis;

/// Whether the drone is there.
pub fn is_online(view: &DroneView) -> bool {
    view.presence == Presence::Online
}

/// `online` or `offline`, by heartbeats.
pub(crate) fn presence(view: &DroneView) -> String {
    if is_online(view) { "online" } else { "offline" }.to_owned()
}

/// Last sign of life, Unix milliseconds.
pub(crate) fn last_seen(view: &DroneView) -> u64 {
    view.last_heartbeat.max(view.row.last_seen)
}

/// The last answer to a ping, Unix milliseconds; after a restart the stored one.
pub(crate) fn last_pong(view: &DroneView) -> u64 {
    let stored = probe(view).map_or(0, |probe| probe.at);
    view.health.last_pong.max(stored)
}

/// The last round trip, milliseconds; after a restart the stored one.
pub(crate) fn latency(view: &DroneView) -> Option<f64> {
    view.health.latency_us.or_else(|| probe(view).map(|probe| probe.latency_us)).map(millis)
}

/// The last stored answer.
pub(crate) fn probe(view: &DroneView) -> Option<&ProbeRecord> {
    view.health.row.as_ref()?.probe.as_ref()
}

/// One word for a worker's state.
pub(crate) fn worker_name(worker: WorkerState) -> &'static str {
    match worker {
        WorkerState::Alive => "alive",
        WorkerState::Starting => "starting",
        WorkerState::Hung => "hung",
        WorkerState::Down => "down",
        WorkerState::Failing => "failing",
        WorkerState::Unknown => "unknown",
    }
}
