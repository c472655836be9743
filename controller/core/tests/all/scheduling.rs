//! Who builds what when, as stories: the order of the line, drones' lines, sweepers, drains, trees, and a controller that is
//! cut off. Golden transcripts, as in `scenarios.rs`.

use swarm_core::request::{Control, ControlRequest, DroneAction, QueueRequest, RemoveRequest};
use swarm_core::rows::{BuildRow, BuildState, BuildWishes, Culprit, DroneRow};
use swarm_core::{Answer, Request, Settings, Sink};
use swarm_protocol::machine::WorkerState;
use swarm_protocol::report::{FailureClass, SyncAnswer};

use crate::farm::*;

/// Drones that get two orders beyond their slots.
fn farm_with_lines(names: &[&str]) -> Farm {
    let mut farm = Farm::with(Settings::default());
    names.iter().for_each(|name| farm.join(Drone::new(name)));
    farm.pass(farm.settings.start_grace);
    farm.transcript.clear();
    farm
}

fn wished(packages: &[&str], wishes: BuildWishes) -> Request {
    let packages = packages.iter().map(|text| (*text).to_owned()).collect();
    Request::Queue(QueueRequest { packages, wishes, ..QueueRequest::default() })
}

fn holders(farm: &Farm, names: &[&str]) -> Vec<Vec<String>> {
    let held = |name: &&str| {
        let mut line: Vec<_> = farm.drones[*name].running.iter().collect();
        line.sort_by_key(|(fence, _)| farm.drones[*name].line[fence]);
        line.into_iter().map(|(_, (job, _))| job.cpv.clone()).collect()
    };
    names.iter().map(held).collect()
}

#[test]
fn what_the_longest_chain_waits_for_is_built_first() {
    let mut farm = Farm::of(&[]);
    for (cpv, seconds) in [("dev-libs/libcalc-3", 10), ("app-misc/calc-3.1", 900), ("app-misc/hello-1.0", 600)] {
        farm.teach(cpv, seconds * SECOND);
    }
    farm.restart();
    farm.join(Drone::new("anna"));
    farm.transcript.clear();
    farm.say("libcalc is short, and calc, which waits for it, is long; other was never built");
    farm.queue(&["app-misc/other", "app-misc/hello", "app-misc/calc"]);
    let mut order = Vec::new();
    while let Some(cpv) = holders(&farm, &["anna"])[0].first().cloned() {
        farm.builds("anna", &cpv);
        farm.pass(2 * SECOND);
        order.push(cpv);
    }
    assert_eq!(order, ["dev-libs/libcalc-3", "app-misc/calc-3.1", "app-misc/hello-1.0", "app-misc/other-2"]);
    golden!(farm);
}

#[test]
fn priority_counts_as_path_and_age_grows_so_that_nothing_starves() {
    let mut farm = Farm::of(&["anna"]);
    for n in 0..40 {
        let cpv: &'static str = Box::leak(format!("app-misc/long{n}x-1").into_boxed_str());
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
        farm.teach(cpv, 10 * MINUTE);
    }
    farm.teach("app-misc/hello-1.0", 10 * SECOND);
    farm.teach("app-misc/other-2", 10 * SECOND);
    farm.restart();
    farm.greet("anna");
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/long0x", "app-misc/hello"]);
    farm.request(wished(&["app-misc/other"], BuildWishes { priority: 3, ..BuildWishes::default() }));
    farm.control(Control::Resume, None);
    assert_eq!(holders(&farm, &["anna"])[0], ["app-misc/other-2"], "three steps are longer than ten minutes");
    farm.builds("anna", "app-misc/other-2");
    farm.pass(2 * SECOND);
    // a long one is queued each time one is built: hello waits, but not for ever
    let mut rounds = 0;
    while farm.state("app-misc/hello-1.0") == "needed" {
        rounds += 1;
        farm.queue(&[&format!("app-misc/long{rounds}x")]);
        farm.pass(10 * MINUTE);
        let building = holders(&farm, &["anna"])[0][0].clone();
        farm.builds("anna", &building);
        farm.pass(2 * SECOND);
        assert!(rounds < 39, "starved");
    }
    assert!(rounds > 3, "the longer ones went first for a while, {rounds} times");
}

#[test]
fn a_drone_begins_its_next_package_at_once_from_its_line() {
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy", "app-misc/broken"]);
    assert_eq!(holders(&farm, &["anna"])[0].len(), 3, "one in the slot and two beyond");
    farm.why("app-misc/broken");
    farm.say("what has not begun stays with a drone that may work, however long the build before it takes");
    farm.starts("anna", "app-misc/hello-1.0");
    farm.pass(3 * 60 * MINUTE);
    assert_eq!(farm.told("return"), Vec::<&str>::new());
    farm.builds("anna", "app-misc/hello-1.0");
    farm.starts("anna", "app-misc/other-2");
    farm.pass(5 * SECOND);
    assert_eq!(holders(&farm, &["anna"])[0], ["app-misc/other-2", "app-misc/fancy-1", "app-misc/broken-1"]);
    golden!(farm);
}

#[test]
fn nothing_waits_in_a_line_before_its_dependencies_are_in_an_index() {
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/calc"]);
    farm.hold.index = true;
    farm.builds("anna", "dev-libs/libcalc-3");
    farm.pass(10 * SECOND);
    assert_eq!(farm.holder("app-misc/calc-3.1"), None, "built and signed, but no index lists it");
    farm.release();
    farm.pass(2 * SECOND);
    assert_eq!(farm.holder("app-misc/calc-3.1").as_deref(), Some("anna"));
}

