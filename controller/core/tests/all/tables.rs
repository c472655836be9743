//! Rules as tables: who may build what and why not, what scores are called, what names mean, which requests are refused.

use std::collections::BTreeSet;

use swarm_core::answer::RefusalKind;
use swarm_core::explanation::{Explanation, Rule, ScoreRule};
use swarm_core::request::{
    Control, ControlRequest, DroneAction, DroneRequest, QueueRequest, RemoveRequest, TicketRequest, WhyRequest,
};
use swarm_core::rows::{BuildWishes, DroneRow, DurationRow, Fact, Run};
use swarm_core::settings::PackageRule;
use swarm_core::{Answer, Request, Settings, Sink};
use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::report::FailureClass;

use crate::farm::*;

fn explain(farm: &mut Farm, package: &str) -> Explanation {
    match farm.why(package) {
        Answer::Why(mut all) => all.remove(0),
        other => panic!("{other:?}"),
    }
}

fn against(farm: &mut Farm, drone: &str, package: &str) -> Vec<&'static str> {
    let why = explain(farm, package);
    let drone = why.drones.iter().find(|one| one.name == drone).expect("the test names a drone of the farm");
    drone.against.iter().map(|reason| reason.rule.name()).collect()
}

fn wished(package: &str, wishes: BuildWishes) -> Request {
    Request::Queue(QueueRequest { packages: vec![package.to_owned()], wishes, ..QueueRequest::default() })
}

/// A waiting package and drones that may build it, with the swarm paused.
fn waiting(names: &[&str]) -> Farm {
    let mut farm = Farm::of(names);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello"]);
    farm
}

#[test]
fn each_rule_speaks_against_a_drone_by_its_name() {
    type Change = fn(&mut Farm);
    fn ben(farm: &mut Farm) -> &mut Drone {
        farm.drones.get_mut("ben").unwrap()
    }
    /// What the swarm made so, until it ends by itself.
    fn fact(farm: &mut Farm, change: fn(&mut DroneRow, Option<Fact>)) {
        let until = Some(farm.now.at + 60 * MINUTE);
        let fact = Fact { by: "swarm".to_owned(), reason: "8 failures in a row".to_owned(), since: 0, until };
        let mut row = farm.store.get::<DroneRow>(&"U-ben".into()).unwrap();
        change(&mut row, Some(fact));
        farm.store.put(&row);
        farm.restart();
        farm.beats();
    }
    let cases: [(&str, Change); 18] = [
        ("online", |farm| {
            ben(farm).silent = true;
            farm.pass(20 * SECOND);
        }),
        ("worker-ready", |farm| {
            ben(farm).worker = WorkerState::Hung;
            farm.beat("ben");
        }),
        ("worker-ready", |farm| {
            ben(farm).worker = WorkerState::Down;
            farm.beat("ben");
        }),
        ("healthy", |farm| {
            // his heartbeats come, and his supervisor answers no ping
            ben(farm).mute = true;
            while farm.healing("ben").incident.is_none() {
                farm.pass(SECOND);
            }
        }),
        ("not-grounded", |farm| fact(farm, |row, fact| row.grounded = fact)),
        ("uploads-work", |farm| fact(farm, |row, fact| row.upload_impaired = fact)),
        ("not-paused", |farm| drop(farm.order_drone("ben", DroneAction::Pause))),
        ("not-draining", |farm| drop(farm.order_drone("ben", DroneAction::Drain))),
        ("not-draining", |farm| {
            farm.order_drone("ben", DroneAction::Drain);
            assert!(farm.view().drones[&farm.drones["ben"].id].row.drained.is_some(), "he has nothing");
        }),
        ("arch", |farm| {
            ben(farm).arch = "arm64".to_owned();
            farm.greet("ben");
        }),
        ("tags", |farm| {
            ben(farm).tags = vec!["ssd".to_owned()];
            farm.greet("ben");
        }),
        ("features", |farm| {
            ben(farm).features = vec!["observability".to_owned()];
            farm.greet("ben");
        }),
        ("build-profile", |farm| {
            ben(farm).profile = "server".to_owned();
            farm.greet("ben");
        }),
        ("base", |farm| {
            ben(farm).cflags = "-O3".to_owned();
            farm.greet("ben");
        }),
        ("tree", |farm| {
            ben(farm).tree = "tree-2".to_owned();
            farm.beat("ben");
        }),
        ("disk", |farm| {
            ben(farm).vitals.disk_build_free = 0;
            farm.beat("ben");
        }),
        ("disk", |farm| {
            ben(farm).vitals.disk_packages_free = 9 * GIB;
            farm.beat("ben");
        }),
        ("not-sweeper", |farm| {
            ben(farm).tags.push("sweeper".to_owned());
            farm.greet("ben");
        }),
    ];
    for (rule, change) in cases {
        let mut farm = Farm::of(&[]);
        for name in ["anna", "ben"] {
            let (tags, features) = (vec!["ssd".to_owned(), "big".to_owned()], vec!["ccache".to_owned()]);
            farm.join(Drone { tags, features, ..Drone::new(name) });
        }
        farm.control(Control::Pause, None);
        let wishes =
            BuildWishes { tags: vec!["big".to_owned()], features: vec!["ccache".to_owned()], ..BuildWishes::default() };
        farm.request(wished("app-misc/hello", wishes));
        assert_eq!(against(&mut farm, "ben", "app-misc/hello"), Vec::<&str>::new());
        change(&mut farm);
        assert_eq!(against(&mut farm, "ben", "app-misc/hello"), [rule], "{rule}");
        assert_eq!(against(&mut farm, "anna", "app-misc/hello"), Vec::<&str>::new(), "{rule}");
    }
}

