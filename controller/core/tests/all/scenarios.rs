//! Whole journeys as golden transcripts: a reviewer reads a change of behaviour in the difference.

use swarm_core::request::{Control, DroneAction, QueueRequest, RemoveRequest};
use swarm_core::rows::{BuildState, Culprit};
use swarm_core::{Answer, Input, Request, Settings};
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildResult, Failure, FailureClass, Role};

use crate::farm::*;

#[test]
fn one_package_is_built_signed_indexed_and_received() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.pass(7 * SECOND);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "received");
    golden!(farm);
}

#[test]
fn a_library_is_built_before_the_programs_that_need_it() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/calc", "app-misc/abacus"]);
    farm.pass(3 * SECOND);
    let first = farm.holder("dev-libs/libcalc-3").unwrap();
    assert_eq!(farm.holder("app-misc/calc-3.1"), None);
    farm.builds(&first, "dev-libs/libcalc-3");
    farm.pass(2 * SECOND);
    for cpv in ["app-misc/calc-3.1", "app-misc/abacus-0.9"] {
        let holder = farm.holder(cpv).unwrap();
        farm.builds(&holder, cpv);
        farm.pass(2 * SECOND);
    }
    assert_eq!(farm.view().session, None);
    golden!(farm);
}

#[test]
fn two_use_variants_live_side_by_side() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/fancy"]);
    let greet = QueueRequest {
        packages: vec!["app-misc/fancy".to_owned()],
        package_use: vec!["app-misc/fancy greet".to_owned()],
        ..QueueRequest::default()
    };
    farm.request(Request::Queue(greet));
    for _ in 0..2 {
        farm.builds("anna", "app-misc/fancy-1");
        farm.pass(2 * SECOND);
    }
    assert_eq!(farm.artifacts().len(), 2);
    farm.say("control by atom acts on both");
    farm.request(Request::Remove(RemoveRequest { package: "=app-misc/fancy-1".to_owned() }));
    golden!(farm);
}

#[test]
fn what_fails_in_compile_on_two_drones_is_blocked_and_its_dependent_waits() {
    let mut farm = Farm::of(&["anna", "ben", "cleo"]);
    farm.queue(&["app-misc/on-broken"]);
    for n in 1..=2 {
        let who = farm.holder("app-misc/broken-1").unwrap();
        farm.starts(&who, "app-misc/broken-1");
        farm.fails(&who, "app-misc/broken-1", FailureClass::Phase, &format!("compile failed, try {n}"));
    }
    assert_eq!(farm.holder("app-misc/broken-1"), None, "cleo is not asked any more");
    farm.why("app-misc/broken");
    farm.why("app-misc/on-broken");
    assert_eq!(farm.view().session, None);
    golden!(farm);
}

#[test]
fn masked_and_missing_packages_are_blocked_at_once_and_the_others_planned() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/masked", "app-misc/nowhere", "app-misc/other"]);
    let states =
        ["app-misc/hello-1.0", "app-misc/masked", "app-misc/nowhere", "app-misc/other-2"].map(|p| farm.state(p));
    assert_eq!(states, ["delegated", "blocked", "blocked", "needed"]);
    golden!(farm);
}

#[test]
fn a_drone_lost_mid_build_gives_the_package_back_when_its_lease_ends() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let lost = farm.holder("app-misc/hello-1.0").unwrap();
    let other = if lost == "anna" { "ben" } else { "anna" };
    let fence = farm.starts(&lost, "app-misc/hello-1.0");
    let drone = farm.drones.get_mut(&lost).unwrap();
    (drone.silent, drone.deaf) = (true, true);
    farm.pass(9 * MINUTE);
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated", "the lease is 10 min and holds");
    farm.pass(2 * MINUTE);
    farm.builds(other, "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    farm.say("the lost one comes back with a result of its own");
    let drone = farm.drones.get_mut(&lost).unwrap();
    (drone.silent, drone.deaf) = (false, false);
    farm.beat(&lost);
    let late = farm.ends(&lost, fence, done());
    assert!(matches!(farm.answers[&late], Answer::Build(BuildAnswer::Superseded { .. })));
    assert_eq!(farm.artifacts().len(), 1);
    golden!(farm);
}

