//! The ladder: where drones stand on it, and what was done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_core::rows::{Deed, HealingRow};
use swarm_core::view::{DroneView, View};
use utoipa::ToSchema;

use super::life::{latency, presence, probe, worker_name};
use super::number::{moment, number, seconds};
use super::ping::LastPing;

/// Where all drones stand on the ladder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Escalations {
    /// Something is done about drones that do not work.
    pub monitor_running: bool,
    /// By name.
    pub drones: BTreeMap<String, Escalation>,
}

/// Where a drone stands on the ladder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Escalation {
    /// Identity.
    pub drone_id: String,
    /// Name.
    pub name: String,
    /// `online` or `offline`.
    pub status: String,
    /// The type that counts.
    pub drone_type: String,
    /// 0 to 4.
    pub level: u8,
    /// The same by the name 0.4's clients use.
    pub escalation_level: u8,
    /// Orders given in the open incident.
    pub attempts: u32,
    /// What was done last, by whomever: `restart_service`, `hard_restart`, `reboot_container`.
    pub last_action: Option<String>,
    /// When.
    pub last_escalation_at: Option<f64>,
    /// When it was last pinged.
    pub last_ping_at: Option<f64>,
    /// The last round trip.
    pub ping_latency_ms: Option<f64>,
    /// What is wrong with it.
    pub why: Option<String>,
    /// Since when.
    pub since: Option<f64>,
    /// Why nothing is done just now.
    pub held: Option<String>,
    /// What is being done at this moment.
    pub acting: Option<String>,
}

impl Escalation {
    /// A drone's.
    pub fn new(view: &DroneView) -> Self {
        let row = view.health.row.as_ref();
        let incident = row.and_then(|row| row.incident.as_ref());
        let last = row.and_then(|row| row.last.as_ref());
        Self {
            drone_id: view.row.id.0.clone(),
            name: view.row.name.clone(),
            status: presence(view),
            drone_type: view.row.drone_type().name().to_owned(),
            level: view.health.level(),
            escalation_level: view.health.level(),
            attempts: incident.map_or(0, |incident| incident.attempts),
            last_action: last.map(|deed| deed.rung.name().to_owned()),
            last_escalation_at: last.map(|deed| seconds(deed.at)),
            last_ping_at: moment(view.health.last_ping),
            ping_latency_ms: latency(view),
            why: incident.map(|incident| incident.why.clone()),
            since: incident.map(|incident| seconds(incident.since)),
            held: incident.and_then(|incident| incident.held.clone()),
            acting: row.and_then(|row| row.acting.as_ref()).map(|acting| acting.rung.name().to_owned()),
        }
    }
}

/// Something that was done to a drone, or that it was tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeedView {
    /// `restart_service`, `hard_restart` or `reboot_container`.
    pub action: String,
    /// `bus`, `ssh` or `hypervisor`.
    pub route: String,
    /// `done`, `dry-run`, `refused`, `failed`, `timed-out` or `unknown`.
    pub outcome: String,
    /// For people.
    pub detail: String,
    /// Who wanted it; `swarm` is the ladder itself.
    pub by: String,
    /// When it ended.
    pub at: f64,
}

impl From<&Deed> for DeedView {
    fn from(deed: &Deed) -> Self {
        Self {
            action: deed.rung.name().to_owned(),
            route: deed.route.name().to_owned(),
            outcome: deed.outcome.name().to_owned(),
            detail: deed.detail.clone(),
            by: deed.by.clone(),
            at: seconds(deed.at),
        }
    }
}

/// The last stored answer to a ping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbeView {
    /// `ok`, or `missed` if pings are missed since.
    pub status: String,
    /// Load of the last minute.
    pub load: f64,
    /// Room taken where it builds, percent.
    pub disk_percent: f64,
    /// Memory in use, percent.
    pub mem_percent: f64,
    /// It built.
    pub emerge_running: bool,
    /// Its worker.
    pub worker: String,
    /// Seconds since its boot.
    pub uptime_seconds: u64,
}