#[test]
fn free_slots_are_filled_before_lines_and_no_line_behind_a_build_known_to_be_long() {
    let mut farm = Farm::with(Settings::default());
    farm.teach("app-misc/hello-1.0", 60 * MINUTE);
    farm.restart();
    for name in ["anna", "ben"] {
        farm.join(Drone::new(name));
    }
    farm.pass(farm.settings.start_grace);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy", "app-misc/broken"]);
    let builder = farm.holder("app-misc/hello-1.0").unwrap();
    let other = if builder == "anna" { "ben" } else { "anna" };
    farm.starts(&builder, "app-misc/hello-1.0");
    assert_eq!(holders(&farm, &[&builder])[0].len(), 1, "an hour's build has no line");
    assert_eq!(holders(&farm, &[other])[0].len(), 3);
    // as its end comes near, it gets one
    farm.queue(&["app-misc/abacus", "dev-libs/ring-a"]);
    farm.pass(40 * MINUTE);
    assert_eq!(holders(&farm, &[&builder])[0].len(), 1);
    farm.pass(15 * MINUTE);
    assert_eq!(holders(&farm, &[&builder])[0].len(), 3);
}

#[test]
fn a_drone_that_takes_fewer_orders_beyond_its_slots_gets_no_more() {
    for (waiting, expected) in [(Some(0), 1), (Some(1), 2), (Some(9), 3), (None, 3)] {
        let mut farm = farm_with_lines(&[]);
        farm.join(Drone { waiting, ..Drone::new("anna") });
        farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy", "app-misc/broken"]);
        assert_eq!(holders(&farm, &["anna"])[0].len(), expected, "{waiting:?}");
    }
    let mut farm = farm_with_lines(&[]);
    farm.join(Drone { slots: 2, ..Drone::new("anna") });
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy", "app-misc/broken", "app-misc/abacus"]);
    assert_eq!(holders(&farm, &["anna"])[0].len(), 4, "two slots, two beyond");
}

#[test]
fn an_idle_drone_takes_what_waits_longest_in_the_longest_line_and_leaves_one() {
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.say("ben joins with nothing to do: he gets what anna would have begun last");
    farm.join(Drone::new("ben"));
    assert_eq!(holders(&farm, &["anna", "ben"])[1], ["app-misc/fancy-1"]);
    farm.say("and when he is done, the one that waits at anna's stays there");
    farm.builds("ben", "app-misc/fancy-1");
    farm.pass(2 * SECOND);
    assert_eq!(holders(&farm, &["anna", "ben"]), [vec!["app-misc/hello-1.0", "app-misc/other-2"], vec![]]);
    farm.say("until no end of her build is in sight");
    farm.pass(11 * MINUTE);
    assert_eq!(holders(&farm, &["anna", "ben"]), [vec!["app-misc/hello-1.0"], vec!["app-misc/other-2"]]);
    let attempts: Vec<u32> = farm.store.all::<BuildRow>().iter().map(|row| row.attempt.0).collect();
    assert_eq!(attempts, [1, 2, 2]);
    golden!(farm);
}

#[test]
fn what_has_begun_before_the_drone_hears_that_it_is_asked_back_goes_on() {
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    let fence = farm.attempt("anna", "app-misc/fancy-1");
    // it begins, and the word of it is on its way while the controller asks it back
    farm.drones.get_mut("anna").unwrap().running.get_mut(&fence).unwrap().1 = Some(farm.now.at);
    farm.drones.get_mut("anna").unwrap().silent = true;
    farm.join(Drone::new("ben"));
    assert_eq!(farm.begun_released, 1);
    assert_eq!(farm.entry("app-misc/fancy-1").attempt.0, 1);
    farm.drones.get_mut("anna").unwrap().silent = false;
    farm.starts("anna", "app-misc/fancy-1");
    let row = farm.entry("app-misc/fancy-1");
    assert_eq!(row.assignment().unwrap().cancelling, None, "it has begun: nobody wants it back any more");
    farm.builds("anna", "app-misc/fancy-1");
    farm.pass(2 * SECOND);
    assert_eq!((farm.state("app-misc/fancy-1"), farm.entry("app-misc/fancy-1").attempt.0), ("received", 1));
}

#[test]
fn what_is_asked_back_ends_by_the_holders_word_or_its_lease_and_by_nothing_else() {
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.drones.get_mut("anna").unwrap().deaf = true;
    farm.join(Drone::new("ben"));
    farm.pass(60 * SECOND);
    assert_eq!(farm.entry("app-misc/fancy-1").attempt.0, 1, "she has not heard it");
    assert_eq!(holders(&farm, &["ben"])[0], Vec::<String>::new());
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.deaf, anna.silent) = (true, true);
    farm.pass(9 * MINUTE);
    assert_eq!(farm.entry("app-misc/fancy-1").attempt.0, 1);
    farm.pass(2 * MINUTE);
    assert_eq!(farm.entry("app-misc/fancy-1").attempt.0, 2, "her lease has ended");
    assert_eq!(farm.entry("app-misc/fancy-1").marks, vec![], "and nobody is blamed for what was asked back");
}

#[test]
fn an_idle_drone_that_would_take_longer_than_the_wait_gets_nothing() {
    for (speed, moved) in [(1_000, 1), (50, 0)] {
        let mut farm = farm_with_lines(&["anna", "ben"]);
        for (cpv, minutes) in [("app-misc/hello-1.0", 2), ("app-misc/other-2", 1), ("app-misc/fancy-1", 1)] {
            farm.teach(cpv, minutes * MINUTE);
        }
        let ben = farm.store.get::<DroneRow>(&"U-ben".into()).unwrap();
        farm.store.put(&DroneRow { speeds: vec![speed], ..ben });
        farm.restart();
        farm.beats();
        farm.order_drone("ben", DroneAction::Pause);
        farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
        farm.starts("anna", "app-misc/hello-1.0");
        farm.order_drone("ben", DroneAction::Resume);
        assert_eq!(farm.told("rebalance").len(), moved, "speed {speed}");
    }
}

