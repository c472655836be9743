//! Stories of the ladder as golden transcripts, and its rules as tables.

use proptest::prelude::*;
use swarm_core::answer::{Refusal, RefusalKind};
use swarm_core::effect::Ping;
use swarm_core::input::PingLoss;
use swarm_core::request::{DroneAction, DroneWishes, HealAction, TestNoticeRequest, WishRequest};
use swarm_core::rows::{DeedOutcome, NoticeKind, RouteKind};
use swarm_core::settings::Healing;
use swarm_core::{Answer, Effect, Input, Request, Settings};
use swarm_protocol::DroneId;
use swarm_protocol::machine::{DroneType, RebootPolicy, WorkerState};
use swarm_protocol::order::{EscalationRefusal, Rung};

use crate::farm::*;

const DAY: u64 = 24 * 60 * MINUTE;

fn wishes(farm: &mut Farm, drone: &str, wishes: DroneWishes) -> Answer {
    farm.request(Request::Wish(WishRequest { drone: drone.to_owned(), wishes: Box::new(wishes) }))
}

fn refused(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Levels, outcomes and routes of what was tried in the open incident.
fn deeds(farm: &Farm, name: &str) -> Vec<(Rung, RouteKind, DeedOutcome)> {
    let incident = farm.healing(name).incident.unwrap_or_default();
    incident.deeds.iter().map(|deed| (deed.rung, deed.route, deed.outcome)).collect()
}

#[test]
fn a_hung_worker_is_restarted_and_the_drone_recovers_at_level_1() {
    let mut farm = Farm::of(&["anna", "ben"]);
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.worker, anna.cure) = (WorkerState::Hung, Some(Rung::RestartService));
    farm.pass(3 * MINUTE);
    assert_eq!(farm.healing("anna").level(), 0);
    golden!(farm);
}

#[test]
fn a_drone_whose_supervisor_is_gone_recovers_at_level_2_by_ssh() {
    let mut farm = Farm::of(&["anna", "ben"]);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm.dies("anna", Some(Rung::HardRestart));
    farm.pass(3 * MINUTE);
    golden!(farm);
}

#[test]
fn a_container_nobody_can_log_into_is_rebooted_from_outside() {
    let healing = Healing {
        hypervisor: [(Rung::RebootContainer, ["pct", "reboot", "{vmid}"].map(str::to_owned).to_vec())].into(),
        ..Default::default()
    };
    let mut farm = Farm::of_with(&["anna", "ben"], Settings { healing, ..Settings::default() });
    wishes(&mut farm, "anna", DroneWishes { vmid: Some(Some("104".to_owned())), ..DroneWishes::default() });
    farm.dies("anna", Some(Rung::RebootContainer));
    farm.pass(4 * MINUTE);
    assert_eq!(farm.healing("anna").level(), 0);
    golden!(farm);
}

#[test]
fn a_drone_nothing_helps_ends_in_a_persons_hands_who_is_told_again_and_when_it_is_over() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.dies("anna", None);
    farm.pass(5 * MINUTE);
    assert_eq!(farm.healing("anna").level(), 4);
    farm.pass(6 * 60 * MINUTE);
    let kinds: Vec<NoticeKind> = farm.notices.iter().map(|notice| notice.kind).collect();
    assert_eq!(kinds, [NoticeKind::Alert, NoticeKind::Repeat]);
    farm.say("somebody plugs it in again");
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.mute, anna.silent) = (false, false);
    farm.pass(MINUTE);
    assert_eq!(farm.notices.last().unwrap().kind, NoticeKind::Resolved);
    golden!(farm);
}

#[test]
fn bare_metal_goes_from_level_2_to_a_person_whatever_its_type_was_set_to() {
    let mut farm = Farm::new();
    let mut anna = Drone::new("anna");
    anna.kind = DroneType::BareMetal;
    farm.join(anna);
    farm.join(Drone::new("ben"));
    farm.pass(farm.settings.start_grace);
    farm.transcript.clear();
    farm.heal("anna", HealAction::SetType(Some(DroneType::Lxc)));
    farm.dies("anna", None);
    farm.pass(4 * MINUTE);
    assert_eq!(farm.healing("anna").level(), 4);
    assert!(farm.healing("anna").reboots.is_empty());
    golden!(farm);
}

