//! What a drone says that means harm, or is broken: it costs the others nothing, and what is remembered of it is bounded.

use swarm_core::input::Pong;
use swarm_core::rows::ArtifactRow;
use swarm_core::{Answer, Effect, Input, ReplyTo};
use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk};
use swarm_protocol::report::{AttemptStatus, BuildAnswer, BuildNews, BuildReport, Heartbeat, HelloAnswer, Role};
use swarm_protocol::{Attempt, BuildId, Fence, InstanceId};

use crate::farm::*;

fn say(farm: &mut Farm, input: Input) -> Vec<Effect> {
    farm.core.handle(farm.now, input)
}

fn hello_answer(effects: &[Effect]) -> HelloAnswer {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Reply { answer: Answer::Hello(answer), .. } => Some(answer.clone()),
            _ => None,
        })
        .expect("a hello is answered")
}

#[test]
fn a_second_agent_with_the_same_key_is_refused_with_all_its_processes_while_the_first_lives() {
    let mut farm = Farm::of(&["anna"]);
    let (id, first) = (farm.drones["anna"].id.clone(), farm.drones["anna"].instance(Role::Supervisor));
    let hello = |farm: &mut Farm, role, instance: &str, supervisor: Option<InstanceId>| {
        let mut hello = farm.drones["anna"].hello(role);
        (hello.instance, hello.supervisor) = (InstanceId::from(instance), supervisor);
        let input = Input::Hello { drone: id.clone(), hello: Box::new(hello), reply: ReplyTo(9_000) };
        hello_answer(&say(farm, input))
    };
    let is_refused = |answer: &HelloAnswer| matches!(answer, HelloAnswer::Refused { reason, .. } if reason == "another instance of this drone is alive");
    farm.beat("anna");
    assert!(is_refused(&hello(&mut farm, Role::Supervisor, "copy", None)));
    assert!(is_refused(&hello(&mut farm, Role::Worker, "copy-worker", Some(InstanceId::from("copy")))));
    // the first one's worker may be started anew at any time
    let anew = hello(&mut farm, Role::Worker, "second-worker", Some(first.clone()));
    assert!(matches!(anew, HelloAnswer::Welcome { .. }), "{anew:?}");
    // whose it is, is not left open
    assert!(is_refused(&hello(&mut farm, Role::Worker, "third-worker", None)));
    // the first one falls silent: then the other is the drone
    farm.drones.get_mut("anna").unwrap().silent = true;
    farm.pass(7 * SECOND);
    assert!(matches!(hello(&mut farm, Role::Supervisor, "copy", None), HelloAnswer::Welcome { .. }));
    let theirs = hello(&mut farm, Role::Worker, "copy-worker", Some(InstanceId::from("copy")));
    assert!(matches!(theirs, HelloAnswer::Welcome { .. }));
}

#[test]
fn a_copy_that_was_not_welcomed_says_nothing_of_the_attempts_its_disk_came_with() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.starts("anna", "app-misc/hello-1.0");
    let id = farm.drones["anna"].id.clone();
    let report = |farm: &Farm, news| {
        let (instance, store_id) = (InstanceId::from("copy-worker"), farm.core.store_id().clone());
        Box::new(BuildReport { instance, store_id, fence, number: 1, news })
    };
    for news in [BuildNews::Dropped { reason: "no".to_owned() }, BuildNews::Finished { result: done() }] {
        let input = Input::Build { drone: id.clone(), report: report(&farm, news), reply: ReplyTo(9_000) };
        let effects = say(&mut farm, input);
        let asked_again = |effect: &Effect| matches!(effect, Effect::Reply { answer: Answer::Build(BuildAnswer::Pending { retry_ms }), .. } if *retry_ms >= 1_000);
        assert!(effects.len() == 1 && effects.iter().all(asked_again), "{effects:?}");
    }
    let ask = ArtifactAsk {
        instance: InstanceId::from("copy-worker"),
        store_id: farm.core.store_id().clone(),
        fence,
        artifact: binary(&farm.drones["anna"].running[&fence].0),
    };
    let input = Input::Artifact { drone: id.clone(), ask: Box::new(ask), token: "t".to_owned(), reply: ReplyTo(9_001) };
    let effects = say(&mut farm, input);
    let refused = |effect: &Effect| {
        matches!(effect, Effect::Reply { answer: Answer::Artifact(ArtifactAnswer::Refused { .. }), .. })
    };
    assert!(effects.len() == 1 && effects.iter().all(refused), "{effects:?}");
    // nor does its pong hide that the one that was welcomed is silent
    farm.drones.get_mut("anna").unwrap().mute = true;
    farm.pass(10 * SECOND);
    let pong = Pong { instance: InstanceId::from("copy"), at: farm.now.wall, ..Pong::default() };
    let health = |farm: &mut Farm| farm.view().drones[&id].health.clone();
    let before = health(&mut farm);
    farm.input(Input::Pong { drone: id.clone(), seq: 0, latency_us: 1, pong: Box::new(pong) });
    assert!(before.misses >= 1);
    let after = health(&mut farm);
    assert_eq!((after.misses, after.last_pong), (before.misses, before.last_pong));
}

