//! Whether a drone may build a package: all reasons against it, not the first (rules.md §2).

use swarm_protocol::machine::WorkerState;
use swarm_protocol::report::FailureClass;
use swarm_protocol::{Cpv, DroneId};

use crate::rows::{BuildRow, Culprit, DroneRow, FailureMark};
use crate::state::Core;
use crate::view::Presence;

/// A named condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It must be there.
    Online,
    /// Its worker must answer.
    WorkerReady,
    /// Nothing is wrong with it.
    Healthy,
    /// No person has paused it.
    NotPaused,
    /// No person drains it.
    NotDraining,
    /// The swarm has not grounded it.
    NotGrounded,
    /// Its uploads work.
    UploadsWork,
    /// It has a free slot.
    FreeSlot,
    /// It serves the build profile.
    Profile,
    /// It has the base the package was planned on.
    Base,
    /// It has the tree the package was planned on.
    Tree,
    /// It has room on its disks.
    Disk,
    /// It has the memory.
    Memory,
    /// The package has not failed there.
    NotFailedHere,
    /// A sweeper takes blocked packages only.
    NotSweeper,
}

impl Rule {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Healthy => "healthy",
            Self::WorkerReady => "worker-ready",
            Self::NotPaused => "not-paused",
            Self::NotDraining => "not-draining",
            Self::NotGrounded => "not-grounded",
            Self::UploadsWork => "uploads-work",
            Self::FreeSlot => "free-slot",
            Self::Profile => "build-profile",
            Self::Base => "base",
            Self::Tree => "tree",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::NotFailedHere => "not-failed-here",
            Self::NotSweeper => "not-sweeper",
        }
    }
}

/// A reason against a drone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which condition is not met.
    pub rule: Rule,
    /// With what, for people.
    pub text: String,
}

impl Core {
    /// Everything that speaks against giving a drone any work at all.
    pub(crate) fn against_drone(&self, drone: &DroneId) -> Vec<Reason> {
        let Some(row) = self.rows.drones.get(&drone.0) else { return Vec::new() };
        let mut against = Vec::new();
        let mut say = |rule: Rule, text: String| against.push(Reason { rule, text });
        let pulse = self.soft.pulses.get(drone);
        if !pulse.is_some_and(|pulse| pulse.presence == Presence::Online) {
            say(Rule::Online, "offline".to_owned());
        }
        match pulse.map(|pulse| pulse.worker) {
            _ if row.worker.is_none() => say(Rule::WorkerReady, "its worker has not said hello".to_owned()),
            Some(WorkerState::Hung) => say(Rule::WorkerReady, "its worker does not answer".to_owned()),
            Some(WorkerState::Down) => say(Rule::WorkerReady, "its worker is down".to_owned()),
            Some(WorkerState::Failing) => say(Rule::WorkerReady, "its worker ends again and again".to_owned()),
            _ => {}
        }
        if let Some(incident) = self.rows.healing.get(&drone.0).and_then(|row| row.incident.as_ref()) {
            say(Rule::Healthy, format!("unhealthy: {}", incident.why));
        }
        let facts = [
            (Rule::NotPaused, "paused", &row.paused),
            (Rule::NotDraining, "draining", &row.draining),
            (Rule::NotGrounded, "grounded", &row.grounded),
            (Rule::UploadsWork, "uploads impaired", &row.upload_impaired),
        ];
        for (rule, word, fact) in facts {
            if let Some(fact) = fact {
                say(rule, format!("{word} by {}: {}", fact.by, fact.reason));
            }
        }
        let held = self.soft.held.get(drone).map_or(0, std::collections::BTreeSet::len);
        if held >= row.slots as usize {
            say(Rule::FreeSlot, format!("{held} of {} slots in use", row.slots));
        }
        if let Some(vitals) = pulse.filter(|pulse| pulse.told).map(|pulse| &pulse.vitals) {
            for (what, free) in [("builds", vitals.disk_build_free), ("packages", vitals.disk_packages_free)] {
                if free < self.settings.min_free_disk {
                    say(
                        Rule::Disk,
                        format!("{} free for {what}, {} wanted", bytes(free), bytes(self.settings.min_free_disk)),
                    );
                }
            }
        }
        if row.is_sweeper() {
            say(Rule::NotSweeper, "a sweeper takes blocked packages only".to_owned());
        }
        against
    }

    /// Everything that speaks against this drone for this package.
    pub(crate) fn against_package(&self, row: &DroneRow, build: &BuildRow) -> Vec<Reason> {
        let mut against = Vec::new();
        let mut say = |rule: Rule, text: String| against.push(Reason { rule, text });
        if row.build_profile != build.profile {
            say(Rule::Profile, format!("serves the build profile {}, not {}", row.build_profile, build.profile));
        } else if row.base != build.base {
            say(
                Rule::Base,
                "its Portage profile, CHOST, CFLAGS or installed set differs from the planner's".to_owned(),
            );
        } else if row.tree != build.tree {
            say(Rule::Tree, "its ebuild tree is not the one the package was planned on".to_owned());
        }
        let learned = build.cpv.as_deref().and_then(|cpv| cpv.parse::<Cpv>().ok());
        let learned = learned.and_then(|cpv| self.rows.durations.get(&cpv.cp()));
        if let Some(known) = learned.filter(|known| known.memory_peak_bytes > row.ram_bytes && row.ram_bytes > 0) {
            say(
                Rule::Memory,
                format!("it took {} before, the drone has {}", bytes(known.memory_peak_bytes), bytes(row.ram_bytes)),
            );
        }
        for mark in build.marks.iter().filter(|mark| self.rules_out(row, mark)) {
            say(Rule::NotFailedHere, format!("failed here: {}", mark.message));
        }
        against
    }

    /// Whether an earlier failure keeps the package from a drone.
    fn rules_out(&self, row: &DroneRow, mark: &FailureMark) -> bool {
        match mark.culprit {
            Culprit::Package => mark.drone == row.id,
            Culprit::Drone => {
                let recent = self.now.at < mark.at + self.settings.drone_retry_after;
                let out_of_memory = mark.class == FailureClass::OutOfMemory;
                let too_small = out_of_memory
                    && self.rows.drones.get(&mark.drone.0).is_some_and(|failed| row.ram_bytes < failed.ram_bytes);
                (recent && mark.drone == row.id && self.has_others(row)) || too_small
            }
            Culprit::Fleet | Culprit::Operator => false,
        }
    }

    /// Another drone that is online could take the package.
    fn has_others(&self, row: &DroneRow) -> bool {
        self.rows.drones.iter().any(|other| {
            other.id != row.id
                && other.base == row.base
                && self.soft.pulses.get(&other.id).is_some_and(|pulse| pulse.presence == Presence::Online)
        })
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_048_576 => format!("{} KiB", count >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", count >> 20),
        _ => format!("{}.{} GiB", count >> 30, (count >> 20) % 1024 * 10 / 1024),
    }
}
