//! Durable build cycles: order → taken → started → package announced, uploaded, signed and listed → finished → durable, with
//! a thousand drones, through the real core, engine, store, bus and event stream. Drones build in no time and packages are
//! only spoken of, so that nothing but the controller's own way is measured.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use swarm_controller::engine::{CommitHook, StatsNow};
use swarm_controller::store::Change;
use swarm_core::request::Control;
use swarm_protocol::Subjects;
use swarm_tests::figures::{Aim, Figure, median, quantile};
use swarm_tests::fleet::{Done, Fleet, FleetSettings, Identity, Standing};
use swarm_tests::server::Bus;

use crate::plant::{self, Plant, Spoken};
use crate::{Scale, redb_alone, usage};

/// How long a fleet may take to join.
const JOIN: Duration = Duration::from_secs(120);
/// Bytes of transactions recorded for the yardstick.
const RECORDED: usize = 64 << 20;

/// Measures.
///
/// # Errors
/// When something does not work.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let size = Size {
        drones: scale.pick(20, 1_000),
        slots: 4,
        packages: scale.pick(2_000, 60_000),
        warm: scale.pick(Duration::from_millis(500), Duration::from_secs(3)),
        window: scale.pick(Duration::from_secs(1), Duration::from_secs(10)),
    };
    let (mut synced, mut unsynced) = (Vec::new(), Vec::new());
    let mut callers = Vec::new();
    for round in 0..scale.rounds(3) {
        let place = |kind: &str| scale.dir.join(format!("{kind}{round}"));
        synced.push(measure(&place("synced"), &size, true)?);
        unsynced.push(measure(&place("unsynced"), &size, false)?);
        let database = scale.dir.join(format!("callers{round}.redb"));
        callers.push(redb_alone::callers(&database, size.drones as u64, 256, size.window / 2)?);
    }
    Ok(figures(&size, &synced, &unsynced, callers))
}

struct Size {
    drones: usize,
    slots: u32,
    packages: usize,
    warm: Duration,
    window: Duration,
}

/// What one run came to.
#[derive(Debug, Default)]
struct Seen {
    cycles: f64,
    rows: f64,
    commits: f64,
    commit_ms: f64,
    events: f64,
    events_behind: f64,
    alone: f64,
    journey_p50: f64,
    journey_p99: f64,
    /// Cores used by the engine's thread, the rest of the controller, the bus server, the fleet.
    cores: [f64; 4],
}

fn figures(size: &Size, synced: &[Seen], unsynced: &[Seen], callers: Vec<f64>) -> Vec<Figure> {
    let of = |seen: &[Seen], value: fn(&Seen) -> f64| seen.iter().map(value).collect::<Vec<f64>>();
    let middle = |value: fn(&Seen) -> f64| median(&of(synced, value));
    let drones = size.drones;
    let cycles = Figure::new(
        "cycles/durable",
        format!("durable build cycles per second with {drones} drones; the event stream syncs every event"),
        "1/s",
        of(synced, |seen| seen.cycles),
    )
    .note("commits per second", middle(|seen| seen.commits))
    .note("rows per commit", middle(|seen| seen.rows / seen.commits))
    .note("mean commit, ms", middle(|seen| seen.commit_ms))
    .note("order to durable, p50 ms", middle(|seen| seen.journey_p50))
    .note("order to durable, p99 ms", middle(|seen| seen.journey_p99))
    .note("events published per second", middle(|seen| seen.events))
    .note("events not yet published at the end", middle(|seen| seen.events_behind))
    .note("cores: engine", middle(|seen| seen.cores[0]))
    .note("cores: rest of the controller", middle(|seen| seen.cores[1]))
    .note("cores: nats-server", middle(|seen| seen.cores[2]))
    .note("cores: fleet", middle(|seen| seen.cores[3]));
    let share = synced.iter().zip(&callers).map(|(seen, callers)| 100.0 * seen.rows / callers).collect();
    let of_replay = |seen: &Seen| 100.0 * seen.rows / seen.alone;
    vec![
        cycles,
        Figure::new(
            "cycles/unsynced",
            format!("the same without `sync_interval: always`, {drones} drones"),
            "1/s",
            of(unsynced, |seen| seen.cycles),
        )
        .note("events not yet published at the end", median(&of(unsynced, |seen| seen.events_behind))),
        Figure::new("cycles/rows", "redb rows per second written by these cycles", "1/s", of(synced, |seen| seen.rows)),
        Figure::new(
            "cycles/callers",
            format!("records per second by group commit alone, {drones} callers with one record of 200 bytes each"),
            "1/s",
            callers,
        ),
        Figure::new("cycles/share", "rows of the cycles as a share of that", "%", share).aim(Aim::AtLeast(50.0)),
        Figure::new(
            "cycles/alone",
            "redb rows per second when the transactions of the cycles are committed again with nothing around them",
            "1/s",
            of(synced, |seen| seen.alone),
        )
        .note("rows of the cycles as a share of that, %", middle(of_replay)),
    ]
}

