//! What once went wrong, or went wrong in 0.4: one test per fault.

use swarm_core::answer::{RefusalKind, UploadAnswer};
use swarm_core::files::{SignedFile, UploadedFile};
use swarm_core::request::{Control, DroneAction, QueueRequest, RemoveRequest};
use swarm_core::rows::{
    ArtifactRow, ArtifactState, BlockedBy, BuildRow, BuildState, BuildWishes, Culprit, DroneRow, IndexRow, PlanRow,
};
use swarm_core::{Answer, Input, Request};
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::plan::{Plan, PlannedEdge, PlannedPackage};
use swarm_protocol::report::{
    BuildAnswer, BuildNews, BuildReport, BuildResult, Failure, FailureClass, Hello, HelloAnswer, Phase, Role,
    SyncAnswer, SyncReport,
};
use swarm_protocol::{Attempt, Fence, StoreId};

use crate::farm::*;

#[test]
fn two_plans_that_cut_a_cycle_at_different_places_do_not_wait_for_each_other() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    let wishes = BuildWishes { total_ms: Some(60 * MINUTE), ..BuildWishes::default() };
    let packages = vec!["dev-libs/ring-a".to_owned()];
    farm.request(Request::Queue(QueueRequest { packages, wishes, ..QueueRequest::default() }));
    farm.queue(&["dev-libs/ring-b"]);
    // Portage cut the cycle so that ring-b is built first and ring-a waits for it. Now the tree moves: each is planned anew
    // and alone, since they were asked for with other wishes, and in ring-b's plan ring-a comes first
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
    farm.request(Request::Remove(RemoveRequest { package: "app-misc/hello".to_owned() }));
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

fn by_failures(culprit: Culprit) -> BlockedBy {
    BlockedBy::Failures { culprit }
}

fn blocked_by(farm: &Farm, cpv: &str) -> Option<BlockedBy> {
    match farm.entry(cpv).state {
        BuildState::Blocked { by, .. } => Some(by),
        _ => None,
    }
}

#[test]
fn a_sweeper_does_not_count_as_a_drone_that_could_still_build_it() {
    let mut farm = Farm::of(&["anna", "sweeper-1"]);
    farm.queue(&["app-misc/broken"]);
    farm.fails("anna", "app-misc/broken-1", FailureClass::Phase, "compile failed");
    assert_eq!(farm.told("blocked").len(), 1, "one failure is enough where there is one drone");
    farm.fails("sweeper-1", "app-misc/broken-1", FailureClass::Phase, "compile failed");
    assert_eq!(blocked_by(&farm, "app-misc/broken-1"), Some(by_failures(Culprit::Package)));
}

#[test]
fn what_failed_everywhere_it_can_go_is_blocked_and_not_kept_needed_for_ever() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/broken"]);
    let first = farm.holder("app-misc/broken-1").unwrap();
    let other = if first == "anna" { "ben" } else { "anna" };
    farm.fails(&first, "app-misc/broken-1", FailureClass::Phase, "compile failed");
    let fence = farm.attempt(other, "app-misc/broken-1");
    // the other one gives it back, falls silent and never returns
    farm.drones.get_mut(other).unwrap().running.clear();
    farm.report(other, fence, BuildNews::Dropped { reason: "shutting down".to_owned() });
    farm.drones.get_mut(other).unwrap().silent = true;
    farm.drones.get_mut(other).unwrap().deaf = true;
    farm.pass(20 * MINUTE);
    assert_eq!(blocked_by(&farm, "app-misc/broken-1"), Some(by_failures(Culprit::Package)));
    assert_eq!(farm.view().session, None, "nothing moves any more, so the session has ended");
}

#[test]
fn an_order_lost_while_a_later_one_arrived_is_sent_again_and_blames_nobody() {
    let mut farm = Farm::of(&["anna"]);
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["app-misc/hello"]);
    let plan = plan(&farm.tree, &["app-misc/hello".to_owned()], &[]);
    farm.drones.get_mut("anna").unwrap().deaf = true;
    farm.planned("anna", swarm_protocol::PlanId(1), 1, plan);
    assert_eq!((farm.state("app-misc/hello-1.0"), farm.ordered("app-misc/hello-1.0")), ("delegated", 1));
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.deaf, anna.orders_seen) = (false, 9);
    farm.pass(20 * SECOND);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("anna"));
    assert_eq!(farm.entry("app-misc/hello-1.0").attempt.0, 1);
    assert_eq!(farm.history(), vec![]);
}