#[test]
fn when_most_of_the_fleet_falls_silent_it_is_us_and_nothing_is_done() {
    let mut farm = Farm::of(&["anna", "ben", "cleo", "dora"]);
    for name in ["anna", "ben", "cleo"] {
        farm.dies(name, None);
    }
    farm.pass(10 * MINUTE);
    for name in ["anna", "ben", "cleo"] {
        assert_eq!(farm.healing(name).level(), 0, "{name}");
    }
    farm.say("the switch is back");
    for name in ["anna", "ben"] {
        let drone = farm.drones.get_mut(name).unwrap();
        (drone.mute, drone.silent) = (false, false);
    }
    farm.pass(MINUTE);
    assert!(farm.healing("cleo").level() > 0, "cleo is really gone");
    golden!(farm);
}

#[test]
fn a_flapping_drone_climbs_from_where_it_last_recovered() {
    let mut farm = Farm::of(&["anna", "ben"]);
    for _ in 0..3 {
        let anna = farm.drones.get_mut("anna").unwrap();
        anna.worker = WorkerState::Failing;
        anna.cure = None;
        farm.pass(70 * SECOND);
        let level = farm.healing("anna").level();
        farm.say(&format!("at level {level} it works for a moment"));
        let anna = farm.drones.get_mut("anna").unwrap();
        anna.worker = WorkerState::Alive;
        farm.pass(30 * SECOND);
    }
    let levels: Vec<u8> = farm.events.iter().filter_map(|event| event.details.get("level")?.parse().ok()).collect();
    assert_eq!(levels, [1, 2, 3]);
    golden!(farm);
}

#[test]
fn a_controller_restarted_in_the_middle_goes_on_where_it_was_and_reboots_nothing_twice() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.dies("anna", None);
    farm.hold.escalate = true;
    farm.pass(25 * SECOND);
    assert!(farm.healing("anna").acting.is_some());
    farm.say("the controller dies before the order's outcome is known");
    farm.restart();
    farm.hold.escalate = false;
    assert_eq!(farm.healing("anna").level(), 1);
    farm.pass(3 * MINUTE);
    let tried: Vec<Rung> = deeds(&farm, "anna").iter().map(|deed| deed.0).collect();
    assert_eq!(tried, [Rung::RestartService, Rung::HardRestart, Rung::RebootContainer]);
    golden!(farm);
}

#[test]
fn ssh_that_fails_while_heartbeats_are_fresh_is_no_trouble() {
    let mut farm = Farm::of(&["anna", "ben"]);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm.drones.get_mut("anna").unwrap().ways = false;
    let anna = farm.drones.get_mut("anna").unwrap();
    (anna.vitals.load_1m, anna.vitals.disk_build_free) = (200.0, 0);
    farm.pass(10 * MINUTE);
    assert_eq!(farm.healing("anna").incident, None);
    assert!(farm.told("escalate").is_empty() && farm.told("warn").is_empty(), "{:?}", farm.told("warn"));
    golden!(farm);
}

#[test]
fn a_build_holds_a_reboot_back_until_its_lease_ends_and_the_lower_rungs_leave_it_alone() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.order_drone("ben", DroneAction::Pause);
    farm.queue(&["app-misc/hello"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.dies("anna", None);
    farm.pass(9 * MINUTE);
    assert_eq!(farm.healing("anna").level(), 2, "{}", farm.transcript);
    assert_eq!(farm.state("app-misc/hello-1.0"), "delegated");
    farm.pass(2 * MINUTE);
    assert!(farm.healing("anna").level() >= 3, "the lease has ended, nothing is left to shield");
    golden!(farm);
}

#[test]
fn a_drone_that_builds_with_a_hung_worker_keeps_its_build_through_both_restarts() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    let fence = farm.starts("anna", "app-misc/hello-1.0");
    farm.drones.get_mut("anna").unwrap().worker = WorkerState::Hung;
    farm.pass(20 * MINUTE);
    assert_eq!(farm.healing("anna").level(), 2, "level 3 waits for the build");
    assert_eq!(farm.attempt("anna", "app-misc/hello-1.0"), fence, "reclaimed from nobody");
}