#[test]
fn a_drone_that_may_not_work_gives_back_what_it_has_not_begun() {
    for action in [DroneAction::Pause, DroneAction::Drain] {
        let mut farm = farm_with_lines(&["anna"]);
        farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
        farm.starts("anna", "app-misc/hello-1.0");
        farm.order_drone("anna", action);
        assert_eq!(holders(&farm, &["anna"])[0], ["app-misc/hello-1.0"], "{action:?}: what has begun goes on");
        assert_eq!(farm.state("app-misc/fancy-1"), "needed");
        farm.order_drone("anna", DroneAction::Resume);
        assert_eq!(holders(&farm, &["anna"])[0].len(), 3);
    }
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.control(Control::Pause, None);
    assert_eq!(holders(&farm, &["anna"])[0], ["app-misc/hello-1.0"], "the whole swarm is paused");
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.tree, anna.dull) = ("tree-2".to_owned(), true);
    farm.control(Control::Resume, None);
    farm.pass(6 * SECOND);
    assert_eq!(holders(&farm, &["anna"])[0], ["app-misc/hello-1.0"], "planned on a tree she has no more");
}

#[test]
fn a_grounded_drones_line_is_returned_and_the_last_drone_is_ranked_down_instead() {
    let mut farm = farm_with_lines(&[]);
    farm.join(Drone { waiting: Some(0), ..Drone::new("ben") });
    farm.queue(&["app-misc/fancy"]);
    farm.starts("ben", "app-misc/fancy-1");
    farm.join(Drone::new("anna"));
    for n in 0..8 {
        let cpv: &'static str = Box::leak(format!("app-misc/p{n}x-1").into_boxed_str());
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
        if n == 7 {
            farm.queue(&["app-misc/hello", "app-misc/other"]);
        }
        farm.queue(&[&format!("={cpv}")]);
        farm.fails("anna", cpv, FailureClass::MissingTool, "no ninja");
        farm.request(Request::Remove(RemoveRequest { package: format!("={cpv}") }));
    }
    assert_eq!(farm.told("grounded").len(), 1);
    assert_eq!(holders(&farm, &["anna"])[0], Vec::<String>::new(), "what waited in her line is returned");
    farm.builds("ben", "app-misc/fancy-1");
    farm.pass(2 * SECOND);
    assert_eq!(holders(&farm, &["ben"])[0].len(), 1, "he could take over as soon as he had room");
}

/// The drone fails eight packages in a row by its own fault.
fn fails_again_and_again(farm: &mut Farm, name: &str, wishes: &BuildWishes) {
    for n in 0..8 {
        let cpv: &'static str = Box::leak(format!("app-misc/p{n}x-1").into_boxed_str());
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
        farm.request(wished(&[&format!("={cpv}")], wishes.clone()));
        farm.fails(name, cpv, FailureClass::MissingTool, "no ninja");
        farm.request(Request::Remove(RemoveRequest { package: format!("={cpv}") }));
    }
}

#[test]
fn a_drone_is_grounded_only_if_another_could_really_take_work_now() {
    type Change = fn(&mut Farm);
    fn ben(farm: &mut Farm) -> &mut Drone {
        farm.drones.get_mut("ben").unwrap()
    }
    let cases: [(&str, usize, Change); 8] = [
        ("he is sound, but has no room", 1, |_| ()),
        ("his worker hangs", 0, |farm| ben(farm).worker = WorkerState::Hung),
        ("his worker is down", 0, |farm| ben(farm).worker = WorkerState::Down),
        ("his disk is full", 0, |farm| ben(farm).vitals.disk_build_free = 0),
        ("he is silent", 0, |farm| ben(farm).silent = true),
        ("he is paused", 0, |farm| drop(farm.order_drone("ben", DroneAction::Pause))),
        ("he answers no ping", 0, |farm| ben(farm).mute = true),
        ("he serves another profile", 0, |farm| {
            ben(farm).profile = "server".to_owned();
            farm.greet("ben");
        }),
    ];
    for (story, grounded, change) in cases {
        let mut farm = Farm::of(&["ben"]);
        farm.queue(&["app-misc/hello"]);
        farm.starts("ben", "app-misc/hello-1.0");
        farm.join(Drone::new("anna"));
        change(&mut farm);
        farm.pass(40 * SECOND);
        fails_again_and_again(&mut farm, "anna", &BuildWishes::default());
        assert_eq!(farm.told("grounded").len(), grounded, "{story}\n{}", farm.transcript);
    }
}

#[test]
fn the_only_drone_with_the_tags_that_something_asks_for_is_not_grounded() {
    let asks =
        BuildWishes { tags: vec!["gpu".to_owned()], features: vec!["ccache".to_owned()], ..BuildWishes::default() };
    for (wishes, grounded) in [(asks, 0), (BuildWishes::default(), 1)] {
        let mut farm = Farm::of(&["ben"]);
        farm.queue(&["app-misc/hello"]);
        farm.starts("ben", "app-misc/hello-1.0");
        farm.join(Drone { tags: vec!["gpu".to_owned()], features: vec!["ccache".to_owned()], ..Drone::new("anna") });
        fails_again_and_again(&mut farm, "anna", &wishes);
        assert_eq!(farm.told("grounded").len(), grounded, "{wishes:?}");
    }
    // nor while it waits in the line for her
    let mut farm = Farm::of(&["ben"]);
    farm.queue(&["app-misc/hello"]);
    farm.starts("ben", "app-misc/hello-1.0");
    farm.join(Drone { tags: vec!["gpu".to_owned()], ..Drone::new("anna") });
    let next = |farm: &mut Farm, n: u32| {
        let cpv: &'static str = Box::leak(format!("app-misc/p{n}x-1").into_boxed_str());
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
        farm.request(wished(&[&format!("={cpv}")], BuildWishes { priority: 10, ..BuildWishes::default() }));
        cpv
    };
    let mut current = next(&mut farm, 0);
    farm.request(wished(&["app-misc/other"], BuildWishes { tags: vec!["gpu".to_owned()], ..BuildWishes::default() }));
    for n in 1..=8 {
        let following = if n < 8 { next(&mut farm, n) } else { "" };
        farm.fails("anna", current, FailureClass::MissingTool, "no ninja");
        farm.request(Request::Remove(RemoveRequest { package: format!("={current}") }));
        current = following;
    }
    assert_eq!(farm.told("grounded"), Vec::<&str>::new());
    assert_eq!(farm.holder("app-misc/other-2").as_deref(), Some("anna"));
}

