//! Pings and the ladder's orders against a bus of the tests' own: each effect is answered, whatever becomes of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use swarm_core::effect::Route;
use swarm_core::input::{PingLoss, Pong, RouteOutcome};
use swarm_core::tell::Stopped;
use swarm_core::view::View;
use swarm_core::{Input, Tell};
use swarm_protocol::order::{Escalated, EscalationRefusal, OrderAnswer, Rung, Task};
use swarm_protocol::{DroneId, InstanceId, StoreId};

use super::*;
use crate::bus::link::{Answered, OrderError};
use swarm_core::effect::{Escalation, Ping};

use crate::engine::Outlet;

#[derive(Default)]
struct Told(Mutex<Vec<Input>>);

impl Tell for Told {
    fn offer(&self, input: Input) -> bool {
        self.0.lock().unwrap().push(input);
        true
    }
    fn tell(&self, input: Input) -> BoxFuture<'_, ()> {
        self.offer(input);
        Box::pin(std::future::ready(()))
    }
    fn tell_blocking(&self, input: Input) -> Result<(), Stopped> {
        self.offer(input);
        Ok(())
    }
}

/// A bus whose drones answer by their names.
#[derive(Default)]
struct Wire {
    orders: Mutex<Vec<(DroneId, Task)>>,
    broadcasts: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

fn answered() -> Answered {
    Answered { pong: Pong { at: 7, middle: 5, ..Pong::default() }, latency_us: 900 }
}

impl Bus for Wire {
    fn ping(&self, drone: DroneId, _: u64, _: Duration) -> BoxFuture<'_, Result<Answered, PingLoss>> {
        Box::pin(async move {
            self.most.fetch_max(self.under_way.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.under_way.fetch_sub(1, SeqCst);
            match drone.as_str() {
                "absent" => Err(PingLoss::Absent),
                "silent" => Err(PingLoss::Silent),
                "nobus" => Err(PingLoss::NoBus),
                _ => Ok(answered()),
            }
        })
    }

    fn ping_all<'a>(
        &'a self,
        _: u64,
        runs: &'a BTreeMap<InstanceId, DroneId>,
        _: usize,
        _: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<DroneId, Answered>, PingLoss>> {
        self.broadcasts.fetch_add(1, SeqCst);
        let answers = runs.values().filter(|drone| drone.as_str() != "silent").map(|drone| (drone.clone(), answered()));
        Box::pin(std::future::ready(Ok(answers.collect())))
    }

    fn order(&self, drone: DroneId, task: Task, _: Duration) -> BoxFuture<'_, Result<OrderAnswer, OrderError>> {
        self.orders.lock().unwrap().push((drone.clone(), task));
        let escalated = |generation, outcome| Ok(OrderAnswer::Escalated { generation, outcome });
        let detail = || "as it went".to_owned();
        let answer = match drone.as_str() {
            "absent" => Err(OrderError::Absent { drone }),
            "silent" => Err(OrderError::Silent { drone }),
            "old" => Ok(OrderAnswer::NotUnderstood { reason: String::new() }),
            "other" => escalated(8, Escalated::Done { detail: detail() }),
            "metal" => escalated(9, Escalated::Refused { why: EscalationRefusal::Type, detail: detail() }),
            "dry" => escalated(9, Escalated::DryRun { detail: detail() }),
            _ => escalated(9, Escalated::Done { detail: detail() }),
        };
        Box::pin(std::future::ready(answer))
    }
}

#[tokio::test]
async fn every_ping_of_the_core_is_answered_and_they_go_beside_each_other() {
    let (wire, told) = (Arc::new(Wire::default()), Arc::new(Told::default()));
    let pings = Pings::new(wire.clone(), told.clone());
    let (queue, waiting) = Outlet::new(64, "a ping waits");
    let names = ["well", "absent", "silent", "nobus"];
    for (seq, name) in names.iter().cycle().take(40).enumerate() {
        queue.put(Ping { drone: DroneId::from(*name), seq: seq as u64, within: 1_000 });
    }
    drop(queue);
    pings.run(waiting).await;
    let told = told.0.lock().unwrap();
    let of = |name: &str| {
        let mine = |input: &&Input| match input {
            Input::Pong { drone, .. } | Input::PingLost { drone, .. } => drone.as_str() == name,
            _ => false,
        };
        told.iter().filter(mine).cloned().collect::<Vec<_>>()
    };
    for (name, why) in [("absent", PingLoss::Absent), ("silent", PingLoss::Silent), ("nobus", PingLoss::NoBus)] {
        assert_eq!(of(name).len(), 10);
        assert!(of(name).iter().all(|input| matches!(input, Input::PingLost { why: told, .. } if *told == why)));
    }
    assert!(of("well").iter().all(|input| matches!(input, Input::Pong { latency_us: 900, .. })));
    assert!(wire.most.load(SeqCst) > 1, "a black hole holds nobody up");
}

