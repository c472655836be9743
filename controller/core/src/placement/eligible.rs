//! Whether a drone may build a package: all reasons against it, not the first.

use swarm_protocol::DroneId;
use swarm_protocol::machine::WorkerState;
use swarm_protocol::report::FailureClass;

use super::score::Want;
use crate::core::Core;
use crate::explanation::{Reason, Rule};
use crate::fleet::Presence;
use crate::fleet::Pulse;
use crate::rows::{BlockedBy, BuildRow, BuildState, Culprit, DroneRow, Fact, FailureMark, HealingRow};

/// Hears each rule that speaks against a drone; the text is made only if somebody wants to read it.
type Say<'a> = dyn FnMut(Rule, &dyn Fn() -> String) + 'a;

impl Core {
    /// Everything that speaks against giving a drone any work at all.
    pub(crate) fn against_drone(&self, drone: &DroneId) -> Vec<Reason> {
        let Some(row) = self.rows.drones.get(drone) else { return Vec::new() };
        let mut against = Vec::new();
        self.check_drone(row, &mut |rule, text| against.push(Reason { rule, text: text() }));
        against
    }

    /// The same as bare rules.
    pub(crate) fn rules_against(&self, row: &DroneRow) -> Vec<Rule> {
        let mut against = Vec::new();
        self.check_drone(row, &mut |rule, _| against.push(rule));
        against
    }

    /// Everything that speaks against this drone for this package.
    pub(crate) fn against_package(&self, row: &DroneRow, build: &BuildRow) -> Vec<Reason> {
        let mut against = Vec::new();
        self.check_package(row, &self.want(build), &mut |rule, text| against.push(Reason { rule, text: text() }));
        against
    }

    /// It has the tags and FEATURES that a package asks for.
    pub(crate) fn has_what_it_asks(&self, row: &DroneRow, build: &BuildRow) -> bool {
        let mut has = true;
        self.check_package(row, &self.want(build), &mut |rule, _| has &= !matches!(rule, Rule::Tags | Rule::Features));
        has
    }

    /// Nothing speaks against this drone for this package.
    pub(super) fn is_fit(&self, row: &DroneRow, want: &Want<'_>) -> bool {
        let mut fit = true;
        self.check_package(row, want, &mut |_, _| fit = false);
        fit
    }

    pub(super) fn check_drone(&self, row: &DroneRow, say: &mut Say<'_>) {
        let pulse = self.soft.fleet.pulse(&row.id);
        if !pulse.is_some_and(|pulse| pulse.presence == Presence::Online) {
            say(Rule::Online, &|| "offline".to_owned());
        }
        if let Some(trouble) = worker_trouble(row, pulse) {
            say(Rule::WorkerReady, &|| trouble.to_owned());
        }
        let healing = self.rows.healing.get(&row.id);
        if let Some(incident) = healing.and_then(|row| row.incident.as_ref()) {
            say(Rule::Healthy, &|| format!("unhealthy: {}", incident.why));
        }
        if healing.is_some_and(HealingRow::is_rebooted) {
            say(Rule::Healthy, &|| "being rebooted".to_owned());
        }
        for (rule, word, fact) in facts(row) {
            say(rule, &|| format!("{word} by {}: {}", fact.by, fact.reason));
        }
        if row.syncing.is_some() {
            say(Rule::NotSyncing, &|| "it brings its ebuild tree up to date".to_owned());
        }
        let (held, slots, places) = (self.held_count(&row.id), row.slots as usize, self.beyond_slots(row));
        if held >= slots + places {
            say(Rule::FreeSlot, &|| match places {
                0 => format!("{held} of {slots} slots in use"),
                _ => format!("{slots} slots and {places} places in its line are taken"),
            });
        }
        if let Some(vitals) = pulse.filter(|pulse| pulse.told).map(|pulse| &pulse.vitals) {
            let least = self.settings.min_free_disk;
            for (what, free) in [("builds", vitals.disk_build_free), ("packages", vitals.disk_packages_free)] {
                if free < least {
                    say(Rule::Disk, &|| format!("{} free for {what}, {} wanted", bytes(free), bytes(least)));
                }
            }
        }
    }

    fn check_package(&self, row: &DroneRow, want: &Want<'_>, say: &mut Say<'_>) {
        let build = want.build;
        match (row.is_sweeper(), is_for_sweepers(build)) {
            (true, false) => say(Rule::NotSweeper, &|| "a sweeper takes blocked packages only".to_owned()),
            (false, true) => say(Rule::NotBlocked, &|| "it is blocked: only a sweeper may try it".to_owned()),
            _ => {}
        }
        if row.build_profile != build.profile {
            say(Rule::Profile, &|| format!("serves the build profile {}, not {}", row.build_profile, build.profile));
        } else if !build.arch.is_empty() && row.arch != build.arch {
            say(Rule::Arch, &|| format!("is {}, the package was planned for {}", row.arch, build.arch));
        } else if row.base != build.base {
            say(Rule::Base, &|| {
                "its Portage profile, CHOST, CFLAGS or installed set differs from the planner's".to_owned()
            });
        } else if row.tree != build.tree {
            say(Rule::Tree, &|| "its ebuild tree is not the one the package was planned on".to_owned());
        }
        let lacks = |tag: &&&str| !row.tags.iter().any(|has| has == **tag);
        let lacking: Vec<&str> = want.tags.iter().filter(lacks).copied().collect();
        if !lacking.is_empty() {
            say(Rule::Tags, &|| format!("lacks the tags {}", lacking.join(" ")));
        }
        let lacking: Vec<&str> =
            build.wishes.features.iter().filter(|wish| !row.features.contains(wish)).map(String::as_str).collect();
        if !lacking.is_empty() {
            say(Rule::Features, &|| format!("its Portage lacks FEATURES {}", lacking.join(" ")));
        }
        let memory = want.memory;
        if memory > row.ram_bytes && row.ram_bytes > 0 {
            say(Rule::Memory, &|| format!("it takes {}, the drone has {}", bytes(memory), bytes(row.ram_bytes)));
        }
        for mark in &build.marks {
            if self.lacks_the_same(row, mark) {
                say(Rule::MoreOfWhatLacked, &|| {
                    format!(
                        "{} on {} with {}; another drone has more",
                        mark.class.name(),
                        mark.drone_name,
                        bytes(mark.had_bytes)
                    )
                });
            } else if self.rules_out(row, mark) {
                say(Rule::NotFailedHere, &|| format!("failed here: {}", mark.message));
            }
        }
    }

