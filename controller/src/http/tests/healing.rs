use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use swarm_core::answer::{Answer, Done, Healed, Refusal, RefusalKind};
use swarm_core::request::{HealAction, HealRequest, WishRequest};
use swarm_core::rows::*;
use swarm_core::view::{Health, Latency, View};
use swarm_core::{Input, Request};
use swarm_protocol::DroneId;
use swarm_protocol::machine::{DroneType, WorkerState};
use swarm_protocol::order::Rung;

use super::world::*;

fn has(value: &Value, fields: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for field in fields.split(',') {
        assert!(object.contains_key(field), "no {field} in {value}");
    }
}

fn deed(rung: Rung, route: RouteKind, outcome: DeedOutcome, at: u64) -> Deed {
    Deed { rung, route, outcome, detail: "as it went".to_owned(), by: "swarm".to_owned(), at }
}

/// Alpha is at level 2 after a restart by the bus that failed and a hard one by SSH; beta was never in trouble.
fn troubled() -> View {
    let (_, mut view) = busy();
    view.now = swarm_core::Now { at: 500_000, wall: NOW + 100_000 };
    view.healing = true;
    let mut alpha = (**view.drones.get(&DroneId::from("UALPHA")).unwrap()).clone();
    let deeds = vec![
        deed(Rung::RestartService, RouteKind::Bus, DeedOutcome::TimedOut, NOW + 40_000),
        deed(Rung::HardRestart, RouteKind::Ssh, DeedOutcome::Done, NOW + 80_000),
    ];
    alpha.health = Health {
        last_ping: NOW + 99_000,
        last_pong: NOW + 30_000,
        latency_us: Some(1_500),
        latency: Latency { count: 9, min_us: 400, median_us: 700, p99_us: 1_500 },
        skew_ms: Some(-3),
        misses: 4,
        row: Some(HealingRow {
            drone: DroneId::from("UALPHA"),
            incident: Some(Incident {
                since: NOW + 30_000,
                since_at: 430_000,
                why: "4 pings in a row missed: it does not answer".to_owned(),
                level: 2,
                wait_until: 510_000,
                attempts: 2,
                deeds: deeds.clone(),
                ..Incident::default()
            }),
            incidents: 3,
            last: deeds.last().cloned(),
            recovered: Some(Recovered { at: 1, level: 1, took_ms: 21_000 }),
            reboots: vec![499_000],
            probe: Some(ProbeRecord {
                at: NOW + 20_000,
                latency_us: 900,
                load_1m: 0.5,
                mem_percent: 40.0,
                disk_percent: 71.5,
                uptime_s: 4_000,
                builds: 1,
                worker: WorkerState::Alive,
            }),
            ..HealingRow::default()
        }),
    };
    let row = Arc::make_mut(&mut alpha.row);
    row.type_override = Some(DroneType::Qemu);
    row.grounded = Some(Fact {
        by: "swarm".to_owned(),
        reason: "8 failures".to_owned(),
        since: NOW + 50_000,
        until: Some(530_000),
    });
    alpha.wishes =
        Some(DroneWishesRow { ssh_user: Some("root".to_owned()), protected: true, ..DroneWishesRow::default() });
    view.drones.insert(DroneId::from("UALPHA"), Arc::new(alpha));
    view
}