#[test]
fn a_drone_that_comes_back_before_its_lease_ends_keeps_its_build() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let name = farm.holder("app-misc/hello-1.0").unwrap();
    farm.starts(&name, "app-misc/hello-1.0");
    farm.drones.get_mut(&name).unwrap().silent = true;
    farm.pass(8 * MINUTE);
    farm.drones.get_mut(&name).unwrap().silent = false;
    farm.pass(20 * MINUTE);
    farm.builds(&name, "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    assert_eq!((farm.state("app-misc/hello-1.0"), farm.entry("app-misc/hello-1.0").attempt.0), ("received", 1));
    golden!(farm);
}

#[test]
fn a_controller_restarted_in_the_middle_of_everything_counts_each_result_once() {
    let mut farm = Farm::of(&["anna", "ben", "cleo"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/calc"]);
    farm.say("one waits for its signature, one order was never taken, one builds");
    farm.hold.sign = true;
    let signing = farm.holder("app-misc/hello-1.0").unwrap();
    farm.builds(&signing, "app-misc/hello-1.0");
    let building = farm.holder("app-misc/other-2").unwrap();
    farm.starts(&building, "app-misc/other-2");
    farm.hold = Hold::default();
    let before: Vec<_> = farm.view().drones.values().map(|drone| drone.tasks.clone()).collect();
    farm.restart();
    let after: Vec<_> = farm.view().drones.values().map(|drone| drone.tasks.clone()).collect();
    assert_eq!(
        before.iter().flatten().map(|t| t.fence).collect::<Vec<_>>(),
        after.iter().flatten().map(|t| t.fence).collect::<Vec<_>>()
    );
    farm.pass(10 * SECOND);
    farm.restart();
    farm.builds(&building, "app-misc/other-2");
    farm.pass(10 * SECOND);
    let lib = farm.holder("dev-libs/libcalc-3").unwrap();
    farm.builds(&lib, "dev-libs/libcalc-3");
    farm.pass(3 * SECOND);
    let calc = farm.holder("app-misc/calc-3.1").unwrap();
    farm.builds(&calc, "app-misc/calc-3.1");
    farm.pass(3 * SECOND);
    assert_eq!((farm.history().len(), farm.artifacts().len(), farm.view().session), (4, 4, None));
    golden!(farm);
}

#[test]
fn an_order_not_taken_before_a_restart_is_sent_again_with_the_same_fence() {
    let mut farm = Farm::of(&["anna"]);
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["app-misc/hello"]);
    farm.drones.get_mut("anna").unwrap().deaf = true;
    let hello = plan(&farm.tree, &["app-misc/hello".to_owned()], &[]);
    farm.planned("anna", swarm_protocol::PlanId(1), 1, hello);
    farm.drones.get_mut("anna").unwrap().deaf = false;
    farm.restart();
    assert_eq!(farm.attempt("anna", "app-misc/hello-1.0"), farm.entry("app-misc/hello-1.0").fence());
    let [(_, first), (_, again)] = &farm.orders[1..] else { panic!("two orders: {:?}", farm.orders) };
    assert_eq!((first.number, &first.task), (again.number, &again.task));
    golden!(farm);
}

#[test]
fn an_attempt_missing_from_two_heartbeats_is_lost_and_an_order_that_was_lost_is_sent_again() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.say("anna forgets it");
    farm.drones.get_mut("anna").unwrap().running.clear();
    farm.beat("anna");
    assert_eq!(farm.entry("app-misc/hello-1.0").attempt.0, 1);
    farm.say("and the next order does not reach her");
    farm.drones.get_mut("anna").unwrap().deaf = true;
    farm.beat("anna");
    assert_eq!(farm.entry("app-misc/hello-1.0").attempt.0, 2);
    farm.pass(7 * SECOND);
    farm.drones.get_mut("anna").unwrap().deaf = false;
    farm.pass(10 * SECOND);
    assert_eq!(farm.attempt("anna", "app-misc/hello-1.0").attempt.0, 2);
    golden!(farm);
}

#[test]
fn a_missing_upload_is_asked_for_again_and_success_without_a_binary_blames_the_drone() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let name = farm.holder("app-misc/hello-1.0").unwrap();
    let fence = farm.attempt(&name, "app-misc/hello-1.0");
    farm.say("success without a binary");
    farm.ends(&name, fence, done());
    let other = farm.holder("app-misc/hello-1.0").unwrap();
    assert_ne!(name, other);
    farm.say("success with a binary that never came");
    farm.drones.get_mut(&other).unwrap().no_upload = true;
    farm.builds(&other, "app-misc/hello-1.0");
    farm.drones.get_mut(&other).unwrap().no_upload = false;
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
    farm.pass(12 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "received");
    assert_eq!(farm.told("stale"), Vec::<&str>::new(), "a result that was counted is not late when it is repeated");
    let blamed = farm.history().iter().map(|row| row.culprit).collect::<Vec<_>>();
    assert_eq!(blamed, [Some(Culprit::Drone), None]);
    golden!(farm);
}

