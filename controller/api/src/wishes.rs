//! The operator's wishes for a drone: what 0.4 called its configuration. Passwords have no place here.

use serde::{Deserialize, Serialize};
use swarm_core::view::DroneView;
use utoipa::ToSchema;

use super::number::moment;

/// What is wished for a drone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DroneWishes {
    /// Name of the drone.
    pub node_name: String,
    /// SSH user; without one SSH is no way to it.
    pub ssh_user: Option<String>,
    /// SSH address; the one the drone shows if null.
    pub ssh_host: Option<String>,
    /// SSH port; 22 if null.
    pub ssh_port: Option<u16>,
    /// Private key on the controller; its user's own if null.
    pub ssh_key_path: Option<String>,
    /// SSH host keys by the operator's word.
    pub ssh_host_keys: Option<Vec<String>>,
    /// SSH host keys the drone joined with; they count if the operator gave none.
    pub ssh_host_keys_learned: Vec<String>,
    /// SSH host keys it names now, where they are not the ones it is known by. Not used.
    pub ssh_host_keys_offered: Vec<String>,
    /// Number or name on the hypervisor.
    pub vmid: Option<String>,
    /// May be rebooted, if its type and its own configuration allow it; yes if null.
    pub auto_reboot: Option<bool>,
    /// Never rebooted.
    pub protected: bool,
    /// Name for people.
    pub display_name: Option<String>,
    /// Whatever the operator wants to remember.
    pub notes: Option<String>,
    /// When it was last changed.
    pub updated_at: Option<f64>,
}

impl DroneWishes {
    /// A drone's.
    pub fn new(view: &DroneView) -> Self {
        let wishes = view.wishes.clone().unwrap_or_default();
        Self {
            node_name: view.row.name.clone(),
            ssh_user: wishes.ssh_user,
            ssh_host: wishes.ssh_host,
            ssh_port: wishes.ssh_port,
            ssh_key_path: wishes.ssh_key_path,
            ssh_host_keys: wishes.ssh_host_keys,
            ssh_host_keys_learned: view.row.ssh_host_keys.clone(),
            ssh_host_keys_offered: view.row.ssh_host_keys_offered.clone(),
            vmid: wishes.vmid,
            auto_reboot: wishes.auto_reboot,
            protected: wishes.protected,
            display_name: wishes.display_name,
            notes: wishes.notes,
            updated_at: moment(wishes.updated_at),
        }
    }
}

/// The wishes of all drones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AllWishes {
    /// By name.
    pub drones: Vec<DroneWishes>,
}
