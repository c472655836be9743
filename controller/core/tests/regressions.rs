//! What once went wrong, or went wrong in 0.4: one test per fault.

mod farm;

use farm::*;
use swarm_core::input::{Control, QueueRequest};
use swarm_core::{Answer, Request};
use swarm_protocol::plan::{Plan, PlannedEdge, PlannedPackage};
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildResult, Failure, FailureClass};

#[test]
fn two_plans_that_cut_a_cycle_at_different_places_do_not_wait_for_each_other() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["dev-libs/ring-a"]);
    // Portage cut the cycle so that ring-b is built first and ring-a waits for it. Now the tree moves: ring-b, which is
    // ready, is planned anew and alone, and there ring-a comes first
    farm.drones.get_mut("anna").unwrap().tree = "tree-2".to_owned();
    farm.pass(MINUTE);
    assert!(farm.told("control").iter().any(|message| message.starts_with("planned anew")));
    farm.control(Control::Resume, None);
    for _ in 0..40 {
        farm.pass(30 * SECOND);
        for cpv in ["dev-libs/ring-a-1", "dev-libs/ring-b-1"] {
            if farm.holder(cpv).is_some() {
                farm.builds("anna", cpv);
            }
        }
    }
    assert_eq!((farm.state("dev-libs/ring-a-1"), farm.state("dev-libs/ring-b-1")), ("received", "received"));
}

#[test]
fn a_chain_of_fifty_thousand_dependencies_does_not_overflow_the_stack() {
    let length: u32 = 50_000;
    let mut farm = Farm::of(&["anna"]);
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["app-misc/hello"]);
    let package = |n| PlannedPackage { cpv: format!("a/p{n}x-1"), slot: "0".to_owned(), ..PlannedPackage::default() };
    let result = Plan {
        packages: (0..length).map(package).collect(),
        edges: (1..length).map(|n| PlannedEdge { from: n, to: n - 1, build_time: true, run_time: false }).collect(),
        order: (0..length).collect(),
        targets: vec![Some(length - 1)],
        ..Plan::default()
    };
    farm.planned("anna", swarm_protocol::PlanId(1), 1, result);
    farm.control(Control::Block, Some("a/p0x-1"));
    farm.pass(MINUTE);
    assert!(farm.view().session.is_none(), "everything waits for a blocked package, so the session has ended");
}

fn failure(class: FailureClass, message: &str) -> Failure {
    Failure { class, message: message.to_owned(), ..Failure::default() }
}

#[test]
fn a_report_that_waits_is_answered_when_its_attempt_ends_otherwise() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.hold.log = true;
    let waits = farm.builds("anna", "app-misc/hello-1.0");
    assert_eq!(farm.answers.get(&waits), None);
    let fence = farm.entry("app-misc/hello-1.0").fence();
    farm.report("anna", fence, BuildNews::Dropped { reason: "mistake".to_owned() });
    assert!(matches!(farm.answers.get(&waits), Some(Answer::Build(BuildAnswer::Superseded { .. }))));
}

#[test]
fn a_drone_that_cannot_upload_what_it_reported_may_report_a_failure_instead() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.drones.get_mut("anna").unwrap().no_upload = true;
    let first = farm.builds("anna", "app-misc/hello-1.0");
    assert!(matches!(farm.answers[&first], Answer::Build(BuildAnswer::NeedArtifacts { .. })));
    let fence = farm.entry("app-misc/hello-1.0").fence();
    let result = BuildResult { failure: Some(failure(FailureClass::Upload, "the façade does not answer")), ..done() };
    let second = farm.ends("anna", fence, result);
    assert_eq!(farm.answers[&second], Answer::Build(BuildAnswer::Durable {}));
    assert_eq!(farm.history().last().and_then(|row| row.class), Some(FailureClass::Upload));
}

#[test]
fn huge_numbers_from_a_drone_overflow_nothing() {
    let mut farm = Farm::of(&["anna"]);
    farm.drones.get_mut("anna").unwrap().orders_seen = u64::MAX;
    farm.greet("anna");
    for cpv in ["app-misc/hello-1.0", "app-misc/other-2"] {
        farm.queue(&[&format!("={cpv}")]);
        let fence = farm.attempt("anna", cpv);
        let artifact = binary(&farm.drones["anna"].running[&fence].0);
        farm.upload("anna", fence, artifact.clone());
        let result = BuildResult {
            artifacts: vec![artifact],
            duration_ms: u64::MAX,
            memory_peak_bytes: u64::MAX,
            ..BuildResult::default()
        };
        farm.ends("anna", fence, result);
        farm.pass(2 * SECOND);
        assert_eq!(farm.state(cpv), "received");
    }
    // nor does a wrong reading of memory keep the package from the drone that built it
    let rebuild =
        QueueRequest { packages: vec!["app-misc/hello".to_owned()], rebuild: true, ..QueueRequest::default() };
    farm.request(Request::Queue(rebuild));
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("anna"));
}

