//! Which of the eligible drones: a sum of named rules.

use swarm_protocol::machine::Vitals;

use crate::core::Core;
use crate::explanation::{Points, ScoreRule};
use crate::learned::ORDINARY;
use crate::rows::{BuildRow, DroneRow, DurationRow, Run};

/// Points of an ordinary drone's speed.
const SPEED_POINTS: i64 = 20;
/// Points of a speed are at most this many.
const MAX_SPEED_POINTS: i64 = 60;
/// Processors of an ordinary drone, as long as nothing was learned of it.
const ORDINARY_CORES: u32 = 8;
/// Packages that take longer than this on an ordinary drone are long, milliseconds.
const LONG: u64 = 10 * 60_000;

/// The part of a drone's score that is the same for every package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DroneScore {
    speed: i64,
    calm: i64,
    trust: i64,
    soon: i64,
}

impl DroneScore {
    /// All points together.
    pub(super) fn total(self) -> i64 {
        self.speed + self.calm + self.trust + self.soon
    }
}

/// What a package wants, looked up once for all drones.
pub(super) struct Want<'a> {
    pub build: &'a BuildRow,
    /// Memory it is known or declared to take, bytes; 0 if nothing is known.
    pub memory: u64,
    /// Tags a drone must have.
    pub tags: Vec<&'a str>,
    /// Milliseconds it takes on an ordinary drone, if it was ever built.
    usual_ms: Option<u64>,
    /// Its last successes.
    pub runs: &'a [Run],
}

impl Core {
    /// The score of a drone for a package, rule by rule.
    pub(crate) fn score(&self, row: &DroneRow, build: &BuildRow) -> Vec<Points> {
        let (own, want) = (self.drone_score(row), self.want(build));
        let points = |rule, points| Points { rule, points };
        vec![
            points(ScoreRule::Speed, own.speed),
            points(ScoreRule::BigForBig, big_for_big(own, &want)),
            points(ScoreRule::Calm, own.calm),
            points(ScoreRule::MemoryFit, memory_fit(row, &want)),
            points(ScoreRule::Warm, warmth(row, &want)),
            points(ScoreRule::Trust, own.trust),
            points(ScoreRule::Soon, own.soon),
        ]
    }

    /// What does not depend on the package.
    pub(super) fn drone_score(&self, row: &DroneRow) -> DroneScore {
        let nothing = Vitals::default();
        let vitals = self.soft.fleet.pulse(&row.id).map_or(&nothing, |pulse| &pulse.vitals);
        let load = vitals.load_1m / f64::from(row.cores.max(1)) * 10.0;
        let pressure = vitals.psi_cpu.max(vitals.psi_memory).max(vitals.psi_io) / 5.0;
        DroneScore {
            speed: speed_points(row),
            calm: -((load + pressure).clamp(0.0, 40.0) as i64),
            trust: -4 * i64::from(row.streaks.failures + row.streaks.uploads),
            soon: -i64::try_from((self.wait_ms(row) / 60_000).min(120)).unwrap_or(120),
        }
    }

    /// What a package wants.
    pub(super) fn want<'a>(&'a self, build: &'a BuildRow) -> Want<'a> {
        let cp = build.cp();
        let rule = cp.as_ref().and_then(|cp| self.settings.packages.get(cp));
        let known = cp.as_ref().and_then(|cp| self.rows.durations.get(cp));
        let declared = [build.wishes.memory_bytes, rule.map_or(0, |rule| rule.memory_bytes)];
        let declared = declared.into_iter().find(|bytes| *bytes > 0);
        let profile = self.settings.profile_tags.get(&build.profile).into_iter().flatten();
        let tags = build.wishes.tags.iter().chain(rule.into_iter().flat_map(|rule| &rule.tags)).chain(profile);
        Want {
            build,
            memory: declared.unwrap_or_else(|| known.map_or(0, DurationRow::memory_bytes)),
            tags: tags.map(String::as_str).collect(),
            usual_ms: known.and_then(DurationRow::median_ms),
            runs: known.map_or(&[], |known| &known.runs),
        }
    }
}

/// All points together.
pub(super) fn total(row: &DroneRow, own: DroneScore, want: &Want<'_>) -> i64 {
    own.total() + big_for_big(own, want) + memory_fit(row, want) + warmth(row, want)
}

fn speed_points(row: &DroneRow) -> i64 {
    let by_cores = row.cores.min(256).saturating_mul(ORDINARY) / ORDINARY_CORES;
    let speed = i64::from(row.learned_speed().unwrap_or(by_cores));
    (speed * SPEED_POINTS / i64::from(ORDINARY)).min(MAX_SPEED_POINTS)
}

/// The shorter a package, the more of the speed is taken off; for one that takes no time, a quarter more than it gave.
fn big_for_big(own: DroneScore, want: &Want<'_>) -> i64 {
    let usual = want.usual_ms.unwrap_or(LONG).min(LONG);
    let shortness = i64::try_from((LONG - usual) * 100 / LONG).unwrap_or(0);
    -(own.speed * shortness * 5 / 400)
}

fn memory_fit(row: &DroneRow, want: &Want<'_>) -> i64 {
    let spare_gib = (row.ram_bytes.saturating_sub(want.memory) >> 30).min(64);
    -i64::try_from(spare_gib / 8).unwrap_or(0)
}

/// The drone's last successes with the package, its sources, a compiler cache: what it need not do again.
fn warmth(row: &DroneRow, want: &Want<'_>) -> i64 {
    let built = want.runs.iter().any(|run| run.drone == row.id);
    let files = &want.build.sources;
    let sources = !files.is_empty() && files.iter().all(|file| row.sources.binary_search(file).is_ok());
    let cache = built && row.features.iter().any(|feature| feature == "ccache");
    4 * i64::from(built) + 4 * i64::from(sources) + 8 * i64::from(cache)
}
