//! Which of the eligible drones: a sum of named rules.

use swarm_protocol::Cpv;

use crate::rows::{BuildRow, DroneRow};
use crate::state::Core;

/// A named rule of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreRule {
    /// More processors are faster.
    Cores,
    /// Little load and pressure.
    Calm,
    /// Enough memory for what the package is known to take, and not much more.
    MemoryFit,
    /// It succeeded lately.
    Trust,
}

impl ScoreRule {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Calm => "calm",
            Self::MemoryFit => "memory-fit",
            Self::Trust => "trust",
        }
    }

    /// What it means, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::Cores => "processors, up to 64",
            Self::Calm => "minus load per processor and pressure (PSI some avg60)",
            Self::MemoryFit => "keeps drones with much memory for packages that need it",
            Self::Trust => "minus failures in a row that were the drone's fault",
        }
    }
}

/// Points of one rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points {
    /// Which.
    pub rule: ScoreRule,
    /// How many.
    pub points: i64,
}

impl Core {
    /// The score of a drone for a package, rule by rule.
    pub(crate) fn score(&self, row: &DroneRow, build: &BuildRow) -> Vec<Points> {
        let vitals = self.soft.pulses.get(&row.id).map(|pulse| pulse.vitals.clone()).unwrap_or_default();
        let load = vitals.load_1m / f64::from(row.cores.max(1)) * 10.0;
        let pressure = vitals.psi_cpu.max(vitals.psi_memory).max(vitals.psi_io) / 5.0;
        let wanted = build
            .cpv
            .as_deref()
            .and_then(|cpv| cpv.parse::<Cpv>().ok())
            .and_then(|cpv| self.rows.durations.get(&cpv.cp()));
        let wanted = wanted.map_or(0, |known| known.memory_peak_bytes);
        let spare_gib = (row.ram_bytes.saturating_sub(wanted) >> 30).min(64) as i64;
        vec![
            Points { rule: ScoreRule::Cores, points: i64::from(row.cores.min(64)) },
            Points { rule: ScoreRule::Calm, points: -((load + pressure).clamp(0.0, 40.0) as i64) },
            Points { rule: ScoreRule::MemoryFit, points: -(spare_gib / 8) },
            Points { rule: ScoreRule::Trust, points: -4 * i64::from(row.streaks.failures + row.streaks.uploads) },
        ]
    }
}