#[test]
fn a_rebuild_is_received_only_with_its_own_file() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    let rebuild =
        QueueRequest { packages: vec!["app-misc/hello".to_owned()], rebuild: true, ..QueueRequest::default() };
    farm.request(Request::Queue(rebuild));
    farm.drones.get_mut("anna").unwrap().no_upload = true;
    let reply = farm.builds("anna", "app-misc/hello-1.0");
    assert!(matches!(farm.answers[&reply], Answer::Build(BuildAnswer::NeedArtifacts { .. })));
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
    farm.drones.get_mut("anna").unwrap().no_upload = false;
    farm.pass(12 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "received");
    assert_eq!(farm.artifacts().len(), 2);
}

#[test]
fn a_cancelled_attempt_that_goes_missing_is_not_the_drones_fault() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.starts("anna", "app-misc/hello-1.0");
    let anna = farm.drones.get_mut("anna").unwrap();
    anna.deaf = true;
    anna.running.clear();
    farm.control(Control::Block, Some("app-misc/hello"));
    farm.pass(20 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "blocked");
    let row = &farm.view().drones[&farm.drones["anna"].id].row;
    assert_eq!(row.streaks.failures, 0);
}

#[test]
fn a_package_removed_while_its_result_was_on_the_way_leaves_the_queue() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.drones.get_mut("anna").unwrap().deaf = true;
    farm.request(Request::Remove { package: "app-misc/hello".to_owned() });
    assert_eq!(farm.entries("app-misc/hello-1.0").len(), 1, "the drone must end it first");
    farm.builds("anna", "app-misc/hello-1.0");
    assert_eq!(farm.entries("app-misc/hello-1.0").len(), 0);
    assert_eq!(farm.artifacts().len(), 1, "what was built is kept");
}

#[test]
fn a_dependency_that_fails_while_another_drone_builds_it_is_charged_to_its_own_entry() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/calc", "app-misc/other"]);
    let builder = farm.holder("dev-libs/libcalc-3").unwrap();
    let other = farm.holder("app-misc/other-2").unwrap();
    assert_ne!(builder, other);
    let fence = farm.attempt(&other, "app-misc/other-2");
    let failure =
        Failure { cpv: Some("dev-libs/libcalc-3".to_owned()), ..failure(FailureClass::Phase, "compile failed") };
    farm.ends(&other, fence, BuildResult { failure: Some(failure), ..done() });
    let (needed, needing) = (farm.entry("dev-libs/libcalc-3"), farm.entry("app-misc/other-2"));
    assert_eq!((needed.state.name(), needed.marks.len()), ("delegated", 1));
    assert_eq!((needing.state.name(), needing.marks.len()), ("needed", 0));
    assert_eq!(farm.view().counts.waiting, 2, "it waits for that entry");
}

#[test]
fn a_busy_drone_says_nothing_against_a_package() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    for _ in 0..20 {
        let Some(name) = farm.holder("app-misc/hello-1.0") else { panic!("nobody has it") };
        let fence = farm.attempt(&name, "app-misc/hello-1.0");
        farm.drones.get_mut(&name).unwrap().running.clear();
        farm.report(&name, fence, BuildNews::Refused { failure: failure(FailureClass::Busy, "shutting down") });
        assert_eq!(farm.state("app-misc/hello-1.0"), "needed", "not again at once");
        farm.pass(10 * SECOND);
    }
    assert_eq!(farm.entry("app-misc/hello-1.0").marks, vec![]);
}

#[test]
fn what_a_drone_drops_unasked_does_not_come_back_at_once() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.attempt("anna", "app-misc/hello-1.0");
    farm.drones.get_mut("anna").unwrap().running.clear();
    farm.report("anna", fence, BuildNews::Dropped { reason: "shutting down".to_owned() });
    assert_eq!(farm.state("app-misc/hello-1.0"), "needed");
    farm.pass(10 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
}