#[test]
fn what_people_put_aside_is_judged_and_left_alone() {
    for action in [DroneAction::Pause, DroneAction::Drain] {
        let mut farm = Farm::of(&["anna", "ben"]);
        farm.order_drone("anna", action);
        farm.dies("anna", None);
        farm.pass(20 * MINUTE);
        assert_eq!((farm.healing("anna").level(), farm.notices.len()), (0, 0), "{action:?}");
        let held = farm.healing("anna").incident.unwrap().held.unwrap();
        assert!(held.contains("by kim"), "{held}");
        assert_eq!(farm.told("heal").len(), 1, "said once: {:?}", farm.told("heal"));
        farm.order_drone("anna", DroneAction::Resume);
        farm.pass(10 * SECOND);
        assert_eq!(farm.healing("anna").level(), 1, "{action:?}");
    }
}

#[test]
fn nobody_is_judged_in_the_grace_after_our_own_start() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.dies("anna", None);
    farm.restart();
    farm.pass(farm.settings.start_grace - SECOND);
    assert_eq!(farm.healing("anna").incident, None);
    farm.pass(2 * SECOND);
    assert!(farm.healing("anna").incident.is_some());
}

#[test]
fn unhealthy_is_three_misses_in_a_row_over_at_least_fifteen_seconds() {
    // seconds between pings, and from the first miss to the verdict
    for (every, verdict) in [(1, 15), (5, 15), (7, 15), (8, 16), (20, 40)] {
        let healing = Healing { ping_every: every * SECOND, ..Healing::default() };
        let mut farm = Farm::of_with(&["anna"], Settings { healing, ..Settings::default() });
        let id = farm.drones["anna"].id.clone();
        farm.drones.get_mut("anna").unwrap().mute = true;
        let mut first = None;
        while farm.healing("anna").incident.is_none() {
            farm.pass(100);
            if farm.view().drones[&id].health.misses > 0 {
                first.get_or_insert(farm.now.at);
            }
            assert!(farm.now.at < 10 * MINUTE, "every {every} s: never");
        }
        let took = farm.now.at - first.unwrap();
        let wanted = verdict * SECOND..=(verdict + 1) * SECOND + 100;
        assert!(wanted.contains(&took), "every {every} s: {took} ms");
    }
    let mut farm = Farm::of(&["anna"]);
    for _ in 0..20 {
        // an answer in between begins the count anew
        farm.drones.get_mut("anna").unwrap().mute = true;
        farm.pass(10 * SECOND);
        farm.drones.get_mut("anna").unwrap().mute = false;
        farm.pass(5 * SECOND);
    }
    assert_eq!(farm.healing("anna").incident, None);
}

#[test]
fn a_ping_lost_with_our_own_bus_says_nothing_of_the_drone() {
    let mut farm = Farm::of(&["anna"]);
    let id = farm.drones["anna"].id.clone();
    for _ in 0..20 {
        farm.clock_to(farm.now.at + 5 * SECOND);
        let effects = farm.core.wake(farm.now);
        for effect in effects {
            if let Effect::Ping(Ping { drone, seq, .. }) = effect {
                assert!(farm.core.handle(farm.now, Input::PingLost { drone, seq, why: PingLoss::NoBus }).is_empty());
            }
        }
    }
    assert_eq!(farm.view().drones[&id].health.misses, 0);
}

#[test]
fn a_late_or_foreign_answer_does_not_count_and_a_timed_out_ping_is_no_sign_of_life() {
    let mut farm = Farm::of(&["anna"]);
    let id = farm.drones["anna"].id.clone();
    farm.pass(10 * SECOND);
    let seen = farm.view().drones[&id].health.last_pong;
    let pong = Box::new(farm.drones["anna"].ping(farm.now).unwrap());
    farm.input(Input::Pong { drone: id.clone(), seq: 999, latency_us: 1, pong });
    farm.drones.get_mut("anna").unwrap().mute = true;
    farm.pass(10 * SECOND);
    let health = farm.view().drones[&id].health.clone();
    assert_eq!((health.last_pong, health.latency_us), (seen, Some(400)));
    assert!(health.misses >= 1 && health.last_ping > seen);
}

