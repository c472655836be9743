//! The worker's rules as tables: one situation, one input, the whole list of effects.

use drone_core::tombs::TOMB_MS;
use drone_core::{AttemptStanding, Effect, Found, Input, Saved, Settings, Tomb, Uploaded, Worker};
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::order::{BuildJob, Order, OrderAnswer, PlanJob, SyncJob, Task};
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildResult, Failure, FailureClass};
use swarm_protocol::{Attempt, BuildId, Fence, InstanceId, PlanId, StoreId};

const STORE: &str = "store-a";

fn fence(build: u64) -> Fence {
    Fence { build: BuildId(build), attempt: Attempt(1) }
}

fn settings(slots: u32) -> Settings {
    Settings { instance: InstanceId::from("me"), slots, max_waiting: 4 }
}

fn order(number: u64, task: Task) -> Order {
    Order { number, store_id: StoreId::from(STORE), instance: InstanceId::from("me"), task }
}

fn job(build: u64) -> BuildJob {
    BuildJob { fence: fence(build), cpv: format!("app-misc/p{build}-1"), ..BuildJob::default() }
}

fn build(number: u64, build: u64) -> Input {
    Input::Order { reply: number, order: order(number, Task::Build { job: job(build) }) }
}

fn cancel(number: u64, build: u64) -> Input {
    let task = Task::Cancel { fence: fence(build), reason: "by hand".to_owned() };
    Input::Order { reply: number, order: order(number, task) }
}

fn artifact(sha256: &str) -> ArtifactRef {
    ArtifactRef { cpv: "app-misc/p-1".to_owned(), sha256: sha256.to_owned(), size: 1, ..ArtifactRef::default() }
}

fn made(hashes: &[&str]) -> BuildResult {
    BuildResult { artifacts: hashes.iter().map(|h| artifact(h)).collect(), duration_ms: 5, ..BuildResult::default() }
}

fn answer(build: u64, number: u32, answer: BuildAnswer) -> Input {
    Input::Answered { fence: fence(build), store_id: StoreId::from(STORE), number, answer }
}

fn accepted(reply: u64) -> Effect {
    Effect::Answer { reply, answer: OrderAnswer::Accepted {} }
}

fn seen(number: u64) -> Effect {
    Effect::Seen { number, store_id: StoreId::from(STORE) }
}

fn forget(build: u64, at: u64) -> Effect {
    Effect::Forget { tomb: Tomb { fence: fence(build), store_id: StoreId::from(STORE), at } }
}

/// Reports among the effects: fence's build, number, news.
fn reports(effects: &[Effect]) -> Vec<(u64, u32, BuildNews)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Report { report } => Some((report.fence.build.0, report.number, report.news.clone())),
            _ => None,
        })
        .collect()
}

fn without_reports(effects: Vec<Effect>) -> Vec<Effect> {
    effects.into_iter().filter(|effect| !matches!(effect, Effect::Report { .. })).collect()
}

fn welcome(worker: &mut Worker, now: u64) -> Vec<Effect> {
    worker.handle(now, Input::Welcomed { store_id: StoreId::from(STORE), superseded: Vec::new() })
}

fn fresh() -> Worker {
    let (mut worker, effects) = Worker::restore(0, settings(1), Saved::default(), Vec::new());
    assert_eq!(effects, []);
    assert_eq!(welcome(&mut worker, 0), [seen(0)]);
    worker
}

/// A worker on which build 1 runs, taken and started acknowledged.
fn running() -> Worker {
    let mut worker = fresh();
    let _ = worker.handle(1, build(1, 1));
    let _ = worker.handle(2, Input::Kept { fence: fence(1) });
    let _ = worker.handle(3, answer(1, 1, BuildAnswer::Durable {}));
    let _ = worker.handle(4, Input::Started { fence: fence(1), at: 1_000 });
    let effects = worker.handle(5, answer(1, 2, BuildAnswer::Durable {}));
    assert_eq!(effects, []);
    assert_eq!(worker.running(), [fence(1)].into());
    worker
}

