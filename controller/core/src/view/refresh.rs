//! Makes the views of drones anew whose rows, heartbeats or pings have changed. Called once for however many changes.

use swarm_protocol::report::Phase;
use swarm_protocol::{BuildId, DroneId};

use super::{DroneView, Health, TaskView};
use crate::core::Core;
use crate::fleet::Pulse;
use crate::rows::DroneRow;

impl Core {
    /// Rebuilds the views of drones that were touched.
    pub(crate) fn refresh_views(&mut self) {
        for id in self.soft.view.take_touched() {
            let Some(row) = self.rows.drones.get(&id) else { continue };
            let pulse = self.soft.fleet.pulse(&id).cloned().unwrap_or_default();
            let stats = self.rows.stats.get(&row.name);
            let mut tasks: Vec<TaskView> =
                self.held_by(&id).into_iter().filter_map(|build| self.task_view(build, row, &pulse)).collect();
            tasks.sort_by_key(|task| (task.building_since.is_none(), task.order));
            let view = DroneView {
                row: self.soft.view.shared_row(row),
                presence: pulse.presence,
                last_heartbeat: pulse.last_wall,
                vitals: pulse.vitals,
                worker: pulse.worker,
                tasks,
                completed: stats.map_or(0, |stats| stats.success),
                failed: stats.map_or(0, |stats| stats.total - stats.success),
                health: self.health(&id),
                wishes: self.rows.wishes.get(&id).cloned(),
                speed: row.learned_speed(),
                wait_ms: self.wait_ms(row),
            };
            self.soft.view.put(id, view);
        }
    }

    fn health(&self, drone: &DroneId) -> Health {
        let row = self.rows.healing.get(drone).cloned();
        let Some(probe) = self.soft.healing.probe(drone) else { return Health { row, ..Health::default() } };
        Health {
            last_ping: probe.last_ping,
            last_pong: probe.last_pong,
            latency_us: probe.latency_us,
            latency: probe.latency,
            skew_ms: probe.skew_ms,
            misses: probe.misses,
            row,
        }
    }

    fn task_view(&self, build: BuildId, drone: &DroneRow, pulse: &Pulse) -> Option<TaskView> {
        let row = self.rows.builds.get(&build)?;
        let assignment = row.assignment()?;
        let status = pulse.attempts.iter().find(|status| status.fence == row.fence());
        // what has ended there and is still held is on its way here
        let ended = pulse.finished.contains(&row.fence());
        Some(TaskView {
            fence: row.fence(),
            package: row.atom(),
            phase: status.map_or(if ended { Phase::Upload } else { Phase::Queued }, |status| status.phase),
            order: assignment.order,
            assigned_at: assignment.assigned_at,
            building_since: assignment.building_since,
            estimated_ms: self.estimate_ms(row, drone),
            begun_at: self.elapsed_ms(row, assignment).map(|elapsed| self.now.wall.saturating_sub(elapsed)),
            sweep: assignment.sweep.is_some(),
            log_bytes: status.map_or(0, |status| status.log_bytes),
        })
    }
}
