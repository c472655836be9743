//! What a drone says of its machine, its Portage and its condition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What kind of machine a drone runs on; decides whether it may ever be rebooted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DroneType {
    /// A Linux container (LXC, Incus, systemd-nspawn).
    Lxc,
    /// A virtual machine (KVM, QEMU).
    Qemu,
    /// Real hardware.
    BareMetal,
    /// Not known; treated as bare metal.
    #[default]
    #[serde(other)]
    Unknown,
}

impl DroneType {
    /// The public name, as in the HTTP contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
            Self::BareMetal => "bare-metal",
            Self::Unknown => "unknown",
        }
    }
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Host name.
    pub hostname: String,
    /// Gentoo's ARCH: `amd64`, `arm64`.
    pub arch: String,
    /// Logical processors this drone may use.
    pub cores: u32,
    /// Memory in bytes.
    pub ram_bytes: u64,
    /// Detected type.
    #[serde(default)]
    pub drone_type: DroneType,
    /// Why that type was detected.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// The kernel's boot id.
    #[serde(default)]
    pub boot_id: String,
    /// Kernel release.
    #[serde(default)]
    pub kernel: String,
    /// Addresses other than loopback; the first is the one shown.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What its own configuration says of reboots.
    #[serde(default)]
    pub reboot: RebootPolicy,
    /// Public host keys of its SSH server, `type base64`; empty if it has none.
    #[serde(default)]
    pub ssh_host_keys: Vec<String>,
}

/// What a drone's own configuration says of reboots. Its detected type forbids them on top of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebootPolicy {
    /// It may be rebooted.
    Auto,
    /// Never.
    Never,
    /// It only says what would be done.
    DryRun,
    /// Not told.
    #[default]
    #[serde(other)]
    Unknown,
}

impl RebootPolicy {
    /// The word in configuration and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::DryRun => "dry-run",
            Self::Unknown => "unknown",
        }
    }
}

/// The Portage a drone builds with. Drones with equal build profile, Portage profile, CHOST, CFLAGS and installed set form
/// a *base*: plans and builds are exchanged only within one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PortageState {
    /// Version of Portage.
    pub version: String,
    /// The build profile this drone serves (configuration of the swarm, not of Portage).
    pub build_profile: String,
    /// The Portage profile.
    pub profile: String,
    /// CHOST.
    pub chost: String,
    /// CFLAGS.
    pub cflags: String,
    /// SHA-256 over what the root had installed before the swarm built in it.
    pub installed_hash: String,
    /// FEATURES that are on, sorted.
    #[serde(default)]
    pub features: Vec<String>,
    /// State of the ebuild repositories.
    #[serde(default)]
    pub tree: TreeState,
    /// Header of a `Packages` index as this drone's Portage would write it.
    #[serde(default)]
    pub index_header: BTreeMap<String, String>,
}

/// State of the ebuild repositories: `timestamp.chk`, else the commit, else a hash over the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TreeState {
    /// Unix seconds of the tree, if it has a time stamp.
    #[serde(default)]
    pub timestamp: Option<u64>,
    /// Identity of the tree's content.
    #[serde(default)]
    pub id: String,
}

/// A drone's condition. Everything is a reading at one moment; missing readings are 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Vitals {
    /// Load average of the last minute.
    #[serde(default)]
    pub load_1m: f64,
    /// CPU use in percent of all cores.
    #[serde(default)]
    pub cpu_percent: f64,
    /// Memory in use in percent.
    #[serde(default)]
    pub mem_percent: f64,
    /// Memory available in bytes.
    #[serde(default)]
    pub mem_available_bytes: u64,
    /// Free bytes where builds happen.
    #[serde(default)]
    pub disk_build_free: u64,
    /// Size of that file system in bytes.
    #[serde(default)]
    pub disk_build_total: u64,
    /// Free bytes where packages are put.
    #[serde(default)]
    pub disk_packages_free: u64,
    /// PSI `some avg60` of the CPU, percent.
    #[serde(default)]
    pub psi_cpu: f64,
    /// PSI `some avg60` of memory, percent.
    #[serde(default)]
    pub psi_memory: f64,
    /// PSI `some avg60` of I/O, percent.
    #[serde(default)]
    pub psi_io: f64,
    /// Seconds since boot.
    #[serde(default)]
    pub uptime_s: u64,
    /// Resident bytes of the agent's own processes.
    #[serde(default)]
    pub agent_rss_bytes: u64,
}

/// What the supervisor sees of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It answers.
    Alive,
    /// Just started, has not answered yet.
    Starting,
    /// It runs but does not answer.
    Hung,
    /// It ended and is being started again.
    Down,
    /// It keeps ending soon after each start; starts are ever further apart.
    Failing,
    /// Not known.
    #[default]
    #[serde(other)]
    Unknown,
}
