//! A drone as the swarm remembers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_protocol::machine::{DroneType, RebootPolicy};
use swarm_protocol::{DroneId, InstanceId};

use crate::table::Row;

/// A drone. What changes with every heartbeat is not here but in soft state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DroneRow {
    /// Its identity.
    pub id: DroneId,
    /// Its name for people; unique.
    pub name: String,
    /// Wall clock of its first hello, Unix milliseconds.
    pub created_at: u64,
    /// Version of its agent.
    pub agent_version: String,
    /// Gentoo's ARCH.
    pub arch: String,
    /// Logical processors.
    pub cores: u32,
    /// Memory in bytes.
    pub ram_bytes: u64,
    /// Address shown to people.
    pub address: String,
    /// Detected type.
    pub detected_type: DroneType,
    /// Evidence for it.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What its own configuration says of reboots.
    #[serde(default)]
    pub own_reboot: RebootPolicy,
    /// SSH host keys it had when it first named any, `type base64`: pinned, never replaced by what it says later.
    #[serde(default)]
    pub ssh_host_keys: Vec<String>,
    /// SSH host keys it names now, where they are not the pinned ones.
    #[serde(default)]
    pub ssh_host_keys_offered: Vec<String>,
    /// The operator's word on the type; wins.
    #[serde(default)]
    pub type_override: Option<DroneType>,
    /// Operator's tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Builds at a time.
    pub slots: u32,
    /// Orders it takes beyond its slots; `None` if it did not say.
    #[serde(default)]
    pub waiting: Option<u32>,
    /// FEATURES of its Portage.
    #[serde(default)]
    pub features: Vec<String>,
    /// Names of the sources it has at hand, hashed; sorted.
    #[serde(default)]
    pub sources: Vec<u32>,
    /// The build profile it serves.
    pub build_profile: String,
    /// CHOST.
    pub chost: String,
    /// Identity of its base.
    pub base: String,
    /// Identity of its ebuild tree.
    pub tree: String,
    /// Unix seconds of its tree, if known.
    #[serde(default)]
    pub tree_timestamp: Option<u64>,
    /// Version of its Portage.
    #[serde(default)]
    pub portage_version: String,
    /// Header its Portage would give an index.
    #[serde(default)]
    pub index_header: BTreeMap<String, String>,
    /// The supervisor's run.
    pub supervisor: InstanceId,
    /// The worker's run, once it has said hello.
    #[serde(default)]
    pub worker: Option<InstanceId>,
    /// Highest order number given to it.
    #[serde(default)]
    pub last_order: u64,
    /// A person paused it.
    #[serde(default)]
    pub paused: Option<Fact>,
    /// A person drains it.
    #[serde(default)]
    pub draining: Option<Fact>,
    /// It was drained and is empty; it stays out until a person resumes it.
    #[serde(default)]
    pub drained: Option<Fact>,
    /// It is told to bring its ebuild tree up to date.
    #[serde(default)]
    pub syncing: Option<Syncing>,
    /// How fast it was compared with others on the same packages, in thousandths, oldest first; at most
    /// [`DroneRow::KEEP_SPEEDS`].
    #[serde(default)]
    pub speeds: Vec<u32>,
    /// The swarm grounded it.
    #[serde(default)]
    pub grounded: Option<Fact>,
    /// The swarm keeps it from work because its uploads fail.
    #[serde(default)]
    pub upload_impaired: Option<Fact>,
    /// Failures in a row.
    #[serde(default)]
    pub streaks: Streaks,
    /// Wall clock of the last sign of life that was stored, Unix milliseconds.
    pub last_seen: u64,
}

impl DroneRow {
    /// Comparisons with other drones that are kept.
    pub const KEEP_SPEEDS: usize = 15;

    /// How fast it is compared with other drones, in thousandths: the median of the comparisons. `None` before the first.
    pub fn learned_speed(&self) -> Option<u32> {
        let mut sorted = self.speeds.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().map(|speed| speed.max(1))
    }

    /// The type that counts.
    pub fn drone_type(&self) -> DroneType {
        self.type_override.unwrap_or(self.detected_type)
    }

    /// Takes only blocked packages, as the last resort.
    pub fn is_sweeper(&self) -> bool {
        self.name.starts_with("sweeper-") || self.tags.iter().any(|tag| tag == "sweeper")
    }
}

impl Row for DroneRow {
    type Key = DroneId;
    const TABLE: &'static str = "drones";
    fn key(&self) -> DroneId {
        self.id.clone()
    }
}

/// The name under which the swarm itself does something, in rows and events; people have other names.
pub const SWARM: &str = "swarm";

/// Something that holds for a drone, with who, since and until.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Who made it so.
    pub by: String,
    /// One phrase for people.
    pub reason: String,
    /// Wall clock, Unix milliseconds.
    pub since: u64,
    /// When it ends by itself, on the core's clock.
    pub until: Option<u64>,
}

/// An order to bring the ebuild tree up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syncing {
    /// Number of the order.
    pub order: u64,
    /// Identity of the tree that is expected.
    pub expected: String,
    /// Wall clock of the order, Unix milliseconds.
    pub since: u64,
    /// Given up at this moment of the core's clock.
    pub until: u64,
}

/// Failures in a row; a success resets them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streaks {
    /// Failures that were the drone's fault.
    pub failures: u32,
    /// Uploads that failed.
    pub uploads: u32,
    /// When the last of either came, Unix milliseconds; a success leaves it.
    #[serde(default)]
    pub last_at: Option<u64>,
}