    /// Orders a drone gets beyond its slots: as many as the settings say and it takes. Sweepers get none.
    pub(crate) fn beyond_slots(&self, row: &DroneRow) -> usize {
        if row.is_sweeper() {
            return 0;
        }
        self.settings.prefetch.min(row.waiting.unwrap_or(u32::MAX)) as usize
    }

    /// Builds a drone has.
    pub(crate) fn held_count(&self, drone: &DroneId) -> usize {
        self.soft.fleet.hands.count(drone)
    }

    /// Whether an earlier failure keeps the package from a drone.
    fn rules_out(&self, row: &DroneRow, mark: &FailureMark) -> bool {
        if mark.drone != row.id {
            return false;
        }
        match mark.culprit {
            Culprit::Package => true,
            Culprit::Drone => {
                let recent = self.now.at < mark.at + self.settings.drone_retry_after;
                recent && self.others(row).next().is_some()
            }
            Culprit::Fleet | Culprit::Operator => false,
        }
    }

    /// Memory or disk was too little, this drone has no more of it than was there, and another one has more than this one.
    fn lacks_the_same(&self, row: &DroneRow, mark: &FailureMark) -> bool {
        let has = |row: &DroneRow| match mark.class {
            FailureClass::OutOfMemory => row.ram_bytes,
            FailureClass::DiskFull => self.soft.fleet.pulse(&row.id).map_or(0, |pulse| pulse.vitals.disk_build_free),
            _ => 0,
        };
        mark.had_bytes > 0
            && matches!(mark.class, FailureClass::OutOfMemory | FailureClass::DiskFull)
            && has(row) <= mark.had_bytes
            && self.others(row).any(|other| has(other) > has(row) && has(other) >= mark.had_bytes)
    }

    /// Other drones that are there and could take a package from this one.
    fn others<'a>(&'a self, row: &'a DroneRow) -> impl Iterator<Item = &'a DroneRow> {
        self.rows.drones.iter().filter(|other| {
            other.id != row.id
                && other.base == row.base
                && other.is_sweeper() == row.is_sweeper()
                && self.is_around(other)
        })
    }

    /// A drone's worker is there and well.
    pub(crate) fn is_worker_ready(&self, row: &DroneRow) -> bool {
        worker_trouble(row, self.soft.fleet.pulse(&row.id)).is_none()
    }

    /// Its heartbeats are heard.
    pub(crate) fn is_online(&self, row: &DroneRow) -> bool {
        self.soft.fleet.is_online(&row.id)
    }

    /// Online, and no person keeps it from work.
    pub(crate) fn is_around(&self, row: &DroneRow) -> bool {
        self.is_online(row) && row.paused.is_none() && row.draining.is_none() && row.drained.is_none()
    }
}

fn worker_trouble(row: &DroneRow, pulse: Option<&Pulse>) -> Option<&'static str> {
    match pulse.map(|pulse| pulse.worker) {
        _ if row.worker.is_none() => Some("its worker has not said hello"),
        Some(WorkerState::Hung) => Some("its worker does not answer"),
        Some(WorkerState::Down) => Some("its worker is down"),
        Some(WorkerState::Failing) => Some("its worker ends again and again"),
        _ => None,
    }
}

/// What keeps a drone from work, by a person or by the swarm.
pub(crate) fn facts(row: &DroneRow) -> impl Iterator<Item = (Rule, &'static str, &Fact)> {
    let facts = [
        (Rule::NotPaused, "paused", &row.paused),
        (Rule::NotDraining, "draining", &row.draining),
        (Rule::NotDraining, "drained", &row.drained),
        (Rule::NotGrounded, "grounded", &row.grounded),
        (Rule::UploadsWork, "uploads impaired", &row.upload_impaired),
    ];
    facts.into_iter().filter_map(|(rule, word, fact)| Some((rule, word, fact.as_ref()?)))
}

/// Blocked by its failures, or in a sweeper's hands for that.
fn is_for_sweepers(build: &BuildRow) -> bool {
    match &build.state {
        BuildState::Blocked { by, .. } => matches!(by, BlockedBy::Failures { .. }),
        BuildState::Delegated { assignment } => assignment.sweep.is_some(),
        _ => false,
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_048_576 => format!("{} KiB", count >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", count >> 20),
        _ => format!("{}.{} GiB", count >> 30, (count >> 20) % 1024 * 10 / 1024),
    }
}