#[test]
fn a_header_that_would_forge_lines_of_the_shared_index_is_refused() {
    let mut farm = Farm::of(&["anna"]);
    let id = farm.drones["anna"].id.clone();
    for key in ["X: y\n\nCPV", "", "A B", "É"] {
        let mut hello = farm.drones["anna"].hello(Role::Supervisor);
        hello.portage.index_header = [(key.to_owned(), "1".to_owned())].into();
        let effects = say(&mut farm, Input::Hello { drone: id.clone(), hello: Box::new(hello), reply: ReplyTo(9_000) });
        let answer = hello_answer(&effects);
        assert!(
            matches!(&answer, HelloAnswer::Refused { reason, .. } if reason.contains("index header")),
            "{answer:?}"
        );
    }
}

#[test]
fn heartbeats_by_the_hundred_give_no_more_orders_than_one_a_second() {
    let mut farm = Farm::of(&["anna"]);
    farm.pass(2 * SECOND);
    let id = farm.drones["anna"].id.clone();
    let mut orders = 0;
    for _ in 0..100 {
        let mut beat = farm.drones.get_mut("anna").unwrap().heartbeat(farm.now.at);
        let foreign =
            |n| AttemptStatus { fence: Fence { build: BuildId(n), attempt: Attempt(9) }, ..Default::default() };
        beat.attempts = (0..256).map(foreign).collect();
        let effects = say(&mut farm, Input::Heartbeat { drone: id.clone(), beat: Box::new(beat) });
        orders += effects.iter().filter(|effect| matches!(effect, Effect::Order { .. })).count();
    }
    assert_eq!(orders, 256, "once for each");
}

#[test]
fn what_is_told_of_a_drone_that_misbehaves_is_bounded_whatever_it_says() {
    let mut farm = Farm::of(&["anna", "ben"]);
    let before = farm.view().last_event;
    for n in 0..200u64 {
        let mut hello = farm.drones["anna"].hello(Role::Supervisor);
        hello.name = format!("<b>{n}</b>");
        let id = farm.drones["anna"].id.clone();
        say(&mut farm, Input::Hello { drone: id.clone(), hello: Box::new(hello), reply: ReplyTo(9_000 + n) });
        let fence = Fence { build: BuildId(n), attempt: Attempt(1) };
        farm.report("anna", fence, BuildNews::Finished { result: done() });
        say(&mut farm, Input::Flood { drone: id, dropped: n });
    }
    let told = farm.view().last_event - before;
    assert!((1..=10).contains(&told), "{told} events");
    // and begins anew when it has been quiet
    farm.pass(10 * MINUTE);
    let before = farm.view().last_event;
    let id = farm.drones["anna"].id.clone();
    say(&mut farm, Input::Flood { drone: id, dropped: 7 });
    assert_eq!(farm.view().last_event - before, 1);
}

#[test]
fn reports_of_other_drones_attempts_change_nothing() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let holder = farm.holder("app-misc/hello-1.0").unwrap();
    let fence = farm.starts(&holder, "app-misc/hello-1.0");
    let other = if holder == "anna" { "ben" } else { "anna" };
    let before = farm.store.clone();
    for news in [
        BuildNews::Taken {},
        BuildNews::Started { at: 1 },
        BuildNews::Dropped { reason: "no".to_owned() },
        BuildNews::Refused { failure: Default::default() },
        BuildNews::Finished { result: done() },
    ] {
        let reply = farm.report(other, fence, news.clone());
        let answer = &farm.answers[&reply];
        assert!(matches!(answer, Answer::Build(BuildAnswer::Superseded { .. })), "{news:?}: {answer:?}");
    }
    let builds = |store: &Store| store.all::<swarm_core::rows::BuildRow>();
    assert_eq!(builds(&before), builds(&farm.store));
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
}

#[test]
fn a_heartbeat_that_lists_thousands_of_attempts_causes_few_orders() {
    let mut farm = Farm::of(&["anna"]);
    let status = |n| AttemptStatus { fence: Fence { build: BuildId(n), attempt: Attempt(1) }, ..Default::default() };
    let beat = Heartbeat {
        instance: farm.drones["anna"].instance(Role::Supervisor),
        seq: u64::MAX,
        attempts: (0..30_000).map(status).collect(),
        ..Heartbeat::default()
    };
    let id = farm.drones["anna"].id.clone();
    let effects = say(&mut farm, Input::Heartbeat { drone: id, beat: Box::new(beat) });
    let orders = effects.iter().filter(|effect| matches!(effect, Effect::Order { .. })).count();
    assert!(orders <= 256, "{orders} orders");
}

#[test]
fn a_drone_gets_a_bounded_number_of_tickets_it_does_not_use() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.starts("anna", "app-misc/hello-1.0");
    let artifact = binary(&farm.drones["anna"].running[&fence].0);
    let mut refused = 0;
    for n in 0..300u64 {
        let ask = ArtifactAsk {
            instance: farm.drones["anna"].instance(Role::Worker),
            store_id: farm.core.store_id().clone(),
            fence,
            artifact: swarm_protocol::artifact::ArtifactRef { sha256: format!("{n:064x}"), ..artifact.clone() },
        };
        let drone = farm.drones["anna"].id.clone();
        let token = format!("t{n}");
        let effects = say(&mut farm, Input::Artifact { drone, ask: Box::new(ask), token, reply: ReplyTo(9_000 + n) });
        let answered = |effect: &Effect| match effect {
            Effect::Reply { answer: Answer::Artifact(ArtifactAnswer::Refused { reason }), .. } => {
                assert!(reason.contains("not used yet"), "{reason}");
                true
            }
            _ => false,
        };
        refused += u64::from(effects.iter().any(answered));
    }
    assert_eq!(refused, 300 - 256);
    farm.core.drain(farm.now, &mut farm.store);
    assert_eq!(farm.store.all::<ArtifactRow>().len(), 256);
}