#[test]
fn all_reasons_are_told_and_not_the_first() {
    let mut farm = waiting(&["anna", "ben"]);
    let ben = farm.drones.get_mut("ben").unwrap();
    ben.worker = WorkerState::Down;
    ben.vitals.disk_build_free = 0;
    ben.vitals.disk_packages_free = 0;
    ben.tags = vec!["sweeper".to_owned()];
    ben.tree = "tree-2".to_owned();
    ben.silent = true;
    farm.greet("ben");
    farm.order_drone("ben", DroneAction::Pause);
    farm.order_drone("ben", DroneAction::Drain);
    farm.pass(20 * SECOND);
    assert_eq!(
        against(&mut farm, "ben", "app-misc/hello"),
        ["online", "worker-ready", "not-paused", "not-draining", "disk", "disk", "not-sweeper", "tree"]
    );
}

#[test]
fn a_full_drone_a_failed_one_and_one_too_small_are_named() {
    let mut farm = Farm::of(&["anna", "ben", "cleo"]);
    farm.queue(&["app-misc/hello"]);
    let name = farm.holder("app-misc/hello-1.0").unwrap();
    assert_eq!(against(&mut farm, &name, "app-misc/hello"), ["free-slot"]);
    farm.fails(&name, "app-misc/hello-1.0", FailureClass::Phase, "compile failed");
    assert_eq!(against(&mut farm, &name, "app-misc/hello"), ["not-failed-here"]);

    // 17 GiB were needed elsewhere once
    let run = Run { drone: "U-far".into(), duration_ms: 1, usual_ms: 1, memory_bytes: 17 * GIB };
    let learned = DurationRow { cp: "app-misc/other".to_owned(), runs: vec![run] };
    farm.store.put(&learned);
    farm.restart();
    farm.beats();
    farm.queue(&["app-misc/other"]);
    assert_eq!(against(&mut farm, &name, "app-misc/other"), ["memory"]);
}

#[test]
fn out_of_memory_asks_for_more_memory_and_no_other_failure_of_a_drone_does() {
    let mut farm = Farm::of(&[]);
    farm.join(Drone { ram_gib: 16, cores: 32, ..Drone::new("anna") });
    farm.join(Drone { ram_gib: 8, ..Drone::new("ben") });
    farm.queue(&["app-misc/hello"]);
    farm.fails("anna", "app-misc/hello-1.0", FailureClass::OutOfMemory, "killed for want of memory");
    assert_eq!(
        against(&mut farm, "ben", "app-misc/hello"),
        ["more-of-what-lacked"],
        "it has less than what was too little"
    );
    farm.pass(11 * MINUTE);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("anna"));
    farm.queue(&["app-misc/other"]);
    farm.fails("ben", "app-misc/other-2", FailureClass::MissingTool, "no ninja");
    assert_eq!(against(&mut farm, "ben", "app-misc/other"), ["not-failed-here"], "not again for a while");
    farm.pass(11 * MINUTE);
    assert_eq!(farm.holder("app-misc/other-2").as_deref(), Some("ben"));
}

