//! What the swarm does about a drone that does not work, as it must survive a restart: level, since when, what was tried.

use serde::{Deserialize, Serialize};
use swarm_protocol::order::Rung;
use swarm_protocol::{DroneId, machine::WorkerState};

use super::SWARM;
use crate::table::Row;

/// A drone's standing on the ladder. A drone without trouble, ever, has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HealingRow {
    /// The drone it is about.
    pub drone: DroneId,
    /// Number of the last order to its supervisor, SSH or hypervisor; rises.
    #[serde(default)]
    pub generation: u64,
    /// What is being done to it at this moment.
    #[serde(default)]
    pub acting: Option<Acting>,
    /// What is wrong with it, if something is.
    #[serde(default)]
    pub incident: Option<Incident>,
    /// Incidents so far.
    #[serde(default)]
    pub incidents: u64,
    /// The last thing that was done to it, by whomever.
    #[serde(default)]
    pub last: Option<Deed>,
    /// The last recovery, for what follows too soon.
    #[serde(default)]
    pub recovered: Option<Recovered>,
    /// Moments of its reboots on the core's clock, at most those of the last day.
    #[serde(default)]
    pub reboots: Vec<u64>,
    /// It shows another SSH host key than the one it is known by, and a person was told.
    #[serde(default)]
    pub distrusted: bool,
    /// Its last answer to a ping that was stored, at most a minute older than the newest.
    #[serde(default)]
    pub probe: Option<ProbeRecord>,
}

impl HealingRow {
    /// Where it stands on the ladder: 0 is well or being looked at, 4 is in a person's hands.
    pub fn level(&self) -> u8 {
        self.incident.as_ref().map_or(0, |incident| incident.level)
    }

    /// Its reboot was ordered, by the ladder or by hand, and is under way.
    pub fn is_rebooted(&self) -> bool {
        self.acting.as_ref().is_some_and(|acting| acting.rung == Rung::RebootContainer)
    }
}

impl Row for HealingRow {
    type Key = DroneId;
    const TABLE: &'static str = "healing";
    fn key(&self) -> DroneId {
        self.drone.clone()
    }
}

/// An action under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acting {
    /// What is being done.
    pub rung: Rung,
    /// Number of the order.
    pub generation: u64,
    /// Which of the drone's routes is being tried, from 0.
    pub route: usize,
    /// Who wanted it: `swarm`, or a person.
    pub by: String,
    /// Given up at this moment of the core's clock.
    pub until: u64,
    /// Wall clock of its beginning, Unix milliseconds.
    pub since: u64,
}

impl Acting {
    /// Who gave the order.
    pub fn ordered_by(&self) -> OrderedBy {
        OrderedBy::read(&self.by)
    }
}

/// Who gives an order to do something about a drone. Rows and events have its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderedBy {
    /// The ladder.
    Swarm,
    /// A person, by hand.
    Person(String),
}

impl OrderedBy {
    /// By the name a row has.
    pub fn read(name: &str) -> Self {
        if name == SWARM { Self::Swarm } else { Self::Person(name.to_owned()) }
    }

    /// The name for rows and people.
    pub fn name(&self) -> &str {
        match self {
            Self::Swarm => SWARM,
            Self::Person(name) => name,
        }
    }
}

/// Something wrong with a drone, from its first sign to its recovery.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Wall clock of its beginning, Unix milliseconds.
    pub since: u64,
    /// The same on the core's clock.
    pub since_at: u64,
    /// What is wrong, one sentence.
    pub why: String,
    /// The last rung that was tried; 0 before the first, 4 once a person was told.
    pub level: u8,
    /// Not further up before this moment of the core's clock.
    pub wait_until: u64,
    /// What was tried, oldest first; at most [`Incident::MAX_DEEDS`].
    #[serde(default)]
    pub deeds: Vec<Deed>,
    /// Orders given in it so far.
    #[serde(default)]
    pub attempts: u32,
    /// When the person is told again, on the core's clock; set once one was told.
    #[serde(default)]
    pub repeat_at: Option<u64>,
    /// Why nothing is done just now, as last said.
    #[serde(default)]
    pub held: Option<String>,
}

impl Incident {
    /// Deeds kept.
    pub const MAX_DEEDS: usize = 16;
}

/// Something that was done to a drone, or that it was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// What was done or tried.
    pub rung: Rung,
    /// By which way.
    pub route: RouteKind,
    /// How it went.
    pub outcome: DeedOutcome,
    /// For people.
    pub detail: String,
    /// Who wanted it.
    pub by: String,
    /// Wall clock of its end, Unix milliseconds.
    pub at: u64,
}

/// Ways to a drone, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// Its supervisor, over the bus.
    Bus,
    /// SSH.
    Ssh,
    /// The operator's command on the hypervisor.
    Hypervisor,
}

impl RouteKind {
    /// One word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Ssh => "ssh",
            Self::Hypervisor => "hypervisor",
        }
    }
}

/// How an action went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeedOutcome {
    /// Done.
    Done,
    /// The drone only said what it would do.
    DryRun,
    /// The drone refuses it by a rule of its own.
    Refused,
    /// It could not be done this way.
    Failed,
    /// No answer in time.
    TimedOut,
    /// The controller ended meanwhile.
    Unknown,
}

impl DeedOutcome {
    /// One word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::DryRun => "dry-run",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Unknown => "unknown",
        }
    }
}

/// A recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// When, on the core's clock.
    pub at: u64,
    /// The level it took.
    pub level: u8,
    /// Milliseconds from the first sign to the recovery.
    pub took_ms: u64,
}

/// An answer to a ping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// Wall clock, Unix milliseconds.
    pub at: u64,
    /// Microseconds there and back.
    pub latency_us: u64,
    /// Load of the last minute.
    pub load_1m: f64,
    /// Memory in use, percent.
    pub mem_percent: f64,
    /// Room taken where it builds, percent.
    pub disk_percent: f64,
    /// Seconds since its boot.
    pub uptime_s: u64,
    /// Builds it ran.
    pub builds: u32,
    /// Its worker.
    pub worker: WorkerState,
}