#[test]
fn a_heartbeat_that_was_copied_or_overtaken_says_nothing_of_now() {
    let mut farm = Farm::of(&["anna"]);
    let early = farm.drones.get_mut("anna").unwrap().heartbeat(0);
    farm.queue(&["app-misc/hello"]);
    farm.pass(5 * SECOND);
    let id = farm.drones["anna"].id.clone();
    let early = swarm_protocol::report::Heartbeat { orders_seen: 99, ..early };
    for _ in 0..3 {
        farm.input(Input::Heartbeat { drone: id.clone(), beat: Box::new(early.clone()) });
    }
    assert_eq!((farm.state("app-misc/hello-1.0"), farm.history().len()), ("delegated", 0));
}

#[test]
fn a_heartbeat_that_is_repeated_counts_as_one_miss() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let anna = farm.drones.get_mut("anna").unwrap();
    anna.running.clear();
    let beat = anna.heartbeat(0);
    let id = anna.id.clone();
    for _ in 0..5 {
        farm.input(Input::Heartbeat { drone: id.clone(), beat: Box::new(beat.clone()) });
    }
    assert_eq!(farm.history().len(), 0);
    farm.beat("anna");
    assert_eq!(farm.history().len(), 1, "the second one does count");
}

#[test]
fn an_entry_planned_anew_is_not_found_by_what_it_was_before() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/fancy"]);
    let id = farm.entry("app-misc/fancy-1").id;
    // the new tree turns a flag on by itself
    farm.drones.get_mut("anna").unwrap().tree = "tree-2".to_owned();
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.pass(MINUTE);
    let mut with_ssl = plan(&farm.tree, &["app-misc/fancy".to_owned()], &[]);
    with_ssl.packages[0].use_flags = vec!["ssl".to_owned()];
    farm.planned("anna", swarm_protocol::PlanId(2), 1, with_ssl);
    assert_eq!(farm.entry("app-misc/fancy-1").use_flags, ["ssl"]);
    // whoever asks for it without the flag gets an entry of its own
    let without = plan(&farm.tree, &["app-misc/fancy".to_owned()], &[]);
    farm.request(Request::Queue(QueueRequest {
        packages: vec!["app-misc/fancy".to_owned()],
        package_use: vec!["app-misc/fancy -ssl".to_owned()],
        ..QueueRequest::default()
    }));
    farm.planned("anna", swarm_protocol::PlanId(3), 1, without);
    let flags: Vec<_> =
        farm.entries("app-misc/fancy-1").iter().map(|row| (row.id == id, row.use_flags.len())).collect();
    assert_eq!(flags, [(true, 1), (false, 0)]);
}

#[test]
fn one_bad_atom_among_many_costs_few_plans() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    let plenty: Vec<String> = (0..255).map(|n| format!("app-misc/p{n}x")).collect();
    for name in &plenty {
        let cpv: &'static str = Box::leak(format!("{name}-1").into_boxed_str());
        farm.tree.insert(name.clone(), Ebuild { cpv, ..Ebuild::default() });
    }
    let packages = plenty.iter().cloned().chain(["app-misc/masked".to_owned()]).collect();
    farm.request(Request::Queue(QueueRequest { packages, ..QueueRequest::default() }));
    let plans = farm.orders.iter().filter(|(_, order)| order.task.token() == "plan").count();
    assert!(plans <= 17, "{plans} plans for one bad atom of 256");
    let counts = farm.view().counts;
    assert_eq!((counts.needed, counts.blocked), (255, 1));
}

#[test]
fn a_fresh_request_stays_fresh_when_it_is_split() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["dev-libs/libcalc"]);
    farm.builds("anna", "dev-libs/libcalc-3");
    farm.pass(2 * SECOND);
    farm.request(Request::Queue(QueueRequest {
        packages: vec!["app-misc/calc".to_owned(), "app-misc/masked".to_owned()],
        fresh: true,
        ..QueueRequest::default()
    }));
    let listed = farm.entries("dev-libs/libcalc-3").len();
    assert_eq!(listed, 2, "a fresh session lists what the binhost has, too");
}

