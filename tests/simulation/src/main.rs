//! `make simulate SEED=… DRONES=… HOURS=…`: one journey of any size, with a summary a person can read. Without SEED many small
//! journeys of fresh seeds are made until the time is over; a seed that fails is printed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use swarm_simulation::chance::fresh_seed;
use swarm_simulation::{HOUR, Outcome, Plan, Weather, run};

fn main() -> Result<ExitCode> {
    let number = |name: &str| -> Result<Option<u64>> {
        match std::env::var(name).ok().filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text.parse().with_context(|| format!("{name}={text} is no number"))?)),
            None => Ok(None),
        }
    };
    let seconds = number("SECONDS")?.unwrap_or(60);
    let Some(seed) = number("SEED")? else {
        let set = |name: &&str| std::env::var(name).is_ok_and(|text| !text.is_empty());
        if let Some(name) = ["DRONES", "HOURS", "WEATHER"].iter().find(|name| set(name)) {
            bail!("{name} is of one journey: say which by SEED=, any number will do");
        }
        return many(Duration::from_secs(seconds));
    };
    let mut plan = Plan::of_seed(seed);
    if let Some(drones) = number("DRONES")? {
        plan.drones = usize::try_from(drones)?.max(1);
        plan.packages = plan.packages.max(plan.drones * 2);
    }
    if let Some(hours) = number("HOURS")? {
        plan.length = hours.max(1) * HOUR;
    }
    match std::env::var("WEATHER").ok().as_deref() {
        None | Some("") => {}
        Some("calm") => plan.weather = Weather::Calm,
        Some("rough") => plan.weather = Weather::Rough,
        Some("storm") => plan.weather = Weather::Storm,
        Some(other) => bail!("WEATHER={other}: calm, rough or storm"),
    }
    let began = Instant::now();
    let outcome = run(plan);
    print(&outcome, began.elapsed());
    Ok(if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fresh seeds until the time is over; the first that fails is shown.
fn many(within: Duration) -> Result<ExitCode> {
    let began = Instant::now();
    let first = fresh_seed();
    let (mut made, mut hours) = (0, 0.0);
    while began.elapsed() < within {
        let seed = first + made;
        let outcome = run(Plan::of_seed(seed));
        hours += outcome.fleet_hours();
        made += 1;
        if outcome.violation.is_some() {
            print(&outcome, began.elapsed());
            println!("\nagain: make simulate SEED={seed}; keep it: add {seed} to tests/golden/seeds.txt");
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("{made} journeys, {hours:.0} fleet-hours, no promise broken, in {:.0} s", began.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print(outcome: &Outcome, took: Duration) {
    let plan = &outcome.plan;
    let virtual_hours = outcome.took as f64 / HOUR as f64;
    println!(
        "seed {}: {} drones, {} packages in the tree, {:?} weather for {:.1} h, at rest after {virtual_hours:.1} h",
        plan.seed,
        plan.drones,
        plan.packages,
        plan.weather,
        plan.length as f64 / HOUR as f64,
    );
    println!(
        "{} steps in {:.1} s ({:.2} virtual hours a second, {:.0} fleet-hours a second), trace {:016x}",
        outcome.steps,
        took.as_secs_f64(),
        virtual_hours / took.as_secs_f64().max(0.001),
        outcome.fleet_hours() / took.as_secs_f64().max(0.001),
        outcome.trace
    );
    println!("controller started {} times, drones rebooted {} times", outcome.controllers, outcome.reboots);
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    println!("packages  {}", list(&mut outcome.packages.iter().map(|(state, count)| format!("{count} {state}"))));
    println!("events    {}", list(&mut outcome.events.iter().map(|(kind, count)| format!("{count} {kind}"))));
    let mut recoveries = outcome.recoveries.clone();
    recoveries.sort_unstable();
    if let (Some(first), Some(middle), Some(last)) =
        (recoveries.first(), recoveries.get(recoveries.len() / 2), recoveries.last())
    {
        println!(
            "recovery  {} drones, {:.0} s at least, {:.0} s in the middle, {:.0} s at most",
            recoveries.len(),
            *first as f64 / 1000.0,
            *middle as f64 / 1000.0,
            *last as f64 / 1000.0
        );
    }
    match &outcome.violation {
        None => println!("no promise broken"),
        Some(broken) => {
            println!("\nBROKEN at {:.1} s: {}: {}", broken.at as f64 / 1000.0, broken.promise, broken.what);
            for line in &outcome.tail {
                println!("  {line}");
            }
        }
    }
}