#[test]
fn reboots_by_hand_keep_to_the_rules() {
    let mut farm = Farm::new();
    for (name, kind) in [
        ("anna", DroneType::Lxc),
        ("ben", DroneType::Qemu),
        ("cleo", DroneType::BareMetal),
        ("dora", DroneType::Unknown),
    ] {
        let mut drone = Drone::new(name);
        drone.kind = kind;
        farm.join(drone);
    }
    farm.pass(farm.settings.start_grace);
    for name in ["cleo", "dora"] {
        farm.heal(name, HealAction::SetType(Some(DroneType::Qemu)));
        assert!(refused(farm.heal(name, HealAction::Reboot)).error.contains("by its own detection"), "{name}");
    }
    farm.heal("ben", HealAction::SetType(Some(DroneType::BareMetal)));
    assert!(refused(farm.heal("ben", HealAction::Reboot)).error.contains("its type is bare-metal"));
    farm.heal("ben", HealAction::SetType(None));
    wishes(&mut farm, "ben", DroneWishes { protected: Some(true), ..DroneWishes::default() });
    assert!(refused(farm.heal("ben", HealAction::Reboot)).error.contains("protected"));
    wishes(&mut farm, "ben", DroneWishes { protected: Some(false), ..DroneWishes::default() });
    farm.queue(&["app-misc/hello"]);
    let holder = farm.holder("app-misc/hello-1.0").unwrap();
    let other = if holder == "anna" { "ben" } else { "anna" };
    if ["anna", "ben"].contains(&holder.as_str()) {
        let refusal = refused(farm.heal(&holder, HealAction::Reboot));
        assert_eq!(refusal.kind, RefusalKind::Conflict);
        assert!(refusal.error.contains("1 build(s)"), "{}", refusal.error);
    }
    farm.hold.escalate = true;
    assert!(matches!(farm.heal(other, HealAction::Reboot), Answer::Healed(healed) if healed.generation == Some(1)));
    assert!(refused(farm.heal(other, HealAction::Restart)).error.contains("under way"));
    assert!(refused(farm.heal("nobody", HealAction::Reboot)).kind == RefusalKind::NotFound);
}

#[test]
fn one_reboot_at_a_time_and_three_a_day() {
    let healing = Healing { ping_every: 10 * MINUTE, ..Healing::default() };
    let mut farm = Farm::of_with(&["anna", "ben", "cleo"], Settings { healing, ..Settings::default() });
    farm.hold.escalate = true;
    assert!(matches!(farm.heal("anna", HealAction::Reboot), Answer::Healed(_)));
    assert!(refused(farm.heal("ben", HealAction::Reboot)).error.contains("anna is being rebooted"));
    farm.release();
    for _ in 0..2 {
        assert!(matches!(farm.heal("anna", HealAction::Reboot), Answer::Healed(_)));
    }
    assert!(refused(farm.heal("anna", HealAction::Reboot)).error.contains("3 times within a day"));
    assert!(matches!(farm.heal("ben", HealAction::Reboot), Answer::Healed(_)));
    farm.pass(DAY + SECOND);
    assert!(matches!(farm.heal("anna", HealAction::Reboot), Answer::Healed(_)));
}

#[test]
fn two_dead_drones_are_rebooted_one_after_the_other() {
    let mut farm = Farm::of(&["anna", "ben", "cleo", "dora", "emil"]);
    for name in ["anna", "ben"] {
        farm.dies(name, None);
    }
    farm.pass(10 * MINUTE);
    let reboots: Vec<u64> = farm.events.iter().filter(|event| event.kind == "reboot").map(|event| event.at).collect();
    assert_eq!(reboots.len(), 2, "{:?}", farm.told("reboot"));
    assert!(reboots[1] - reboots[0] >= 120 * SECOND, "{reboots:?}");
}

#[test]
fn the_drones_own_refusal_ends_the_rung_for_every_route() {
    let mut farm = Farm::of(&["anna", "ben"]);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm.drones.get_mut("anna").unwrap().worker = WorkerState::Down;
    // it was a container when it said hello, and is none any more
    farm.drones.get_mut("anna").unwrap().kind = DroneType::BareMetal;
    farm.pass(5 * MINUTE);
    let tried = deeds(&farm, "anna");
    assert_eq!(tried.last(), Some(&(Rung::RebootContainer, RouteKind::Bus, DeedOutcome::Refused)), "{tried:?}");
    assert_eq!(farm.healing("anna").level(), 4);
    assert!(farm.healing("anna").reboots.is_empty());
}

#[test]
fn an_order_without_an_answer_is_given_up_for_the_next_route() {
    let mut farm = Farm::of(&["anna", "ben"]);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm.drones.get_mut("anna").unwrap().worker = WorkerState::Down;
    farm.hold.escalate = true;
    farm.pass(2 * MINUTE);
    let tried = deeds(&farm, "anna");
    assert_eq!(
        tried[..2],
        [
            (Rung::RestartService, RouteKind::Bus, DeedOutcome::TimedOut),
            (Rung::RestartService, RouteKind::Ssh, DeedOutcome::TimedOut)
        ],
        "{tried:?}"
    );
}

