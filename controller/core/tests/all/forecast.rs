//! What is learned of packages and drones, and what is forecast from it.

use swarm_core::forecast::{Forecast, Span, forecast};
use swarm_core::request::Control;
use swarm_core::rows::{BuildRow, DurationRow};
use swarm_core::view::TaskView;
use swarm_protocol::report::{BuildResult, FailureClass};

use crate::farm::*;

fn seen(farm: &mut Farm) -> Forecast {
    let (rows, view) = (farm.store.all::<BuildRow>(), farm.view());
    forecast(&rows, &view, farm.now.wall)
}

fn span(farm: &mut Farm, cpv: &str) -> Option<(u64, u64)> {
    let id = farm.entry(cpv).id;
    seen(farm).entries.get(&id).map(|span| (span.start_ms / 1000, span.end_ms / 1000))
}

/// A drone builds a package that takes it so long.
fn takes(farm: &mut Farm, name: &str, cpv: &str, seconds: u64) {
    let fence = farm.starts(name, cpv);
    let artifact = binary(&farm.drones[name].running[&fence].0);
    farm.upload(name, fence, artifact.clone());
    farm.ends(name, fence, BuildResult { artifacts: vec![artifact], duration_ms: seconds * SECOND, ..done() });
    farm.pass(2 * SECOND);
}

fn task(farm: &mut Farm, cpv: &str) -> TaskView {
    let name = farm.holder(cpv).expect("someone has it");
    let id = farm.drones[&name].id.clone();
    let view = farm.view();
    view.drones[&id]
        .tasks
        .iter()
        .find(|task| task.package == format!("={cpv}"))
        .expect("the task of that package")
        .clone()
}

fn rebuilt(farm: &mut Farm, package: &str) {
    let packages = vec![package.to_owned()];
    let request = swarm_core::request::QueueRequest { packages, rebuild: true, ..Default::default() };
    farm.request(swarm_core::Request::Queue(request));
}

#[test]
fn each_package_is_shown_with_its_own_duration() {
    // in 0.4 all bars showed the same percentage
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    farm.queue(&["app-misc/other"]);
    assert_eq!(task(&mut farm, "app-misc/hello-1.0").estimated_ms, None, "nothing is known of what was never built");
    for (cpv, seconds) in [("app-misc/hello-1.0", 40), ("app-misc/other-2", 600)] {
        let name = farm.holder(cpv).unwrap();
        takes(&mut farm, &name, cpv, seconds);
    }
    for package in ["app-misc/hello", "app-misc/other"] {
        rebuilt(&mut farm, package);
    }
    assert_eq!(task(&mut farm, "app-misc/hello-1.0").estimated_ms, Some(40_000));
    assert_eq!(task(&mut farm, "app-misc/other-2").estimated_ms, Some(600_000));
}