#[test]
fn what_cannot_be_resolved_has_failed_after_the_last_retry() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/masked"]);
    farm.pass(3 * 31 * MINUTE);
    assert_eq!(farm.state("app-misc/masked"), "failed");
}

#[test]
fn a_plan_a_drone_did_not_manage_goes_to_another_one() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["app-misc/hello"]);
    assert_eq!(farm.store.all::<PlanRow>().len(), 1);
    farm.pass(farm.settings.plan_timeout + 10 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
}

#[test]
fn whoever_waited_for_a_duplicate_waits_for_what_stands_for_it() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/calc"]);
    let old = farm.entry("dev-libs/libcalc-3").id;
    // libcalc is planned anew and turns out to be another entry of the queue
    farm.drones.get_mut("anna").unwrap().dull = true;
    farm.queue(&["dev-libs/libcalc:0"]);
    let mut other = plan(&farm.tree, &["dev-libs/libcalc".to_owned()], &[]);
    other.packages[0].use_flags = vec!["ssl".to_owned()];
    farm.planned("anna", swarm_protocol::PlanId(2), 1, other.clone());
    let kept = farm.entry("dev-libs/libcalc-3").id;
    assert_ne!(old, kept);
    farm.drones.get_mut("anna").unwrap().tree = "tree-2".to_owned();
    farm.pass(MINUTE);
    let again = farm.store.all::<PlanRow>();
    for request in again {
        let mut both = plan(&farm.tree, &["app-misc/calc".to_owned()], &[]);
        both.packages[0].use_flags = vec!["ssl".to_owned()];
        let place = |id: &swarm_protocol::BuildId| {
            let row = farm.store.get::<swarm_core::rows::BuildRow>(id).unwrap();
            Some(u32::from(row.cpv.as_deref() == Some("app-misc/calc-3.1")))
        };
        both.targets = request.builds.iter().map(place).collect();
        farm.planned("anna", request.id, request.attempt, both);
    }
    assert_eq!(farm.entries("dev-libs/libcalc-3").len(), 1, "{}", farm.transcript);
    let counts = farm.view().counts;
    assert_eq!((counts.needed, counts.waiting), (2, 1), "calc still waits");
}

#[test]
fn publishing_goes_on_when_the_wall_clock_is_set_back() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    let before = farm.store.all::<IndexRow>()[0].timestamp;
    farm.now.wall -= 24 * 60 * MINUTE;
    farm.builds("anna", "app-misc/other-2");
    farm.pass(10 * SECOND);
    assert_eq!(farm.state("app-misc/other-2"), "received");
    assert!(farm.store.all::<IndexRow>()[0].timestamp > before, "TIMESTAMP always rises");
}

#[test]
fn a_signature_is_tried_again_one_at_a_time_however_long_it_takes() {
    let mut farm = Farm::of(&["anna"]);
    farm.hold.sign = true;
    farm.queue(&["app-misc/hello"]);
    farm.builds("anna", "app-misc/hello-1.0");
    let signatures = |farm: &Farm| farm.held.iter().filter(|input| matches!(input, Input::Signed { .. })).count();
    assert_eq!(signatures(&farm), 1);
    let artifact = farm.artifacts()[0].id;
    farm.input(Input::SigningFailed { artifact, reason: "no room".to_owned() });
    farm.pass(MINUTE);
    assert_eq!(signatures(&farm), 2, "a second one would change the file after it was published");
    farm.input(Input::SigningFailed { artifact, reason: "no room".to_owned() });
    farm.pass(MINUTE);
    assert_eq!(signatures(&farm), 3);
}

#[test]
fn a_log_whose_completion_was_lost_is_asked_for_again() {
    let mut farm = Farm::of(&["anna"]);
    farm.hold.log = true;
    farm.queue(&["app-misc/hello"]);
    farm.builds("anna", "app-misc/hello-1.0");
    assert!(farm.held.iter().any(|input| matches!(input, Input::LogStored { .. })));
    farm.held.clear();
    farm.hold.log = false;
    farm.pass(MINUTE);
    assert_ne!(farm.state("app-misc/hello-1.0"), "received", "it may still come");
    farm.pass(MINUTE);
    assert_eq!(farm.state("app-misc/hello-1.0"), "received");
}