#[test]
fn a_sweeper_is_no_other_drone_to_a_grounded_one() {
    let mut farm = Farm::of(&["anna", "sweeper-1"]);
    for n in 0..8 {
        let cpv: &'static str = Box::leak(format!("app-misc/p{n}x-1").into_boxed_str());
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
        farm.queue(&[&format!("={cpv}")]);
        farm.fails("anna", cpv, FailureClass::MissingTool, "no ninja");
        farm.request(Request::Remove(RemoveRequest { package: format!("={cpv}") }));
    }
    assert_eq!(farm.told("grounded"), Vec::<&str>::new());
    let message = "anna keeps failing; it is the last drone of its kind and goes on, last in line";
    assert_eq!(farm.told("warn"), [message], "said once, not with each failure");
}

#[test]
fn a_drain_gives_back_what_waits_and_ends_when_the_drone_is_empty() {
    let mut farm = farm_with_lines(&["anna", "ben"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy", "app-misc/broken"]);
    let begun = holders(&farm, &["anna"])[0][0].clone();
    farm.starts("anna", &begun);
    farm.order_drone("anna", DroneAction::Drain);
    assert_eq!(holders(&farm, &["anna"])[0], std::slice::from_ref(&begun));
    let drained = |farm: &mut Farm| farm.core.view().drones[&farm.drones["anna"].id].row.drained.clone();
    assert_eq!(drained(&mut farm), None);
    farm.builds("anna", &begun);
    farm.pass(2 * SECOND);
    assert_eq!(drained(&mut farm).map(|fact| fact.by).as_deref(), Some("kim"));
    farm.say("she stays out until she is resumed; draining her again changes nothing");
    farm.order_drone("anna", DroneAction::Drain);
    farm.why("app-misc/broken");
    farm.restart();
    farm.beats();
    assert!(drained(&mut farm).is_some());
    farm.order_drone("anna", DroneAction::Resume);
    farm.say("one that has nothing is drained at once");
    farm.order_drone("ben", DroneAction::Resume);
    farm.join(Drone::new("cleo"));
    golden!(farm);
    farm.order_drone("cleo", DroneAction::Pause);
    farm.order_drone("cleo", DroneAction::Drain);
    let ended = |event: &&swarm_core::rows::EventRow| event.details.contains_key("drained");
    let names: Vec<_> = farm.events.iter().filter(ended).filter_map(|event| event.drone.clone()).collect();
    assert_eq!(names, ["anna", "cleo"]);
}

#[test]
fn a_sweeper_takes_blocked_packages_and_nothing_else() {
    let mut farm = farm_with_lines(&["anna", "ben", "sweeper-1"]);
    farm.queue(&["app-misc/on-broken", "app-misc/masked"]);
    assert_eq!(holders(&farm, &["sweeper-1"])[0], Vec::<String>::new());
    for n in 1..=2 {
        let who = farm.holder("app-misc/broken-1").unwrap();
        farm.fails(&who, "app-misc/broken-1", FailureClass::Phase, &format!("compile failed, try {n}"));
    }
    assert_eq!(farm.holder("app-misc/broken-1").as_deref(), Some("sweeper-1"));
    farm.why("app-misc/broken");
    farm.say("it fails there, too: blocked as before, with one reason more");
    farm.fails("sweeper-1", "app-misc/broken-1", FailureClass::Phase, "compile failed, try 3");
    let BuildState::Blocked { reasons, retry_at, .. } = farm.entry("app-misc/broken-1").state else {
        panic!("blocked")
    };
    assert_eq!(reasons.len(), 3);
    assert!(retry_at.is_some(), "and tried again by itself as before");
    farm.pass(20 * MINUTE);
    assert_eq!(farm.holder("app-misc/broken-1"), None, "once is enough");
    farm.say("after the automatic retry all begins anew, and this time the sweeper can");
    farm.pass(11 * MINUTE);
    for n in 1..=2 {
        let who = farm.holder("app-misc/broken-1").unwrap();
        assert_ne!(who, "sweeper-1");
        farm.fails(&who, "app-misc/broken-1", FailureClass::Phase, &format!("compile failed again, try {n}"));
    }
    farm.builds("sweeper-1", "app-misc/broken-1");
    farm.pass(2 * SECOND);
    assert_eq!(farm.state("app-misc/broken-1"), "received");
    assert!(farm.holder("app-misc/on-broken-1").is_some_and(|name| name != "sweeper-1"));
    golden!(farm);
}

#[test]
fn what_a_sweeper_drops_loses_or_cannot_hold_is_blocked_as_before() {
    let mut farm = Farm::of(&["anna", "sweeper-1"]);
    let blocked = |farm: &mut Farm| {
        let row = farm.entry("app-misc/broken-1");
        let BuildState::Blocked { reasons, .. } = row.state else { panic!("{:?}\n{}", row.state, farm.transcript) };
        reasons.len()
    };
    farm.queue(&["app-misc/broken"]);
    farm.fails("anna", "app-misc/broken-1", FailureClass::Phase, "compile failed");
    let fence = farm.attempt("sweeper-1", "app-misc/broken-1");
    farm.drones.get_mut("sweeper-1").unwrap().running.clear();
    let news = swarm_protocol::report::BuildNews::Dropped { reason: "shutting down".to_owned() };
    farm.report("sweeper-1", fence, news);
    assert_eq!(blocked(&mut farm), 1);
    farm.pass(11 * MINUTE);
    assert_eq!(farm.holder("app-misc/broken-1").as_deref(), Some("sweeper-1"), "it may try again after a while");
    farm.fails("sweeper-1", "app-misc/broken-1", FailureClass::OutOfMemory, "killed for want of memory");
    assert_eq!(blocked(&mut farm), 1, "no reason against the package");
    let marks = farm.entry("app-misc/broken-1").marks;
    assert_eq!(marks.iter().map(|mark| mark.culprit).collect::<Vec<_>>(), [Culprit::Package, Culprit::Drone]);
    farm.say("a person's word goes above it");
    farm.control(Control::Block, Some("app-misc/broken"));
    farm.pass(60 * MINUTE);
    assert_eq!((farm.state("app-misc/broken-1"), farm.holder("app-misc/broken-1")), ("blocked", None));
}

#[test]
fn asking_once_more_for_what_is_blocked_tries_it_once_more() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.order_drone("ben", DroneAction::Pause);
    farm.queue(&["app-misc/broken", "app-misc/other"]);
    farm.fails("anna", "app-misc/broken-1", FailureClass::Phase, "compile failed");
    assert_eq!(farm.state("app-misc/broken-1"), "blocked");
    farm.order_drone("ben", DroneAction::Resume);
    farm.queue(&["app-misc/broken"]);
    assert_eq!(farm.entries("app-misc/broken-1").len(), 1, "no second row");
    assert_eq!((farm.state("app-misc/broken-1"), farm.entry("app-misc/broken-1").marks.len()), ("delegated", 0));
    farm.control(Control::Block, Some("app-misc/broken"));
    farm.queue(&["app-misc/broken"]);
    assert_eq!(farm.state("app-misc/broken-1"), "blocked", "but only a person unblocks what a person blocked");
}

fn dated(name: &str, tree: u64) -> Drone {
    Drone { tree: format!("tree-{tree}"), tree_timestamp: Some(tree), ..Drone::new(name) }
}

#[test]
fn a_drone_with_an_older_tree_is_told_to_sync_first() {
    let mut farm = Farm::of(&[]);
    farm.join(dated("anna", 7));
    farm.join(dated("ben", 5));
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    assert_eq!(farm.holder("app-misc/other-2"), None, "planned on anna's tree, which ben does not have");
    farm.why("app-misc/other");
    farm.say("the mirror does not answer: he is told again after a while");
    assert_eq!(farm.syncs("ben", 5, Some("emaint sync ended with 1")), Answer::Sync(SyncAnswer::Durable {}));
    farm.pass(9 * MINUTE);
    assert_eq!(farm.drones["ben"].syncing, None);
    farm.pass(2 * MINUTE);
    assert!(farm.drones["ben"].syncing.is_some());
    farm.syncs("ben", 7, None);
    assert_eq!(farm.holder("app-misc/other-2"), None, "his heartbeat says which tree he has");
    farm.pass(6 * SECOND);
    assert_eq!(farm.holder("app-misc/other-2").as_deref(), Some("ben"));
    golden!(farm);
}

#[test]
fn nobody_is_told_to_sync_who_builds_is_paused_has_the_newest_tree_or_one_that_cannot_be_compared() {
    let told = |farm: &Farm, name: &str| farm.drones[name].syncing.is_some();
    let mut farm = Farm::of(&[]);
    farm.join(dated("anna", 5));
    farm.queue(&["app-misc/hello"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.join(dated("ben", 7));
    farm.join(Drone { tree: "a-commit".to_owned(), ..Drone::new("cleo") });
    farm.pass(MINUTE);
    assert!(!told(&farm, "anna"), "she builds");
    assert!(!told(&farm, "ben") && !told(&farm, "cleo"));
    farm.order_drone("anna", DroneAction::Pause);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(MINUTE);
    assert!(!told(&farm, "anna"), "she is paused");
    farm.order_drone("anna", DroneAction::Resume);
    assert!(told(&farm, "anna"));
    // with another base nothing is expected of her
    let mut farm = Farm::of(&[]);
    farm.join(Drone { cflags: "-O3".to_owned(), ..dated("anna", 5) });
    farm.join(dated("ben", 7));
    farm.pass(MINUTE);
    assert!(!told(&farm, "anna"));
    let mut farm = Farm::with(Settings { sync: false, ..Settings::default() });
    farm.join(dated("anna", 5));
    farm.join(dated("ben", 7));
    farm.pass(2 * MINUTE);
    assert!(!told(&farm, "anna"), "the operator does not want it");
}

#[test]
fn an_order_to_sync_is_sent_until_it_is_seen_and_a_lost_end_is_not_waited_for_for_ever() {
    let mut farm = Farm::of(&[]);
    farm.join(Drone { deaf: true, ..dated("anna", 5) });
    farm.join(dated("ben", 7));
    let sent = |farm: &Farm| farm.orders.iter().filter(|(_, order)| order.task.token() == "sync").count();
    assert_eq!(sent(&farm), 1);
    farm.pass(10 * SECOND);
    assert!(sent(&farm) > 1);
    farm.restart();
    farm.drones.get_mut("anna").unwrap().deaf = false;
    farm.pass(10 * SECOND);
    let numbers: std::collections::BTreeSet<u64> =
        farm.orders.iter().filter(|(_, order)| order.task.token() == "sync").map(|(_, order)| order.number).collect();
    assert_eq!(numbers.len(), 1, "always the same order, after a restart, too");
    let (again, late) = (sent(&farm), farm.drones["anna"].syncing.clone());
    farm.pass(10 * MINUTE);
    assert_eq!(sent(&farm), again, "seen, and not sent any more");
    farm.pass(7 * MINUTE);
    assert!(farm.told("warn").iter().any(|text| text.contains("did not say in time")), "{:?}", farm.told("warn"));
    // she was told anew; the end of the first try says nothing any more
    assert_ne!(farm.drones["anna"].syncing, late);
    farm.drones.get_mut("anna").unwrap().syncing = late;
    assert!(matches!(farm.syncs("anna", 5, None), Answer::Sync(SyncAnswer::Superseded { .. })));
}

#[test]
fn a_controller_that_hears_nobody_any_more_says_so_and_judges_nobody() {
    let names = ["anna", "ben", "cleo", "dora"];
    let mut farm = Farm::of(&names);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy", "app-misc/broken"]);
    let fences: Vec<_> = names.iter().map(|name| *farm.drones[*name].running.keys().next().unwrap()).collect();
    for name in &names[..3] {
        farm.drones.get_mut(*name).unwrap().silent = true;
    }
    farm.pass(25 * MINUTE);
    assert_eq!(farm.told("alert").len(), 1, "one word is enough");
    assert!(farm.view().cut_off.is_some());
    assert_eq!(farm.told("reclaim"), Vec::<&str>::new(), "leases ended after ten minutes, and nobody is judged");
    farm.say("what still comes in counts");
    let building = farm.drones["anna"].running[&fences[0]].0.cpv.clone();
    farm.builds("anna", &building);
    farm.pass(2 * SECOND);
    assert_eq!(farm.state(&building), "received");
    farm.say("two of the three are heard again");
    for name in &names[..2] {
        farm.drones.get_mut(*name).unwrap().silent = false;
    }
    farm.pass(6 * SECOND);
    assert!(farm.view().cut_off.is_none());
    farm.pass(9 * MINUTE);
    assert_eq!(farm.told("reclaim").len(), 0, "leases began anew");
    farm.pass(2 * MINUTE);
    assert_eq!(farm.told("reclaim").len(), 1, "cleo is judged as anybody");
    golden!(farm);
}

#[test]
fn a_fleet_that_stays_away_is_judged_in_the_end() {
    let mut farm = Farm::of(&["anna", "ben", "cleo"]);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    for name in ["anna", "ben"] {
        let drone = farm.drones.get_mut(name).unwrap();
        (drone.silent, drone.deaf) = (true, true);
    }
    farm.pass(29 * MINUTE);
    assert_eq!(farm.told("reclaim").len(), 0);
    farm.pass(13 * MINUTE);
    assert_eq!(farm.told("alert").len(), 2);
    assert_eq!(farm.told("reclaim").len(), 2);
    assert_eq!(holders(&farm, &["cleo"])[0].len(), 1, "the third goes on with it");
}

#[test]
fn one_or_two_of_many_that_fall_silent_are_their_own_affair() {
    for (fleet, silent, cut) in [(2, 2, false), (3, 1, false), (3, 2, true), (5, 2, false), (5, 3, true)] {
        let names: Vec<String> = (0..fleet).map(|n| format!("d{n}")).collect();
        let mut farm = Farm::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (n, name) in names.iter().take(silent).enumerate() {
            farm.pass(3 * SECOND * u64::from(n > 0));
            farm.drones.get_mut(name).unwrap().silent = true;
        }
        farm.pass(MINUTE);
        assert_eq!(farm.told("alert").len(), usize::from(cut), "{silent} of {fleet}");
    }
    // nor those that go one after the other
    let mut farm = Farm::of(&["anna", "ben", "cleo"]);
    for name in ["anna", "ben"] {
        farm.drones.get_mut(name).unwrap().silent = true;
        farm.pass(5 * MINUTE);
    }
    assert_eq!(farm.told("alert"), Vec::<&str>::new());
}

#[test]
fn two_variants_of_a_package_wait_side_by_side_and_each_is_built_with_its_own_flags() {
    let mut farm = farm_with_lines(&["anna", "ben"]);
    for flags in ["greet", "-greet"] {
        farm.request(Request::Queue(QueueRequest {
            packages: vec!["app-misc/fancy".to_owned()],
            package_use: vec![format!("app-misc/fancy {flags}")],
            ..QueueRequest::default()
        }));
    }
    let flags: Vec<Vec<String>> =
        farm.drones.values().map(|d| d.running.values().next().unwrap().0.use_flags.clone()).collect();
    assert_eq!(flags, [vec!["greet".to_owned()], vec![]]);
    farm.builds("anna", "app-misc/fancy-1");
    farm.builds("ben", "app-misc/fancy-1");
    farm.pass(2 * SECOND);
    assert_eq!(farm.artifacts().len(), 2);
}

#[test]
fn whoever_waited_for_what_was_removed_waits_for_what_that_waited_for() {
    let mut farm = Farm::of(&["anna"]);
    farm.tree.insert(
        "app-misc/top".to_owned(),
        Ebuild { cpv: "app-misc/top-1", build: &["app-misc/calc"], ..Ebuild::default() },
    );
    farm.queue(&["app-misc/top"]);
    farm.request(Request::Remove(RemoveRequest { package: "app-misc/calc".to_owned() }));
    assert_eq!(farm.holder("app-misc/top-1"), None);
    farm.builds("anna", "dev-libs/libcalc-3");
    farm.pass(2 * SECOND);
    assert_eq!(farm.holder("app-misc/top-1").as_deref(), Some("anna"));
}

fn touched(answer: Answer) -> u64 {
    match answer {
        Answer::Done(done) => done.touched,
        other => panic!("{other:?}"),
    }
}

fn control(farm: &mut Farm, action: Control, package: Option<&str>, drone: Option<&str>) -> u64 {
    let (package, drone) = (package.map(str::to_owned), drone.map(str::to_owned));
    touched(farm.request(Request::Control(ControlRequest { action, package, drone })))
}

#[test]
fn rebalance_asks_back_what_has_not_begun_and_gives_it_out_anew() {
    let mut farm = farm_with_lines(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    farm.starts("anna", "app-misc/hello-1.0");
    assert_eq!(control(&mut farm, Control::Rebalance, Some("app-misc/hello"), None), 0, "it has begun");
    assert_eq!(control(&mut farm, Control::Rebalance, Some("app-misc/other"), None), 1);
    assert_eq!(control(&mut farm, Control::Rebalance, None, Some("anna")), 2);
    assert_eq!(farm.entry("app-misc/hello-1.0").attempt.0, 1);
    assert_eq!(farm.entry("app-misc/other-2").attempt.0, 3);
    assert_eq!(holders(&farm, &["anna"])[0].len(), 3, "there is nobody else");
}

#[test]
fn reclaim_takes_from_who_is_offline_and_from_nobody_else_unless_named() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    for (name, cpv) in [("anna", "app-misc/hello-1.0"), ("ben", "app-misc/other-2")] {
        farm.starts(name, cpv);
    }
    assert_eq!(control(&mut farm, Control::Reclaim, None, None), 0, "both are there");
    farm.drones.get_mut("anna").unwrap().silent = true;
    farm.pass(MINUTE);
    assert_eq!(control(&mut farm, Control::Reclaim, None, None), 1);
    assert_eq!(farm.state("app-misc/hello-1.0"), "needed", "it need not wait for the lease");
    assert_eq!(
        control(&mut farm, Control::Reclaim, Some("app-misc/other"), None),
        1,
        "named, it is taken from who is there"
    );
    assert_eq!(farm.entry("app-misc/other-2").attempt.0, 1);
    assert!(farm.told("return").iter().any(|text| text.starts_with("ben gave it back")));
}

#[test]
fn failures_that_are_cleared_let_a_drone_try_again_at_once() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/broken", "app-misc/other"]);
    farm.starts("ben", "app-misc/other-2");
    farm.fails("anna", "app-misc/broken-1", FailureClass::Killed, "killed");
    farm.pass(MINUTE);
    assert_eq!(farm.holder("app-misc/broken-1"), None, "not there again for a while, and ben is busy");
    assert_eq!(control(&mut farm, Control::ClearFailures, Some("app-misc/broken"), None), 1);
    assert_eq!(farm.holder("app-misc/broken-1").as_deref(), Some("anna"));
    assert_eq!(control(&mut farm, Control::ClearFailures, None, None), 0, "there are none left");
}

#[test]
fn retry_and_reset_bring_back_what_was_given_up_and_history_is_forgotten_without_what_was_learned() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/broken", "app-misc/other"]);
    farm.fails("anna", "app-misc/broken-1", FailureClass::Phase, "compile failed");
    assert_eq!(farm.state("app-misc/broken-1"), "blocked");
    assert_eq!(control(&mut farm, Control::RetryFailures, None, None), 1);
    assert_eq!((farm.state("app-misc/broken-1"), farm.entry("app-misc/broken-1").marks.len()), ("needed", 0));
    farm.builds("anna", "app-misc/other-2");
    farm.pass(2 * SECOND);
    farm.fails("anna", "app-misc/broken-1", FailureClass::Phase, "compile failed");
    assert_eq!(control(&mut farm, Control::Reset, None, None), 1, "what was received stays so");
    assert_eq!((farm.state("app-misc/broken-1"), farm.state("app-misc/other-2")), ("delegated", "received"));
    assert_eq!(control(&mut farm, Control::ClearHistory, None, None), 3);
    assert_eq!(farm.store.all::<swarm_core::rows::StatsRow>(), vec![]);
    assert_eq!(farm.store.all::<swarm_core::rows::DurationRow>().len(), 1);
}

/// calc and abacus wait for libcalc, and the ebuild tree has another one from now on.
fn with_another_libcalc(farm: &mut Farm) {
    let cpv = "dev-libs/libcalc-4";
    farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
    for drone in farm.drones.values_mut() {
        drone.tree = "tree-2".to_owned();
    }
}

#[test]
fn a_dependency_that_a_new_tree_replaced_leaves_the_queue_and_the_new_one_is_built() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/calc", "app-misc/abacus"]);
    assert_eq!(farm.state("dev-libs/libcalc-3"), "needed");
    farm.say("a newer tree has libcalc-4 instead");
    with_another_libcalc(&mut farm);
    farm.pass(MINUTE);
    assert_eq!((farm.entries("dev-libs/libcalc-3").len(), farm.state("dev-libs/libcalc-4")), (0, "needed"));
    assert_eq!(farm.told("blocked"), Vec::<&str>::new(), "nobody was asked for what is not there any more");
    farm.control(Control::Resume, None);
    for _ in 0..3 {
        let cpv = holders(&farm, &["anna"])[0][0].clone();
        farm.builds("anna", &cpv);
        farm.pass(2 * SECOND);
    }
    let ended = farm.told("control").into_iter().find(|message| message.starts_with("session"));
    assert_eq!(ended, Some("session session-1 is complete: 3 packages"));
    golden!(farm);
}