#[test]
fn a_duration_is_the_median_of_the_last_five_successes() {
    let mut farm = Farm::of(&["anna"]);
    for seconds in [1_000, 10, 20, 30, 40, 50] {
        rebuilt(&mut farm, "app-misc/hello");
        takes(&mut farm, "anna", "app-misc/hello-1.0", seconds);
    }
    rebuilt(&mut farm, "app-misc/hello");
    assert_eq!(task(&mut farm, "app-misc/hello-1.0").estimated_ms, Some(30_000));
    farm.fails("anna", "app-misc/hello-1.0", FailureClass::Phase, "after hours");
    let row: DurationRow = farm.store.get(&"app-misc/hello".to_owned()).unwrap();
    assert_eq!(row.runs.iter().map(|run| run.duration_ms / 1000).collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
}

#[test]
fn memory_is_the_largest_peak_of_the_last_five_and_no_more_than_the_drone_has() {
    let mut farm = Farm::of(&["anna"]);
    for gib in [9, 1, 2, 3, 40, 1] {
        rebuilt(&mut farm, "app-misc/hello");
        let fence = farm.attempt("anna", "app-misc/hello-1.0");
        let artifact = binary(&farm.drones["anna"].running[&fence].0);
        farm.upload("anna", fence, artifact.clone());
        let result = BuildResult { artifacts: vec![artifact], memory_peak_bytes: gib * GIB, ..done() };
        farm.ends("anna", fence, result);
        farm.pass(2 * SECOND);
    }
    let row: DurationRow = farm.store.get(&"app-misc/hello".to_owned()).unwrap();
    assert_eq!(row.memory_bytes(), 16 * GIB, "anna has 16");
}

#[test]
fn a_drones_speed_is_learned_by_comparison_and_scales_what_is_expected() {
    let mut farm = Farm::of(&["anna"]);
    let slow = |farm: &mut Farm, on: bool| {
        farm.drones.get_mut("ben").unwrap().vitals.load_1m = if on { 0.0 } else { 200.0 };
        farm.drones.get_mut("anna").unwrap().vitals.load_1m = if on { 200.0 } else { 0.0 };
        farm.beats();
    };
    farm.join(Drone::new("ben"));
    for round in 0..4 {
        for (name, ben, seconds) in [("anna", false, 100), ("ben", true, 300)] {
            slow(&mut farm, ben);
            rebuilt(&mut farm, "app-misc/hello");
            assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some(name), "round {round}");
            takes(&mut farm, name, "app-misc/hello-1.0", seconds);
        }
    }
    let view = farm.view();
    let speed = |name: &str| f64::from(view.drones[&farm.drones[name].id].speed.unwrap());
    let ratio = speed("anna") / speed("ben");
    assert!((2.5..3.5).contains(&ratio), "anna is three times as fast, not {ratio}");
    for (name, ben, seconds) in [("anna", false, 100.0), ("ben", true, 300.0)] {
        slow(&mut farm, ben);
        rebuilt(&mut farm, "app-misc/hello");
        let expected = task(&mut farm, "app-misc/hello-1.0").estimated_ms.unwrap() as f64 / 1000.0;
        assert!((seconds * 0.8..seconds * 1.25).contains(&expected), "{name}: {expected} s");
        takes(&mut farm, name, "app-misc/hello-1.0", seconds as u64);
    }
    let before = farm.outward();
    farm.reload();
    assert_eq!(before, farm.outward(), "it is all in the rows");
}

#[test]
fn what_runs_what_waits_on_a_drone_and_what_is_in_line_are_forecast() {
    let mut farm = Farm::new();
    for (cpv, seconds) in [("app-misc/hello-1.0", 600), ("app-misc/other-2", 300), ("app-misc/fancy-1", 100)] {
        farm.teach(cpv, seconds * SECOND);
    }
    farm.restart();
    farm.join(Drone::new("anna"));
    farm.pass(farm.settings.start_grace);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.pass(100 * SECOND);
    assert_eq!(span(&mut farm, "app-misc/hello-1.0"), Some((0, 500)));
    assert_eq!(span(&mut farm, "app-misc/other-2"), Some((500, 800)));
    assert_eq!(span(&mut farm, "app-misc/fancy-1"), Some((800, 900)));
    let all = seen(&mut farm);
    assert_eq!((all.end_ms(), all.sessions.len()), (Some(900_000), 1));
    // a second drone takes a part of it
    farm.join(Drone::new("ben"));
    assert_eq!(farm.holder("app-misc/other-2").as_deref(), Some("ben"));
    assert_eq!(span(&mut farm, "app-misc/other-2"), Some((0, 300)));
    assert_eq!(span(&mut farm, "app-misc/fancy-1"), Some((300, 400)));
    // what takes longer than was thought does not end in the past
    farm.pass(600 * SECOND);
    assert_eq!(span(&mut farm, "app-misc/hello-1.0"), Some((0, 60)));
}

