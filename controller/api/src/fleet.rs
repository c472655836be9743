//! Drones as clients of 0.4 know them (there: nodes).

use serde::{Deserialize, Serialize};
use swarm_core::forecast::remaining_ms;
use swarm_core::healing::never_rebooted;
use swarm_core::rows::Fact;
use swarm_core::view::{DroneView, TaskView};
use swarm_protocol::report::Phase;
use utoipa::ToSchema;

use super::life::{is_online, last_pong, last_seen, latency, presence, worker_name};
use super::number::{gib, moment, number, percent, seconds};

/// A drone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Drone {
    /// Identity.
    pub id: String,
    /// Name.
    pub name: String,
    /// Address.
    pub ip: String,
    /// Not known to this version; always null.
    pub tailscale_ip: Option<String>,
    /// `drone` or `sweeper`.
    pub r#type: String,
    /// `lxc`, `qemu`, `bare-metal` or `unknown`.
    pub drone_type: String,
    /// Logical processors.
    pub cores: u32,
    /// Memory in GiB.
    pub ram_gb: f64,
    /// `online` or `offline`.
    pub status: String,
    /// Whether it is online.
    pub online: bool,
    /// Whether a person paused it.
    pub paused: bool,
    /// Last sign of life.
    pub last_seen: Option<f64>,
    /// Last ping sent.
    pub last_ping_at: Option<f64>,
    /// Last pong received.
    pub last_pong_at: Option<f64>,
    /// Round trip of the last ping.
    pub ping_latency_ms: Option<f64>,
    /// Where it stands on the ladder: 0 is well, 4 is in a person's hands.
    pub escalation_level: u8,
    /// The operator's name for it.
    pub display_name: Option<String>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its condition.
    pub metrics: DroneMetrics,
    /// The package it builds, with `=`.
    pub current_task: Option<String>,
    /// Version of its agent.
    pub version: String,
    /// When it was first seen.
    pub created_at: f64,
    /// Processor use.
    pub cpu_percent: f64,
    /// Memory use.
    pub ram_percent: f64,
    /// Everything it has, with `=`.
    pub assigned_packages: Vec<String>,
    /// Everything it builds.
    pub build_progress: Vec<BuildProgress>,
    /// Builds that ended well, ever.
    pub builds_completed: u64,
    /// Builds that failed, ever.
    pub builds_failed: u64,
    /// What holds for it, with who, why and since when.
    pub facts: DroneFacts,
    /// `alive`, `starting`, `hung`, `down`, `failing` (it keeps ending) or `unknown`.
    pub worker: String,
    /// The build profile it serves.
    pub build_profile: String,
    /// Gentoo's ARCH.
    pub arch: String,
    /// Operator's tags.
    pub tags: Vec<String>,
    /// Builds at a time.
    pub slots: u32,
    /// FEATURES of its Portage.
    pub features: Vec<String>,
    /// How fast it is compared with others on the same packages; 1 is ordinary, null not known yet.
    pub speed: Option<f64>,
    /// Seconds until it is likely to begin one more package.
    pub free_in_s: f64,
    /// Since when it brings its ebuild tree up to date.
    pub syncing_since: Option<f64>,
}

/// What a drone can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Capabilities {
    /// Logical processors.
    pub cores: u32,
    /// Memory in GiB.
    pub ram_gb: f64,
    /// It may be rebooted by the swarm: by its type, its own configuration and the operator's wishes.
    pub auto_reboot: bool,
    /// Unix seconds of its ebuild tree.
    pub portage_timestamp: Option<u64>,
    /// Version of Portage.
    pub portage_version: String,
    /// CHOST.
    pub chost: String,
}

/// Condition of a drone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneMetrics {
    /// Processor use.
    pub cpu_percent: f64,
    /// Memory use.
    pub ram_percent: f64,
    /// Load, one minute.
    pub load_1m: f64,
    /// Use of the disk it builds on.
    pub disk_percent: f64,
    /// Free GiB where it builds.
    pub disk_free_gb: f64,
    /// Pressure on processors (PSI some avg60).
    pub psi_cpu: f64,
    /// Pressure on memory (PSI some avg60).
    pub psi_memory: f64,
    /// Pressure on disks (PSI some avg60).
    pub psi_io: f64,
    /// Seconds since its boot.
    pub uptime_seconds: u64,
}

/// How far a package is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildProgress {
    /// With `=`.
    pub package: String,
    /// When emerge began.
    pub building_since: Option<f64>,
    /// Seconds since then; 0 before.
    pub elapsed_s: f64,
    /// Seconds it is likely to take in all, if it was built before.
    pub estimated_s: Option<f64>,
    /// 0 to 99; 0 if there is no estimate.
    pub progress_pct: f64,
    /// Seconds until it is likely to have ended, if it was built before.
    pub eta_s: Option<f64>,
    /// Where it stands.
    pub phase: String,
    /// Number of the build.
    pub build: u64,
    /// Attempt.
    pub attempt: u32,
}