#[test]
fn after_memory_or_disk_was_too_little_a_drone_with_more_is_asked_where_there_is_one() {
    for class in [FailureClass::OutOfMemory, FailureClass::DiskFull] {
        let mut farm = Farm::of(&[]);
        for (name, gib, cores) in [("anna", 16, 32), ("ben", 16, 16), ("cleo", 64, 2)] {
            let vitals = Vitals { disk_build_free: gib * GIB, disk_packages_free: 20 * GIB, ..Vitals::default() };
            farm.join(Drone { ram_gib: gib, cores, vitals, ..Drone::new(name) });
        }
        farm.queue(&["app-misc/hello"]);
        assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("anna"));
        farm.fails("anna", "app-misc/hello-1.0", class, "too little");
        assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("cleo"), "{class:?}");
        for small in ["anna", "ben"] {
            assert_eq!(against(&mut farm, small, "app-misc/hello"), ["more-of-what-lacked"], "{class:?}");
        }
        // without one it is tried with as much, for what it is worth
        farm.order_drone("cleo", DroneAction::Pause);
        assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"));
    }
}

#[test]
fn what_a_package_or_a_build_profile_asks_for_is_configured_and_a_request_wins() {
    let rule =
        PackageRule { memory_bytes: 12 * GIB, total_ms: Some(5), silence_ms: Some(3), tags: vec!["big".to_owned()] };
    let settings = Settings {
        packages: [("app-misc/hello".to_owned(), rule)].into(),
        profile_tags: [("default".to_owned(), vec!["ssd".to_owned()])].into(),
        prefetch: 0,
        ..Settings::default()
    };
    let mut farm = Farm::with(settings);
    farm.join(Drone { ram_gib: 8, ..Drone::new("anna") });
    farm.join(Drone { tags: vec!["ssd".to_owned(), "big".to_owned()], ..Drone::new("ben") });
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"));
    assert_eq!(against(&mut farm, "anna", "app-misc/hello"), ["tags", "memory"]);
    assert_eq!(against(&mut farm, "anna", "app-misc/other"), ["tags"], "what the build profile asks for");
    let limits = |farm: &Farm| farm.drones["ben"].running.values().next().unwrap().0.limits;
    assert_eq!((limits(&farm).total_ms, limits(&farm).silence_ms), (5, 3));
    farm.builds("ben", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    let wishes = BuildWishes { memory_bytes: GIB, total_ms: Some(7), ..BuildWishes::default() };
    let request =
        QueueRequest { packages: vec!["app-misc/hello".to_owned()], rebuild: true, wishes, ..QueueRequest::default() };
    farm.request(Request::Remove(RemoveRequest { package: "app-misc/other".to_owned() }));
    farm.request(Request::Queue(request));
    assert_eq!(against(&mut farm, "anna", "app-misc/hello"), ["tags"]);
    assert_eq!((limits(&farm).total_ms, limits(&farm).silence_ms), (7, 3));
}

#[test]
fn a_wish_for_tags_and_priority_goes_to_the_dependencies_and_one_for_time_does_not() {
    let mut farm = Farm::of(&[]);
    farm.join(Drone { tags: vec!["big".to_owned()], ..Drone::new("anna") });
    let tags = vec!["big".to_owned()];
    let wishes = BuildWishes { priority: 7, tags, total_ms: Some(1), memory_bytes: 9 * GIB, ..BuildWishes::default() };
    farm.request(wished("app-misc/calc", wishes.clone()));
    let library = farm.entry("dev-libs/libcalc-3").wishes;
    assert_eq!(library, BuildWishes { total_ms: None, memory_bytes: 0, ..wishes.clone() });
    assert_eq!(farm.entry("app-misc/calc-3.1").wishes, wishes);
    // who needs it more makes it more urgent
    farm.request(wished("app-misc/abacus", BuildWishes { priority: 20, ..BuildWishes::default() }));
    assert_eq!(farm.entry("dev-libs/libcalc-3").wishes.priority, 20);
    farm.request(wished("app-misc/abacus", BuildWishes { priority: -5, ..BuildWishes::default() }));
    assert_eq!(farm.entry("dev-libs/libcalc-3").wishes.priority, 20);
}

#[test]
fn names_of_rules_and_scores_are_stable() {
    insta::assert_snapshot!(Rule::ALL.map(Rule::name).join(" "), @"online worker-ready healthy not-paused not-draining not-grounded uploads-work not-syncing free-slot build-profile arch base tree tags features disk memory more-of-what-lacked not-failed-here not-sweeper not-blocked");
    insta::assert_snapshot!(ScoreRule::ALL.map(ScoreRule::name).join(" "), @"speed big-for-big calm memory-fit warm trust soon");
    assert!(ScoreRule::ALL.iter().all(|rule| !rule.description().is_empty()));
    let names: BTreeSet<&str> = Rule::ALL.map(Rule::name).into_iter().collect();
    assert_eq!(names.len(), Rule::ALL.len());
}

fn points(farm: &mut Farm, drone: &str, package: &str, rule: ScoreRule) -> i64 {
    let why = explain(farm, package);
    let drone = why.drones.iter().find(|one| one.name == drone).expect("the test names a drone of the farm");
    drone.score.iter().find(|points| points.rule == rule).expect("every rule has its points").points
}

/// Two alike but for what a test changes, and who gets the package.
fn preferred(package: &str, seconds: Option<u64>, change: fn(&mut Drone, &mut DroneRow)) -> String {
    let mut farm = Farm::of(&[]);
    if let Some(seconds) = seconds {
        farm.teach(&format!("{package}-1.0"), seconds * SECOND);
    }
    for name in ["anna", "ben"] {
        farm.join(Drone { ram_gib: 64, ..Drone::new(name) });
    }
    let mut row = farm.store.get::<DroneRow>(&"U-ben".into()).expect("the row of a drone that has joined");
    change(farm.drones.get_mut("ben").expect("a drone of the farm"), &mut row);
    farm.store.put(&row);
    farm.restart();
    for name in ["anna", "ben"] {
        farm.greet(name);
    }
    farm.queue(&[package]);
    farm.holder(&format!("{package}-1.0")).expect("somebody has it")
}

#[test]
fn each_rule_of_the_score_prefers_a_drone() {
    let hello = "app-misc/hello";
    assert_eq!(preferred(hello, None, |_, _| ()), "anna", "the first of equals");
    for (what, change) in [
        ("processors, as long as nothing is known", (|ben, _| ben.cores = 16) as fn(&mut Drone, &mut DroneRow)),
        ("speed, once it is known", |ben, row| {
            ben.cores = 1;
            row.speeds = vec![3_000, 9_000, 2_000];
        }),
        ("memory that fits", |ben, _| ben.ram_gib = 8),
    ] {
        assert_eq!(preferred(hello, None, change), "ben", "{what}");
        let long = preferred(hello, Some(3_600), change);
        assert_eq!(long, "ben", "{what}, for a long package");
    }
    let fast = |_: &mut Drone, row: &mut DroneRow| row.speeds = vec![3_000];
    assert_eq!(preferred(hello, Some(3_600), fast), "ben");
    assert_eq!(preferred(hello, Some(5), fast), "anna", "fast drones are kept for long packages");
    let slow = |_: &mut Drone, row: &mut DroneRow| row.speeds = vec![300];
    assert_eq!(preferred(hello, Some(5), slow), "ben");
    let failing = |_: &mut Drone, row: &mut DroneRow| row.speeds = vec![1_100];
    assert_eq!(preferred(hello, None, failing), "ben");
    let failing = |_: &mut Drone, row: &mut DroneRow| (row.speeds, row.streaks.failures) = (vec![1_100], 2);
    assert_eq!(preferred(hello, None, failing), "anna", "trust");
}

#[test]
fn pressure_and_load_lower_the_score_and_broken_readings_break_nothing() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.drones.get_mut("anna").unwrap().vitals.psi_io = 80.0;
    farm.beat("anna");
    farm.queue(&["app-misc/hello"]);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"), "pressure lowers the score");
    assert_eq!(points(&mut farm, "anna", "app-misc/hello", ScoreRule::Calm), -16);
    farm.drones.get_mut("anna").unwrap().vitals.load_1m = f64::NAN;
    farm.drones.get_mut("ben").unwrap().vitals.psi_cpu = f64::INFINITY;
    farm.beats();
    farm.queue(&["app-misc/other"]);
    assert_eq!(farm.holder("app-misc/other-2").as_deref(), Some("anna"));
}

