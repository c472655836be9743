//! Which of the eligible drones: a sum of named rules.

use swarm_protocol::Cpv;

use crate::learned::ORDINARY;
use crate::rows::{BuildRow, DroneRow};
use crate::state::Core;

/// A named rule of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreRule {
    /// How fast it was compared with others.
    Speed,
    /// Fast drones are kept for long packages.
    BigForBig,
    /// Little load and pressure.
    Calm,
    /// Enough memory for what the package is known to take, and not much more.
    MemoryFit,
    /// It has what the build would otherwise have to fetch or compile again.
    Warm,
    /// It succeeded lately.
    Trust,
    /// It can begin soon.
    Soon,
}

impl ScoreRule {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Speed, Self::BigForBig, Self::Calm, Self::MemoryFit, Self::Warm, Self::Trust, Self::Soon];

    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::BigForBig => "big-for-big",
            Self::Calm => "calm",
            Self::MemoryFit => "memory-fit",
            Self::Warm => "warm",
            Self::Trust => "trust",
            Self::Soon => "soon",
        }
    }

    /// What it means, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::Speed => "how fast it was on packages others have built, too; by its processors until that is known",
            Self::BigForBig => {
                "keeps fast drones for long packages: takes the speed off again, and more, if this one is short"
            }
            Self::Calm => "minus load per processor and pressure (PSI some avg60)",
            Self::MemoryFit => "keeps drones with much memory for packages that need it",
            Self::Warm => "built this package lately, has its sources or a compiler cache",
            Self::Trust => "minus failures in a row that were the drone's fault",
            Self::Soon => "minus the time until it is likely to begin",
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

/// Points of an ordinary drone's speed.
const SPEED_POINTS: i64 = 20;
/// Points of a speed are at most this many.
const MAX_SPEED_POINTS: i64 = 60;
/// Processors of an ordinary drone, as long as nothing was learned of it.
const ORDINARY_CORES: u32 = 8;
/// Packages that take longer than this on an ordinary drone are long, milliseconds.
const LONG: u64 = 10 * 60_000;

impl Core {
    /// The score of a drone for a package, rule by rule.
    pub(crate) fn score(&self, row: &DroneRow, build: &BuildRow) -> Vec<Points> {
        let vitals = self.soft.pulses.get(&row.id).map(|pulse| pulse.vitals.clone()).unwrap_or_default();
        let load = vitals.load_1m / f64::from(row.cores.max(1)) * 10.0;
        let pressure = vitals.psi_cpu.max(vitals.psi_memory).max(vitals.psi_io) / 5.0;
        let spare_gib = (row.ram_bytes.saturating_sub(self.memory_of(build)) >> 30).min(64) as i64;
        let speed = speed_points(row);
        let minutes = self.wait_ms(row) / 60_000;
        let points = |rule, points| Points { rule, points };
        vec![
            points(ScoreRule::Speed, speed),
            points(ScoreRule::BigForBig, -(speed * shortness(self.usual_ms(build)) * 5 / 400)),
            points(ScoreRule::Calm, -((load + pressure).clamp(0.0, 40.0) as i64)),
            points(ScoreRule::MemoryFit, -(spare_gib / 8)),
            points(ScoreRule::Warm, self.warmth(row, build)),
            points(ScoreRule::Trust, -4 * i64::from(row.streaks.failures + row.streaks.uploads)),
            points(ScoreRule::Soon, -i64::try_from(minutes.min(120)).unwrap_or(120)),
        ]
    }

    /// All points together.
    pub(crate) fn total(&self, row: &DroneRow, build: &BuildRow) -> i64 {
        self.score(row, build).iter().map(|points| points.points).sum()
    }

    /// The drone's last successes with the package, its sources, a compiler cache: what it need not do again.
    fn warmth(&self, row: &DroneRow, build: &BuildRow) -> i64 {
        let cp = build.cpv.as_deref().and_then(|cpv| cpv.parse::<Cpv>().ok()).map(|cpv| cpv.cp());
        let known = cp.and_then(|cp| self.rows.durations.get(&cp));
        let built = known.is_some_and(|known| known.runs.iter().any(|run| run.drone == row.id));
        let sources =
            !build.sources.is_empty() && build.sources.iter().all(|file| row.sources.binary_search(file).is_ok());
        let cache = built && row.features.iter().any(|feature| feature == "ccache");
        4 * i64::from(built) + 4 * i64::from(sources) + 8 * i64::from(cache)
    }
}

fn speed_points(row: &DroneRow) -> i64 {
    let by_cores = row.cores.min(256).saturating_mul(ORDINARY) / ORDINARY_CORES;
    let speed = i64::from(row.learned_speed().unwrap_or(by_cores));
    (speed * SPEED_POINTS / i64::from(ORDINARY)).min(MAX_SPEED_POINTS)
}

/// How short a package is, percent: 100 for one that takes no time, 0 for a long one or one that was never built.
fn shortness(usual_ms: Option<u64>) -> i64 {
    let usual = usual_ms.unwrap_or(LONG).min(LONG);
    i64::try_from((LONG - usual) * 100 / LONG).unwrap_or(0)
}
