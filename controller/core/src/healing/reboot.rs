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

#[cfg(test)]
mod tests {
    use swarm_protocol::DroneId;
    use swarm_protocol::report::Hello;

    use super::*;
    use crate::fleet::newcomer;

    const TYPES: [DroneType; 4] = [DroneType::Lxc, DroneType::Qemu, DroneType::BareMetal, DroneType::Unknown];
    const POLICIES: [RebootPolicy; 4] =
        [RebootPolicy::Auto, RebootPolicy::Never, RebootPolicy::DryRun, RebootPolicy::Unknown];

    #[test]
    fn a_drone_is_rebooted_only_if_detection_operator_and_the_drone_itself_all_allow_it() {
        let mut allowed = 0;
        for (detected, said) in
            TYPES.iter().flat_map(|one| TYPES.map(Some).into_iter().chain([None]).map(move |said| (*one, said)))
        {
            for own in POLICIES {
                for (protected, auto) in
                    [false, true].into_iter().flat_map(|one| [None, Some(false), Some(true)].map(|auto| (one, auto)))
                {
                    let mut row = newcomer(&DroneId::from("a"), &Hello::default(), 0);
                    (row.detected_type, row.type_override, row.own_reboot) = (detected, said, own);
                    let wishes = DroneWishesRow { protected, auto_reboot: auto, ..DroneWishesRow::default() };
                    let container = |kind| matches!(kind, DroneType::Lxc | DroneType::Qemu);
                    let may = container(detected) && container(said.unwrap_or(detected)) && own != RebootPolicy::Never;
                    assert_eq!(never_rebooted(&row, None).is_none(), may, "{row:?}");
                    let may = may && !protected && auto != Some(false);
                    assert_eq!(never_rebooted(&row, Some(&wishes)).is_none(), may, "{row:?} {wishes:?}");
                    allowed += u32::from(may);
                }
            }
        }
        // two types that may be, with their own word, that of the other, or none; three policies; two of six wishes
        assert_eq!(allowed, 2 * 3 * 3 * 2);
    }
}