/// All about one drone and the ladder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneEscalation {
    /// Name.
    pub drone: String,
    /// `online` or `offline`.
    pub status: String,
    /// The type that counts.
    pub drone_type: String,
    /// By its own detection.
    pub detected_type: String,
    /// By the operator's word.
    pub type_override: Option<String>,
    /// Why it was detected so.
    pub evidence: Vec<String>,
    /// What its own configuration says of reboots: `auto`, `never`, `dry-run`.
    pub own_reboot: String,
    /// 0 to 4.
    pub escalation_level: u8,
    /// When something was last done to it.
    pub last_escalation_at: Option<f64>,
    /// Orders given in the open incident.
    pub escalation_attempts: u32,
    /// Its last stored answer.
    pub last_probe_result: Option<ProbeView>,
    /// When that was.
    pub last_probe_at: Option<f64>,
    /// What is wrong.
    pub why: Option<String>,
    /// Since when.
    pub since: Option<f64>,
    /// Why nothing is done just now.
    pub held: Option<String>,
    /// The next level not before.
    pub next_not_before: Option<f64>,
    /// What is being done at this moment.
    pub acting: Option<String>,
    /// What was tried in the open incident, oldest first.
    pub deeds: Vec<DeedView>,
    /// What was done last, by whomever.
    pub last: Option<DeedView>,
    /// Incidents so far.
    pub incidents: u64,
    /// The last recovery: how long it took.
    pub last_time_to_recovery_s: Option<f64>,
    /// Reboots within the last day.
    pub reboots_today: u64,
    /// Pings.
    pub ping: LastPing,
}

impl DroneEscalation {
    /// A drone's.
    pub fn new(drone: &DroneView, view: &View) -> Self {
        let brief = Escalation::new(drone);
        let row = drone.health.row.clone().unwrap_or_default();
        let day = view.now.at.saturating_sub(24 * 3_600_000);
        let incident = row.incident.as_ref();
        let wait = incident.filter(|incident| incident.wait_until > view.now.at);
        Self {
            drone: brief.name,
            status: brief.status,
            drone_type: brief.drone_type,
            detected_type: drone.row.detected_type.name().to_owned(),
            type_override: drone.row.type_override.map(|kind| kind.name().to_owned()),
            evidence: drone.row.evidence.clone(),
            own_reboot: drone.row.own_reboot.name().to_owned(),
            escalation_level: brief.level,
            last_escalation_at: brief.last_escalation_at,
            escalation_attempts: brief.attempts,
            last_probe_result: probe_of(drone),
            last_probe_at: moment(probe(drone).map_or(0, |probe| probe.at)),
            why: brief.why,
            since: brief.since,
            held: brief.held,
            next_not_before: wait.map(|incident| seconds(view.wall_of(incident.wait_until))),
            acting: brief.acting,
            deeds: incident.map(|incident| incident.deeds.iter().map(DeedView::from).collect()).unwrap_or_default(),
            last: row.last.as_ref().map(DeedView::from),
            incidents: row.incidents,
            last_time_to_recovery_s: row.recovered.map(|last| seconds(last.took_ms)),
            reboots_today: row.reboots.iter().filter(|at| **at >= day).count() as u64,
            ping: LastPing::new(drone),
        }
    }
}

fn probe_of(drone: &DroneView) -> Option<ProbeView> {
    let probe = probe(drone)?;
    let status = if drone.health.misses == 0 { "ok" } else { "missed" };
    Some(ProbeView {
        status: status.to_owned(),
        load: number(probe.load_1m),
        disk_percent: number(probe.disk_percent),
        mem_percent: number(probe.mem_percent),
        emerge_running: probe.builds > 0,
        worker: worker_name(probe.worker).to_owned(),
        uptime_seconds: probe.uptime_s,
    })
}

/// The ladder of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealingStatus {
    /// Something is done about drones that do not work.
    pub monitor_running: bool,
    /// Between two pings of a drone.
    pub probe_interval_s: f64,
    /// When a drone was last pinged.
    pub last_probe_at: Option<f64>,
    /// Drones per level: `level_0` to `level_4`.
    pub escalation_summary: BTreeMap<String, u64>,
    /// By name.
    pub drones: Vec<Escalation>,
    /// Mean of the last round trips.
    pub average_latency_ms: f64,
    /// More than half of the fleet is silent, so nothing is done: since when.
    pub cut_off_since: Option<f64>,
    /// The controller has just started, so nothing is done.
    pub in_grace: bool,
    /// Channels by which people are told.
    pub channels: Vec<String>,
    /// What was done lately, newest first.
    pub last_deeds: Vec<DroneDeed>,
}

/// Something that was done, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneDeed {
    /// Name of the drone.
    pub drone: String,
    /// What.
    pub deed: DeedView,
}

/// Failures, groundings and probes of all drones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneHealthList {
    /// By name.
    pub drones: Vec<DroneHealthEntry>,
}

