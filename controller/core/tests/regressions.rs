//! What once went wrong, or went wrong in 0.4: one test per fault.

mod farm;

use farm::*;
use swarm_core::input::Control;
use swarm_protocol::plan::{Plan, PlannedEdge, PlannedPackage};

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
