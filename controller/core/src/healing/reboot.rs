//! Which drones the swarm never reboots. Asked by the brakes before each reboot, and by whoever shows what may be done about a
//! drone.

use swarm_protocol::machine::{DroneType, RebootPolicy};

use crate::rows::{DroneRow, DroneWishesRow};

/// Why a drone is never rebooted: by its own detection, by the operator's word, or by the operator's wish. `None`: it may be.
pub fn never_rebooted(row: &DroneRow, wishes: Option<&DroneWishesRow>) -> Option<String> {
    let may = |kind: DroneType| matches!(kind, DroneType::Lxc | DroneType::Qemu);
    if !may(row.drone_type()) {
        return Some(format!("its type is {}, and only lxc and qemu are ever rebooted", row.drone_type().name()));
    }
    if !may(row.detected_type) {
        let detected = row.detected_type.name();
        return Some(format!("by its own detection it is {detected}, whatever its type was set to"));
    }
    if row.own_reboot == RebootPolicy::Never {
        return Some("its own configuration forbids it".to_owned());
    }
    let wishes = wishes?;
    if wishes.protected {
        return Some("it is protected".to_owned());
    }
    (wishes.auto_reboot == Some(false)).then(|| "its operator does not want it rebooted".to_owned())
}
