//! Whole swarms in virtual time: kept seeds, fresh seeds, calm fleets, and the promise that a seed tells the whole story.

mod chance;

use std::collections::BTreeSet;
use std::path::Path;

use swarm_simulation::chance::fresh_seed;
use swarm_simulation::{MINUTE, Outcome, Plan, Weather, run};

/// Fails with what a person needs to look at it.
fn kept(outcome: &Outcome) {
    let Some(broken) = &outcome.violation else { return };
    let tail = outcome.tail.join("\n  ");
    panic!(
        "seed {}: {}: {} (at {:.1} s)\n  {tail}\nagain: make simulate SEED={}; keep it in tests/golden/seeds.txt",
        outcome.plan.seed,
        broken.promise,
        broken.what,
        broken.at as f64 / 1000.0,
        outcome.plan.seed
    );
}

fn seeds() -> Vec<u64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/seeds.txt");
    let text = fs_err::read_to_string(path).expect("the kept seeds");
    let seeds = text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty());
    seeds.map(|line| line.parse().expect("a seed is a number")).collect()
}

#[test]
fn seeds_that_once_failed_hold_now() {
    let seeds = seeds();
    assert_eq!(seeds.iter().collect::<BTreeSet<_>>().len(), seeds.len(), "each stands there once");
    for seed in seeds {
        kept(&run(Plan::of_seed(seed)));
    }
}

/// Seeds nobody has tried: from the system's own chance.
fn fresh(count: u64) {
    let first = fresh_seed();
    let mut hours = 0.0;
    for number in 0..count {
        let outcome = run(Plan::of_seed(first + number));
        hours += outcome.fleet_hours();
        kept(&outcome);
    }
    println!("{count} journeys, {hours:.0} fleet-hours");
}

// in four parts, for machines with more than one processor

#[test]
fn fresh_seeds_hold_one() {
    fresh(60);
}

#[test]
fn fresh_seeds_hold_two() {
    fresh(60);
}

#[test]
fn fresh_seeds_hold_three() {
    fresh(60);
}

#[test]
fn fresh_seeds_hold_four() {
    fresh(60);
}

#[test]
fn one_seed_tells_the_whole_story() {
    for seed in [11, 12, 13] {
        let (one, two) = (run(Plan::of_seed(seed)), run(Plan::of_seed(seed)));
        assert_eq!((one.trace, one.steps, one.took), (two.trace, two.steps, two.took), "seed {seed}");
        assert!(one.steps > 5_000, "seed {seed} makes a journey: {} steps", one.steps);
    }
    let traces: BTreeSet<u64> = (1..=5).map(|seed| run(Plan::of_seed(seed)).trace).collect();
    assert_eq!(traces.len(), 5, "and another seed another one");
}

#[test]
fn a_healthy_fleet_drains_the_queue_and_nothing_is_ever_taken_back() {
    for seed in 100..110 {
        let plan =
            Plan { weather: Weather::Calm, drones: 12, packages: 60, length: 40 * MINUTE, ..Plan::of_seed(seed) };
        let outcome = run(plan);
        kept(&outcome);
        let received = outcome.packages.get("received").copied().unwrap_or_default();
        assert_eq!(received, outcome.packages.values().sum::<usize>(), "seed {seed}: {:?}", outcome.packages);
        assert!(received > 0 && outcome.events["assign"] as usize <= received, "seed {seed}: ordered once each");
    }
}

#[test]
fn a_fleet_of_thousands_holds() {
    let plan = Plan { drones: 2_000, packages: 400, length: 6 * MINUTE, weather: Weather::Rough, ..Plan::of_seed(4) };
    kept(&run(plan));
}