#[test]
fn a_drone_that_built_it_lately_has_its_sources_or_a_cache_is_warm() {
    let mut farm = Farm::of(&[]);
    farm.join(Drone { sources: vec![9, 7, 8], ..Drone::new("anna") });
    farm.join(Drone { sources: vec![7], features: vec!["ccache".to_owned()], ..Drone::new("ben") });
    farm.join(Drone::new("cleo"));
    farm.tree.get_mut("app-misc/hello").unwrap().sources = &[8, 7];
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello"]);
    let warm = |farm: &mut Farm, name: &str| points(farm, name, "app-misc/hello", ScoreRule::Warm);
    assert_eq!((warm(&mut farm, "anna"), warm(&mut farm, "ben"), warm(&mut farm, "cleo")), (4, 0, 0));
    let run = |drone: &str| Run { drone: drone.into(), duration_ms: 1, usual_ms: 1, memory_bytes: 0 };
    farm.store.put(&DurationRow { cp: "app-misc/hello".to_owned(), runs: vec![run("U-ben"), run("U-cleo")] });
    farm.restart();
    farm.beats();
    assert_eq!((warm(&mut farm, "anna"), warm(&mut farm, "ben"), warm(&mut farm, "cleo")), (4, 12, 4));
}

#[test]
fn a_line_is_filled_where_it_moves_soonest() {
    let mut farm = Farm::with(Settings::default());
    for (cpv, minutes) in [("app-misc/hello-1.0", 8), ("app-misc/other-2", 3)] {
        farm.teach(cpv, minutes * MINUTE);
    }
    farm.restart();
    for name in ["anna", "ben"] {
        farm.join(Drone::new(name));
    }
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    let soon = farm.holder("app-misc/other-2").unwrap();
    farm.queue(&["app-misc/fancy"]);
    assert_eq!(farm.holder("app-misc/fancy-1"), Some(soon.clone()));
    assert_eq!(points(&mut farm, &soon, "app-misc/fancy", ScoreRule::Soon), -6, "3 min and its own 3");
}