#[test]
fn a_dependency_built_on_the_side_completes_its_entry() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    let fence = farm.attempt("anna", "app-misc/hello-1.0");
    let job = farm.drones["anna"].running[&fence].0.clone();
    let side = swarm_protocol::artifact::ArtifactRef {
        cpv: "app-misc/other-2".to_owned(),
        sha256: sha("side"),
        ..binary(&job)
    };
    let own = binary(&job);
    for made in [&side, &own] {
        farm.upload("anna", fence, made.clone());
    }
    farm.ends("anna", fence, BuildResult { artifacts: vec![side, own], ..done() });
    farm.pass(3 * SECOND);
    assert_eq!(farm.state("app-misc/other-2"), "received");
    assert_eq!(farm.ordered("app-misc/other-2"), 0);
    golden!(farm);
}

#[test]
fn a_failing_dependency_is_charged_to_its_own_entry_and_what_is_there_is_not_built() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let name = farm.holder("app-misc/hello-1.0").unwrap();
    farm.builds(&name, "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    farm.say("hello is there; broken waits while hello's drone trips over it");
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/calc", "app-misc/broken"]);
    let name = farm.holder("app-misc/other-2").unwrap();
    let fence = farm.attempt(&name, "app-misc/other-2");
    let failure = Failure {
        class: FailureClass::Phase,
        cpv: Some("app-misc/broken-1".to_owned()),
        message: "compile failed".to_owned(),
        ..Failure::default()
    };
    farm.ends(&name, fence, BuildResult { failure: Some(failure), ..done() });
    assert_eq!(farm.entry("app-misc/other-2").marks, vec![]);
    assert_eq!(farm.entry("app-misc/broken-1").marks.len(), 1);
    golden!(farm);
}

#[test]
fn what_the_network_does_is_retried_ever_later_and_blocks_in_the_end() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let mut waits = Vec::new();
    for n in 0..5 {
        let mut waited = 0;
        let name = loop {
            if let Some(name) = farm.holder("app-misc/hello-1.0") {
                break name;
            }
            assert!(waited < 20 * MINUTE, "{}", farm.transcript);
            farm.pass(SECOND);
            waited += SECOND;
        };
        waits.push(waited / 1000);
        // so that both have their turn
        farm.drones.get_mut(&name).unwrap().vitals.load_1m = 80.0 + f64::from(n);
        farm.fails(&name, "app-misc/hello-1.0", FailureClass::Fetch, "the mirror does not answer");
    }
    assert_eq!(waits, [0, 30, 60, 120, 240]);
    assert_eq!(farm.state("app-misc/hello-1.0"), "blocked");
    golden!(farm);
}

