//! Pings and their answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_core::input::{PingLoss, Pong};
use swarm_core::view::DroneView;
use utoipa::ToSchema;

use super::life::{last_pong, latency, presence, worker_name};
use super::number::{millis, moment, number, percent, seconds};

/// The last pings of all drones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastPings {
    /// By name.
    pub drones: BTreeMap<String, LastPing>,
}

/// A drone's last ping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastPing {
    /// When it was sent.
    pub last_ping_at: Option<f64>,
    /// When the last answer came.
    pub last_pong_at: Option<f64>,
    /// The last round trip.
    pub ping_latency_ms: Option<f64>,
    /// `online` or `offline`, by heartbeats.
    pub status: String,
    /// Pings missed in a row.
    pub misses: u32,
    /// Round trips of the last hour.
    pub latency: Latency,
    /// The drone's clock less the controller's; half a round trip exact.
    pub clock_skew_ms: Option<i64>,
}

impl LastPing {
    /// A drone's.
    pub fn new(view: &DroneView) -> Self {
        let health = &view.health;
        Self {
            last_ping_at: moment(health.last_ping),
            last_pong_at: moment(last_pong(view)),
            ping_latency_ms: latency(view),
            status: presence(view),
            misses: health.misses,
            latency: Latency {
                count: health.latency.count as u64,
                min_ms: millis(health.latency.min_us.into()),
                median_ms: millis(health.latency.median_us.into()),
                p99_ms: millis(health.latency.p99_us.into()),
            },
            clock_skew_ms: health.skew_ms,
        }
    }
}

/// Round trips of the last hour; numbers are 0 if there were none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min_ms: f64,
    /// The middle one.
    pub median_ms: f64,
    /// 99 of 100 are not longer.
    pub p99_ms: f64,
}

/// What became of a ping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PingAnswer {
    /// `ok`, `timeout` or `error`.
    pub status: String,
    /// Name of the drone.
    pub drone: String,
    /// Number of the ping.
    pub seq: u64,
    /// There and back, by the controller's monotonic clock.
    pub latency_ms: Option<f64>,
    /// When it was answered, or given up.
    pub timestamp: f64,
    /// Load of the last minute.
    pub load: Option<f64>,
    /// Room taken where it builds.
    pub disk_percent: Option<f64>,
    /// What the drone said.
    pub metrics: Option<PingMetrics>,
    /// What the drone's clock shows, less the controller's; half a round trip exact.
    pub clock_skew_ms: Option<i64>,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// What a pinged drone says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PingMetrics {
    /// Load of the last minute.
    pub load: f64,
    /// Room taken where it builds, percent.
    pub disk_percent: f64,
    /// Memory in use, percent.
    pub mem_percent: f64,
    /// It builds.
    pub emerge_running: bool,
    /// Seconds since its boot.
    pub uptime_seconds: u64,
    /// Its worker: `alive`, `starting`, `hung`, `down`, `failing`.
    pub worker: String,
    /// Attempts it has.
    pub builds: u64,
}

impl PingAnswer {
    /// Of the ping number `seq` of the drone called `name`, at the wall clock `now` (Unix milliseconds); `outcome` is what the
    /// drone said and the microseconds there and back.
    pub fn new(name: &str, seq: u64, outcome: Result<(&Pong, u64), PingLoss>, now: u64) -> Self {
        let base = Self { drone: name.to_owned(), seq, timestamp: seconds(now), ..Self::default() };
        let (pong, latency_us) = match outcome {
            Ok(answered) => answered,
            Err(loss) => {
                let (status, error) = match loss {
                    PingLoss::Silent => ("timeout", "it does not answer"),
                    PingLoss::Absent => ("error", "its supervisor is not on the bus"),
                    PingLoss::Nonsense => ("error", "its answer makes no sense"),
                    PingLoss::NoBus => ("error", "the controller itself has no bus"),
                };
                return Self { status: status.to_owned(), error: Some(error.to_owned()), ..base };
            }
        };
        let vitals = &pong.vitals;
        let taken = vitals.disk_build_total.saturating_sub(vitals.disk_build_free);
        let metrics = PingMetrics {
            load: number(vitals.load_1m),
            disk_percent: percent(taken, vitals.disk_build_total),
            mem_percent: number(vitals.mem_percent),
            emerge_running: !pong.attempts.is_empty(),
            uptime_seconds: vitals.uptime_s,
            worker: worker_name(pong.worker).to_owned(),
            builds: pong.attempts.len() as u64,
        };
        Self {
            status: "ok".to_owned(),
            latency_ms: Some(millis(latency_us)),
            load: Some(metrics.load),
            disk_percent: Some(metrics.disk_percent),
            clock_skew_ms: Some(pong.at.cast_signed() - pong.middle.cast_signed()),
            metrics: Some(metrics),
            ..base
        }
    }
}

/// What became of a broadcast ping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PingAllAnswer {
    /// `ok` if all that are online answered, else `partial`.
    pub status: String,
    /// Drones that were pinged.
    pub pinged: u64,
    /// Drones that answered.
    pub answered: u64,
    /// One by one, by name.
    pub drones: Vec<PingAnswer>,
}

/// A ping by an administrator: the answer, and what the drone said as `probe_result`, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdminPing {
    /// `ok`, `timeout` or `error`.
    pub status: String,
    /// Name of the drone.
    pub drone: String,
    /// There and back.
    pub latency_ms: Option<f64>,
    /// The whole answer.
    pub probe_result: PingAnswer,
}

impl From<PingAnswer> for AdminPing {
    fn from(answer: PingAnswer) -> Self {
        Self {
            status: answer.status.clone(),
            drone: answer.drone.clone(),
            latency_ms: answer.latency_ms,
            probe_result: answer,
        }
    }
}
