//! How long the controller (`swarm serve`) takes to answer with a long history: after a clean end, and after SIGKILL.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use swarm_controller::store::Store;
use swarm_core::rows::MetaRow;
use swarm_core::rows::{EventRow, HistoryRow, HistoryStatus, StatsRow};
use swarm_core::table::Sink;
use swarm_protocol::{Attempt, BuildId, DroneId, Fence, SessionId};
use swarm_tests::figures::{Aim, Figure};
use swarm_tests::serve::Serve;

use crate::Scale;

/// Longer than any start.
const START: Duration = Duration::from_secs(60);
/// Rows written in one transaction.
const AT_ONCE: u64 = 5_000;

/// Measures.
///
/// # Errors
/// When something does not work.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let rows = scale.pick(1_000, 100_000);
    let mut serve = Serve::prepare(&scale.dir, Vec::new())?;
    // keys, certificates and the like are made once; they are not what is measured
    serve.start(START)?;
    serve.stop()?;
    fill(&serve.data().join("state.redb"), rows)?;
    serve.start(START)?;
    serve.stop()?;
    let (mut clean, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds(7) {
        clean.push(serve.start(START)?.as_secs_f64());
        // something is written after the start, so that the file is not as a clean end left it
        serve.http.post("/api/v1/control", &serde_json::json!({ "action": "pause" }))?;
        serve.kill()?;
        killed.push(serve.start(START)?.as_secs_f64());
        serve.stop()?;
    }
    let bytes = fs_err::metadata(serve.data().join("state.redb"))?.len();
    let mib = bytes as f64 / f64::from(1 << 20);
    let what = |how: &str| format!("until the controller answers with {rows} attempts in its history, {how}");
    Ok(vec![
        Figure::new("start/clean", what("after a clean end"), "s", clean).aim(Aim::AtMost(0.5)).note("store, MiB", mib),
        Figure::new("start/killed", what("after SIGKILL"), "s", killed).aim(Aim::AtMost(0.5)).note("store, MiB", mib),
    ])
}

/// A history with what belongs to it: each attempt with its two events, and the sums of a hundred drones.
fn fill(path: &Path, rows: u64) -> Result<()> {
    let store = Store::open(path)?;
    let mut meta = store.read()?.rows::<MetaRow>()?.pop().unwrap_or_default();
    let (first_event, first_row) = (meta.last_event + 1, meta.last_history + 1);
    for from in (0..rows).step_by(usize::try_from(AT_ONCE)?) {
        let mut writer = store.writer();
        for number in from..(from + AT_ONCE).min(rows) {
            let row = attempt(first_row + number, number);
            for (nth, kind) in [(0, "assign"), (1, "complete")] {
                writer.put(&event(first_event + number * 2 + nth, kind, &row));
            }
            writer.put(&row);
        }
        writer.commit()?;
    }
    meta.last_event = first_event + rows * 2 - 1;
    meta.last_history = first_row + rows - 1;
    meta.last_build = meta.last_build.max(rows);
    let mut writer = store.writer();
    writer.put(&meta);
    for drone in 0..100 {
        let total = rows / 100;
        let sums = StatsRow { drone: format!("drone-{drone:03}"), total, success: total, duration_ms: total * 90_000 };
        writer.put(&sums);
    }
    writer.commit()?;
    Ok(())
}

fn attempt(id: u64, number: u64) -> HistoryRow {
    HistoryRow {
        id,
        fence: Fence { build: BuildId(number + 1), attempt: Attempt(1) },
        session: SessionId(1 + number / 500),
        package: format!("=app-misc/package-{}-1.{}.{}", number % 7_000, number % 20, number % 9),
        drone: DroneId(format!("U{:055}", number % 100)),
        drone_name: format!("drone-{:03}", number % 100),
        status: if number.is_multiple_of(17) { HistoryStatus::Failed } else { HistoryStatus::Success },
        duration_ms: 30_000 + number % 600_000,
        error: number.is_multiple_of(17).then(|| "app-misc/package failed in the compile phase".to_owned()),
        log_line: number.is_multiple_of(17).then(|| "gcc: error: unrecognized command-line option".to_owned()),
        class: None,
        culprit: None,
        phase: None,
        log_bytes: 200_000 + number,
        log_complete: true,
        memory_peak_bytes: 500 << 20,
        built_at: 1_795_000_000_000 + number * 1_000,
    }
}

fn event(seq: u64, kind: &str, about: &HistoryRow) -> EventRow {
    EventRow {
        seq,
        at: about.built_at,
        kind: kind.to_owned(),
        message: format!("{} goes to {}", about.package, about.drone_name),
        drone: Some(about.drone_name.clone()),
        package: Some(about.package.clone()),
        build: Some(about.fence.build.0),
        attempt: Some(about.fence.attempt.0),
        session: Some(about.session.0),
        details: Default::default(),
    }
}