#[test]
fn a_dependency_that_a_new_tree_still_has_keeps_its_entry_and_moves_on() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/calc"]);
    let before = farm.entry("dev-libs/libcalc-3");
    farm.drones.get_mut("anna").unwrap().tree = "tree-2".to_owned();
    farm.pass(MINUTE);
    let after = farm.entry("dev-libs/libcalc-3");
    assert_eq!((after.id, after.tree.as_str()), (before.id, "tree-2"));
    assert_eq!(farm.asked_for(), ["app-misc/calc", "app-misc/calc"], "only what was asked for is asked for again");
    farm.control(Control::Resume, None);
    farm.builds("anna", "dev-libs/libcalc-3");
    farm.pass(2 * SECOND);
    assert_eq!(farm.holder("app-misc/calc-3.1").as_deref(), Some("anna"));
}

#[test]
fn a_superseded_dependency_stays_until_the_last_of_its_askers_is_planned_anew() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/calc"]);
    let other_use = QueueRequest {
        packages: vec!["app-misc/abacus".to_owned()],
        package_use: vec!["app-misc/abacus -debug".to_owned()],
        ..QueueRequest::default()
    };
    farm.request(Request::Queue(other_use));
    assert_eq!(farm.entries("dev-libs/libcalc-3").len(), 1, "both wait for one entry");
    farm.drones.get_mut("anna").unwrap().dull = true;
    with_another_libcalc(&mut farm);
    farm.pass(MINUTE);
    let anew = |farm: &Farm, package: &str| plan(&farm.tree, &[package.to_owned()], &[]);
    let first = anew(&farm, "app-misc/calc");
    farm.planned("anna", swarm_protocol::PlanId(3), 1, first);
    assert_eq!(farm.entries("dev-libs/libcalc-3").len(), 1, "abacus is not planned anew yet, and may need it");
    assert_eq!(farm.entries("dev-libs/libcalc-4").len(), 1);
    let second = anew(&farm, "app-misc/abacus");
    farm.planned("anna", swarm_protocol::PlanId(4), 1, second);
    assert_eq!(farm.entries("dev-libs/libcalc-3").len(), 0);
    assert_eq!(farm.entries("dev-libs/libcalc-4").len(), 1, "and they share the new one");
}

