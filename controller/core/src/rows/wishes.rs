//! What the operator wants of one drone. A drone about which nothing was wished has none.

use serde::{Deserialize, Serialize};
use swarm_protocol::DroneId;

use crate::table::Row;

/// The operator's wishes for a drone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroneWishesRow {
    /// Which drone.
    pub drone: DroneId,
    /// It is never rebooted, whatever happens.
    #[serde(default)]
    pub protected: bool,
    /// Whether it may be rebooted, if its type allows it; unset is yes.
    #[serde(default)]
    pub auto_reboot: Option<bool>,
    /// Its number or name on the hypervisor, for `{vmid}`.
    #[serde(default)]
    pub vmid: Option<String>,
    /// SSH user; without it SSH is no way to this drone.
    #[serde(default)]
    pub ssh_user: Option<String>,
    /// Address for SSH; the one it shows if not set.
    #[serde(default)]
    pub ssh_host: Option<String>,
    /// Port for SSH; 22 if not set.
    #[serde(default)]
    pub ssh_port: Option<u16>,
    /// Private key on the controller; its user's own if not set.
    #[serde(default)]
    pub ssh_key_path: Option<String>,
    /// SSH host keys by the operator's word, `type base64`; win over those the drone named.
    #[serde(default)]
    pub ssh_host_keys: Option<Vec<String>>,
    /// Name for people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Whatever the operator wants to remember.
    #[serde(default)]
    pub notes: Option<String>,
    /// Wall clock of the last change, Unix milliseconds.
    #[serde(default)]
    pub updated_at: u64,
}

impl Row for DroneWishesRow {
    type Key = DroneId;
    const TABLE: &'static str = "wishes";
    fn key(&self) -> DroneId {
        self.drone.clone()
    }
}