#[test]
fn a_late_word_of_a_failed_signature_does_not_take_a_published_package_back() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    let id = farm.artifacts()[0].id;
    for _ in 0..4 {
        farm.input(Input::SigningFailed { artifact: id, reason: "late".to_owned() });
    }
    assert!(matches!(farm.artifacts()[0].state, ArtifactState::Published { listed: Some(_), .. }));
    farm.input(Input::Signed { artifact: id, file: SignedFile::default() });
    assert!(matches!(&farm.artifacts()[0].state, ArtifactState::Published { path, .. } if !path.is_empty()));
}

#[test]
fn files_that_were_announced_and_never_came_leave_no_rows() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.attempt("anna", "app-misc/hello-1.0");
    let artifact = binary(&farm.drones["anna"].running[&fence].0);
    let ask = ArtifactAsk {
        instance: farm.drones["anna"].instance(Role::Worker),
        store_id: farm.core.store_id().clone(),
        fence,
        artifact,
    };
    let (drone, reply) = (farm.drones["anna"].id.clone(), farm.next_reply());
    farm.input(Input::Artifact { drone, ask: Box::new(ask), token: "t".to_owned(), reply });
    assert!(matches!(farm.answers[&reply.0], Answer::Artifact(ArtifactAnswer::Ticket { .. })));
    farm.fails("anna", "app-misc/hello-1.0", FailureClass::Killed, "killed");
    farm.pass(61 * MINUTE);
    assert_eq!(farm.store.all::<ArtifactRow>(), vec![]);
    let reply = farm.next_reply();
    farm.input(Input::Uploaded { artifact: swarm_protocol::ArtifactId(1), file: UploadedFile::default(), reply });
    assert!(matches!(&farm.answers[&reply.0], Answer::Upload(UploadAnswer::Refused { .. })));
}

#[test]
fn a_reset_leaves_what_a_person_removes_and_clears_what_waits() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello", "app-misc/other"]);
    farm.drones.get_mut("anna").unwrap().deaf = true;
    farm.request(Request::Remove(RemoveRequest { package: "app-misc/hello".to_owned() }));
    let fence = farm.entry("app-misc/hello-1.0").fence();
    farm.control(Control::Reset, None);
    farm.control(Control::Block, Some("app-misc/hello"));
    farm.drones.get_mut("anna").unwrap().running.clear();
    farm.report("anna", fence, BuildNews::Dropped { reason: "cancelled".to_owned() });
    assert_eq!(farm.entries("app-misc/hello-1.0").len(), 0, "removed is removed");
    assert_eq!(farm.state("app-misc/other-2"), "delegated", "the drone it was taken from gets the next at once");

    farm.drones.get_mut("anna").unwrap().deaf = false;
    farm.pass(10 * SECOND);
    farm.fails("anna", "app-misc/other-2", FailureClass::Fetch, "mirror is down");
    assert!(matches!(farm.entry("app-misc/other-2").state, BuildState::Needed { not_before } if not_before > 0));
    farm.control(Control::Reset, None);
    assert_eq!((farm.state("app-misc/other-2"), farm.entry("app-misc/other-2").marks.len()), ("delegated", 0));
}

#[test]
fn a_block_taken_back_before_the_drone_has_ended_it_does_not_block() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.drones.get_mut("anna").unwrap().deaf = true;
    farm.control(Control::Block, Some("app-misc/hello"));
    farm.control(Control::Unblock, Some("app-misc/hello"));
    let fence = farm.entry("app-misc/hello-1.0").fence();
    farm.drones.get_mut("anna").unwrap().running.clear();
    farm.report("anna", fence, BuildNews::Dropped { reason: "cancelled".to_owned() });
    assert_ne!(farm.state("app-misc/hello-1.0"), "blocked");
}

#[test]
fn nobody_is_forgotten_before_the_controller_can_tell_who_is_online() {
    let mut farm = Farm::of(&["anna"]);
    farm.restart();
    let Answer::Refused(refusal) = farm.order_drone("anna", DroneAction::Forget) else { panic!("forgotten") };
    assert_eq!(refusal.kind, RefusalKind::Conflict);
}

