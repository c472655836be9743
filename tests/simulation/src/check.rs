//! What must never happen (safety), and what must have happened when the faults stop (liveness).

use std::collections::{BTreeMap, BTreeSet};

use swarm_core::rows::{
    BlockedBy, BuildRow, BuildState, Culprit, DroneRow, DroneWishesRow, HealingRow, MetaKey, MetaRow, OrderedBy,
};
use swarm_protocol::machine::DroneType;
use swarm_protocol::order::Rung;
use swarm_protocol::{BuildId, DroneId, StoreId};

use super::controller::Controller;
use super::machine::Machine;
use super::packages::{Temper, Tree};
use super::{HOUR, Millis, Weather};

/// The day of the rule about reboots.
const DAY: Millis = 24 * HOUR;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What happened.
    pub what: String,
    /// When, in virtual milliseconds.
    pub at: Millis,
}

/// Checks as they are made: `Err` is the first broken promise.
type Checked = Result<(), (&'static str, String)>;

/// After every step: journals, attempts, answers. Cheap.
pub(super) fn step(controller: &mut Controller, machine: Option<&mut Machine>) -> Checked {
    if let Some(wrong) = controller.store.wrong.first() {
        return Err(("journals hold each thing once and in order", wrong.clone()));
    }
    let Some(machine) = machine else { return Ok(()) };
    if let Some((fence, times)) = machine.begun.iter().find(|(_, times)| **times > 1) {
        let what = format!("attempt {fence} was begun {times} times on {}", machine.name);
        return Err(("no attempt runs twice", what));
    }
    for (store_id, fence) in std::mem::take(&mut machine.acknowledged) {
        if store_id == StoreId::from("store-1") && !controller.store.ended.contains(&fence) {
            let what = format!("{} was told that {fence} is durable, and no history knows it", machine.name);
            return Err(("no acknowledged result is lost", what));
        }
    }
    Ok(())
}

/// When an order of the ladder leaves: whom it must not reach.
pub(super) fn escalation(controller: &Controller, machine: &mut Machine, rung: Rung, now: Millis) -> Checked {
    let store = &controller.store;
    let id = machine.id.clone();
    let healing: HealingRow = store.get(&id).unwrap_or_default();
    let by_hand = healing.acting.as_ref().is_some_and(|acting| acting.ordered_by() != OrderedBy::Swarm);
    let row: DroneRow = store.get(&id).ok_or(("orders go to known drones", machine.name.clone()))?;
    let name = &machine.name.clone();
    if !by_hand {
        if now < controller.started + controller.settings().start_grace {
            return Err(("nobody is judged in the grace", name.clone()));
        }
        if row.paused.is_some() || row.draining.is_some() {
            return Err(("what a person put aside is left alone", name.clone()));
        }
        if store.get::<MetaRow>(&MetaKey).is_some_and(|meta| meta.cut_off.is_some()) {
            return Err(("nothing is done while the controller is cut off", name.clone()));
        }
    }
    if rung != Rung::RebootContainer {
        return Ok(());
    }
    if !matches!(machine.kind, DroneType::Lxc | DroneType::Qemu) {
        return Err(("bare metal and unknown machines are never rebooted", name.clone()));
    }
    let wishes: DroneWishesRow = store.get(&id).unwrap_or_default();
    if wishes.protected || wishes.auto_reboot == Some(false) {
        return Err(("protected drones are never rebooted", name.clone()));
    }
    // one act may go by several routes; what a person wants is not rationed
    if let Some(acting) = healing.acting.as_ref().filter(|_| !by_hand) {
        machine.reboot_acts.entry(acting.since).or_insert(now);
    }
    let within = machine.reboot_acts.values().filter(|at| **at + DAY > now).count();
    if within > controller.settings().healing.reboots_per_day {
        return Err(("reboots are rationed by the day", format!("{name}: {within}")));
    }
    let core_now = controller.to_core(now);
    let rebooting = |other: &HealingRow| {
        let acts = other.acting.as_ref().is_some_and(|acting| acting.rung == Rung::RebootContainer);
        let waits = other.incident.as_ref().is_some_and(|i| i.level == 3 && core_now < i.wait_until);
        other.drone != id && (acts || waits)
    };
    if let Some(other) = store.all::<HealingRow>().iter().find(|other| rebooting(other)) {
        return Err(("at most one reboot at a time", format!("{name} beside {}", other.drone)));
    }
    let held = |build: &&BuildRow| build.assignment().is_some_and(|a| a.drone == machine.id);
    if let Some(build) = store.all::<BuildRow>().iter().find(held) {
        return Err(("no reboot ends a build", format!("{name} has {}", build.atom())));
    }
    Ok(())
}

/// Now and then: the rows and what the core shows of them. Dear.
pub(super) fn rows(controller: &mut Controller) -> Checked {
    if let Some(note) = controller.notes().first() {
        return Err(("rows do not contradict each other", note.clone()));
    }
    let delegated: BTreeMap<DroneId, BTreeSet<BuildId>> = {
        let mut held: BTreeMap<DroneId, BTreeSet<BuildId>> = BTreeMap::new();
        for row in controller.store.all::<BuildRow>() {
            if let Some(assignment) = row.assignment() {
                held.entry(assignment.drone.clone()).or_default().insert(row.id);
            }
        }
        held
    };
    let Some(core) = controller.core() else { return Ok(()) };
    for (id, drone) in core.view().drones.iter() {
        let shown: BTreeSet<BuildId> = drone.tasks.iter().map(|task| task.fence.build).collect();
        if shown != delegated.get(id).cloned().unwrap_or_default() {
            return Err(("what is shown is what is stored", format!("{} holds {shown:?}", drone.row.name)));
        }
    }
    Ok(())
}

/// Whether everything has come to rest.
pub(super) fn at_rest(controller: &Controller, machines: &[Machine]) -> bool {
    controller.is_up() && machines.iter().all(Machine::is_idle) && unfinished(controller).is_empty()
}

/// Entries that are neither at their end nor waiting for one that is.
fn unfinished(controller: &Controller) -> Vec<String> {
    let builds: BTreeMap<BuildId, BuildRow> =
        controller.store.all::<BuildRow>().into_iter().map(|row| (row.id, row)).collect();
    let given_up = |row: &BuildRow| matches!(row.state, BuildState::Blocked { .. } | BuildState::Failed { .. });
    let mut stuck: BTreeSet<BuildId> = builds.values().filter(|row| given_up(row)).map(|row| row.id).collect();
    // entries are older than those that wait for them, or not: so until nothing changes
    loop {
        let waits = |row: &&BuildRow| {
            matches!(row.state, BuildState::Needed { .. }) && row.after.iter().any(|need| stuck.contains(need))
        };
        let more: Vec<BuildId> =
            builds.values().filter(waits).map(|row| row.id).filter(|id| !stuck.contains(id)).collect();
        if more.is_empty() {
            break;
        }
        stuck.extend(more);
    }
    let open = |row: &&BuildRow| !matches!(row.state, BuildState::Received { .. }) && !stuck.contains(&row.id);
    builds.values().filter(open).map(|row| format!("{} is {}", row.atom(), row.state.name())).collect()
}

/// Who is blamed for a package that is not built is whose fault it is: only packages that can't be built are blamed themselves.
fn blamed(controller: &Controller, tree: &Tree) -> Checked {
    for row in controller.store.all::<BuildRow>() {
        let BuildState::Blocked { by: BlockedBy::Failures { culprit }, reasons, .. } = &row.state else { continue };
        let atom = row.atom();
        if reasons.is_empty() {
            return Err(("whoever is blamed is told why", atom));
        }
        let temper = tree.find(atom.trim_start_matches('=')).map(|ebuild| ebuild.temper);
        let innocent = !matches!(temper, Some(Temper::Broken | Temper::Large));
        if *culprit == Culprit::Package && innocent {
            return Err(("nobody is blamed for another's fault", format!("{atom}: {}", reasons.join("; "))));
        }
    }
    Ok(())
}

/// After the faults: every package has an end, and nobody innocent is blamed; in calm weather nothing was ever taken back.
pub(super) fn end(controller: &Controller, machines: &[Machine], weather: Weather) -> Checked {
    let open = unfinished(controller);
    if !open.is_empty() {
        let some = open.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        return Err(("every package comes to an end", format!("{} do not: {some}", open.len())));
    }
    if let Some(machine) = machines.first() {
        blamed(controller, &machine.tree)?;
    }
    if let Some(machine) = machines.iter().find(|machine| !machine.is_idle()) {
        return Err(("every drone lets go in the end", machine.name.clone()));
    }
    if weather != Weather::Calm {
        return Ok(());
    }
    // what waits in a line is asked back for an idle drone; what runs is never
    for kind in ["reclaim", "stale", "offline", "escalate", "reboot", "alert"] {
        if let Some(count) = controller.store.kinds.get(kind) {
            return Err(("nothing is taken from a healthy drone", format!("{count} events of kind {kind}")));
        }
    }
    Ok(())
}