#[tokio::test]
async fn people_s_pings_are_told_to_the_core_as_number_0_and_bounded() {
    let (wire, told) = (Arc::new(Wire::default()), Arc::new(Told::default()));
    let pings = Pings::new(wire.clone(), told.clone());
    let one = pings.ping(DroneId::from("well")).await.unwrap();
    assert_eq!((one.seq, one.outcome), (1, Ok(answered())));
    assert!(matches!(&told.0.lock().unwrap()[0], Input::Pong { seq: 0, .. }));
    let many = (0..200).map(|_| pings.ping(DroneId::from("well")));
    let answers = futures::future::join_all(many).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Option::is_some);
    assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
}

#[tokio::test]
async fn a_broadcast_is_shared_by_all_who_ask_at_the_time() {
    let (wire, told) = (Arc::new(Wire::default()), Arc::new(Told::default()));
    let pings = Pings::new(wire.clone(), told.clone());
    let mut view = View::default();
    for name in ["well", "silent"] {
        let mut drone = Arc::unwrap_or_clone(crate::http::tests::drone(name, name));
        Arc::make_mut(&mut drone.row).supervisor = InstanceId(format!("run-{name}"));
        view.drones.insert(DroneId::from(name), Arc::new(drone));
    }
    let view = Arc::new(view);
    let asked = (0..20).map(|_| pings.ping_all(view.clone()));
    for pinged in futures::future::join_all(asked).await {
        let outcomes: Vec<_> = pinged.iter().map(|one| (one.drone.as_str().to_owned(), one.outcome.is_ok())).collect();
        assert_eq!(outcomes, [("silent".to_owned(), false), ("well".to_owned(), true)]);
    }
    assert_eq!(wire.broadcasts.load(SeqCst), 1);
    assert_eq!(told.0.lock().unwrap().len(), 2, "each drone's outcome once");
}

async fn outcome(drone: &str, route: Route) -> RouteOutcome {
    let dir = tempfile::tempdir().unwrap();
    let settings = SshSettings {
        data: dir.path().to_owned(),
        store_id: StoreId::from("5e9d"),
        ssh_command: vec!["drone-agent".to_owned(), "escalate".to_owned()],
    };
    let (wire, told) = (Arc::new(Wire::default()), Arc::new(Told::default()));
    let escalations = Escalations::new(wire, told.clone(), settings);
    let (queue, waiting) = Outlet::new(4, "an order waits");
    let order = Escalation {
        drone: DroneId::from(drone),
        generation: 9,
        rung: Rung::RestartService,
        reason: "silent".to_owned(),
        route,
        within: 1_500,
    };
    queue.put(order);
    drop(queue);
    escalations.run(waiting).await;
    let told = told.0.lock().unwrap();
    let [Input::Escalated { generation: 9, outcome, .. }] = &told[..] else { panic!("{told:?}") };
    outcome.clone()
}

#[tokio::test]
async fn what_a_supervisor_answers_becomes_the_outcome_of_its_order() {
    let done = RouteOutcome::Done { detail: "as it went".to_owned() };
    assert_eq!(outcome("well", Route::Bus {}).await, done);
    assert!(matches!(outcome("dry", Route::Bus {}).await, RouteOutcome::DryRun { .. }));
    assert!(matches!(
        outcome("metal", Route::Bus {}).await,
        RouteOutcome::Refused { why: EscalationRefusal::Type, .. }
    ));
    assert_eq!(outcome("silent", Route::Bus {}).await, RouteOutcome::TimedOut {});
    for name in ["absent", "old", "other"] {
        assert!(matches!(outcome(name, Route::Bus {}).await, RouteOutcome::Failed { .. }), "{name}");
    }
}

#[tokio::test]
async fn a_hypervisor_command_is_run_without_a_shell_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (script, out) = (dir.path().join("pct"), dir.path().join("out"));
    fs_err::write(&script, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\n", out.display())).unwrap();
    fs_err::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let command = |words: &[&str]| Route::Hypervisor { command: words.iter().map(|word| (*word).to_owned()).collect() };
    let script = script.to_str().unwrap();
    let done = outcome("x", command(&[script, "reboot", "104; touch /tmp/x", "$(id)"])).await;
    assert!(matches!(done, RouteOutcome::Done { .. }), "{done:?}");
    assert_eq!(fs_err::read_to_string(out).unwrap(), "reboot\n104; touch /tmp/x\n$(id)\n");
    let failed = outcome("x", command(&["sh", "-c", "echo no such container >&2; exit 2"])).await;
    assert!(matches!(&failed, RouteOutcome::Failed { detail } if detail.contains("no such container")), "{failed:?}");
    assert_eq!(outcome("x", command(&["sleep", "600"])).await, RouteOutcome::TimedOut {});
}

#[tokio::test]
async fn nobody_is_logged_into_whose_host_key_is_not_known() {
    let login =
        Route::Ssh { user: "root".to_owned(), host: "127.0.0.1".to_owned(), port: 1, key: None, host_keys: Vec::new() };
    let refused = outcome("x", login).await;
    assert!(
        matches!(&refused, RouteOutcome::Failed { detail } if detail.contains("swarm drone ssh-key")),
        "{refused:?}"
    );
}