#[test]
fn a_drone_cannot_name_a_folder_outside_the_binhost() {
    let mut farm = Farm::of(&[]);
    let mut eve = Drone::new("eve");
    for bad in ["../../etc", "a/b", ".hidden", "x y"] {
        eve.profile = bad.to_owned();
        farm.drones.insert("eve".to_owned(), eve.clone());
        let answer = farm.hello("eve", Role::Supervisor);
        assert!(matches!(answer, Some(Answer::Hello(HelloAnswer::Refused { .. }))), "{bad:?}");
    }
    assert_eq!(farm.store.all::<IndexRow>(), vec![]);
}

#[test]
fn a_controller_that_stood_still_judges_nobody_and_takes_no_work_away() {
    let mut farm = Farm::of(&["anna", "ben", "carl"]);
    farm.queue(&["app-misc/hello"]);
    let holder = farm.holder("app-misc/hello-1.0").unwrap();
    farm.starts(&holder, "app-misc/hello-1.0");
    farm.pass(2 * MINUTE);
    // paused with its machine for longer than the lease: the clock went on, and heartbeats wait to be read
    let later = farm.now.at + 11 * MINUTE;
    farm.clock_to(later);
    farm.wake();
    assert_eq!(farm.told("offline"), Vec::<&str>::new());
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
    assert!(farm.told("warn").iter().any(|message| message.contains("stood still")), "{:?}", farm.told("warn"));
    farm.beats();
    farm.pass(30 * SECOND);
    assert_eq!((farm.state("app-misc/hello-1.0"), farm.ordered("app-misc/hello-1.0")), ("delegated", 1));

    // who is silent after that is judged when the grace is over, and not before
    let silent = farm.drones.get_mut("ben").unwrap();
    (silent.silent, silent.deaf) = (true, true);
    farm.pass(2 * MINUTE);
    assert_eq!(farm.told("offline").len(), 1);
}

/// What another store than ours gave out: the controller was restored from a copy since.
fn foreign() -> StoreId {
    StoreId::from("the store before it was restored")
}

#[test]
fn what_is_reported_of_another_store_is_superseded_and_changes_nothing() {
    let failed = failure(FailureClass::Phase, "compile failed");
    for news in [
        BuildNews::Taken {},
        BuildNews::Started { at: 1 },
        BuildNews::Finished { result: done() },
        BuildNews::Finished { result: BuildResult { failure: Some(failed.clone()), ..done() } },
        BuildNews::Dropped { reason: "shutting down".to_owned() },
        BuildNews::Refused { failure: failed },
    ] {
        let mut farm = Farm::of(&["anna"]);
        farm.queue(&["app-misc/hello"]);
        let fence = farm.attempt("anna", "app-misc/hello-1.0");
        let rows = |farm: &Farm| (farm.store.all::<BuildRow>(), farm.store.all::<DroneRow>(), farm.history().len());
        let before = rows(&farm);
        let (orders, reply) = (farm.orders.len(), farm.next_reply());
        let anna = &farm.drones["anna"];
        let (drone, instance) = (anna.id.clone(), anna.instance(Role::Worker));
        let report = BuildReport { instance, store_id: foreign(), fence, number: 1, news: news.clone() };
        farm.input(Input::Build { drone, report: Box::new(report), reply });
        let answer = &farm.answers[&reply.0];
        assert!(matches!(answer, Answer::Build(BuildAnswer::Superseded { .. })), "{news:?}: {answer:?}");
        assert_eq!(rows(&farm), before, "{news:?}");
        assert_eq!(farm.orders.len(), orders, "{news:?}");
    }
}

#[test]
fn a_result_that_was_counted_in_another_store_is_superseded_and_not_acknowledged() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.attempt("anna", "app-misc/hello-1.0");
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    let (drone, instance) = (farm.drones["anna"].id.clone(), farm.drones["anna"].instance(Role::Worker));
    for (store_id, durable) in [(farm.core.store_id().clone(), true), (foreign(), false)] {
        let reply = farm.next_reply();
        let news = BuildNews::Finished { result: done() };
        let report = BuildReport { instance: instance.clone(), store_id, fence, number: 2, news };
        farm.input(Input::Build { drone: drone.clone(), report: Box::new(report), reply });
        let answer = &farm.answers[&reply.0];
        assert_eq!(*answer == Answer::Build(BuildAnswer::Durable {}), durable, "{answer:?}");
        assert_eq!(matches!(answer, Answer::Build(BuildAnswer::Superseded { .. })), !durable, "{answer:?}");
    }
    assert_eq!((farm.state("app-misc/hello-1.0"), farm.history().len()), ("received", 1));
}