#[test]
fn an_act_is_broken_off_when_something_comes_up_against_it_between_two_routes() {
    let mut farm = Farm::of(&["anna", "ben"]);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm.drones.get_mut("anna").unwrap().worker = WorkerState::Down;
    farm.hold.escalate = true;
    farm.pass(70 * SECOND);
    assert_eq!(farm.healing("anna").acting.unwrap().route, 0);
    farm.order_drone("anna", DroneAction::Pause);
    farm.pass(MINUTE);
    let row = farm.healing("anna");
    assert!(row.acting.is_none(), "{row:?}");
    let incident = row.incident.unwrap();
    assert_eq!((incident.level, incident.deeds.len()), (0, 1), "the second route was not tried: {:?}", incident.deeds);
    assert!(incident.held.unwrap().contains("paused by kim"));
    farm.order_drone("anna", DroneAction::Resume);
    farm.pass(5 * SECOND);
    assert_eq!(farm.healing("anna").acting.unwrap().rung, Rung::RestartService, "the same rung comes again");
}

#[test]
fn what_the_drones_own_configuration_forbids_is_not_asked_of_the_hypervisor() {
    for (policy, rebooted, by) in [
        (RebootPolicy::Auto, 1, vec![RouteKind::Bus, RouteKind::Hypervisor]),
        (RebootPolicy::Unknown, 1, vec![RouteKind::Bus, RouteKind::Hypervisor]),
        (RebootPolicy::DryRun, 1, vec![RouteKind::Bus]),
        (RebootPolicy::Never, 0, vec![]),
    ] {
        let command = ["pct", "reboot", "{vmid}"].map(str::to_owned).to_vec();
        let healing = Healing { hypervisor: [(Rung::RebootContainer, command)].into(), ..Healing::default() };
        let mut farm = Farm::with(Settings { healing, ..Settings::default() });
        let mut anna = Drone::new("anna");
        anna.reboot = policy;
        farm.join(anna);
        farm.join(Drone::new("ben"));
        wishes(&mut farm, "anna", DroneWishes { vmid: Some(Some("104".to_owned())), ..DroneWishes::default() });
        farm.pass(farm.settings.start_grace);
        farm.dies("anna", None);
        farm.pass(3 * MINUTE);
        let tried = farm.escalations.iter().filter(|order| order.rung == Rung::RebootContainer);
        assert_eq!(tried.map(|order| order.route).collect::<Vec<_>>(), by, "{policy:?}");
        assert_eq!(farm.healing("anna").reboots.len(), rebooted, "{policy:?}");
    }
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMwkdS0xLyL9oUXJYnVWq6TD1xMKPyPMlS2bOYh6eUmd";
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0hL7QbXAgrOkJZW9XoS4MNWVsNCiWFkV6z0ynoOWTH";

fn with_host_key() -> Farm {
    let mut farm = Farm::new();
    let mut anna = Drone::new("anna");
    anna.host_keys = vec![KEY.to_owned()];
    farm.join(anna);
    farm.join(Drone::new("ben"));
    farm.pass(farm.settings.start_grace);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm
}

fn told(farm: &Farm) -> Vec<(NoticeKind, bool)> {
    farm.notices.iter().map(|notice| (notice.kind, notice.key.starts_with("host-key/"))).collect()
}

#[test]
fn a_host_key_is_pinned_when_a_drone_joins_and_another_one_is_never_believed() {
    let mut farm = with_host_key();
    let pinned = |farm: &mut Farm| farm.view().drones[&DroneId::from("U-anna")].row.ssh_host_keys.clone();
    assert_eq!(pinned(&mut farm), [KEY]);
    farm.drones.get_mut("anna").unwrap().host_keys = vec![OTHER_KEY.to_owned()];
    for _ in 0..3 {
        farm.greet("anna");
    }
    assert_eq!(pinned(&mut farm), [KEY], "what it says later changes nothing");
    assert_eq!(told(&farm), [(NoticeKind::Alert, true)], "and a person is told once");
    farm.restart();
    farm.greet("anna");
    assert_eq!(told(&farm).len(), 1, "also over a restart");
    farm.dies("anna", None);
    farm.pass(3 * MINUTE);
    let tried = deeds(&farm, "anna");
    let by_ssh = tried.iter().filter(|(_, route, _)| *route == RouteKind::Ssh);
    assert!(by_ssh.clone().count() > 1 && by_ssh.clone().all(|(_, _, how)| *how == DeedOutcome::Failed), "{tried:?}");
    assert!(!told(&farm)[1..].contains(&(NoticeKind::Alert, true)), "still once");
    let keys = Some(Some(vec![OTHER_KEY.to_owned()]));
    wishes(&mut farm, "anna", DroneWishes { ssh_host_keys: keys, ..DroneWishes::default() });
    assert_eq!(told(&farm).last(), Some(&(NoticeKind::Resolved, true)));
    farm.heal("anna", HealAction::HardRestart);
    assert_eq!(farm.healing("anna").last.unwrap().outcome, DeedOutcome::Done, "the operator's word counts");
}

#[test]
fn a_host_that_shows_another_key_is_told_to_a_person_and_again_when_it_shows_the_right_one() {
    let mut farm = with_host_key();
    // a machine in its place: the drone itself says nothing of it
    farm.drones.get_mut("anna").unwrap().mute = true;
    farm.drones.get_mut("anna").unwrap().host_keys = vec![OTHER_KEY.to_owned()];
    farm.heal("anna", HealAction::Restart);
    assert_eq!(told(&farm), [(NoticeKind::Alert, true)]);
    farm.drones.get_mut("anna").unwrap().host_keys = vec![KEY.to_owned()];
    farm.heal("anna", HealAction::Restart);
    assert_eq!(told(&farm).last(), Some(&(NoticeKind::Resolved, true)));
}

#[test]
fn an_outcome_counts_for_its_own_order_only() {
    let mut farm = Farm::of(&["anna", "ben"]);
    let id = farm.drones["anna"].id.clone();
    farm.hold.escalate = true;
    farm.heal("anna", HealAction::Restart);
    let why = EscalationRefusal::Type;
    let late = swarm_core::input::RouteOutcome::Refused { why, detail: "late".to_owned() };
    farm.input(Input::Escalated { drone: id, generation: 77, outcome: late });
    assert!(farm.healing("anna").acting.is_some());
    farm.release();
    assert_eq!(farm.healing("anna").last.unwrap().outcome, DeedOutcome::Done);
}

#[test]
fn notices_are_tried_again_until_every_channel_has_them_and_given_up_in_the_end() {
    let mut farm = Farm::of(&["anna"]);
    farm.hold.notify = true;
    farm.request(Request::TestNotice(TestNoticeRequest {}));
    farm.held.clear();
    let failed = || vec![("mail".to_owned(), "connection refused".to_owned())];
    farm.input(Input::Notified { notice: 1, delivered: vec!["webhook".to_owned()], failed: failed() });
    farm.pass(31 * SECOND);
    assert_eq!(farm.notices.len(), 2, "tried again");
    assert!(farm.notices[1].delivered.contains("webhook"), "who has it is not told twice");
    farm.say("the controller dies before it hears of the second try");
    farm.held.clear();
    farm.restart();
    farm.held.clear();
    farm.pass(MINUTE);
    assert_eq!(farm.notices.len(), 3);
    for _ in 0..20 {
        farm.held.clear();
        farm.input(Input::Notified { notice: 1, delivered: Vec::new(), failed: failed() });
        farm.pass(16 * MINUTE);
    }
    assert!(farm.notices.len() <= 13, "{}", farm.notices.len());
    assert!(farm.told("warn").iter().any(|text| text.contains("given up")), "{:?}", farm.told("warn"));
}

#[test]
fn wishes_that_could_become_options_or_paths_are_refused() {
    let mut farm = Farm::of(&["anna"]);
    let text = |text: &str| Some(Some(text.to_owned()));
    for bad in [
        DroneWishes { ssh_user: text("-oProxyCommand=x"), ..DroneWishes::default() },
        DroneWishes { ssh_host: text("-x"), ..DroneWishes::default() },
        DroneWishes { vmid: text("1 2"), ..DroneWishes::default() },
        DroneWishes { ssh_key_path: text("id_rsa"), ..DroneWishes::default() },
        DroneWishes { display_name: text("a\nb"), ..DroneWishes::default() },
        DroneWishes { ssh_host_keys: Some(Some(vec!["* ssh-rsa AAAA".to_owned()])), ..DroneWishes::default() },
    ] {
        assert_eq!(refused(wishes(&mut farm, "anna", bad.clone())).kind, RefusalKind::Invalid, "{bad:?}");
    }
    assert!(matches!(
        wishes(&mut farm, "anna", DroneWishes { vmid: text("vm-104"), ..DroneWishes::default() }),
        Answer::Done(_)
    ));
}

#[test]
fn an_unhealthy_drone_gets_no_new_work() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.drones.get_mut("anna").unwrap().mute = true;
    farm.pass(MINUTE);
    farm.queue(&["app-misc/hello"]);
    farm.pass(5 * SECOND);
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some("ben"));
}

