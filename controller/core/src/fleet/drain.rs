//! Drains: a drone that gets no new work, gives back what it has not begun, and is out once the rest has ended.

use swarm_protocol::DroneId;

use crate::core::Core;
use crate::rows::{EventKind, Fact};

impl Core {
    /// Drains of drones that are empty end: the drone stays out until a person resumes it.
    pub(crate) fn end_drains(&mut self) {
        let empty: Vec<DroneId> = self
            .rows
            .drones
            .iter()
            .filter(|row| row.draining.is_some())
            .filter(|row| self.held_count(&row.id) == 0 && !self.soft.queue.is_planning(&row.id))
            .map(|row| row.id.clone())
            .collect();
        for drone in empty {
            let since = self.now.wall;
            let Some(row) = self.rows.drones.change(&drone) else { continue };
            let Some(draining) = row.draining.take() else { continue };
            row.drained = Some(Fact { reason: "drained: nothing is left on it".to_owned(), since, ..draining });
            let name = row.name.clone();
            self.soft.view.touch(&drone);
            let message = format!("{name} is drained: nothing is left on it, and it gets no work until it is resumed");
            self.event(EventKind::Control, message, |event| {
                event.details.insert("drained".to_owned(), name.clone());
                event.drone = Some(name);
            });
        }
    }
}