/// Everything in one directory, from nothing.
fn measure(dir: &Path, size: &Size, synced: bool) -> Result<Seen> {
    fs_err::create_dir_all(dir)?;
    let identities: Vec<Identity> =
        (0..size.drones).map(|n| Identity::new(format!("d{n:05}"))).collect::<Result<_>>()?;
    let bus = Bus::start(&dir.join("bus"), &identities, synced)?;
    let tape = Arc::new(Tape::default());
    let plant = Plant::start(dir, &bus, Some(tape.hook()))?;
    let runtime = plant::runtime("fleet")?;
    let settings = FleetSettings {
        url: bus.url.clone(),
        ca: None,
        subjects: Subjects::default(),
        slots: size.slots,
        builds: Arc::new(Standing::default()),
        uploads: Arc::new(Spoken(plant.engine.clone())),
    };
    let fleet = runtime.block_on(Fleet::join(settings, &identities, JOIN))?;
    // everything is planned before anything is built
    plant.control(Control::Pause)?;
    plant.queue((0..size.packages).map(|n| format!("=app-misc/package{n}-1.0")).collect())?;
    let plans = size.packages.div_ceil(500) as u64;
    runtime.block_on(fleet.until(JOIN, "all packages to be planned", |done| done.plans >= plans))?;
    plant.control(Control::Resume)?;
    let warm_at_least = size.drones as u64;
    runtime.block_on(fleet.until(JOIN, "the first cycles", |done| done.durable >= warm_at_least))?;
    std::thread::sleep(size.warm);
    let mut seen = window(&plant, &fleet, &bus, size)?;
    tape.roll(true);
    std::thread::sleep(size.window / 4);
    tape.roll(false);
    let left = fleet.done();
    anyhow::ensure!(
        left.durable < size.packages as u64,
        "all {} packages were built before the window was over: {left:?}",
        size.packages
    );
    drop(fleet);
    runtime.shutdown_timeout(Duration::from_secs(10));
    plant.stop()?;
    seen.alone = redb_alone::replay(&dir.join("state.redb"), &tape.transactions()).context("commit alone")?;
    drop(bus);
    fs_err::remove_dir_all(dir)?;
    Ok(seen)
}

struct Moment {
    at: Instant,
    stats: StatsNow,
    done: Done,
    published: u64,
    threads: std::collections::BTreeMap<String, f64>,
    nats: f64,
}

impl Moment {
    fn now(plant: &Plant, fleet: &Fleet, bus: &Bus) -> Self {
        Self {
            at: Instant::now(),
            stats: plant.engine.stats(),
            done: fleet.done(),
            published: plant.published.load(Relaxed),
            threads: usage::by_thread(),
            nats: usage::of_process(bus.pid() as i32),
        }
    }
}

fn window(plant: &Plant, fleet: &Fleet, bus: &Bus, size: &Size) -> Result<Seen> {
    drop(fleet.journeys());
    let before = Moment::now(plant, fleet, bus);
    std::thread::sleep(size.window);
    let after = Moment::now(plant, fleet, bus);
    let journeys: Vec<f64> = fleet.journeys().into_iter().map(f64::from).collect();
    let seconds = (after.at - before.at).as_secs_f64();
    let per_second = |after: u64, before: u64| (after - before) as f64 / seconds;
    let threads = |name: &str| {
        let of = |moment: &Moment| moment.threads.get(name).copied().unwrap_or(0.0);
        (of(&after) - of(&before)) / seconds
    };
    let commits = after.stats.commits - before.stats.commits;
    let done = after.done;
    anyhow::ensure!(
        done.failed_uploads == 0 && done.superseded == 0,
        "something went wrong on the way: {done:?}; {:?}; {:?}",
        plant.link.counters().all(),
        plant.engine.stats()
    );
    Ok(Seen {
        cycles: per_second(done.durable, before.done.durable),
        rows: per_second(after.stats.rows, before.stats.rows),
        commits: commits as f64 / seconds,
        commit_ms: (after.stats.commit_micros - before.stats.commit_micros) as f64 / 1e3 / commits.max(1) as f64,
        events: per_second(after.published, before.published),
        events_behind: plant.engine.view().last_event.saturating_sub(after.published) as f64,
        alone: 0.0,
        journey_p50: quantile(&journeys, 0.5),
        journey_p99: quantile(&journeys, 0.99),
        cores: [
            threads("engine"),
            threads(plant::THREADS) + threads("stand-in"),
            (after.nats - before.nats) / seconds,
            threads("fleet"),
        ],
    })
}

/// Transactions as they were committed, while it rolls.
#[derive(Default)]
struct Tape {
    rolling: AtomicBool,
    recorded: Mutex<(usize, Vec<Vec<Change>>)>,
}

impl Tape {
    fn hook(self: &Arc<Self>) -> CommitHook {
        let tape = self.clone();
        Box::new(move |pending| {
            if tape.rolling.load(Relaxed) {
                let mut recorded = tape.recorded.lock().unwrap_or_else(PoisonError::into_inner);
                if recorded.0 < RECORDED {
                    let bytes = |change: &Change| change.key.len() + change.value.as_ref().map_or(0, Vec::len);
                    recorded.0 += pending.changes.iter().map(bytes).sum::<usize>();
                    recorded.1.push(pending.changes.to_vec());
                }
            }
            Ok(())
        })
    }

    fn roll(&self, rolling: bool) {
        self.rolling.store(rolling, Relaxed);
    }

    fn transactions(&self) -> Vec<Vec<Change>> {
        std::mem::take(&mut self.recorded.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}