#[test]
fn a_drone_that_fails_again_and_again_is_grounded_but_never_the_last_one() {
    let mut farm = Farm::of(&[]);
    farm.join(Drone { cores: 2, ..Drone::new("ben") });
    farm.queue(&["app-misc/hello"]);
    farm.starts("ben", "app-misc/hello-1.0");
    farm.join(Drone { cores: 64, ..Drone::new("anna") });
    farm.say("anna fails again and again while ben is busy: he can take over");
    for n in 0..8 {
        let cpv: &'static str = Box::leak(format!("app-misc/p{n}x-1").into_boxed_str());
        farm.tree.insert(cp(cpv), Ebuild { cpv, ..Ebuild::default() });
        farm.queue(&[&format!("={cpv}")]);
        farm.fails("anna", cpv, FailureClass::MissingTool, "no ninja");
        farm.request(Request::Remove(RemoveRequest { package: format!("={cpv}") }));
    }
    let grounded = |farm: &mut Farm, name: &str| farm.core.view().drones[&farm.drones[name].id].row.grounded.is_some();
    assert!(grounded(&mut farm, "anna"));
    farm.say("now ben alone, with anna grounded");
    farm.builds("ben", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    for n in 0..8 {
        farm.queue(&[&format!("=app-misc/p{n}x-1")]);
        farm.fails("ben", &format!("app-misc/p{n}x-1"), FailureClass::MissingTool, "no ninja");
        farm.request(Request::Remove(RemoveRequest { package: format!("=app-misc/p{n}x-1") }));
    }
    assert!(!grounded(&mut farm, "ben"));
    farm.pass(5 * MINUTE + SECOND);
    assert!(!grounded(&mut farm, "anna"), "it ends by itself");
    golden!(farm);
}

#[test]
fn a_drone_whose_uploads_fail_gets_no_work_for_a_while() {
    let mut farm = Farm::of(&[]);
    farm.join(Drone { cores: 64, ..Drone::new("anna") });
    farm.join(Drone { cores: 2, ..Drone::new("ben") });
    for cpv in ["app-misc/hello-1.0", "app-misc/other-2", "app-misc/fancy-1"] {
        farm.queue(&[&format!("={cpv}")]);
        farm.fails("anna", cpv, FailureClass::Upload, "connection refused");
    }
    farm.pass(MINUTE);
    assert_eq!(farm.drones["anna"].running.len(), 0);
    assert_eq!(farm.drones["ben"].running.len(), 1);
    farm.why("app-misc/other");
    farm.pass(30 * MINUTE);
    assert_eq!(farm.drones["anna"].running.len(), 1);
    golden!(farm);
}

#[test]
fn people_pause_resume_block_unblock_remove_drain_and_forget() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    farm.pass(10 * SECOND);
    assert_eq!(farm.holder("app-misc/hello-1.0"), None);
    farm.control(Control::Block, Some("app-misc/other"));
    farm.control(Control::Resume, None);
    farm.say("a person's block is not undone by the clock");
    farm.pass(4 * 60 * MINUTE);
    assert_eq!(farm.state("app-misc/other-2"), "blocked");
    farm.control(Control::Unblock, Some("app-misc/other"));
    farm.say("removed while it builds");
    let name = farm.holder("app-misc/hello-1.0").unwrap();
    farm.starts(&name, "app-misc/hello-1.0");
    farm.request(Request::Remove(RemoveRequest { package: "app-misc/hello".to_owned() }));
    assert_eq!(farm.entries("app-misc/hello-1.0").len(), 0);
    let name = farm.holder("app-misc/other-2").unwrap();
    farm.starts(&name, "app-misc/other-2");
    farm.order_drone(&name, DroneAction::Drain);
    farm.queue(&["app-misc/fancy"]);
    let other = farm.holder("app-misc/fancy-1").unwrap();
    assert_ne!(name, other);
    farm.order_drone(&name, DroneAction::Forget);
    farm.drones.get_mut(&name).unwrap().silent = true;
    farm.pass(MINUTE);
    farm.order_drone(&name, DroneAction::Forget);
    assert_eq!(farm.state("app-misc/other-2"), "needed");
    golden!(farm);
}

#[test]
fn a_blocked_package_is_tried_again_three_times_and_has_then_failed() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/broken"]);
    for round in 0..4 {
        assert_eq!(farm.entry("app-misc/broken-1").auto_retries, round);
        farm.fails("anna", "app-misc/broken-1", FailureClass::Phase, "compile failed");
        let expected = if round < 3 { "blocked" } else { "failed" };
        assert_eq!(farm.state("app-misc/broken-1"), expected);
        farm.pass(29 * MINUTE);
        assert_eq!(farm.state("app-misc/broken-1"), expected);
        farm.pass(2 * MINUTE);
    }
    assert_eq!(farm.state("app-misc/broken-1"), "failed");
    farm.control(Control::Unblock, Some("app-misc/broken"));
    assert_eq!(farm.state("app-misc/broken-1"), "delegated", "a person may always");
    golden!(farm);
}

