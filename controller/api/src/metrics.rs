//! Curves, sums by package, and what the binhost holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_core::rows::{HistoryRow, HistoryStatus};
use swarm_core::view::Counts;
use utoipa::ToSchema;

use super::fleet::DroneMetrics;
use super::number::{percent, seconds};

/// The last day as curves, and this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// Now.
    pub timestamp: f64,
    /// Every 15 s, oldest first.
    pub history: Vec<MetricsSample>,
    /// The queue now.
    pub current_queue: QueueCounts,
    /// Condition of the drones online, by name.
    pub drones: BTreeMap<String, DroneMetrics>,
}

/// Packages by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueCounts {
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
    /// All of them.
    pub total: u64,
}

impl From<&Counts> for QueueCounts {
    fn from(counts: &Counts) -> Self {
        Self {
            needed: counts.needed,
            delegated: counts.delegated,
            received: counts.received,
            blocked: counts.blocked,
            failed: counts.failed,
            total: counts.total(),
        }
    }
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricsSample {
    /// When.
    pub timestamp: f64,
    /// The queue then.
    pub queue: QueueCounts,
    /// Drones online.
    pub nodes_online: usize,
    /// Packages being built.
    pub building: usize,
    /// Mean processor use of the drones online.
    pub cpu_percent: f64,
    /// Mean memory use of the drones online.
    pub ram_percent: f64,
    /// Mean load of the drones online.
    pub load_1m: f64,
    /// The drones online, by name; empty where there would be too many: ask for one with `node`.
    pub drones: BTreeMap<String, SampledDrone>,
}

/// One drone at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SampledDrone {
    /// Processor use.
    pub cpu_percent: f64,
    /// Memory use.
    pub ram_percent: f64,
    /// Load, one minute.
    pub load_1m: f64,
}

/// Attempts by package.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PackageStats {
    /// Those tried last come first.
    pub packages: Vec<PackageAttempts>,
    /// Attempts that were looked at: the newest 50,000.
    pub attempts: usize,
}

/// Attempts of one package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PackageAttempts {
    /// With `=`.
    pub package: String,
    /// How many ended.
    pub attempts: u64,
    /// Of them successes.
    pub successes: u64,
    /// Names of the drones that tried it.
    pub tried_on: Vec<String>,
    /// When the last one ended.
    pub last_attempt: f64,
    /// Successes in percent.
    pub success_rate: f64,
    /// Mean seconds of the successes; null if there is none.
    pub avg_duration_s: Option<f64>,
}

impl PackageStats {
    /// Sums up attempts, newest first.
    pub fn new(rows: &[HistoryRow]) -> Self {
        let mut order = Vec::new();
        let mut sums: BTreeMap<&str, (u64, u64, u64, Vec<&str>, u64)> = BTreeMap::new();
        for row in rows {
            let sum = sums.entry(&row.package).or_insert_with(|| {
                order.push(row.package.as_str());
                (0, 0, 0, Vec::new(), row.built_at)
            });
            sum.0 += 1;
            if row.status == HistoryStatus::Success {
                sum.1 += 1;
                sum.2 += row.duration_ms;
            }
            if !sum.3.contains(&row.drone_name.as_str()) {
                sum.3.push(&row.drone_name);
            }
        }
        let packages = order.into_iter().map(|package| {
            let (attempts, successes, spent, drones, last) = sums.remove(package).unwrap_or_default();
            let mut tried_on: Vec<String> = drones.into_iter().map(str::to_owned).collect();
            tried_on.sort();
            PackageAttempts {
                package: package.to_owned(),
                attempts,
                successes,
                tried_on,
                last_attempt: seconds(last),
                success_rate: percent(successes, attempts),
                avg_duration_s: (successes > 0).then(|| seconds(spent / successes)),
            }
        });
        Self { packages: packages.collect(), attempts: rows.len() }
    }
}

/// What the binhost holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BinhostStats {
    /// `ok`; `empty` while nothing is published.
    pub status: String,
    /// Packages in the published indexes.
    pub packages: u64,
    /// Their size in MiB.
    pub size_mb: f64,
    /// The same in bytes.
    pub size_bytes: u64,
    /// Packages uploaded and not yet in an index.
    pub pending: u64,
    /// When an index was last written; null before.
    pub last_updated: Option<f64>,
    /// When the newest package was signed; null before.
    pub last_published_at: Option<f64>,
    /// Each index.
    pub indexes: Vec<IndexStats>,
}

/// What one index holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndexStats {
    /// `arch/profile/CHOST`.
    pub index: String,
    /// Packages in it.
    pub packages: u64,
    /// Their size in bytes.
    pub size_bytes: u64,
    /// Its TIMESTAMP, Unix seconds.
    pub timestamp: u64,
}

/// How the drones' Portage is configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PortageConfig {
    /// Drones with the same configuration are together; they build for each other.
    pub configurations: Vec<PortageBase>,
    /// Name of a drone → its place in `configurations`.
    pub drones: BTreeMap<String, usize>,
}

/// One configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PortageBase {
    /// Build profile.
    pub build_profile: String,
    /// Gentoo's ARCH.
    pub arch: String,
    /// CHOST.
    pub chost: String,
    /// Version of Portage.
    pub portage_version: String,
    /// Identity of what they have in common: profile, CHOST, CFLAGS, installed packages.
    pub base: String,
    /// Identity of the ebuild tree.
    pub tree: String,
    /// Unix seconds of the ebuild tree, if known.
    pub portage_timestamp: Option<u64>,
    /// Settings as an index's header has them: ACCEPT_KEYWORDS, CFLAGS, profile, …
    pub settings: BTreeMap<String, String>,
    /// Names of the drones.
    pub drones: Vec<String>,
}