/// What holds for a drone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneFacts {
    /// A person paused it.
    pub paused: Option<DroneFact>,
    /// A person drains it.
    pub draining: Option<DroneFact>,
    /// The swarm grounded it.
    pub grounded: Option<DroneFact>,
    /// It was drained and is empty; it stays out until it is resumed.
    pub drained: Option<DroneFact>,
    /// Its uploads fail.
    pub upload_impaired: Option<DroneFact>,
}

/// Who, why, since when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneFact {
    /// Who made it so.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: f64,
}

impl From<&Fact> for DroneFact {
    fn from(fact: &Fact) -> Self {
        Self { by: fact.by.clone(), reason: fact.reason.clone(), since: seconds(fact.since) }
    }
}

/// The answer to `format=legacy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegacyDrones {
    /// The drones.
    pub drones: Vec<Drone>,
    /// There are none.
    pub orchestrators: Vec<serde_json::Value>,
}

/// Who runs which version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Versions {
    /// The controller.
    pub control_plane: ControllerVersion,
    /// The drones.
    pub drones: Vec<Version>,
}

/// Where the controller is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Orchestrator {
    /// Host part of its base address.
    pub ip: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its port for administrators; null if there is none.
    #[serde(default)]
    pub admin_port: Option<u16>,
}

/// The controller's version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ControllerVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `online`.
    pub status: String,
}

/// A drone's version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Name.
    pub name: String,
    /// Address.
    pub ip: String,
    /// Version of its agent.
    pub version: String,
    /// Whether it is online.
    pub online: bool,
}

/// Its condition.
pub fn metrics(view: &DroneView) -> DroneMetrics {
    let vitals = &view.vitals;
    let used = vitals.disk_build_total.saturating_sub(vitals.disk_build_free);
    DroneMetrics {
        cpu_percent: number(vitals.cpu_percent),
        ram_percent: number(vitals.mem_percent),
        load_1m: number(vitals.load_1m),
        disk_percent: percent(used, vitals.disk_build_total),
        disk_free_gb: gib(vitals.disk_build_free),
        psi_cpu: number(vitals.psi_cpu),
        psi_memory: number(vitals.psi_memory),
        psi_io: number(vitals.psi_io),
        uptime_seconds: vitals.uptime_s,
    }
}

/// What it can do.
pub fn capabilities(view: &DroneView) -> Capabilities {
    Capabilities {
        cores: view.row.cores,
        ram_gb: gib(view.row.ram_bytes),
        auto_reboot: may_be_rebooted(view),
        portage_timestamp: view.row.tree_timestamp,
        portage_version: view.row.portage_version.clone(),
        chost: view.row.chost.clone(),
    }
}

fn may_be_rebooted(view: &DroneView) -> bool {
    never_rebooted(&view.row, view.wishes.as_ref()).is_none()
}

/// Everything it has, with `=`, in the order of the tasks.
pub fn assigned(view: &DroneView) -> Vec<String> {
    view.tasks.iter().map(|task| task.package.clone()).collect()
}

/// What runs there, at the wall clock `now` (Unix milliseconds).
pub fn progress(view: &DroneView, now: u64) -> Vec<BuildProgress> {
    view.tasks.iter().filter(|task| task.building_since.is_some()).map(|task| progress_of(task, now)).collect()
}

/// The package it builds.
pub fn current_task(view: &DroneView) -> Option<String> {
    view.tasks.iter().find(|task| task.building_since.is_some()).map(|task| task.package.clone())
}

fn progress_of(task: &TaskView, now: u64) -> BuildProgress {
    let elapsed = task.begun_at.map_or(0, |since| now.saturating_sub(since));
    let estimate = task.estimated_ms.filter(|&estimate| estimate > 0);
    BuildProgress {
        package: task.package.clone(),
        building_since: task.begun_at.map(seconds),
        elapsed_s: seconds(elapsed),
        estimated_s: estimate.map(seconds),
        progress_pct: estimate.map_or(0.0, |estimate| percent(elapsed, estimate).min(99.0)),
        eta_s: estimate.map(|estimate| seconds(remaining_ms(task, estimate, now))),
        phase: phase_name(task.phase),
        build: task.fence.build.0,
        attempt: task.fence.attempt.0,
    }
}

fn phase_name(phase: Phase) -> String {
    phase.name().to_owned()
}