#[test]
fn a_package_for_another_store_gets_no_ticket() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.attempt("anna", "app-misc/hello-1.0");
    let artifact = binary(&farm.drones["anna"].running[&fence].0);
    let (drone, instance) = (farm.drones["anna"].id.clone(), farm.drones["anna"].instance(Role::Worker));
    for (store_id, given) in [(foreign(), false), (farm.core.store_id().clone(), true)] {
        let reply = farm.next_reply();
        let ask = ArtifactAsk { instance: instance.clone(), store_id, fence, artifact: artifact.clone() };
        farm.input(Input::Artifact { drone: drone.clone(), ask: Box::new(ask), token: "t".to_owned(), reply });
        let Answer::Artifact(answer) = &farm.answers[&reply.0] else { panic!("an ask is answered as one") };
        assert_eq!(matches!(answer, ArtifactAnswer::Ticket { .. }), given, "{answer:?}");
        assert_eq!(matches!(answer, ArtifactAnswer::Superseded { .. }), !given, "{answer:?}");
        assert_eq!(farm.artifacts().len(), usize::from(given), "no row for what is superseded");
    }
}

#[test]
fn what_a_process_brings_from_another_store_is_superseded_and_what_it_is_to_have_stays() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.starts("anna", "app-misc/hello-1.0");
    let gone = Fence { attempt: Attempt(9), ..fence };
    let before = farm.store.all::<BuildRow>();
    for role in [Role::Supervisor, Role::Worker] {
        for (store_id, expected) in
            [(Some(foreign()), vec![fence, gone]), (Some(farm.core.store_id().clone()), vec![gone]), (None, vec![gone])]
        {
            let anna = &farm.drones["anna"];
            let hello = Hello { store_id, running: vec![fence], finished: vec![gone], ..anna.hello(role) };
            let (drone, reply) = (anna.id.clone(), farm.next_reply());
            farm.input(Input::Hello { drone, hello: Box::new(hello), reply });
            let Answer::Hello(HelloAnswer::Welcome { superseded, .. }) = &farm.answers[&reply.0] else {
                panic!("{:?}", farm.answers[&reply.0])
            };
            assert_eq!(*superseded, expected, "{role:?}");
            assert_eq!(farm.store.all::<BuildRow>(), before);
        }
    }
}

#[test]
fn a_sync_that_another_store_ordered_does_not_end_ours() {
    let mut farm = Farm::of(&[]);
    for (name, tree) in [("anna", 1), ("ben", 2)] {
        let tree_timestamp = Some(tree);
        farm.join(Drone { tree: format!("tree-{tree}"), tree_timestamp, ..Drone::new(name) });
    }
    farm.pass(2 * MINUTE);
    let (number, _) = farm.drones["anna"].syncing.clone().expect("she is told to");
    for (store_id, over) in [(foreign(), false), (farm.core.store_id().clone(), true)] {
        let (anna, reply) = (farm.drones["anna"].clone(), farm.next_reply());
        let instance = anna.instance(Role::Worker);
        let report = SyncReport { instance, store_id, number, failure: None, tree: anna.tree_state(), duration_ms: 1 };
        farm.input(Input::Synced { drone: anna.id, report: Box::new(report), reply });
        assert_eq!(farm.answers[&reply.0] == Answer::Sync(SyncAnswer::Durable {}), over);
        assert_eq!(farm.store.get::<DroneRow>(&"U-anna".into()).unwrap().syncing.is_none(), over);
    }
}

