//! How fast virtual time passes: a fleet of a thousand in the simulation of the tests, in calm and in rough weather.

use std::time::Instant;

use anyhow::{Result, ensure};
use swarm_simulation::{HOUR, MINUTE, Plan, Weather};
use swarm_tests::figures::Figure;

use crate::Scale;

/// Measures.
///
/// # Errors
/// When a promise is broken.
pub fn run(scale: &Scale) -> Result<Vec<Figure>> {
    [("calm", Weather::Calm), ("rough", Weather::Rough)]
        .map(|(name, weather)| journey(scale, name, weather))
        .into_iter()
        .collect()
}

fn journey(scale: &Scale, name: &str, weather: Weather) -> Result<Figure> {
    let drones = scale.pick(20, 1_000);
    let length = scale.pick(5 * MINUTE, HOUR);
    let plan = Plan { drones, packages: 2 * drones, length, weather, ..Plan::of_seed(7) };
    let (mut rates, mut steps, mut fleet_hours) = (Vec::new(), 0.0, 0.0);
    for _ in 0..scale.rounds(1) {
        let began = Instant::now();
        let outcome = swarm_simulation::run(plan.clone());
        let seconds = began.elapsed().as_secs_f64();
        ensure!(outcome.violation.is_none(), "seed {}: {:?}", plan.seed, outcome.violation);
        rates.push(outcome.took as f64 / HOUR as f64 / seconds);
        steps = outcome.steps as f64 / seconds;
        fleet_hours = outcome.fleet_hours() / seconds;
    }
    let what = format!("virtual hours a second, {drones} drones, {name} weather");
    let figure = Figure::new(format!("simulation/{name}"), what, "h/s", rates);
    Ok(figure.note("fleet-hours a second", fleet_hours).note("steps a second", steps))
}
