//! Heartbeats the controller takes: a thousand idle drones beat ever faster, until something waits or is let go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Result;
use swarm_protocol::Subjects;
use swarm_tests::figures::{Aim, Figure, median};
use swarm_tests::fleet::{Fleet, FleetSettings, Identity, Standing};
use swarm_tests::server::Bus;

use crate::plant::{self, Plant, Spoken};
use crate::{Scale, usage};

/// How long a fleet may take to join.
const JOIN: Duration = Duration::from_secs(120);
/// A queue that holds no more than this is one that does not grow: some milliseconds of work.
const FEW: u64 = 512;

/// Measures.
///
/// # Errors
/// When something does not work.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let drones = scale.pick(20, 1_000);
    let window = scale.pick(Duration::from_millis(500), Duration::from_secs(5));
    let rates: &[f64] = scale.pick(&[100.0, 400.0], &[5e3, 1e4, 1.5e4, 2e4, 2.5e4, 3e4, 3.5e4, 4e4, 5e4, 6e4, 8e4]);
    let identities: Vec<Identity> = (0..drones).map(|n| Identity::new(format!("d{n:05}"))).collect::<Result<_>>()?;
    let bus = Bus::start(&scale.dir.join("bus"), &identities, true)?;
    let plant = Plant::start(&scale.dir, &bus, None)?;
    let runtime = plant::runtime("fleet")?;
    let settings = FleetSettings {
        url: bus.url.clone(),
        ca: None,
        subjects: Subjects::default(),
        slots: 1,
        builds: Arc::new(Standing::default()),
        uploads: Arc::new(Spoken(plant.engine.clone())),
    };
    let fleet = runtime.block_on(Fleet::join(settings, &identities, JOIN))?;
    let (mut taken, mut at_aim) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds(3) {
        let mut best = 0.0;
        for rate in rates {
            let seen = step(&plant, &fleet, &bus, *rate, window)?;
            eprintln!("  {rate:.0}/s: {seen}");
            if (*rate - 2e4).abs() < 1.0 || scale.quick {
                at_aim.push(seen.clone());
            }
            if !seen.sustained {
                break;
            }
            best = seen.handled;
        }
        taken.push(best);
    }
    drop(fleet);
    runtime.shutdown_timeout(Duration::from_secs(10));
    plant.stop()?;
    let middle = |value: fn(&Step) -> f64| median(&at_aim.iter().map(value).collect::<Vec<f64>>());
    let figure = Figure::new(
        "heartbeats/taken",
        format!("heartbeats per second of {drones} drones taken with nothing waiting and nothing let go"),
        "1/s",
        taken,
    )
    .aim(Aim::AtLeast(20_000.0))
    .note("at 20,000/s, engine's cores", middle(|step| step.cores[0]))
    .note("at 20,000/s, cores of the rest of the controller", middle(|step| step.cores[1]))
    .note("at 20,000/s, nats-server's cores", middle(|step| step.cores[2]))
    .note("at 20,000/s, cores of the drones' side", middle(|step| step.cores[3]))
    .note("at 20,000/s, longest queue", middle(|step| step.longest as f64));
    let costs: Vec<f64> = at_aim.iter().map(|step| (step.cores[0] + step.cores[1]) / step.handled * 1e6).collect();
    let cost = Figure::new(
        "heartbeats/cost",
        "processor time of the controller for one heartbeat, decoding and rules together, at 20,000 a second",
        "µs",
        costs,
    );
    Ok(vec![figure, cost])
}

#[derive(Clone)]
struct Step {
    sustained: bool,
    handled: f64,
    longest: u64,
    shed: u64,
    lost: u64,
    /// Engine, rest of the controller, bus server, fleet.
    cores: [f64; 4],
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [engine, rest, bus, fleet] = self.cores;
        write!(
            f,
            "{:.0}/s handled{}, up to {} waiting, {} let go, {} lost; cores: engine {engine:.2}, rest {rest:.2}, bus {bus:.2}, fleet {fleet:.2}",
            self.handled,
            if self.sustained { "" } else { ", not sustained" },
            self.longest,
            self.shed,
            self.lost,
        )
    }
}

fn step(plant: &Plant, fleet: &Fleet, bus: &Bus, rate: f64, window: Duration) -> Result<Step> {
    fleet.pace(Some(Duration::from_secs_f64(fleet.size() as f64 / rate)));
    std::thread::sleep(window / 3);
    let counters = plant.link.counters();
    let lost = || counters.slow.load(Relaxed) + counters.malformed.load(Relaxed);
    let (began, before, sent, lost_before) = (Instant::now(), plant.engine.stats(), fleet.done().heartbeats, lost());
    let (threads, nats) = (usage::by_thread(), usage::of_process(bus.pid() as i32));
    let mut depths = Vec::new();
    while began.elapsed() < window {
        std::thread::sleep(Duration::from_millis(20));
        depths.push(plant.engine.stats().queue_depth);
    }
    let seconds = began.elapsed().as_secs_f64();
    let (after, now, cpu) = (plant.engine.stats(), fleet.done().heartbeats, usage::by_thread());
    let of = |name: &str| (cpu.get(name).unwrap_or(&0.0) - threads.get(name).unwrap_or(&0.0)) / seconds;
    let cores = [
        of("engine"),
        of(plant::THREADS) + of("stand-in"),
        (usage::of_process(bus.pid() as i32) - nats) / seconds,
        of("fleet"),
    ];
    let handled = (after.inputs - before.inputs) as f64 / seconds;
    let (sent, shed) = ((now - sent) as f64 / seconds, after.shed - before.shed);
    // the second half: what grows is longest at the end
    let late = &depths[depths.len() / 2..];
    let longest = late.iter().copied().max().unwrap_or(0);
    let lost = lost() - lost_before;
    let few_wait = late.iter().filter(|depth| **depth <= FEW).count() * 10 >= late.len() * 9;
    let sustained = sent >= rate * 0.97 && handled >= sent * 0.99 && shed == 0 && lost == 0 && few_wait;
    Ok(Step { sustained, handled, longest, shed, lost, cores })
}