#[test]
fn a_superseded_dependency_that_is_under_way_or_was_asked_for_stays() {
    let mut farm = Farm::of(&["anna"]);
    for (cpv, build) in
        [("dev-libs/extra-1", &[] as &[&str]), ("app-misc/both-1", &["dev-libs/libcalc", "dev-libs/extra"])]
    {
        farm.tree.insert(cp(cpv), Ebuild { cpv, build, ..Ebuild::default() });
    }
    farm.queue(&["app-misc/both"]);
    let (begun, waits) = match farm.holder("dev-libs/libcalc-3") {
        Some(_) => ("dev-libs/libcalc-3", "dev-libs/extra-1"),
        None => ("dev-libs/extra-1", "dev-libs/libcalc-3"),
    };
    farm.starts("anna", begun);
    for cpv in ["dev-libs/libcalc-4", "dev-libs/extra-2"] {
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
    }
    farm.drones.get_mut("anna").unwrap().tree = "tree-2".to_owned();
    farm.pass(MINUTE);
    assert_eq!((farm.state(begun), farm.entries(waits).len()), ("delegated", 0));
    farm.builds("anna", begun);
    farm.pass(2 * SECOND);
    assert_eq!(farm.state(begun), "received", "its work is not thrown away");
}

#[test]
fn a_dependency_nobody_who_waits_for_it_can_be_planned_for_is_dropped_once_it_is_unknown() {
    for blocked in [true, false] {
        let mut farm = Farm::of(&["anna"]);
        farm.control(Control::Pause, None);
        farm.queue(&["app-misc/calc"]);
        if blocked {
            farm.control(Control::Block, Some("app-misc/calc"));
        } else {
            farm.request(Request::Remove(RemoveRequest { package: "app-misc/calc".to_owned() }));
        }
        with_another_libcalc(&mut farm);
        farm.pass(MINUTE);
        assert_eq!(farm.entries("dev-libs/libcalc-3").len(), 0, "blocked: {blocked}");
        let superseded =
            |message: &&str| message.starts_with("=dev-libs/libcalc-3 is superseded: it cannot be resolved");
        assert_eq!(farm.told("control").into_iter().filter(superseded).count(), 1, "{}", farm.transcript);
        assert_eq!(farm.view().session, None, "nothing is left to do");
        if blocked {
            farm.say("as soon as it may be built again, it is planned anew, with the new one");
            farm.control(Control::Unblock, Some("app-misc/calc"));
            farm.pass(MINUTE);
            assert_eq!(farm.state("dev-libs/libcalc-4"), "needed");
        }
    }
}