impl Drone {
    /// A drone at the wall clock `now` (Unix milliseconds).
    pub fn new(view: &DroneView, now: u64) -> Self {
        let row = &view.row;
        let metrics = metrics(view);
        Self {
            id: row.id.0.clone(),
            name: row.name.clone(),
            ip: row.address.clone(),
            tailscale_ip: None,
            r#type: if row.is_sweeper() { "sweeper" } else { "drone" }.to_owned(),
            drone_type: row.drone_type().name().to_owned(),
            cores: row.cores,
            ram_gb: gib(row.ram_bytes),
            status: presence(view),
            online: is_online(view),
            paused: row.paused.is_some(),
            last_seen: moment(last_seen(view)),
            last_ping_at: moment(view.health.last_ping),
            last_pong_at: moment(last_pong(view)),
            ping_latency_ms: latency(view),
            escalation_level: view.health.level(),
            display_name: view.wishes.as_ref().and_then(|wishes| wishes.display_name.clone()),
            capabilities: capabilities(view),
            current_task: current_task(view),
            version: row.agent_version.clone(),
            created_at: seconds(row.created_at),
            cpu_percent: metrics.cpu_percent,
            ram_percent: metrics.ram_percent,
            metrics,
            assigned_packages: assigned(view),
            build_progress: progress(view, now),
            builds_completed: view.completed,
            builds_failed: view.failed,
            facts: DroneFacts {
                paused: row.paused.as_ref().map(DroneFact::from),
                draining: row.draining.as_ref().map(DroneFact::from),
                drained: row.drained.as_ref().map(DroneFact::from),
                grounded: row.grounded.as_ref().map(DroneFact::from),
                upload_impaired: row.upload_impaired.as_ref().map(DroneFact::from),
            },
            worker: worker_name(view.worker).to_owned(),
            build_profile: row.build_profile.clone(),
            arch: row.arch.clone(),
            tags: row.tags.clone(),
            slots: row.slots,
            features: row.features.clone(),
            speed: view.speed.map(|speed| f64::from(speed) / 1000.0),
            free_in_s: seconds(view.wait_ms),
            syncing_since: row.syncing.as_ref().map(|syncing| seconds(syncing.since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use swarm_core::rows::{DroneRow, DroneWishesRow};
    use swarm_core::view::{Health, Presence};
    use swarm_protocol::machine::{DroneType, RebootPolicy, Vitals, WorkerState};

    use super::*;

    fn seen(row: DroneRow, wishes: Option<DroneWishesRow>) -> DroneView {
        DroneView {
            row: Arc::new(row),
            presence: Presence::Online,
            last_heartbeat: 0,
            vitals: Vitals::default(),
            worker: WorkerState::Alive,
            tasks: Vec::new(),
            completed: 0,
            failed: 0,
            health: Health::default(),
            wishes,
            speed: None,
            wait_ms: 0,
        }
    }

    /// Every combination of what its type, its own configuration and its operator can say.
    #[test]
    fn a_drone_is_shown_as_one_that_may_be_rebooted_exactly_if_the_rules_would_reboot_it() {
        let types = [DroneType::Lxc, DroneType::Qemu, DroneType::BareMetal, DroneType::Unknown];
        let said: Vec<Option<DroneType>> = types.into_iter().map(Some).chain([None]).collect();
        let policies = [RebootPolicy::Auto, RebootPolicy::Never, RebootPolicy::DryRun, RebootPolicy::Unknown];
        let wish = |protected, auto_reboot| DroneWishesRow { protected, auto_reboot, ..DroneWishesRow::default() };
        let each =
            [false, true].into_iter().flat_map(|one| [None, Some(false), Some(true)].map(|auto| wish(one, auto)));
        let wishes: Vec<Option<DroneWishesRow>> = each.map(Some).chain([None]).collect();
        let row: DroneRow = serde_json::from_value(json!({
            "id": "U1", "name": "d1", "created_at": 0, "agent_version": "", "arch": "amd64", "cores": 1, "ram_bytes": 0,
            "address": "", "detected_type": "unknown", "slots": 1, "build_profile": "default", "chost": "", "base": "",
            "tree": "", "supervisor": "i1", "last_seen": 0
        }))
        .unwrap();
        let mut shown = 0;
        for (detected_type, type_override) in types.iter().flat_map(|one| said.iter().map(move |said| (*one, *said))) {
            for (own_reboot, wishes) in policies.iter().flat_map(|one| wishes.iter().map(move |wish| (*one, wish))) {
                let row = DroneRow { detected_type, type_override, own_reboot, ..row.clone() };
                let never = never_rebooted(&row, wishes.as_ref());
                let may = capabilities(&seen(row, wishes.clone())).auto_reboot;
                assert_eq!(
                    may,
                    never.is_none(),
                    "{detected_type:?} {type_override:?} {own_reboot:?} {wishes:?}: {never:?}"
                );
                shown += u32::from(may);
            }
        }
        // two types, each with the same word, the other's or none; all policies but "never"; three of seven wishes
        assert_eq!(shown, 2 * 3 * 3 * 3);
    }
}
