//! Health, readiness and the overview.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_core::view::DroneView;
use utoipa::ToSchema;

use super::fleet::{self, BuildProgress, Capabilities, DroneMetrics};
use super::history::Timing;
use super::life::{last_seen, presence};
use super::number::moment;
use super::session::Session;

/// Whether the controller lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `hung`.
    pub status: String,
    /// Version of the controller.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: f64,
}

/// Whether the controller can do its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// `ready` or `not ready`.
    pub status: String,
    /// Whether it can.
    pub ready: bool,
    /// What is missing, in sentences.
    pub reasons: Vec<String>,
}

/// The overview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// To be built.
    pub needed: u64,
    /// In a drone's hands.
    pub delegated: u64,
    /// In the binhost.
    pub received: u64,
    /// Blocked.
    pub blocked: u64,
    /// Given up.
    pub failed: u64,
    /// All entries.
    pub total: u64,
    /// Needed ones that wait for a dependency.
    pub waiting: u64,
    /// needed + delegated.
    pub queue_depth: u64,
    /// received, under its other name.
    pub queue_received: u64,
    /// blocked, under its other name.
    pub queue_blocked: u64,
    /// Drones known.
    pub nodes: usize,
    /// Drones online.
    pub nodes_online: usize,
    /// Processors of the drones online.
    pub total_cores: u64,
    /// The swarm is paused.
    pub paused: bool,
    /// Since when most of the fleet is not heard, so that nobody is judged; null otherwise.
    pub cut_off: Option<f64>,
    /// Seconds until everything that is not blocked is likely to be built, in all sessions; null if that can't be told.
    pub eta_s: Option<f64>,
    /// The active session.
    pub session: Option<Session>,
    /// Some of the queue by state.
    pub packages: StatusPackages,
    /// What is given out next: needed packages that wait for nothing but a drone, in that order, at most 50.
    pub next: Vec<String>,
    /// Packages that are blocked or have failed, with the reason, the newest first, at most 50.
    pub troubles: Vec<Trouble>,
    /// What keeps the swarm from its work, in sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The fleet by name.
    pub drones: BTreeMap<String, StatusDrone>,
    /// Failures by name; only drones that have some.
    pub drone_health: BTreeMap<String, DroneHealth>,
    /// Sums over the history.
    pub timing: Timing,
    /// Version of the controller.
    pub version: String,
}

/// Some of the queue by state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusPackages {
    /// The first ten that are needed.
    pub needed: Vec<String>,
    /// What is delegated, and to whom.
    pub delegated: BTreeMap<String, DelegatedTo>,
    /// Blocked ones, at most 200.
    pub blocked: Vec<String>,
}

/// A package that needs a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// With `=`.
    pub package: String,
    /// `blocked` or `failed`.
    pub status: String,
    /// Number of the build.
    pub build: u64,
    /// The last of its reasons.
    pub reason: String,
    /// Since when.
    pub since: f64,
    /// Whether it will be tried again by itself.
    pub will_retry: bool,
    /// Packages that wait for it.
    pub waiting: usize,
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DelegatedTo {
    /// Name of the drone.
    pub drone: String,
}

/// A drone in the overview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusDrone {
    /// Name.
    pub name: String,
    /// Address.
    pub ip: String,
    /// `online` or `offline`.
    pub status: String,
    /// The package it builds.
    pub current_task: Option<String>,
    /// Everything it has.
    pub assigned_packages: Vec<String>,
    /// Everything it builds.
    pub build_progress: Vec<BuildProgress>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its condition.
    pub metrics: DroneMetrics,
    /// Last sign of life.
    pub last_seen: Option<f64>,
    /// Whether a person paused it.
    pub paused: bool,
}

impl StatusDrone {
    /// A drone at the wall clock `now` (Unix milliseconds).
    pub fn new(view: &DroneView, now: u64) -> Self {
        Self {
            name: view.row.name.clone(),
            ip: view.row.address.clone(),
            status: presence(view),
            current_task: fleet::current_task(view),
            assigned_packages: fleet::assigned(view),
            build_progress: fleet::progress(view, now),
            capabilities: fleet::capabilities(view),
            metrics: fleet::metrics(view),
            last_seen: moment(last_seen(view)),
            paused: view.row.paused.is_some(),
        }
    }
}

/// Failures of a drone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneHealth {
    /// In a row that were its fault.
    pub failures: u32,
    /// Uploads in a row that failed.
    pub upload_failures: u32,
    /// The swarm keeps it from work.
    pub grounded: bool,
    /// Why.
    pub reason: Option<String>,
}

impl DroneHealth {
    /// Failures of a drone that has some.
    pub fn new(view: &DroneView) -> Option<Self> {
        let row = &view.row;
        let fact = row.grounded.as_ref().or(row.upload_impaired.as_ref());
        let has_some = row.streaks.failures > 0 || row.streaks.uploads > 0 || fact.is_some();
        has_some.then(|| Self {
            failures: row.streaks.failures,
            upload_failures: row.streaks.uploads,
            grounded: row.grounded.is_some(),
            reason: fact.map(|fact| fact.reason.clone()),
        })
    }
}