#[test]
fn dependencies_come_first_and_what_waits_for_a_blocked_one_has_no_forecast() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/calc", "app-misc/on-broken"]);
    farm.control(Control::Block, Some("app-misc/broken"));
    let length = farm.settings.default_duration / 1000;
    assert_eq!(span(&mut farm, "dev-libs/libcalc-3"), Some((0, length)), "what was never built is assumed");
    assert_eq!(span(&mut farm, "app-misc/calc-3.1"), Some((length + 1, 2 * length + 1)), "and a second for the index");
    assert_eq!(span(&mut farm, "app-misc/broken-1"), None);
    assert_eq!(span(&mut farm, "app-misc/on-broken-1"), None);
    farm.control(Control::Pause, None);
    assert_eq!(span(&mut farm, "app-misc/calc-3.1"), None, "nothing is given out while the swarm is paused");
    farm.control(Control::Resume, None);
    farm.order_drone("anna", swarm_core::request::DroneAction::Pause);
    assert_eq!(span(&mut farm, "app-misc/calc-3.1"), None, "nor without a drone");
}

#[test]
fn a_request_that_waits_for_its_planner_is_forecast_with_what_is_known_of_its_name() {
    let mut farm = Farm::new();
    farm.teach("app-misc/hello-1.0", 600 * SECOND);
    farm.restart();
    farm.join(Drone { dull: true, ..Drone::new("anna") });
    farm.pass(farm.settings.start_grace);
    farm.queue(&["=app-misc/hello-1.0"]);
    assert_eq!(span(&mut farm, "app-misc/hello-1.0"), Some((0, 600)));
}

#[test]
fn fast_drones_are_expected_to_take_more() {
    let span = |start_ms, end_ms| Span { start_ms, end_ms };
    let mut farm = Farm::new();
    let names = ["app-misc/hello-1.0", "app-misc/other-2", "app-misc/fancy-1"];
    for cpv in names {
        farm.teach(cpv, 100 * SECOND);
    }
    farm.restart();
    for (name, speed) in [("anna", 2_000), ("ben", 500)] {
        farm.join(Drone::new(name));
        let id = farm.drones[name].id.clone();
        let mut row = farm.store.get::<swarm_core::rows::DroneRow>(&id).unwrap();
        row.speeds = vec![speed];
        swarm_core::Sink::put(&mut farm.store, &row);
    }
    farm.restart();
    farm.control(Control::Pause, None);
    farm.beats();
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    let (rows, mut view) = (farm.store.all::<BuildRow>(), farm.view());
    view.paused = None;
    let spans: Vec<Span> = forecast(&rows, &view, farm.now.wall).entries.into_values().collect();
    assert_eq!(spans, [span(0, 50_000), span(0, 200_000), span(50_000, 100_000)]);
}

#[test]
fn a_forecast_comes_true_where_everything_is_known() {
    let packages =
        (0..30).map(|n| (if n % 3 == 2 { vec![n - 1, n - 2] } else { Vec::new() }, 60 + 17 * (n as u64 % 7)));
    let days = Days { packages: packages.collect(), drones: vec![(10, 1), (10, 1), (10, 2)], requests: 2, known: true };
    let mut life = Life::new(days);
    let expected = seen(&mut life.farm).end_ms().unwrap();
    let life = life.run();
    let took = life.farm.now.at - life.began;
    let off = took.abs_diff(expected) * 100 / took;
    assert!(off <= 15, "{} s were forecast, {} s it took", expected / 1000, took / 1000);
}

#[test]
fn fifty_thousand_entries_are_forecast_in_one_walk() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello"]);
    let (one, mut view) = (farm.entry("app-misc/hello-1.0"), farm.view());
    view.paused = None;
    let rows: Vec<BuildRow> = (1..=50_000u64)
        .map(|n| {
            let after = (n % 10 != 1).then_some(build(n - 1)).into_iter().collect();
            BuildRow { id: build(n), after, ..one.clone() }
        })
        .collect();
    let all = forecast(&rows, &view, farm.now.wall);
    assert_eq!(all.entries.len(), 50_000);
    assert!(all.end_ms().unwrap() >= 50_000 * farm.settings.default_duration, "one drone builds them one by one");
}