#[test]
fn a_drone_that_compiles_a_dependency_has_its_order_as_before() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.pass(5 * SECOND);
    let (before, orders, events) = (farm.entry("app-misc/hello-1.0"), farm.orders.len(), farm.events.len());
    farm.drones.get_mut("anna").unwrap().silent = true;
    // for longer than a lease
    for _ in 0..12 * 12 {
        farm.pass(5 * SECOND);
        let now = farm.now.at;
        let mut beat = farm.drones.get_mut("anna").unwrap().heartbeat(now);
        beat.attempts[0].cpv = "dev-libs/libcalc-3".to_owned();
        beat.attempts[0].phase = Phase::Configure;
        let drone = farm.drones["anna"].id.clone();
        farm.input(Input::Heartbeat { drone, beat: Box::new(beat) });
    }
    assert_eq!(farm.entry("app-misc/hello-1.0"), before);
    assert_eq!((farm.orders.len(), farm.events.len()), (orders, events), "{}", farm.transcript);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    assert_eq!((farm.state("app-misc/hello-1.0"), farm.entry("app-misc/hello-1.0").attempt.0), ("received", 1));
}

#[test]
fn an_attempt_after_a_failure_has_begun_when_it_begins_and_not_before() {
    for class in [FailureClass::Fetch, FailureClass::MissingTool, FailureClass::Phase, FailureClass::Cancelled] {
        let mut farm = Farm::of(&["anna", "ben"]);
        farm.queue(&["app-misc/hello"]);
        let first = farm.holder("app-misc/hello-1.0").unwrap();
        let since = |farm: &Farm| farm.entry("app-misc/hello-1.0").assignment().and_then(|a| a.building_since);
        farm.starts(&first, "app-misc/hello-1.0");
        let begun = since(&farm).expect("it has begun");
        farm.pass(5 * MINUTE);
        farm.fails(&first, "app-misc/hello-1.0", class, "it did not work");
        assert_eq!(since(&farm), None, "{class:?}");
        while farm.holder("app-misc/hello-1.0").is_none() {
            farm.pass(SECOND);
            assert!(farm.now.at < 60 * MINUTE, "{}", farm.transcript);
        }
        farm.pass(20 * SECOND);
        assert_eq!((farm.entry("app-misc/hello-1.0").attempt.0, since(&farm)), (2, None), "{class:?}");
        let Answer::Why(why) = farm.why("app-misc/hello") else { panic!("it is in the queue") };
        assert!(why[0].summary.ends_with("has it in its line and has not begun"), "{class:?}: {}", why[0].summary);
        let second = farm.holder("app-misc/hello-1.0").unwrap();
        farm.starts(&second, "app-misc/hello-1.0");
        assert!(since(&farm).is_some_and(|again| again >= begun + 5 * MINUTE), "{class:?}");
    }
}

#[test]
fn a_drone_that_failed_the_first_in_line_is_given_what_comes_after_them() {
    let mut farm = Farm::of(&["ben"]);
    farm.queue(&["app-misc/fancy"]);
    farm.starts("ben", "app-misc/fancy-1");
    farm.join(Drone::new("anna"));
    farm.say("ben is busy for long; anna fails what is urgent, which stays first in line, for ben");
    let urgent = ["app-misc/broken-1", "dev-libs/libcalc-3", "app-misc/other-2"];
    for cpv in urgent {
        let (packages, wishes) = (vec![format!("={cpv}")], BuildWishes { priority: 50, ..BuildWishes::default() });
        farm.request(Request::Queue(QueueRequest { packages, wishes, ..QueueRequest::default() }));
        if cpv == urgent[2] {
            farm.queue(&["app-misc/hello"]);
        }
        farm.fails("anna", cpv, FailureClass::Phase, "compile failed");
        assert_eq!(farm.state(cpv), "needed", "ben may try it");
    }
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("anna"));
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    farm.say("nothing in the line is for her; what comes behind it is, at once");
    farm.queue(&["dev-libs/ring-a"]);
    assert_eq!(farm.holder("dev-libs/ring-b-1").as_deref(), Some("anna"));
    farm.builds("anna", "dev-libs/ring-b-1");
    farm.pass(2 * SECOND);
    assert_eq!(farm.holder("dev-libs/ring-a-1").as_deref(), Some("anna"), "what became ready, too");
    farm.builds("anna", "dev-libs/ring-a-1");
    farm.pass(2 * SECOND);
    farm.say("and what she may try again as soon as her failures are forgotten");
    assert_eq!(farm.drones["anna"].running.len(), 0);
    farm.control(Control::ClearFailures, Some("app-misc/broken"));
    assert_eq!(farm.holder("app-misc/broken-1").as_deref(), Some("anna"));
}
