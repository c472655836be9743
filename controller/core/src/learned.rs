//! What past builds taught: how long a package takes and how much memory, how fast a drone is. Called when a result counts,
//! by placement, by the order of the line and by whoever shows how long something will still take.
//!
//! A package's duration is kept as what it would have taken on an ordinary drone: times the speed of the drone that built it.
//! A drone's speed is the median of comparisons with others on the same packages, so no clock or benchmark is needed, and one
//! odd build changes little. Speeds only mean something compared with each other.

use std::sync::Arc;

use swarm_protocol::report::BuildResult;
use swarm_protocol::{BuildId, Cpv, DroneId};

use crate::core::Core;
use crate::rows::{BuildRow, DroneRow, DurationRow, Run};

/// An ordinary drone's speed, in thousandths.
pub(crate) const ORDINARY: u32 = 1_000;
/// Between these a comparison is believed, in thousandths: a drone twenty times slower or faster.
const BELIEVED: (u64, u64) = (50, 20_000);
/// The longest duration that is believed, milliseconds: thirty days.
const LONGEST: u64 = 30 * 24 * 3_600_000;

impl Core {
    /// A package was built on a drone.
    pub(crate) fn learn(&mut self, cpv: &str, drone: &DroneId, result: &BuildResult) {
        let Ok(cpv) = cpv.parse::<Cpv>() else { return };
        let cp = cpv.cp();
        let duration_ms = result.duration_ms.min(LONGEST);
        let mut row = self.rows.durations.get(&cp).cloned().unwrap_or(DurationRow { cp: cp.clone(), runs: Vec::new() });
        self.compare_speed(drone, duration_ms, &row);
        let known = self.rows.drones.get(drone);
        let speed = known.map_or(ORDINARY, speed);
        row.runs.push(Run {
            drone: drone.clone(),
            duration_ms,
            usual_ms: duration_ms.saturating_mul(u64::from(speed)) / u64::from(ORDINARY),
            // a wrong reading must not make a package too big for the very drone that built it
            memory_bytes: result.memory_peak_bytes.min(known.map_or(0, |row| row.ram_bytes)),
        });
        if row.runs.len() > DurationRow::KEEP {
            row.runs.remove(0);
        }
        if let Some(median) = row.median_ms() {
            Arc::make_mut(&mut self.soft.medians).insert(cp.clone(), median);
            let same: Vec<BuildId> = self.soft.names.of(&cp).collect();
            for id in same {
                self.soft.graph.set_duration(id, median);
            }
        }
        self.rows.durations.put(row);
    }

    /// How fast the drone was on a package that others have built, too.
    fn compare_speed(&mut self, drone: &DroneId, duration_ms: u64, row: &DurationRow) {
        let mut others: Vec<u64> = row.runs.iter().filter(|run| run.drone != *drone).map(|run| run.usual_ms).collect();
        others.sort_unstable();
        let Some(usual) = others.get(others.len() / 2).copied().filter(|usual| *usual > 0 && duration_ms > 0) else {
            return;
        };
        let ratio = (usual.saturating_mul(u64::from(ORDINARY)) / duration_ms).clamp(BELIEVED.0, BELIEVED.1);
        let Some(row) = self.rows.drones.change(drone) else { return };
        row.speeds.push(u32::try_from(ratio).unwrap_or(ORDINARY));
        if row.speeds.len() > DroneRow::KEEP_SPEEDS {
            row.speeds.remove(0);
        }
        self.soft.view.touch(drone);
    }

    /// Milliseconds a package takes on an ordinary drone, if it was ever built.
    pub(crate) fn usual_ms(&self, build: &BuildRow) -> Option<u64> {
        self.soft.medians.get(&build.cp()?).copied()
    }

    /// Milliseconds it takes there, or what is assumed of one that was never built.
    pub(crate) fn likely_ms(&self, build: &BuildRow) -> u64 {
        self.usual_ms(build).unwrap_or(self.settings.default_duration)
    }

    /// Milliseconds a package takes on this drone, if it was ever built.
    pub(crate) fn estimate_ms(&self, build: &BuildRow, drone: &DroneRow) -> Option<u64> {
        self.usual_ms(build).map(|usual| on(usual, speed(drone)))
    }
}

/// A drone's speed in thousandths, as far as it is known.
pub(crate) fn speed(row: &DroneRow) -> u32 {
    row.learned_speed().unwrap_or(ORDINARY)
}

/// What takes `usual` milliseconds on an ordinary drone, on one of this speed.
pub(crate) fn on(usual: u64, speed: u32) -> u64 {
    usual.saturating_mul(u64::from(ORDINARY)) / u64::from(speed.max(1))
}