#[test]
fn an_asked_for_version_that_a_new_tree_dropped_is_blocked_and_not_forgotten() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/calc", "=dev-libs/libcalc-3"]);
    with_another_libcalc(&mut farm);
    farm.pass(MINUTE);
    assert_eq!(farm.state("dev-libs/libcalc-3"), "blocked", "a person wants this one");
    assert_eq!(farm.state("dev-libs/libcalc-4"), "needed", "and calc needs the other");
}

#[test]
fn everything_nobody_can_build_is_announced_however_much_there_is() {
    let mut farm = Farm::of(&["anna", "ben"]);
    let names: Vec<&'static str> =
        (0..2_000).map(|n| &*Box::leak(format!("app-misc/p{n}x-1").into_boxed_str())).collect();
    for cpv in &names {
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
    }
    let packages: Vec<String> = names.iter().map(|cpv| cp(cpv)).collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    farm.request(wished(&packages, BuildWishes { tags: vec!["gpu".to_owned()], ..BuildWishes::default() }));
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    let told = |farm: &Farm| {
        let told: Vec<String> = farm.told("warn").into_iter().map(str::to_owned).collect();
        assert!(told.iter().all(|message| message.starts_with("nobody can build =app-misc/p")), "{told:?}");
        told.len()
    };
    farm.pass(110 * SECOND);
    assert_eq!(told(&farm), 0);
    farm.pass(50 * SECOND);
    assert_eq!(told(&farm), names.len());
    farm.pass(10 * MINUTE);
    assert_eq!(told(&farm), names.len(), "once is enough");
    farm.say("a drone comes that can, and is soon gone again");
    farm.join(Drone { tags: vec!["gpu".to_owned()], ..Drone::new("cleo") });
    farm.pass(2 * MINUTE);
    farm.drones.get_mut("cleo").unwrap().silent = true;
    farm.pass(4 * MINUTE);
    assert_eq!(told(&farm), 2 * names.len() - 1, "that is news, but for what cleo has");
}