/// A worker whose build 1 is over, told as number 3.
fn finished(hashes: &[&str]) -> Worker {
    let mut worker = running();
    let mut effects = worker.handle(10, Input::Exited { fence: fence(1), result: made(hashes) });
    for hash in hashes {
        assert_eq!(effects, [Effect::Upload { fence: fence(1), sha256: (*hash).to_owned() }]);
        let done = Input::Uploaded { fence: fence(1), sha256: (*hash).to_owned(), outcome: Uploaded::Done };
        effects = worker.handle(11, done);
    }
    assert_eq!(reports(&effects), [(1, 3, BuildNews::Finished { result: made(hashes) })]);
    worker
}

#[test]
fn an_order_is_on_disk_before_it_is_accepted_and_seen() {
    let mut worker = fresh();
    let keep = Effect::Keep { job: job(1), slot: 0, order_number: 7, store_id: StoreId::from(STORE) };
    assert_eq!(worker.handle(1, build(7, 1)), [keep]);
    assert_eq!(worker.orders_seen(), 0);
    let effects = worker.handle(2, Input::Kept { fence: fence(1) });
    assert_eq!(effects[..3], [accepted(7), seen(7), Effect::Start { fence: fence(1) }]);
    assert_eq!(reports(&effects), [(1, 1, BuildNews::Taken {})]);
    let effects = worker.handle(3, Input::Started { fence: fence(1), at: 99 });
    assert_eq!(reports(&effects), [(1, 2, BuildNews::Started { at: 99 })]);
}

#[test]
fn an_order_for_another_instance_or_store_or_before_the_welcome_is_refused() {
    let (worker, _) = Worker::restore(0, settings(1), Saved::default(), Vec::new());
    let other_instance = Order { instance: InstanceId::from("you"), ..order(1, Task::Build { job: job(1) }) };
    let other_store = Order { store_id: StoreId::from("store-b"), ..order(1, Task::Build { job: job(1) }) };
    let cases = [
        (fresh(), other_instance, false),
        (fresh(), other_store, true),
        (worker, order(1, Task::Build { job: job(1) }), true),
    ];
    for (mut worker, order, greets) in cases {
        let effects = worker.handle(1, Input::Order { reply: 5, order });
        assert!(matches!(effects[0], Effect::Answer { reply: 5, answer: OrderAnswer::Refused { .. } }), "{effects:?}");
        assert_eq!(effects[1..] == [Effect::Greet], greets);
        assert!(worker.is_idle());
    }
}

#[test]
fn copies_of_an_order_start_it_once_and_each_is_answered() {
    let mut worker = fresh();
    let _ = worker.handle(1, build(7, 1));
    let copy = Input::Order { reply: 8, order: order(7, Task::Build { job: job(1) }) };
    assert_eq!(worker.handle(1, copy.clone()), [], "the first is still being written");
    let effects = worker.handle(2, Input::Kept { fence: fence(1) });
    assert_eq!(effects[..2], [accepted(7), accepted(8)]);
    for at in 3..6 {
        let effects = worker.handle(at, copy.clone());
        assert_eq!(without_reports(effects), [accepted(8)]);
    }
}

#[test]
fn a_known_fence_is_answered_with_its_state() {
    let mut worker = finished(&[]);
    let effects = worker.handle(20, build(1, 1));
    assert_eq!(effects[0], accepted(1));
    assert_eq!(reports(&effects), [(1, 3, BuildNews::Finished { result: made(&[]) })]);
}

#[test]
fn orders_beyond_the_slot_wait_and_start_in_order() {
    let mut worker = running();
    for (number, id) in [(3, 3), (2, 2)] {
        let _ = worker.handle(10, build(number, id));
        let effects = worker.handle(10, Input::Kept { fence: fence(id) });
        assert!(!effects.iter().any(|e| matches!(e, Effect::Start { .. })), "{effects:?}");
    }
    let effects = worker.handle(11, Input::Exited { fence: fence(1), result: made(&[]) });
    assert_eq!(without_reports(effects), [Effect::Start { fence: fence(2) }]);
    let failure = Failure { class: FailureClass::MissingTool, ..Failure::default() };
    let effects = worker.handle(12, Input::NotStarted { fence: fence(2), failure });
    assert_eq!(without_reports(effects), [Effect::Start { fence: fence(3) }]);
}