#[tokio::test]
async fn last_pings_and_a_ping_now_by_name_or_identity() {
    let world = World::new(Store::default(), troubled());
    let all = world.get("/api/v1/ping").await.json();
    let alpha = &all["drones"]["alpha"];
    has(alpha, "last_ping_at,last_pong_at,ping_latency_ms,status");
    assert_eq!((&alpha["ping_latency_ms"], &alpha["misses"]), (&json!(1.5), &json!(4)));
    assert_eq!(alpha["latency"], json!({"count": 9, "min_ms": 0.4, "median_ms": 0.7, "p99_ms": 1.5}));
    assert_eq!((&alpha["clock_skew_ms"], &alpha["status"]), (&json!(-3), &json!("online")));
    assert!(all["drones"]["sweeper-beta"]["last_ping_at"].is_null());
    for path in ["/api/v1/ping?name=alpha", "/api/v1/ping?id=UALPHA"] {
        let ping = world.get(path).await.json();
        has(&ping, "status,drone,seq,latency_ms,timestamp,load,disk_percent,metrics");
        has(&ping["metrics"], "load,disk_percent,mem_percent,emerge_running,uptime_seconds");
        assert_eq!(
            (&ping["status"], &ping["latency_ms"], &ping["clock_skew_ms"]),
            (&json!("ok"), &json!(1.25), &json!(7))
        );
    }
    let silent = world.get("/api/v1/ping?name=sweeper-beta").await.json();
    assert_eq!((&silent["status"], &silent["latency_ms"]), (&json!("timeout"), &Value::Null));
    let nobody = world.get("/api/v1/ping?name=gamma").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn too_many_pings_at_a_time_are_told_to_come_again() {
    let mut view = troubled();
    view.drones.insert(DroneId::from("UBUSY"), drone("UBUSY", "busy", swarm_core::view::Presence::Online));
    let reply = World::new(Store::default(), view).get("/api/v1/ping?name=busy").await;
    assert_eq!((reply.status, reply.headers.contains_key("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, true));
}

#[tokio::test]
async fn a_broadcast_names_everybody_with_what_came_back() {
    let all = World::new(Store::default(), troubled()).get("/api/v1/ping/all").await.json();
    assert_eq!((&all["status"], &all["pinged"], &all["answered"]), (&json!("ok"), &json!(2), &json!(1)));
    let statuses: Vec<_> = all["drones"].as_array().unwrap().iter().map(|d| (&d["drone"], &d["status"])).collect();
    assert_eq!(statuses, [(&json!("alpha"), &json!("ok")), (&json!("sweeper-beta"), &json!("timeout"))]);
    has(&all["drones"][0], "drone,status,seq,latency_ms,metrics");
}

#[tokio::test]
async fn the_ladder_of_the_fleet_and_of_one_drone() {
    let world = World::new(Store::default(), troubled());
    let all = world.get("/api/v1/escalation").await.json();
    assert_eq!(all["monitor_running"], true);
    let alpha = &all["drones"]["alpha"];
    has(alpha, "drone_id,name,status,drone_type,level,escalation_level,attempts,last_action,last_escalation_at");
    has(alpha, "last_ping_at,ping_latency_ms");
    assert_eq!(
        (&alpha["level"], &alpha["attempts"], &alpha["last_action"]),
        (&json!(2), &json!(2), &json!("hard_restart"))
    );
    assert_eq!((&alpha["drone_type"], &alpha["since"]), (&json!("qemu"), &json!(1_700_000_030.0)));
    assert_eq!(all["drones"]["sweeper-beta"]["level"], 0);

    let one = world.write(Method::GET, "/admin/api/drones/alpha/escalation", "").await.json();
    has(
        &one,
        "drone,status,drone_type,escalation_level,last_escalation_at,escalation_attempts,last_probe_result,last_probe_at",
    );
    has(&one["last_probe_result"], "status,load,disk_percent,emerge_running");
    assert_eq!((&one["detected_type"], &one["type_override"]), (&json!("lxc"), &json!("qemu")));
    assert_eq!(one["evidence"], json!(["PID 1 runs with container=lxc"]));
    assert_eq!((&one["next_not_before"], &one["reboots_today"]), (&json!(1_700_000_110.0), &json!(1)));
    assert_eq!((&one["last_time_to_recovery_s"], &one["deeds"][0]["outcome"]), (&json!(21.0), &json!("timed-out")));

    let fleet = world.write(Method::GET, "/admin/api/self-healing/status", "").await.json();
    has(&fleet, "monitor_running,probe_interval_s,last_probe_at,escalation_summary,drones,average_latency_ms");
    assert_eq!(
        fleet["escalation_summary"],
        json!({"level_0": 1, "level_1": 0, "level_2": 1, "level_3": 0, "level_4": 0})
    );
    assert_eq!((&fleet["probe_interval_s"], &fleet["channels"]), (&json!(5.0), &json!(["mail"])));
    assert_eq!(fleet["last_deeds"][0]["deed"]["action"], "hard_restart", "newest first");
    assert_eq!(fleet["last_deeds"].as_array().unwrap().len(), 2, "the last one is not listed twice");
}

#[tokio::test]
async fn drone_health_has_groundings_in_wall_time() {
    let health = World::new(Store::default(), troubled()).write(Method::GET, "/api/v1/drone-health", "").await.json();
    let alpha = &health["drones"][0];
    has(alpha, "drone,drone_id,name,ip,status,failures,grounded_until,rebooted,last_failure,last_probe,last_probe_at");
    has(alpha, "escalation_level,last_escalation_at,escalation_attempts");
    assert_eq!((&alpha["grounded_until"], &alpha["rebooted"]), (&json!(1_700_000_130.0), &json!(true)));
}

#[tokio::test]
async fn a_node_shows_its_pings_and_whether_it_may_be_rebooted() {
    let nodes = World::new(Store::default(), troubled()).get("/api/v1/nodes?all=true").await.json();
    let alpha = &nodes[0];
    assert_eq!((&alpha["last_ping_at"], &alpha["ping_latency_ms"]), (&json!(1_700_000_099.0), &json!(1.5)));
    assert_eq!((&alpha["last_pong_at"], &alpha["escalation_level"]), (&json!(1_700_000_030.0), &json!(2)));
    assert_eq!(alpha["capabilities"]["auto_reboot"], false, "it is protected");
    assert_eq!(nodes[1]["capabilities"]["auto_reboot"], true);
}

#[tokio::test]
async fn levels_by_hand_and_refusals_with_their_reason() {
    let world = World::new(Store::default(), troubled());
    let healed = |generation| {
        Answer::Healed(Healed {
            drone: DroneId::from("UALPHA"),
            name: "alpha".to_owned(),
            previous_level: 2,
            generation,
        })
    };
    for (path, body, action, word) in [
        ("/admin/api/drones/alpha/restart", "", HealAction::Restart, "restart_service"),
        ("/admin/api/drones/alpha/restart", r#"{"hard": true}"#, HealAction::HardRestart, "hard_restart"),
        ("/admin/api/drones/alpha/reboot", "", HealAction::Reboot, "reboot_container"),
    ] {
        world.will_answer(healed(Some(9)));
        let reply = world.write(Method::POST, path, body).await.json();
        assert_eq!(
            (&reply["status"], &reply["action"], &reply["generation"]),
            (&json!("ordered"), &json!(word), &json!(9))
        );
        let asked = world.engine.asked.lock().unwrap().pop().unwrap();
        let Input::Request { request: Request::Heal(HealRequest { drone, action: heard }), .. } = asked else {
            panic!("{asked:?}")
        };
        assert_eq!((drone.as_str(), heard), ("alpha", action));
    }
    world.will_answer(Answer::Refused(Refusal {
        kind: RefusalKind::Conflict,
        error: "alpha is not rebooted: it is protected".to_owned(),
        hint: Some("reboot it yourself".to_owned()),
    }));
    let refused = world.write(Method::POST, "/admin/api/drones/alpha/reboot", "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["error"], "alpha is not rebooted: it is protected");
    let nonsense = world.write(Method::POST, "/admin/api/drones/alpha/restart", "hard").await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);

    world.will_answer(healed(None));
    let reset = world.write(Method::POST, "/api/v1/nodes/alpha/reset-escalation", "").await.json();
    assert_eq!(
        reset,
        json!({"status": "reset", "name": "alpha", "drone": "alpha", "previous_level": 2, "current_level": 0})
    );
    for (body, kind) in [(r#"{"drone_type": "bare-metal"}"#, "bare-metal"), (r#"{"type": "auto"}"#, "lxc")] {
        world.will_answer(healed(None));
        let set = world.write(Method::POST, "/api/v1/nodes/alpha/set-type", body).await.json();
        assert_eq!(set, json!({"status": "ok", "name": "alpha", "drone_type": kind}));
    }
    let wrong = world.write(Method::POST, "/api/v1/nodes/alpha/set-type", r#"{"drone_type": "vax"}"#).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn wishes_are_shown_changed_and_have_no_place_for_passwords() {
    let world = World::new(Store::default(), troubled());
    for path in ["/admin/api/drone-config/alpha", "/admin/api/drone-configs/alpha"] {
        let wishes = world.write(Method::GET, path, "").await.json();
        has(&wishes, "node_name,ssh_user,ssh_port,ssh_key_path,auto_reboot,protected,display_name,notes,vmid");
        assert_eq!((&wishes["ssh_user"], &wishes["protected"]), (&json!("root"), &json!(true)));
        world.will_answer(Answer::Done(Done { touched: 1, what: vec!["alpha".to_owned()] }));
        let changed = world.write(Method::POST, path, r#"{"vmid": 104, "ssh_user": null}"#).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
        let asked = world.engine.asked.lock().unwrap().pop().unwrap();
        let Input::Request { request: Request::Wish(WishRequest { wishes, .. }), .. } = asked else {
            panic!("{asked:?}")
        };
        assert_eq!((wishes.vmid, wishes.ssh_user), (Some(Some("104".to_owned())), Some(None)));
        let refused = world.write(Method::POST, path, r#"{"ssh_password": "hunter2"}"#).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(!refused.text().contains("hunter2") && refused.text().contains("ssh_key_path"));
    }
    assert_eq!(
        world.write(Method::GET, "/admin/api/drone-configs", "").await.json()["drones"][0]["node_name"],
        "alpha"
    );
}

#[tokio::test]
async fn notices_are_listed_newest_first_and_tried_out() {
    let notice = |id: u64, state| NoticeRow {
        id,
        key: "test".to_owned(),
        kind: NoticeKind::Test,
        subject: "kim tests".to_owned(),
        text: String::new(),
        at: NOW,
        delivered: Default::default(),
        failures: [("mail".to_owned(), "connection refused".to_owned())].into(),
        tries: 1,
        state,
    };
    let notices = vec![notice(1, NoticeState::Sent {}), notice(2, NoticeState::Due { at: 7 })];
    let world = World::new(Store { notices, ..Store::default() }, View::default());
    let list = world.write(Method::GET, "/admin/api/notices", "").await.json();
    assert_eq!((&list["channels"], &list["notices"][0]["id"]), (&json!(["mail"]), &json!(2)));
    assert_eq!(
        (&list["notices"][0]["state"], &list["notices"][0]["failures"]["mail"]),
        (&json!("due"), &json!("connection refused"))
    );
    world.will_answer(Answer::Done(Done { touched: 1, what: vec!["12".to_owned()] }));
    let test = world.write(Method::POST, "/admin/api/notices/test", "").await.json();
    assert_eq!(test, json!({"status": "ordered", "id": 12, "channels": ["mail"]}));
}

#[tokio::test]
async fn what_only_administrators_may_see_needs_the_key() {
    let world = World::new(Store::default(), troubled());
    for path in [
        "/api/v1/drone-health",
        "/admin/api/drones/alpha/escalation",
        "/admin/api/drones/alpha/ping",
        "/admin/api/self-healing/status",
        "/admin/api/drone-config/alpha",
        "/admin/api/drone-configs/alpha",
        "/admin/api/drone-configs",
        "/admin/api/notices",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}