#[test]
fn a_drone_that_is_being_rebooted_gets_no_work_between_two_routes() {
    let mut farm = Farm::of(&["anna"]);
    wishes(&mut farm, "anna", DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
    farm.hold.escalate = true;
    farm.heal("anna", HealAction::Reboot);
    farm.queue(&["app-misc/hello"]);
    farm.pass(10 * SECOND);
    assert_eq!(farm.holder("app-misc/hello-1.0"), None);
    farm.pass(20 * SECOND);
    assert_eq!(farm.escalations.last().unwrap().holds, 0, "the next way is tried with empty hands");
}

#[test]
fn a_reset_starts_the_ladder_anew() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.dies("anna", None);
    farm.pass(10 * MINUTE);
    let answer = farm.heal("anna", HealAction::Reset);
    assert!(matches!(answer, Answer::Healed(healed) if healed.previous_level == 4));
    assert_eq!(farm.healing("anna").level(), 0);
    farm.pass(30 * SECOND);
    assert_eq!(farm.healing("anna").level(), 1, "it is still dead and judged anew");
}

/// Drones of every kind, and what happens to them.
const FLEET: [(&str, DroneType); 6] = [
    ("anna", DroneType::Lxc),
    ("ben", DroneType::Qemu),
    ("cleo", DroneType::BareMetal),
    ("dora", DroneType::Unknown),
    ("emil", DroneType::Lxc),
    ("fred", DroneType::Qemu),
];