#[test]
fn two_slots_run_two_at_a_time() {
    let (mut worker, _) = Worker::restore(0, settings(2), Saved::default(), Vec::new());
    let _ = welcome(&mut worker, 0);
    let mut starts = 0;
    for id in 1..=3 {
        let _ = worker.handle(1, build(id, id));
        let effects = worker.handle(2, Input::Kept { fence: fence(id) });
        starts += effects.iter().filter(|e| matches!(e, Effect::Start { .. })).count();
    }
    assert_eq!(starts, 2);
}

#[test]
fn a_full_line_refuses_as_busy_until_the_controller_knows() {
    let mut worker = running();
    for id in 2..=5 {
        let _ = worker.handle(10, build(id, id));
        let _ = worker.handle(10, Input::Kept { fence: fence(id) });
    }
    let effects = worker.handle(11, build(6, 6));
    assert!(matches!(&effects[0], Effect::Answer { reply: 6, answer: OrderAnswer::Refused { .. } }));
    let told = reports(&effects);
    assert!(matches!(&told[..], [(6, 3, BuildNews::Refused { failure })] if failure.class == FailureClass::Busy));
    assert_eq!(worker.orders_seen(), 5, "an order is seen when its refusal is known");
    let effects = worker.handle(12, answer(6, 3, BuildAnswer::Durable {}));
    assert_eq!(effects, [forget(6, 12), seen(6)]);
    let _ = worker.handle(13, Input::Forgotten { fence: fence(6) });
    assert_eq!(worker.handle(14, build(6, 6)), [accepted(6)], "a late copy finds the tombstone");
}

#[test]
fn as_many_orders_as_there_are_slots_wait_for_nothing() {
    let settings = Settings { max_waiting: 0, ..settings(3) };
    let (mut worker, _) = Worker::restore(0, settings, Saved::default(), Vec::new());
    let _ = welcome(&mut worker, 0);
    for id in 1..=3 {
        assert!(matches!(worker.handle(1, build(id, id))[..], [Effect::Keep { .. }]), "all at once, none on disk yet");
    }
    assert!(matches!(&worker.handle(1, build(4, 4))[0], Effect::Answer { answer: OrderAnswer::Refused { .. }, .. }));
}

#[test]
fn a_job_that_cannot_be_written_is_refused_with_the_reason() {
    let mut worker = fresh();
    let _ = worker.handle(1, build(1, 1));
    let failure = Failure { class: FailureClass::DiskFull, message: "no space".to_owned(), ..Failure::default() };
    let effects = worker.handle(2, Input::NotKept { fence: fence(1), failure: failure.clone() });
    assert_eq!(effects[0], Effect::Answer { reply: 1, answer: OrderAnswer::Refused { reason: "no space".to_owned() } });
    assert_eq!(reports(&effects), [(1, 3, BuildNews::Refused { failure })]);
}

