//! How long a drone takes to work again by itself, with every number as it is by default: its worker hangs, its worker is
//! killed, its supervisor is killed and started again as the packaged services do. A build runs all the while and is adopted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use swarm_tests::figures::{Aim, Figure};
use swarm_tests::{Setup, Swarm, processes, until};

use crate::Scale;

/// Longer than any recovery.
const SOON: Duration = Duration::from_secs(120);
/// `RestartSec=` and `respawn_delay` of the packaged services.
const RESTART: Duration = Duration::from_secs(2);
/// Lives shorter than this are short ones, after which the supervisor waits longer.
const STABLE: Duration = Duration::from_secs(61);

/// Measures.
///
/// # Errors
/// When something does not come back.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let mut swarm = Setup { drones: 1, stand_in: true, ..Setup::default() }.start()?;
    swarm.queue(&["=stand-in/long_ms900000-1"])?;
    swarm.until_building("=stand-in/long_ms900000", SOON)?;
    let builds = |swarm: &mut Swarm| {
        until("one attempt", SOON, || Ok(Some(swarm.drone("d1").attempts()).filter(|pids| pids.len() == 1)))
    };
    let attempts = builds(&mut swarm)?;
    let (mut hung, mut killed, mut supervisor) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..scale.rounds(3) {
        if round > 0 {
            std::thread::sleep(STABLE);
        }
        hung.push(of_worker(&mut swarm, Signal::SIGSTOP)?);
        if !scale.quick {
            std::thread::sleep(STABLE);
        }
        killed.push(of_worker(&mut swarm, Signal::SIGKILL)?);
        supervisor.push(of_supervisor(&mut swarm)?);
    }
    ensure!(builds(&mut swarm)? == attempts, "the build lives on through all of it");
    let figure = |name: &str, what: &str, seconds| {
        Figure::new(name, format!("{what}, until its worker is welcome again"), "s", seconds)
    };
    Ok(vec![
        figure("recovery/hung worker", "a worker that hangs", hung).aim(Aim::AtMost(30.0)),
        figure("recovery/killed worker", "a worker that is killed", killed).aim(Aim::AtMost(5.0)),
        figure("recovery/killed supervisor", "a supervisor that is killed", supervisor).aim(Aim::AtMost(10.0)),
    ])
}

fn of_worker(swarm: &mut Swarm, signal: Signal) -> Result<f64> {
    let drone = swarm.drone("d1");
    let (worker, log) = (drone.worker_pid().context("a worker runs")?, drone.log_end());
    processes::signal(worker, signal)?;
    welcome_again(swarm, log, Instant::now())
}

fn of_supervisor(swarm: &mut Swarm) -> Result<f64> {
    let drone = swarm.drone("d1");
    let log = drone.log_end();
    drone.kill_supervisor()?;
    let began = Instant::now();
    std::thread::sleep(RESTART);
    swarm.drone("d1").start()?;
    welcome_again(swarm, log, began)
}

/// Seconds until the log has grown by a welcome.
fn welcome_again(swarm: &mut Swarm, log: u64, began: Instant) -> Result<f64> {
    until("a worker to be welcome", SOON, || {
        let fresh = swarm.drone("d1").log_since(log)?;
        Ok(fresh.contains("welcome store=").then_some(()))
    })
    .map_err(|error| error.context(swarm.logs()))?;
    Ok(began.elapsed().as_secs_f64())
}
