//! Rules as tables: who may build what and why not, what scores are called, what names mean, which requests are refused.

mod farm;

use std::collections::BTreeSet;

use farm::*;
use swarm_core::effect::RefusalKind;
use swarm_core::input::{Control, DroneAction, QueueRequest};
use swarm_core::placement::{Explanation, Rule, ScoreRule};
use swarm_core::rows::{DurationRow, Run};
use swarm_core::{Answer, Request, Settings, Sink};
use swarm_protocol::machine::WorkerState;
use swarm_protocol::report::FailureClass;

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
    let cases: [(&str, Change); 11] = [
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
        ("not-paused", |farm| drop(farm.order_drone("ben", DroneAction::Pause))),
        ("not-draining", |farm| drop(farm.order_drone("ben", DroneAction::Drain))),
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
            ben(farm).tags = vec!["sweeper".to_owned()];
            farm.greet("ben");
        }),
    ];
    for (rule, change) in cases {
        let mut farm = waiting(&["anna", "ben"]);
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
fn names_of_rules_and_scores_are_stable() {
    insta::assert_snapshot!(Rule::ALL.map(Rule::name).join(" "), @"online worker-ready not-paused not-draining not-grounded uploads-work not-syncing free-slot build-profile arch base tree tags features disk memory more-of-what-lacked not-failed-here not-sweeper not-blocked");
    insta::assert_snapshot!(ScoreRule::ALL.map(ScoreRule::name).join(" "), @"speed big-for-big calm memory-fit warm trust soon");
    assert!(ScoreRule::ALL.iter().all(|rule| !rule.description().is_empty()));
    let names: BTreeSet<&str> = Rule::ALL.map(Rule::name).into_iter().collect();
    assert_eq!(names.len(), Rule::ALL.len());
}

#[test]
fn scores_prefer_cores_calm_and_trust() {
    for (what, change) in
        [("cores", (|drone| drone.cores = 16) as fn(&mut Drone)), ("memory-fit", |drone| drone.ram_gib = 8)]
    {
        let mut farm = Farm::of(&[]);
        farm.join(Drone { ram_gib: 64, ..Drone::new("anna") });
        let mut better = Drone { ram_gib: 64, ..Drone::new("ben") };
        change(&mut better);
        farm.join(better);
        farm.queue(&["app-misc/hello"]);
        assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"), "{what}");
    }
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.drones.get_mut("anna").unwrap().vitals.psi_io = 80.0;
    farm.beat("anna");
    farm.queue(&["app-misc/hello"]);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"), "pressure lowers the score");
    let why = explain(&mut farm, "app-misc/hello");
    let calm = why.drones[0].score.iter().find(|points| points.rule == ScoreRule::Calm).unwrap();
    assert_eq!(calm.points, -16);
    // and broken readings break nothing
    farm.drones.get_mut("anna").unwrap().vitals.load_1m = f64::NAN;
    farm.drones.get_mut("ben").unwrap().vitals.psi_cpu = f64::INFINITY;
    farm.beats();
    farm.queue(&["app-misc/other"]);
    assert_eq!(farm.holder("app-misc/other-2").as_deref(), Some("anna"));
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
    ];
    let mut farm = Farm::of(&["anna"]);
    for request in cases {
        refused(&mut farm, Request::Queue(request), RefusalKind::Invalid);
    }
    for (request, kind) in [
        (Request::Remove { package: "app-misc/hello".to_owned() }, RefusalKind::NotFound),
        (Request::Why { package: "app-misc/hello".to_owned() }, RefusalKind::NotFound),
        (Request::Ticket { artifact: swarm_protocol::ArtifactId(7) }, RefusalKind::NotFound),
        (Request::Drone { drone: "zoe".to_owned(), action: DroneAction::Drain }, RefusalKind::NotFound),
        (Request::Drone { drone: "anna".to_owned(), action: DroneAction::Forget }, RefusalKind::Conflict),
        (Request::Control { action: Control::Block, package: None, drone: None }, RefusalKind::Invalid),
        (
            Request::Control { action: Control::Unblock, package: Some("a/b".to_owned()), drone: None },
            RefusalKind::NotFound,
        ),
        (
            Request::Control { action: Control::Reclaim, package: None, drone: Some("zoe".to_owned()) },
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