#[derive(Debug, Clone)]
enum Step {
    Dies { drone: usize, cure: usize },
    Lives(usize),
    Worker { drone: usize, state: usize },
    Ways { drone: usize, open: bool },
    Person { drone: usize, action: usize },
    Type { drone: usize, kind: usize },
    Protect { drone: usize, on: bool },
    Rung { drone: usize, rung: usize },
    Queue,
    Starts(usize),
    Builds(usize),
    Hold(bool),
    Restart,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let drone = 0..FLEET.len();
    prop_oneof![
        4 => (drone.clone(), 0..4usize).prop_map(|(drone, cure)| Step::Dies { drone, cure }),
        2 => drone.clone().prop_map(Step::Lives),
        3 => (drone.clone(), 0..4usize).prop_map(|(drone, state)| Step::Worker { drone, state }),
        1 => (drone.clone(), any::<bool>()).prop_map(|(drone, open)| Step::Ways { drone, open }),
        1 => (drone.clone(), 0..3usize).prop_map(|(drone, action)| Step::Person { drone, action }),
        1 => (drone.clone(), 0..4usize).prop_map(|(drone, kind)| Step::Type { drone, kind }),
        3 => (drone.clone(), any::<bool>()).prop_map(|(drone, on)| Step::Protect { drone, on }),
        2 => (drone.clone(), 0..4usize).prop_map(|(drone, rung)| Step::Rung { drone, rung }),
        1 => Just(Step::Queue),
        2 => drone.clone().prop_map(Step::Starts),
        1 => drone.prop_map(Step::Builds),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::Restart),
        8 => prop_oneof![Just(1_000), Just(6_000), Just(31_000), Just(125_000), Just(700_000)].prop_map(Step::Pass),
    ]
}

/// What must never happen, seen from the orders that went out.
struct Watch {
    farm: Farm,
    seen: usize,
}

impl Watch {
    fn new() -> Self {
        let mut farm = Farm::new();
        for (name, kind) in FLEET {
            let mut drone = Drone::new(name);
            drone.kind = kind;
            farm.join(drone);
            wishes(&mut farm, name, DroneWishes { ssh_user: Some(Some("root".to_owned())), ..DroneWishes::default() });
        }
        farm.pass(farm.settings.start_grace);
        Self { farm, seen: 0 }
    }

