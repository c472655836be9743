//! The fleet as it was last published, and which drones have changed since. What is not touched keeps its view, so that a
//! heartbeat of one drone costs nothing for the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarm_protocol::DroneId;

use super::{DroneView, Roster};
use crate::rows::DroneRow;

/// What is soft about what readers see.
#[derive(Debug, Default)]
pub(crate) struct ViewState {
    drones: Roster<DroneView>,
    touched: BTreeSet<DroneId>,
}

impl ViewState {
    /// Something that readers see of a drone has changed.
    pub(crate) fn touch(&mut self, drone: &DroneId) {
        if !self.touched.contains(drone) {
            self.touched.insert(drone.clone());
        }
    }

    /// The same of many.
    pub(crate) fn touch_all(&mut self, drones: impl IntoIterator<Item = DroneId>) {
        self.touched.extend(drones);
    }

    /// A drone is forgotten.
    pub(crate) fn forget(&mut self, drone: &DroneId) {
        self.drones.remove(drone);
        self.touched.remove(drone);
    }

    /// Takes the drones whose views are to be made anew.
    pub(super) fn take_touched(&mut self) -> BTreeSet<DroneId> {
        std::mem::take(&mut self.touched)
    }

    /// A drone's new view.
    pub(super) fn put(&mut self, drone: DroneId, view: DroneView) {
        self.drones.insert(drone, Arc::new(view));
    }

    /// A row has dozens of strings, and most changes of a view are a heartbeat's, which changes none of them.
    pub(super) fn shared_row(&self, row: &DroneRow) -> Arc<DroneRow> {
        match self.drones.get(&row.id).filter(|view| *view.row == *row) {
            Some(view) => Arc::clone(&view.row),
            None => Arc::new(row.clone()),
        }
    }

    /// The fleet; a copy of it is cheap.
    pub(crate) fn drones(&self) -> Roster<DroneView> {
        self.drones.clone()
    }
}
