//! What only administrators see.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::Event;
use super::fleet::ControllerVersion;
use super::history::HistoryEntry;

/// The process and its places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemInfo {
    /// Version of the controller.
    pub version: String,
    /// Its name.
    pub name: String,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// The same for people: `2d 3h 4m`.
    pub uptime_human: String,
    /// When it was started.
    pub started_at: f64,
    /// Its process number.
    pub pid: u32,
    /// Its data directory.
    pub data_dir: String,
    /// The store's file.
    pub db_path: String,
    /// Its size in MiB.
    pub db_size_mb: f64,
    /// The public port.
    pub control_plane_port: u16,
    /// The administrators' port.
    pub admin_port: u16,
    /// Base address of the public port.
    pub public_url: String,
    /// Address of the bus.
    pub bus_url: String,
    /// Whether the bus is reached.
    pub bus_connected: bool,
    /// File of the controller's own log.
    pub log_path: Option<String>,
    /// Drones known.
    pub nodes: usize,
    /// Drones online.
    pub nodes_online: usize,
}

/// The key is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthCheck {
    /// `true`.
    pub authenticated: bool,
    /// Version of the controller.
    pub version: String,
    /// Who asks, as they say themselves.
    pub actor: String,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Its value as text.
    pub value: String,
    /// When it was changed at run time; null if it is as configured.
    pub updated_at: Option<f64>,
    /// Who changed it.
    pub updated_by: Option<String>,
    /// What it does.
    pub description: String,
}

/// All settings that may change, by key.
pub type AllSettings = BTreeMap<String, Setting>;

/// A setting to change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingBody {
    /// Which.
    pub key: String,
    /// Text, a number or true/false; null gives it back to the configuration file.
    #[schema(value_type = Option<String>)]
    pub value: serde_json::Value,
}

/// A setting was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingDone {
    /// `ok`, or `no_change`.
    pub status: String,
    /// Which.
    pub key: String,
    /// What holds now.
    pub value: String,
}

/// The controller's own log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnLogAnswer {
    /// Its file; empty if it is kept in memory alone.
    pub path: String,
    /// The last lines, oldest first.
    pub lines: Vec<String>,
}

/// What a drone did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneLog {
    /// Its name.
    pub drone: String,
    /// Its events, oldest first.
    pub events: Vec<Event>,
    /// Its attempts that ended, newest first.
    pub builds: Vec<HistoryEntry>,
}

/// What each drone runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneVersions {
    /// The controller.
    pub control_plane: ControllerVersion,
    /// The drones, by name.
    pub drones: Vec<DroneVersion>,
}

/// What one drone runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneVersion {
    /// Name.
    pub name: String,
    /// Address.
    pub ip: String,
    /// Version of its agent.
    pub version: String,
    /// Whether it is online.
    pub online: bool,
    /// Whether agent and controller are of the same version.
    pub is_current: bool,
    /// Version of its Portage.
    pub portage_version: String,
    /// Unix seconds of its ebuild tree, if known.
    pub portage_timestamp: Option<u64>,
}