    fn drone(&mut self, drone: usize) -> &mut Drone {
        self.farm.drones.get_mut(FLEET[drone].0).expect("one of the fleet")
    }

    fn first(&self, drone: usize) -> Option<String> {
        self.farm.drones[FLEET[drone].0].running.values().next().map(|(job, _)| job.cpv.clone())
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Dies { drone, cure } => {
                let cures = [None, Some(Rung::RestartService), Some(Rung::HardRestart), Some(Rung::RebootContainer)];
                self.farm.dies(FLEET[drone].0, cures[cure]);
            }
            Step::Lives(drone) => {
                let drone = self.drone(drone);
                (drone.mute, drone.silent) = (false, false);
            }
            Step::Worker { drone, state } => {
                let states = [WorkerState::Alive, WorkerState::Hung, WorkerState::Down, WorkerState::Failing];
                self.drone(drone).worker = states[state];
            }
            Step::Ways { drone, open } => self.drone(drone).ways = open,
            Step::Person { drone, action } => {
                let actions = [DroneAction::Pause, DroneAction::Resume, DroneAction::Drain];
                drop(self.farm.order_drone(FLEET[drone].0, actions[action]));
            }
            Step::Type { drone, kind } => {
                let kinds = [None, Some(DroneType::Lxc), Some(DroneType::Qemu), Some(DroneType::BareMetal)];
                drop(self.farm.heal(FLEET[drone].0, HealAction::SetType(kinds[kind])));
            }
            Step::Protect { drone, on } => {
                drop(wishes(
                    &mut self.farm,
                    FLEET[drone].0,
                    DroneWishes { protected: Some(on), ..DroneWishes::default() },
                ));
            }
            Step::Rung { drone, rung } => {
                let rungs = [HealAction::Reset, HealAction::Restart, HealAction::HardRestart, HealAction::Reboot];
                drop(self.farm.heal(FLEET[drone].0, rungs[rung]));
            }
            Step::Queue => drop(self.farm.queue(&["app-misc/hello", "app-misc/calc", "app-misc/abacus"])),
            Step::Starts(drone) => {
                if let Some(cpv) = self.first(drone) {
                    self.farm.starts(FLEET[drone].0, &cpv);
                }
            }
            Step::Builds(drone) => {
                if let Some(cpv) = self.first(drone).filter(|_| !self.farm.drones[FLEET[drone].0].silent) {
                    self.farm.builds(FLEET[drone].0, &cpv);
                }
            }
            Step::Hold(on) => {
                if on {
                    self.farm.hold.escalate = true
                } else {
                    self.farm.release()
                }
            }
            Step::Restart => self.farm.restart(),
            Step::Pass(ms) => self.farm.pass(ms),
        }
        self.farm.check();
        self.check();
    }

    fn check(&mut self) {
        for order in &self.farm.escalations[self.seen..] {
            let (name, kind) =
                FLEET.into_iter().find(|(name, _)| format!("U-{name}") == order.drone.0).expect("a drone of the fleet");
            let tail = || self.farm.transcript[self.farm.transcript.len().saturating_sub(3000)..].to_owned();
            if order.rung == Rung::RebootContainer {
                assert!(matches!(kind, DroneType::Lxc | DroneType::Qemu), "{name} was rebooted\n{}", tail());
                assert!(!order.protected, "{name} is protected\n{}", tail());
                assert!(!order.override_forbids, "{name} has a type that forbids it\n{}", tail());
                assert_eq!(order.holds, 0, "{name} builds\n{}", tail());
                assert!(order.others_rebooting.is_empty(), "{name} beside {:?}\n{}", order.others_rebooting, tail());
            }
            if !order.by_hand {
                assert!(!order.in_grace, "{name} within the grace\n{}", tail());
                assert!(!order.paused, "{name} is paused\n{}", tail());
                assert!(!order.cut_off, "{name} while we are cut off\n{}", tail());
            }
        }
        self.seen = self.farm.escalations.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_must_not_be_touched_ever_is(steps in prop::collection::vec(step(), 1..40)) {
        let mut watch = Watch::new();
        for step in &steps {
            watch.step(step);
        }
    }
}
