//! Memory of the real controller (`swarm serve`) with 1,000 and 10,000 drones connected and beating.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use swarm_protocol::Subjects;
use swarm_tests::figures::Figure;
use swarm_tests::fleet::{Fleet, FleetSettings, HttpUploads, Standing};
use swarm_tests::serve::Serve;
use swarm_tests::until;

use crate::{Scale, plant, usage};

/// Ten thousand keys are made and ten thousand users read before the controller answers for the first time.
const START: Duration = Duration::from_secs(180);
/// How long a fleet may take to join.
const JOIN: Duration = Duration::from_secs(300);

/// Measures.
///
/// # Errors
/// When something does not work.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let sizes: &[usize] = scale.pick(&[10, 30], &[1_000, 10_000]);
    let none = (0..scale.rounds(1)).map(|round| measure(scale, 0, round)).collect::<Result<Vec<_>>>()?;
    let controllers = |seen: &[Seen]| seen.iter().map(|seen| seen.controller).collect::<Vec<f64>>();
    figures.push(Figure::new(
        "memory/0",
        "controller without a drone, proportional set size",
        "MiB",
        controllers(&none),
    ));
    for size in sizes {
        let seen = (0..scale.rounds(1)).map(|round| measure(scale, *size, round)).collect::<Result<Vec<_>>>()?;
        figures.push(
            Figure::new(
                format!("memory/{size}"),
                format!("controller with {size} drones beating, proportional set size"),
                "MiB",
                controllers(&seen),
            )
            .note("nats-server, MiB", seen[0].bus)
            .note("seconds until all were welcomed", seen[0].joined),
        );
    }
    Ok(figures)
}

struct Seen {
    controller: f64,
    bus: f64,
    joined: f64,
}

fn measure(scale: &Scale, drones: usize, round: usize) -> Result<Seen> {
    let names: Vec<String> = (0..drones).map(|n| format!("d{n:05}")).collect();
    let mut serve = Serve::prepare(&scale.dir.join(format!("{drones}-{round}")), names)?;
    serve.start(START)?;
    let runtime = plant::runtime("fleet")?;
    let files = Arc::default();
    let settings = FleetSettings {
        url: serve.bus_url()?,
        ca: Some(serve.data().join("bus-ca.pem")),
        subjects: Subjects::default(),
        slots: 1,
        builds: Arc::new(Standing { files: Some(Arc::clone(&files)), ..Standing::default() }),
        uploads: Arc::new(HttpUploads::new(files)),
    };
    let began = std::time::Instant::now();
    let fleet = runtime.block_on(Fleet::join(settings, &serve.identities()?, JOIN))?;
    let joined = began.elapsed().as_secs_f64();
    until("all drones to be online", Duration::from_secs(30), || {
        let status = serve.http.get("/api/v1/status")?;
        Ok((status["nodes_online"].as_u64() == Some(drones as u64)).then_some(()))
    })?;
    // three rounds of heartbeats: what grows with them has grown
    std::thread::sleep(scale.pick(Duration::from_secs(1), Duration::from_secs(16)));
    let mib = |pid: i32| Ok::<f64, anyhow::Error>(usage::pss(pid)? as f64 / f64::from(1 << 20));
    let seen = Seen { controller: mib(serve.pid().unwrap_or(0))?, bus: mib(serve.nats_pid()?)?, joined };
    drop(fleet);
    runtime.shutdown_timeout(Duration::from_secs(20));
    serve.stop()?;
    Ok(seen)
}