#[test]
fn a_result_is_told_again_with_growing_waits_until_answered() {
    let mut worker = finished(&[]);
    let (mut now, mut waits) = (11, Vec::new());
    for _ in 0..8 {
        assert_eq!(worker.handle(now, Input::Unanswered { fence: fence(1), number: 3 }), []);
        let at = worker.next_wake().unwrap();
        waits.push(at - now);
        assert_eq!(worker.wake(at - 1), []);
        now = at;
        assert_eq!(reports(&worker.wake(now)).len(), 1);
        assert_eq!(worker.wake(now), [], "waking twice is harmless");
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    assert_eq!(worker.handle(now, answer(1, 3, BuildAnswer::Durable {})), [forget(1, now)]);
    assert_eq!(worker.handle(now, Input::Forgotten { fence: fence(1) }), []);
    assert!(worker.is_idle());
    assert_eq!(worker.next_wake(), None);
}

#[test]
fn a_report_nobody_says_anything_about_is_told_again_all_the_same() {
    let mut worker = finished(&[]);
    let at = worker.next_wake().unwrap();
    assert_eq!(reports(&worker.wake(at)).len(), 1);
}

#[test]
fn an_answer_to_an_earlier_report_does_not_end_a_result() {
    let mut worker = finished(&[]);
    for number in [1, 2, 4] {
        assert_eq!(worker.handle(20, answer(1, number, BuildAnswer::Durable {})), []);
    }
    assert_eq!(worker.held().finished, [fence(1)]);
}

#[test]
fn pending_is_asked_again_after_the_time_the_controller_names() {
    let mut worker = finished(&[]);
    for (asked, waited) in [(2_000, 2_000), (0, 250), (u64::MAX, 60_000)] {
        assert_eq!(worker.handle(100, answer(1, 3, BuildAnswer::Pending { retry_ms: asked })), []);
        assert_eq!(worker.next_wake(), Some(100 + waited));
    }
}

#[test]
fn packages_that_never_came_go_up_again_and_the_result_is_told_anew() {
    let mut worker = finished(&["aa", "bb"]);
    let need = |number, hashes: &[&str]| {
        answer(1, number, BuildAnswer::NeedArtifacts { sha256: hashes.iter().map(|&h| h.to_owned()).collect() })
    };
    assert_eq!(worker.handle(20, need(3, &["bb"])), [Effect::Upload { fence: fence(1), sha256: "bb".to_owned() }]);
    assert_eq!(worker.wake(1_000_000), [], "nothing is told while it goes up");
    let done = Input::Uploaded { fence: fence(1), sha256: "bb".to_owned(), outcome: Uploaded::Done };
    let effects = worker.handle(30, done.clone());
    assert_eq!(reports(&effects), [(1, 4, BuildNews::Finished { result: made(&["aa", "bb"]) })]);
    assert_eq!(worker.handle(31, done), [], "a second word of it is harmless");
    assert_eq!(worker.handle(32, need(4, &["cc"])), [], "what it never made can't go up");
    assert!(worker.next_wake().is_some());
}

#[test]
fn a_controller_that_never_gets_the_packages_is_told_that_uploading_failed() {
    let mut worker = finished(&["aa"]);
    let mut number = 3;
    for _ in 0..5 {
        let answer = answer(1, number, BuildAnswer::NeedArtifacts { sha256: vec!["aa".to_owned()] });
        assert_eq!(worker.handle(20, answer), [Effect::Upload { fence: fence(1), sha256: "aa".to_owned() }]);
        let done = Input::Uploaded { fence: fence(1), sha256: "aa".to_owned(), outcome: Uploaded::Done };
        assert_eq!(reports(&worker.handle(21, done)).len(), 1);
        number += 1;
    }
    let answer = answer(1, number, BuildAnswer::NeedArtifacts { sha256: vec!["aa".to_owned()] });
    let told = reports(&worker.handle(30, answer));
    let [(1, 9, BuildNews::Finished { result })] = &told[..] else { panic!("{told:?}") };
    assert_eq!(result.failure.as_ref().map(|f| f.class), Some(FailureClass::Upload));
}

#[test]
fn an_upload_that_fails_for_good_turns_success_into_an_upload_failure_and_keeps_a_failure() {
    for (before, after) in [(None, FailureClass::Upload), (Some(FailureClass::Phase), FailureClass::Phase)] {
        let mut worker = running();
        let failure = before.map(|class| Failure { class, ..Failure::default() });
        let result = BuildResult { failure, ..made(&["aa", "bb"]) };
        let _ = worker.handle(10, Input::Exited { fence: fence(1), result });
        let outcome = Uploaded::Failed { message: "503".to_owned() };
        let told = reports(&worker.handle(11, Input::Uploaded { fence: fence(1), sha256: "aa".to_owned(), outcome }));
        let [(1, 3, BuildNews::Finished { result })] = &told[..] else { panic!("{told:?}") };
        assert_eq!(result.failure.as_ref().map(|f| f.class), Some(after));
    }
}

#[test]
fn cancelling_what_waits_drops_it_and_says_so() {
    let mut worker = running();
    let _ = worker.handle(10, build(2, 2));
    let _ = worker.handle(10, Input::Kept { fence: fence(2) });
    assert_eq!(worker.handle(11, cancel(3, 2)), [accepted(3), forget(2, 11), seen(3)]);
    let told = reports(&worker.handle(12, Input::Forgotten { fence: fence(2) }));
    assert_eq!(told, [(2, 3, BuildNews::Dropped { reason: "by hand".to_owned() })]);
    assert_eq!(worker.handle(13, answer(2, 3, BuildAnswer::Durable {})), [forget(2, 13)]);
    let _ = worker.handle(14, Input::Forgotten { fence: fence(2) });
    assert_eq!(worker.handle(15, build(2, 2)), [accepted(2)], "never runs again");
}

#[test]
fn cancelling_what_runs_ends_it_before_it_says_dropped() {
    let mut worker = running();
    assert_eq!(worker.handle(11, cancel(3, 1)), [accepted(3), Effect::End { fence: fence(1) }, seen(3)]);
    assert_eq!(worker.handle(12, cancel(3, 1)), [accepted(3)], "once");
    assert_eq!(worker.handle(13, Input::Exited { fence: fence(1), result: made(&[]) }), []);
    assert_eq!(worker.handle(14, Input::Ended { fence: fence(1) }), [forget(1, 14)]);
    let told = reports(&worker.handle(15, Input::Forgotten { fence: fence(1) }));
    assert_eq!(told, [(1, 3, BuildNews::Dropped { reason: "by hand".to_owned() })]);
}

#[test]
fn cancelling_what_is_being_written_or_started_drops_it() {
    let mut worker = fresh();
    let _ = worker.handle(1, build(1, 1));
    assert_eq!(worker.handle(2, cancel(2, 1)), [accepted(2), seen(2)]);
    assert_eq!(worker.handle(3, Input::Kept { fence: fence(1) }), [accepted(1), forget(1, 3)]);

    let mut worker = fresh();
    let _ = worker.handle(1, build(1, 1));
    let _ = worker.handle(2, Input::Kept { fence: fence(1) });
    assert_eq!(worker.handle(3, cancel(2, 1)), [accepted(2), seen(2)]);
    assert_eq!(worker.handle(4, Input::Started { fence: fence(1), at: 5 }), [Effect::End { fence: fence(1) }]);
}

#[test]
fn cancelling_what_is_over_tells_the_result_again() {
    let mut worker = finished(&[]);
    let effects = worker.handle(20, cancel(2, 1));
    assert_eq!(reports(&effects), [(1, 3, BuildNews::Finished { result: made(&[]) })]);
    assert_eq!(without_reports(effects), [accepted(2), seen(2)]);
}

#[test]
fn a_cancel_that_overtakes_its_order_leaves_a_tombstone() {
    let mut worker = fresh();
    assert_eq!(worker.handle(1, cancel(2, 1)), [accepted(2), forget(1, 1), seen(2)]);
    let told = reports(&worker.handle(2, Input::Forgotten { fence: fence(1) }));
    assert_eq!(told, [(1, 3, BuildNews::Dropped { reason: "by hand".to_owned() })]);
    let effects = worker.handle(3, build(1, 1));
    assert!(effects.contains(&accepted(1)) && !effects.iter().any(|e| matches!(e, Effect::Keep { .. })), "{effects:?}");
}

#[test]
fn a_superseded_attempt_is_ended_and_forgotten_without_a_word() {
    let mut worker = running();
    let superseded = BuildAnswer::Superseded { reason: "attempt 2".to_owned() };
    assert_eq!(worker.handle(10, answer(1, 2, superseded.clone())), [Effect::End { fence: fence(1) }]);
    assert_eq!(worker.handle(11, Input::Ended { fence: fence(1) }), [forget(1, 11)]);
    assert_eq!(worker.handle(12, Input::Forgotten { fence: fence(1) }), []);
    assert!(worker.is_idle());

    let mut worker = finished(&["aa"]);
    assert_eq!(worker.handle(10, answer(1, 3, superseded)), [forget(1, 10)]);
}

#[test]
fn a_welcome_ends_what_it_names_and_what_is_due_is_told_at_once() {
    let mut worker = running();
    let _ = worker.handle(6, build(2, 2));
    let _ = worker.handle(6, Input::Kept { fence: fence(2) });
    let _ = worker.handle(7, Input::Unanswered { fence: fence(2), number: 1 });
    let effects =
        worker.handle(8, Input::Welcomed { store_id: StoreId::from(STORE), superseded: vec![fence(1), fence(77)] });
    assert_eq!(effects[0], Effect::End { fence: fence(1) });
    assert_eq!(reports(&effects), [(2, 1, BuildNews::Taken {})]);
}

#[test]
fn another_store_makes_everything_of_the_former_count_no_more() {
    let mut worker = running();
    let _ = worker.handle(6, build(2, 2));
    let _ = worker.handle(6, Input::Kept { fence: fence(2) });
    let other = StoreId::from("store-b");
    let effects = worker.handle(9, Input::Welcomed { store_id: other.clone(), superseded: Vec::new() });
    let reset = Effect::Seen { number: 0, store_id: other.clone() };
    assert_eq!(effects, [reset, Effect::End { fence: fence(1) }, forget(2, 9)]);
    // the same numbers mean other attempts now, once the former ones are gone
    let mut again = order(1, Task::Build { job: job(2) });
    again.store_id = other;
    let effects = worker.handle(10, Input::Order { reply: 1, order: again.clone() });
    assert!(matches!(effects[0], Effect::Answer { answer: OrderAnswer::Refused { .. }, .. }), "{effects:?}");
    let _ = worker.handle(11, Input::Forgotten { fence: fence(2) });
    let effects = worker.handle(12, Input::Order { reply: 1, order: again });
    assert!(matches!(effects[0], Effect::Keep { .. }), "{effects:?}");
    assert_eq!(worker.handle(13, answer(2, 1, BuildAnswer::Superseded { reason: String::new() })), [], "of the former");
}

/// Builds of which these effects tell that they are lost.
fn lost_of(effects: &[Effect]) -> Vec<u64> {
    let is_lost = |news: &BuildNews| {
        matches!(news, BuildNews::Finished { result }
            if result.failure.as_ref().is_some_and(|failure| failure.class == FailureClass::AgentLost))
    };
    reports(effects).into_iter().filter(|(_, _, news)| is_lost(news)).map(|(build, ..)| build).collect()
}

#[test]
fn what_a_vanished_attempt_left_running_is_ended_before_its_loss_is_told_and_its_slot_is_free() {
    let mut worker = running();
    let _ = worker.handle(6, build(2, 2));
    let _ = worker.handle(6, Input::Kept { fence: fence(2) });
    let effects = worker.handle(7, Input::Vanished { fence: fence(1) });
    assert_eq!(effects, [Effect::End { fence: fence(1) }], "its emerge may live on in the root the next one needs");
    let _ = worker.handle(8, cancel(3, 1));
    let effects = worker.handle(9, Input::Ended { fence: fence(1) });
    assert_eq!(lost_of(&effects), [1], "a result stays a result, whoever cancels it meanwhile");
    assert_eq!(without_reports(effects), [Effect::Start { fence: fence(2) }]);
    // a superseded one is nobody's business any more
    let _ = worker.handle(10, Input::Started { fence: fence(2), at: 10 });
    let _ = worker.handle(11, Input::Vanished { fence: fence(2) });
    let _ = worker.handle(12, Input::Welcomed { store_id: StoreId::from(STORE), superseded: vec![fence(2)] });
    assert_eq!(worker.handle(13, Input::Ended { fence: fence(2) }), [forget(2, 13)]);
}

#[test]
fn a_restarted_worker_adopts_what_stands_on_disk() {
    let found = |build, order_number, standing| Found {
        fence: fence(build),
        cpv: format!("app-misc/p{build}-1"),
        store_id: StoreId::from(STORE),
        order_number,
        slot: 0,
        standing,
    };
    let saved = Saved { store_id: Some(StoreId::from(STORE)), orders_seen: 3, tombs: Vec::new() };
    let on_disk = vec![
        found(1, 1, AttemptStanding::Finished { result: made(&[]) }),
        found(2, 2, AttemptStanding::Vanished),
        found(3, 3, AttemptStanding::Running { since: 77 }),
        found(4, 4, AttemptStanding::Waiting),
    ];
    let (mut worker, effects) = Worker::restore(0, settings(1), saved.clone(), on_disk);
    let told = reports(&effects);
    assert_eq!(told[0], (1, 3, BuildNews::Finished { result: made(&[]) }));
    assert_eq!(told[1..], [(3, 2, BuildNews::Started { at: 77 }), (4, 1, BuildNews::Taken {})]);
    assert_eq!(without_reports(effects), [Effect::End { fence: fence(2) }], "the slot is taken by the adopted one");
    assert_eq!(worker.orders_seen(), 4, "what stands on disk was seen");
    assert_eq!(lost_of(&worker.handle(1, Input::Ended { fence: fence(2) })), [2]);
    let effects = worker.handle(1, Input::Exited { fence: fence(3), result: made(&[]) });
    assert_eq!(without_reports(effects), [Effect::Start { fence: fence(4) }]);
    let held = worker.held();
    assert_eq!((held.running, held.finished), (vec![fence(4)], vec![fence(1), fence(2), fence(3)]));

    // a tombstone was written and the directory is still there: it is removed, not run
    let tomb = Tomb { fence: fence(4), store_id: StoreId::from(STORE), at: 0 };
    let saved = Saved { tombs: vec![tomb], ..saved };
    let (mut worker, effects) = Worker::restore(0, settings(1), saved, vec![found(4, 4, AttemptStanding::Waiting)]);
    assert_eq!(effects, [Effect::End { fence: fence(4) }]);
    assert_eq!(worker.handle(1, Input::Ended { fence: fence(4) }), [forget(4, 1)]);
}

#[test]
fn tombstones_survive_a_restart_and_fall_after_a_day() {
    let saved = Saved {
        store_id: Some(StoreId::from(STORE)),
        orders_seen: 9,
        tombs: vec![Tomb { fence: fence(1), store_id: StoreId::from(STORE), at: 0 }],
    };
    let (mut worker, _) = Worker::restore(10, settings(1), saved, Vec::new());
    let _ = welcome(&mut worker, 10);
    assert_eq!(worker.handle(11, build(1, 1)), [accepted(1)]);
    let effects = worker.handle(TOMB_MS, build(1, 1));
    assert!(matches!(effects[0], Effect::Keep { .. }), "{effects:?}");
}

#[test]
fn a_closing_worker_starts_nothing_new_and_keeps_what_it_has() {
    let mut worker = running();
    let _ = worker.handle(6, build(2, 2));
    let _ = worker.handle(6, Input::Kept { fence: fence(2) });
    assert_eq!(worker.handle(7, Input::Closing), []);
    let effects = worker.handle(8, Input::Exited { fence: fence(1), result: made(&[]) });
    assert_eq!(without_reports(effects), []);
    let effects = worker.handle(9, build(3, 3));
    assert!(matches!(effects[0], Effect::Answer { answer: OrderAnswer::Refused { .. }, .. }));
}

#[test]
fn plans_are_resolved_one_at_a_time_and_once() {
    let mut worker = fresh();
    let plan = |number, id| {
        let job = PlanJob { plan: PlanId(id), attempt: 1, ..PlanJob::default() };
        (job.clone(), Input::Order { reply: number, order: order(number, Task::Plan { job }) })
    };
    let store_id = StoreId::from(STORE);
    let (first, order_1) = plan(1, 1);
    let (second, order_2) = plan(2, 2);
    let begin = |job| Effect::Plan { job, store_id: store_id.clone() };
    assert_eq!(worker.handle(1, order_1.clone()), [accepted(1), seen(1), begin(first)]);
    assert_eq!(worker.handle(2, order_2), [accepted(2), seen(2)]);
    assert_eq!(worker.handle(3, order_1.clone()), [accepted(1)]);
    assert_eq!(worker.handle(4, Input::Planned { plan: PlanId(1), attempt: 1 }), [begin(second)]);
    assert_eq!(worker.handle(5, order_1), [accepted(1)]);
    assert_eq!(worker.handle(6, Input::Planned { plan: PlanId(2), attempt: 1 }), []);
    assert!(worker.is_idle());
}

fn release(number: u64, build: u64) -> Input {
    let task = Task::Release { fence: fence(build), reason: "another one is idle".to_owned() };
    Input::Order { reply: number, order: order(number, task) }
}

#[test]
fn what_is_asked_back_is_dropped_if_it_waits_and_goes_on_if_it_has_begun() {
    let mut worker = running();
    let _ = worker.handle(10, build(2, 2));
    let _ = worker.handle(10, Input::Kept { fence: fence(2) });
    // it runs: it goes on, and that it has begun is told once more
    let effects = worker.handle(11, release(3, 1));
    assert_eq!(without_reports(effects.clone()), [accepted(3), seen(3)]);
    assert_eq!(reports(&effects), [(1, 2, BuildNews::Started { at: 1_000 })]);
    assert_eq!(worker.running(), [fence(1)].into());
    // it waits: it is dropped
    let effects = worker.handle(12, release(4, 2));
    assert_eq!(without_reports(effects), [accepted(4), forget(2, 12), seen(4)]);
    let effects = worker.handle(13, Input::Forgotten { fence: fence(2) });
    assert_eq!(reports(&effects), [(2, 3, BuildNews::Dropped { reason: "another one is idle".to_owned() })]);
    // it is over: its result stands
    let mut worker = finished(&[]);
    let effects = worker.handle(20, release(5, 1));
    assert_eq!(without_reports(effects.clone()), [accepted(5), seen(5)]);
    assert_eq!(reports(&effects), [(1, 3, BuildNews::Finished { result: made(&[]) })]);
}

#[test]
fn what_is_asked_back_while_it_is_written_never_starts_and_its_late_order_neither() {
    let mut worker = fresh();
    let _ = worker.handle(1, build(1, 1));
    let _ = worker.handle(2, release(2, 1));
    let effects = worker.handle(3, Input::Kept { fence: fence(1) });
    assert!(!effects.contains(&Effect::Start { fence: fence(1) }));
    // and one that overtook its order leaves a tombstone
    let mut worker = fresh();
    assert!(worker.handle(1, release(2, 7)).contains(&forget(7, 1)));
    let _ = worker.handle(2, Input::Forgotten { fence: fence(7) });
    assert_eq!(without_reports(worker.handle(3, build(1, 7))), [accepted(1)]);
}

fn sync(number: u64) -> Input {
    let job = SyncJob { timeout_ms: 900_000, ..SyncJob::default() };
    Input::Order { reply: number, order: order(number, Task::Sync { job }) }
}

fn syncs(number: u64) -> Effect {
    let job = SyncJob { timeout_ms: 900_000, ..SyncJob::default() };
    Effect::Sync { number, job, store_id: StoreId::from(STORE) }
}

#[test]
fn repositories_change_while_nothing_runs_and_nothing_begins_meanwhile() {
    let mut worker = running();
    let _ = worker.handle(10, build(2, 2));
    let _ = worker.handle(10, Input::Kept { fence: fence(2) });
    assert_eq!(worker.handle(11, sync(5)), [accepted(5), seen(5)], "it waits for what runs");
    let plan = Task::Plan { job: PlanJob { plan: PlanId(1), attempt: 1, ..PlanJob::default() } };
    assert_eq!(worker.handle(12, Input::Order { reply: 6, order: order(6, plan.clone()) }), [accepted(6), seen(6)]);
    let effects = worker.handle(13, Input::Exited { fence: fence(1), result: made(&[]) });
    assert_eq!(without_reports(effects), [syncs(5)], "and the next build for the sync");
    // a copy begins no other, another order is refused while one runs
    assert_eq!(worker.handle(14, sync(5)), [accepted(5)]);
    let text = "another sync is not over, or the worker shuts down".to_owned();
    let refused = Effect::Answer { reply: 7, answer: OrderAnswer::Refused { reason: text } };
    assert_eq!(worker.handle(15, sync(7)), [refused]);
    assert!(!worker.is_idle());
    let effects = without_reports(worker.handle(16, Input::Synced { number: 5 }));
    let Task::Plan { job } = plan else { unreachable!() };
    assert_eq!(effects, [Effect::Start { fence: fence(2) }, Effect::Plan { job, store_id: StoreId::from(STORE) }]);
    // nor does a copy that comes when it is over
    assert_eq!(worker.handle(17, sync(5)), [accepted(5)]);
}

#[test]
fn a_sync_of_a_former_store_that_has_not_begun_is_dropped() {
    let mut worker = running();
    let _ = worker.handle(10, sync(5));
    let _ = worker.handle(11, Input::Welcomed { store_id: StoreId::from("store-b"), superseded: Vec::new() });
    let effects = worker.handle(12, Input::Ended { fence: fence(1) });
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Sync { .. })));
}