/// Failures, grounding and probe of one drone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneHealthEntry {
    /// Name.
    pub drone: String,
    /// Identity.
    pub drone_id: String,
    /// Name.
    pub name: String,
    /// Address.
    pub ip: String,
    /// `online` or `offline`.
    pub status: String,
    /// Failures in a row that were its fault.
    pub failures: u32,
    /// Uploads in a row that failed.
    pub upload_failures: u32,
    /// Until when the swarm keeps it from work.
    pub grounded_until: Option<f64>,
    /// Until when it gets no work because its uploads fail.
    pub upload_impaired_until: Option<f64>,
    /// It was rebooted within the last day.
    pub rebooted: bool,
    /// Since when it is grounded or impaired.
    pub last_failure: Option<f64>,
    /// Its last stored answer to a ping.
    pub last_probe: Option<ProbeView>,
    /// When that was.
    pub last_probe_at: Option<f64>,
    /// 0 to 4.
    pub escalation_level: u8,
    /// When something was last done to it.
    pub last_escalation_at: Option<f64>,
    /// Orders given in the open incident.
    pub escalation_attempts: u32,
}

impl DroneHealthEntry {
    /// A drone's.
    pub fn new(drone: &DroneView, view: &View) -> Self {
        let all = DroneEscalation::new(drone, view);
        let row = &drone.row;
        let until = |fact: &Option<swarm_core::rows::Fact>| {
            fact.as_ref().and_then(|fact| fact.until).map(|at| seconds(view.wall_of(at)))
        };
        let fact = row.grounded.as_ref().or(row.upload_impaired.as_ref());
        Self {
            drone: row.name.clone(),
            drone_id: row.id.0.clone(),
            name: row.name.clone(),
            ip: row.address.clone(),
            status: all.status,
            failures: row.streaks.failures,
            upload_failures: row.streaks.uploads,
            grounded_until: until(&row.grounded),
            upload_impaired_until: until(&row.upload_impaired),
            rebooted: all.reboots_today > 0,
            last_failure: row.streaks.last_at.or(fact.map(|fact| fact.since)).map(seconds),
            last_probe: all.last_probe_result,
            last_probe_at: all.last_probe_at,
            escalation_level: all.escalation_level,
            last_escalation_at: all.last_escalation_at,
            escalation_attempts: all.escalation_attempts,
        }
    }
}

/// The ladder of a drone was reset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResetDone {
    /// `reset`.
    pub status: String,
    /// Its name.
    pub name: String,
    /// The same.
    pub drone: String,
    /// Its level before.
    pub previous_level: u8,
    /// 0.
    pub current_level: u8,
}

/// A type to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TypeBody {
    /// `lxc`, `qemu`, `bare-metal` or `unknown`; `auto` takes the operator's word back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drone_type: Option<String>,
    /// The same by the other name 0.4's clients use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

/// A type was set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TypeDone {
    /// `ok`.
    pub status: String,
    /// Name of the drone.
    pub name: String,
    /// The type that counts now.
    pub drone_type: String,
}

/// A level by hand is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActOrdered {
    /// `ordered`; what became of it is in the drone's escalation.
    pub status: String,
    /// Name of the drone.
    pub drone: String,
    /// `restart_service`, `hard_restart` or `reboot_container`.
    pub action: String,
    /// Number of the order.
    pub generation: Option<u64>,
    /// Its level before.
    pub previous_level: u8,
}

/// How hard to restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestartBody {
    /// Level 2 instead of level 1: the worker is killed.
    #[serde(default)]
    pub hard: bool,
}

/// What was done last to any drone, newest first.
pub fn last_deeds(view: &View, most: usize) -> Vec<DroneDeed> {
    let of = |drone: &DroneView, row: &HealingRow| -> Vec<DroneDeed> {
        let name = drone.row.name.clone();
        let in_incident = row.incident.iter().flat_map(|incident| &incident.deeds);
        let mut deeds: Vec<&Deed> = in_incident.collect();
        deeds.extend(row.last.iter().filter(|last| !deeds.contains(last)).collect::<Vec<_>>());
        deeds.into_iter().map(|deed| DroneDeed { drone: name.clone(), deed: deed.into() }).collect()
    };
    let drones = view.drones.values().filter_map(|drone| Some(of(drone, drone.health.row.as_ref()?)));
    let mut deeds: Vec<DroneDeed> = drones.flatten().collect();
    deeds.sort_by(|one, other| other.deed.at.total_cmp(&one.deed.at));
    deeds.truncate(most);
    deeds
}