#[test]
fn names_mean_what_people_mean() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello", "=app-misc/calc-3.1"]);
    for (name, hits) in [
        ("app-misc/hello", 1),
        ("=app-misc/hello-1.0", 1),
        ("app-misc/hello-1.0", 1),
        (" app-misc/hello ", 1),
        ("app-misc/calc", 1),
        ("dev-libs/libcalc", 1),
        ("hello", 0),
        ("app-misc/hell", 0),
        ("app-misc/hello-1", 0),
        ("app-misc/hello-1.0-r1", 0),
        ("app-misc/*", 0),
        ("", 0),
    ] {
        let found = match farm.why(name) {
            Answer::Why(all) => all.len(),
            Answer::Refused(refusal) => {
                assert_eq!(refusal.kind, RefusalKind::NotFound);
                assert!(refusal.hint.is_some());
                0
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(found, hits, "{name:?}");
    }
    for name in ["anna", "U-anna"] {
        assert!(matches!(farm.order_drone(name, DroneAction::Pause), Answer::Done(_)));
    }
    assert!(matches!(farm.order_drone("ann", DroneAction::Pause), Answer::Refused(_)));
}

#[test]
fn bad_requests_are_refused_with_a_hint_and_change_nothing() {
    let queue = |packages: &[&str]| QueueRequest {
        packages: packages.iter().map(|text| (*text).to_owned()).collect(),
        ..QueueRequest::default()
    };
    let good = || queue(&["app-misc/hello"]);
    let long = "x".repeat(300);
    let cases = [
        queue(&[]),
        queue(&["  "]),
        queue(&["hello"]),
        queue(&["app-misc/hello", "!app-misc/other"]),
        queue(&["app-misc/hello", "=app-misc/other"]),
        queue(&["app-misc/hello;rm -rf /"]),
        queue(&["../../etc/passwd"]),
        QueueRequest { package_use: vec!["app-misc/hello $(x)".to_owned()], ..good() },
        QueueRequest { package_use: vec!["*/* -X".to_owned(); 2_001], ..good() },
        QueueRequest { profile: Some("../x".to_owned()), ..good() },
        QueueRequest { profile: Some(String::new()), ..good() },
        QueueRequest { session_name: Some(" ".to_owned()), ..good() },
        QueueRequest { session_name: Some("a\nb".to_owned()), ..good() },
        QueueRequest { session_name: Some(long.clone()), ..good() },
        QueueRequest { idempotency_key: Some(String::new()), ..good() },
        QueueRequest { idempotency_key: Some(long), ..good() },
        QueueRequest { packages: vec!["app-misc/hello".to_owned(); 50_001], ..good() },
        QueueRequest { wishes: BuildWishes { priority: 101, ..BuildWishes::default() }, ..good() },
        QueueRequest { wishes: BuildWishes { priority: i32::MIN, ..BuildWishes::default() }, ..good() },
        QueueRequest { wishes: BuildWishes { tags: vec!["a b".to_owned()], ..BuildWishes::default() }, ..good() },
        QueueRequest { wishes: BuildWishes { features: vec!["x".to_owned(); 17], ..BuildWishes::default() }, ..good() },
        QueueRequest { wishes: BuildWishes { total_ms: Some(0), ..BuildWishes::default() }, ..good() },
    ];
    let mut farm = Farm::of(&["anna"]);
    for request in cases {
        refused(&mut farm, Request::Queue(request), RefusalKind::Invalid);
    }
    for (request, kind) in [
        (Request::Remove(RemoveRequest { package: "app-misc/hello".to_owned() }), RefusalKind::NotFound),
        (Request::Why(WhyRequest { package: "app-misc/hello".to_owned() }), RefusalKind::NotFound),
        (Request::Ticket(TicketRequest { artifact: swarm_protocol::ArtifactId(7) }), RefusalKind::NotFound),
        (Request::Drone(DroneRequest { drone: "zoe".to_owned(), action: DroneAction::Drain }), RefusalKind::NotFound),
        (Request::Drone(DroneRequest { drone: "anna".to_owned(), action: DroneAction::Forget }), RefusalKind::Conflict),
        (Request::Control(ControlRequest { action: Control::Block, package: None, drone: None }), RefusalKind::Invalid),
        (
            Request::Control(ControlRequest { action: Control::Unblock, package: Some("a/b".to_owned()), drone: None }),
            RefusalKind::NotFound,
        ),
        (
            Request::Control(ControlRequest { action: Control::Reclaim, package: None, drone: Some("zoe".to_owned()) }),
            RefusalKind::NotFound,
        ),
    ] {
        refused(&mut farm, request, kind);
    }
}

#[test]
fn a_full_queue_refuses_and_says_so() {
    let mut farm = Farm::with(Settings { max_queue: 2, ..Settings::default() });
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    let more = QueueRequest { packages: vec!["app-misc/fancy".to_owned()], ..QueueRequest::default() };
    refused(&mut farm, Request::Queue(more), RefusalKind::Full);
}

fn refused(farm: &mut Farm, request: Request, kind: RefusalKind) {
    let before = (farm.outward(), farm.events.len(), farm.orders.len());
    let what = format!("{request:?}").chars().take(200).collect::<String>();
    let Answer::Refused(refusal) = farm.request(request) else { panic!("not refused: {what}") };
    assert_eq!(refusal.kind, kind, "{what}");
    assert!(!refusal.error.is_empty() && refusal.hint.is_some_and(|hint| !hint.is_empty()), "{what}");
    assert_eq!(before, (farm.outward(), farm.events.len(), farm.orders.len()), "{what} changed something");
}

#[test]
fn variants_of_an_atom_are_acted_on_together_and_counted() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/fancy"]);
    for flag in ["greet", "ssl"] {
        farm.request(Request::Queue(QueueRequest {
            packages: vec!["app-misc/fancy".to_owned()],
            package_use: vec![format!("app-misc/fancy {flag}")],
            ..QueueRequest::default()
        }));
    }
    let Answer::Done(done) = farm.control(Control::Block, Some("=app-misc/fancy-1")) else { panic!("refused") };
    assert_eq!((done.touched, done.what.into_iter().collect::<BTreeSet<_>>().len()), (3, 1));
}
