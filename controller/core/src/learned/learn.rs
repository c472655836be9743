//! A success teaches: called when a result counts. What was learned is asked by placement, by the order of the line and by
//! whoever shows how long something will still take.

use swarm_protocol::report::BuildResult;
use swarm_protocol::{Cpv, DroneId};

use super::speed::{ORDINARY, on, speed};
use crate::core::Core;
use crate::rows::{BuildRow, DroneRow, DurationRow, Run};

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
            self.soft.learned.set(&cp, median);
            self.soft.queue.set_duration(&cp, median);
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
        self.soft.learned.get(&build.cp()?)
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