#[test]
fn sessions_are_joined_by_name_and_a_repeated_request_queues_nothing() {
    let mut farm = Farm::of(&["anna"]);
    let named = |package: &str, name: &str, key: Option<&str>| {
        Request::Queue(QueueRequest {
            packages: vec![package.to_owned()],
            session_name: Some(name.to_owned()),
            idempotency_key: key.map(str::to_owned),
            ..QueueRequest::default()
        })
    };
    farm.request(named("app-misc/hello", "evening", Some("k1")));
    farm.request(named("app-misc/other", "night", None));
    farm.request(named("app-misc/fancy", "evening", None));
    farm.queue(&["app-misc/hello"]);
    farm.say("the same key again");
    let builds = farm.store.all::<swarm_core::rows::BuildRow>().len();
    let again = farm.request(named("app-misc/hello", "evening", Some("k1")));
    assert!(matches!(&again, Answer::Queued(queued) if queued.builds == [build(1)]), "{again:?}");
    farm.restart();
    assert_eq!(farm.request(named("app-misc/hello", "evening", Some("k1"))), again);
    let other = farm.request(named("app-misc/fancy", "evening", Some("k1")));
    assert!(matches!(&other, Answer::Refused(no) if no.kind == swarm_core::answer::RefusalKind::Conflict), "{other:?}");
    assert_eq!(farm.store.all::<swarm_core::rows::BuildRow>().len(), builds);
    golden!(farm);
}

#[test]
fn a_planner_that_dies_is_replaced() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["app-misc/hello"]);
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.silent, anna.deaf) = (true, true);
    farm.pass(20 * SECOND);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"));
    farm.say("a restarted worker has lost its plans, too");
    farm.drones.get_mut("ben").unwrap().dull = true;
    farm.queue(&["app-misc/other"]);
    let ben = farm.drones.get_mut("ben").unwrap();
    ben.starts += 1;
    (ben.dull, ben.seq) = (false, 0);
    farm.pass(10 * SECOND);
    for role in [Role::Supervisor, Role::Worker] {
        farm.hello("ben", role);
    }
    assert_eq!(farm.state("app-misc/other-2"), "needed");
    golden!(farm);
}

#[test]
fn a_package_nobody_can_build_is_announced_after_two_minutes() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello", "app-misc/other", "app-misc/fancy"]);
    farm.drones.get_mut("anna").unwrap().vitals.disk_build_free = GIB;
    farm.drones.get_mut("ben").unwrap().vitals.disk_packages_free = 5 * GIB;
    farm.pass(90 * SECOND);
    assert_eq!(farm.told("warn"), Vec::<&str>::new());
    farm.pass(60 * SECOND);
    assert_eq!(farm.told("warn").len(), 1);
    farm.pass(10 * MINUTE);
    assert_eq!(farm.told("warn").len(), 1, "once is enough");
    farm.why("app-misc/fancy");
    golden!(farm);
}

#[test]
fn a_result_waits_for_its_index_and_is_told_to_ask_again() {
    let mut farm = Farm::with(Settings::default());
    farm.join(Drone::new("anna"));
    farm.queue(&["app-misc/hello"]);
    farm.hold.index = true;
    let reply = farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(6 * SECOND);
    assert!(matches!(farm.answers[&reply], Answer::Build(BuildAnswer::Pending { .. })));
    let index = swarm_core::rows::IndexKey {
        arch: "amd64".to_owned(),
        profile: "default".to_owned(),
        chost: "x86_64-pc-linux-gnu".to_owned(),
    };
    farm.held.clear();
    farm.input(Input::IndexFailed { index, reason: "no space left on device".to_owned() });
    farm.hold.index = false;
    farm.pass(10 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "received");
    golden!(farm);
}

#[test]
fn a_second_agent_with_the_same_identity_is_refused_while_the_first_lives() {
    let mut farm = Farm::of(&["anna"]);
    let mut twin = farm.drones["anna"].clone();
    twin.starts = 7;
    let genuine = farm.drones.insert("anna".to_owned(), twin.clone()).unwrap();
    farm.hello("anna", Role::Supervisor);
    farm.drones.insert("anna".to_owned(), genuine);
    farm.drones.get_mut("anna").unwrap().silent = true;
    farm.pass(7 * SECOND);
    farm.say("the first one is gone");
    farm.drones.insert("anna".to_owned(), Drone { silent: false, seq: 0, ..twin });
    farm.greet("anna");
    farm.queue(&["app-misc/hello"]);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("anna"));
    golden!(farm);
}

#[test]
fn reports_of_nonsense_change_nothing() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.entry("app-misc/hello-1.0").fence();
    let wrong = if farm.holder("app-misc/hello-1.0").as_deref() == Some("anna") { "ben" } else { "anna" };
    farm.report(wrong, fence, BuildNews::Finished { result: done() });
    farm.report(wrong, swarm_protocol::Fence { build: build(99), ..fence }, BuildNews::Taken {});
    assert!(matches!(farm.entry("app-misc/hello-1.0").state, BuildState::Delegated { .. }));
    golden!(farm);
}