#[test]
fn a_plan_nobody_can_make_is_announced() {
    let mut farm = Farm::of(&["anna", "ben"]);
    let server = QueueRequest {
        packages: vec!["app-misc/hello".to_owned(), "app-misc/other".to_owned()],
        profile: Some("server".to_owned()),
        ..QueueRequest::default()
    };
    farm.request(Request::Queue(server));
    farm.pass(110 * SECOND);
    assert_eq!(farm.told("warn"), Vec::<&str>::new());
    farm.pass(30 * SECOND);
    let message = "nobody can plan app-misc/hello and 1 more: anna: serves the build profile default, not server; \
                   ben: serves the build profile default, not server";
    assert_eq!(farm.told("warn"), [message]);
    farm.pass(20 * MINUTE);
    assert_eq!(farm.told("warn").len(), 1, "once is enough");
    farm.join(Drone { profile: "server".to_owned(), ..Drone::new("cleo") });
    farm.pass(2 * SECOND);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("cleo"));
}

#[test]
fn a_plan_is_announced_while_its_drones_may_not_plan_and_not_while_they_are_busy() {
    let mut farm = Farm::of(&["anna"]);
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["app-misc/hello"]);
    farm.queue(&["app-misc/other"]);
    farm.pass(4 * MINUTE);
    assert_eq!(farm.told("warn"), Vec::<&str>::new(), "she has the first and will make the second");
    farm.order_drone("anna", DroneAction::Pause);
    farm.pass(4 * MINUTE);
    let message = "nobody can plan app-misc/other: anna: paused by kim: paused by a person";
    assert_eq!(farm.told("warn").into_iter().filter(|told| *told == message).count(), 1, "{:?}", farm.told("warn"));
}
