use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use swarm_core::answer::{Answer, Done, Queued};
use swarm_core::explanation::{DroneExplanation, Explanation, Points, Reason, Rule, ScoreRule, WaitingFor};
use swarm_core::request::{Control, ControlRequest, DroneAction, DroneRequest};
use swarm_core::rows::{BuildRow, BuildWishes, IndexKey, IndexRow};
use swarm_core::{Input, Request, View};
use swarm_protocol::{BuildId, DroneId, SessionId};

use super::world::*;
use crate::http::openapi;

/// Asserts that an object has at least these fields.
fn has(value: &Value, fields: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for field in fields.split(',') {
        assert!(object.contains_key(field), "no {field} in {value}");
    }
}

fn requested(world: &World) -> Request {
    let asked = world.engine.asked.lock().unwrap().pop().unwrap();
    let Input::Request { request, .. } = asked else { panic!("{asked:?}") };
    request
}

#[tokio::test]
async fn health_and_readiness() {
    let world = World::with_missing(Store::default(), View::default(), vec!["the bus is not connected".to_owned()]);
    let health = world.get("/api/v1/health").await.json();
    assert_eq!((health["status"].as_str(), health["uptime_s"].is_number()), (Some("ok"), true));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json(), json!({"status": "not ready", "ready": false, "reasons": ["the bus is not connected"]}));
    let world = World::new(Store::default(), View::default());
    let ready = world.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["reasons"]), (StatusCode::OK, &json!([])));
    *world.binhost.full.lock().unwrap() = Some("the disk is full".to_owned());
    let ready = world.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["reasons"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(["the disk is full"]))
    );
    assert_eq!(world.get("/api/v1/status").await.json()["warnings"], json!(["the disk is full"]));
}

#[tokio::test]
async fn the_status_of_a_busy_swarm() {
    let (store, view) = busy();
    let status = World::new(store, view).get("/api/v1/status").await.json();
    has(&status, "needed,delegated,received,blocked,failed,total,queue_depth,queue_received,queue_blocked,nodes");
    has(&status, "nodes_online,total_cores,paused,session,packages,drones,drone_health,timing,version");
    for (field, value) in [("total", 4), ("queue_depth", 2), ("queue_received", 1), ("queue_blocked", 1), ("nodes", 2)]
    {
        assert_eq!(status[field], value, "{field}");
    }
    assert_eq!(
        (&status["nodes_online"], &status["total_cores"], &status["paused"]),
        (&json!(1), &json!(8), &json!(false))
    );
    let session = &status["session"];
    has(session, "id,name,status,total_packages,completed_packages,failed_packages,started_at,completed_at");
    assert_eq!((&session["status"], &session["started_at"]), (&json!("active"), &json!(1_700_000_000.0)));
    assert!(session["completed_at"].is_null());
    assert_eq!(
        status["packages"],
        json!({
            "needed": ["=app-misc/wasp-trap-1.0"],
            "delegated": {"=app-misc/waggle-1.1": {"drone": "alpha"}},
            "blocked": ["=app-misc/wasp-1.0"],
        })
    );
    let alpha = &status["drones"]["alpha"];
    has(alpha, "name,ip,status,current_task,assigned_packages,build_progress,capabilities,metrics,last_seen");
    has(&alpha["build_progress"][0], "package,elapsed_s,estimated_s,progress_pct,eta_s");
    // it overran its 30 s: a tenth more is expected, but no less than 5 s; what waits for a blocked one has no end
    assert_eq!((&alpha["build_progress"][0]["eta_s"], &status["eta_s"]), (&json!(5.0), &json!(5.0)));
    assert_eq!((&session["eta_s"], &status["cut_off"]), (&json!(5.0), &Value::Null));
    assert_eq!(status["drone_health"].as_object().unwrap().keys().collect::<Vec<_>>(), ["alpha"]);
    assert_eq!(status["drone_health"]["alpha"]["failures"], 2);
    let timing = &status["timing"];
    has(timing, "total_builds,successful,failed,success_rate,avg_duration_s,total_duration_s,per_drone");
    assert_eq!((&timing["success_rate"], &timing["avg_duration_s"]), (&json!(75.0), &json!(2.5)));
    has(&timing["per_drone"][0], "drone_name,total,success,avg_duration,success_rate");
}

#[tokio::test]
async fn an_empty_swarm_has_numbers_where_numbers_belong() {
    let status = World::new(Store::default(), View::default()).get("/api/v1/status").await.json();
    assert!(status["session"].is_null());
    assert_eq!(status["packages"], json!({"needed": [], "delegated": {}, "blocked": []}));
    for field in ["total_builds", "successful", "failed", "success_rate", "avg_duration_s", "total_duration_s"] {
        assert_eq!(status["timing"][field].as_f64(), Some(0.0), "{field}");
    }
}

#[tokio::test]
async fn drones_as_clients_know_them() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let online = world.get("/api/v1/nodes").await.json();
    assert_eq!(online.as_array().unwrap().len(), 1);
    let alpha = &online[0];
    has(alpha, "id,name,ip,tailscale_ip,type,drone_type,cores,ram_gb,status,online,paused,last_seen,last_ping_at");
    has(alpha, "last_pong_at,ping_latency_ms,capabilities,metrics,current_task,version,created_at,cpu_percent");
    has(alpha, "ram_percent,assigned_packages,build_progress,builds_completed,builds_failed");
    assert_eq!(
        (&alpha["speed"], &alpha["free_in_s"], &alpha["features"]),
        (&json!(1.5), &json!(9.0), &json!(["ccache"]))
    );
    assert_eq!((&alpha["facts"]["drained"], &alpha["syncing_since"]), (&Value::Null, &Value::Null));
    has(&alpha["capabilities"], "cores,ram_gb,auto_reboot,portage_timestamp");
    has(&alpha["build_progress"][0], "package,building_since,elapsed_s,estimated_s,progress_pct");
    assert_eq!(
        (&alpha["type"], &alpha["drone_type"], &alpha["ram_gb"]),
        (&json!("drone"), &json!("lxc"), &json!(16.0))
    );
    assert_eq!(alpha["current_task"], "=app-misc/waggle-1.1");
    assert_eq!(alpha["build_progress"][0]["progress_pct"], 99.0, "a build that overran its estimate is not done");
    for (metric, value) in alpha["metrics"].as_object().unwrap() {
        assert!(value.is_number(), "{metric} is {value}");
    }
    let all = world.get("/api/v1/nodes?all=true").await.json();
    let names: Vec<_> = all.as_array().unwrap().iter().map(|drone| drone["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "sweeper-beta"]);
    assert_eq!(
        (&all[1]["type"], &all[1]["status"], &all[1]["online"]),
        (&json!("sweeper"), &json!("offline"), &json!(false))
    );
    let legacy = world.get("/api/v1/nodes?all=1&format=legacy").await.json();
    assert_eq!((legacy["drones"].as_array().unwrap().len(), &legacy["orchestrators"]), (2, &json!([])));
}

#[tokio::test]
async fn the_queue_in_the_order_of_the_contract() {
    let (store, view) = busy();
    let queue = World::new(store, view).get("/api/v1/queue").await.json();
    let states: Vec<_> = queue.as_array().unwrap().iter().map(|entry| entry["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["delegated", "needed", "blocked", "received"]);
    for entry in queue.as_array().unwrap() {
        has(entry, "package,status,assigned_to,failures,error_message,assigned_at,completed_at");
    }
    assert_eq!((&queue[0]["assigned_to"], &queue[0]["assigned_at"]), (&json!("alpha"), &json!(1_700_000_001.0)));
    assert_eq!((&queue[2]["failures"], &queue[2]["error_message"]), (&json!(1), &json!("alpha: compile failed")));
    assert_eq!((&queue[1]["assigned_to"], &queue[1]["completed_at"]), (&Value::Null, &Value::Null));
    let forecast =
        |n: usize| [&queue[n]["estimated_s"], &queue[n]["starts_in_s"], &queue[n]["eta_s"]].map(Value::as_f64);
    assert_eq!(forecast(0), [Some(30.0), Some(0.0), Some(5.0)]);
    assert_eq!((forecast(1), forecast(2), forecast(3)), ([None; 3], [None; 3], [None; 3]));
}

#[tokio::test]
async fn what_is_known_of_packages_is_shown_beside_those_that_wait() {
    let (store, mut view) = busy();
    store.clear::<BuildRow>();
    store.put([build(7, "app-misc/wasp-trap-1.0", needed()), build(8, "dev-libs/libpollen-2.0", needed())]);
    view.medians = std::sync::Arc::new([("dev-libs/libpollen".to_owned(), 60_000)].into());
    view.assumed.default_duration = 20_000;
    let mut alpha = (*view.drones[&DroneId::from("UALPHA")]).clone();
    alpha.tasks.clear();
    view.drones.insert(DroneId::from("UALPHA"), std::sync::Arc::new(alpha));
    let world = World::new(store, view);
    let queue = world.get("/api/v1/queue").await.json();
    let row = |n: usize| [&queue[n]["estimated_s"], &queue[n]["starts_in_s"], &queue[n]["eta_s"]].map(Value::as_f64);
    // alpha is half again as fast as an ordinary drone
    assert_eq!(row(1), [Some(60.0), Some(0.0), Some(40.0)], "the long one goes first");
    assert_eq!(row(0), [None, Some(40.0), Some(53.333)], "what was never built is assumed");
    let session = world.get("/api/v1/sessions/1").await.json();
    assert_eq!((&session["session"]["eta_s"], &session["packages"][1]["eta_s"]), (&json!(53.333), &json!(40.0)));
    assert_eq!(world.get("/api/v1/status").await.json()["eta_s"], 53.333);
}

#[tokio::test]
async fn packages_are_queued_with_everything_that_was_said() {
    let world = World::new(Store::default(), View::default());
    let queued = Queued {
        session: SessionId(3),
        session_name: "bees".to_owned(),
        builds: vec![BuildId(8)],
        packages: vec!["app-misc/waggle".to_owned()],
        duplicates: vec!["app-misc/hen".to_owned()],
    };
    world.will_answer(Answer::Queued(queued));
    let body = json!({"packages": ["app-misc/waggle", " app-misc/hen "], "session_name": "bees", "portage_timestamp": 17,
        "profile": "desktop", "package_use": ["app-misc/waggle dance"], "rebuild": true, "something": "else",
        "priority": 5, "tags": ["ssd"], "features": ["ccache"], "memory_bytes": 9, "timeout_s": 3, "silence_s": 2});
    let request = axum::http::Request::post("/api/v1/queue").header("X-Admin-Key", KEY).header("Idempotency-Key", "k1");
    let reply = world.send(request.body(body.to_string().into()).unwrap()).await.json();
    has(&reply, "status,queued,session_id,packages,portage_timestamp");
    assert_eq!((&reply["status"], &reply["queued"], &reply["session_id"]), (&json!("ok"), &json!(1), &json!(3)));
    assert_eq!((&reply["packages"], &reply["portage_timestamp"]), (&json!(["app-misc/waggle"]), &json!(17)));
    let Request::Queue(asked) = requested(&world) else { panic!("no queue request") };
    assert_eq!(asked.packages, ["app-misc/waggle", "app-misc/hen"]);
    assert_eq!((asked.session_name.as_deref(), asked.profile.as_deref()), (Some("bees"), Some("desktop")));
    assert_eq!(
        (asked.package_use, asked.rebuild, asked.fresh),
        (vec!["app-misc/waggle dance".to_owned()], true, false)
    );
    assert_eq!(asked.idempotency_key.as_deref(), Some("k1"));
    let wishes = BuildWishes {
        priority: 5,
        tags: vec!["ssd".to_owned()],
        features: vec!["ccache".to_owned()],
        memory_bytes: 9,
        total_ms: Some(3_000),
        silence_ms: Some(2_000),
    };
    assert_eq!(asked.wishes, wishes);
}

#[tokio::test]
async fn every_control_has_the_answer_clients_read() {
    let world = World::new(Store::default(), View::default());
    for (body, action, answer) in [
        (r#"{"action":"pause"}"#, Control::Pause, json!({"status": "paused"})),
        (r#"{"action":"resume"}"#, Control::Resume, json!({"status": "active"})),
        (r#"{"action":"unblock"}"#, Control::Unblock, json!({"status": "ok", "unblocked": 2})),
        (r#"{"action":"reset"}"#, Control::Reset, json!({"status": "reset", "affected": 2})),
        (r#"{"action":"rebalance"}"#, Control::Rebalance, json!({"status": "ok", "reclaimed": 2})),
        (r#"{"action":"optimize"}"#, Control::Rebalance, json!({"status": "ok", "reclaimed": 2})),
        (r#"{"action":"retry_failures"}"#, Control::RetryFailures, json!({"status": "ok", "requeued": 2})),
        (r#"{"action":"clear_history"}"#, Control::ClearHistory, json!({"status": "ok", "cleared": 2})),
        (
            r#"{"action":"clear_failures"}"#,
            Control::ClearFailures,
            json!({"status": "ok", "cleared": 2, "requeued": 0}),
        ),
        (r#"{"action":"unground","drone_id":"alpha"}"#, Control::Unground, json!({"status": "ok", "ungrounded": 2})),
    ] {
        world.will_answer(Answer::Done(Done { touched: 2, what: Vec::new() }));
        let reply = world.write(Method::POST, "/api/v1/control", body).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, answer), "{body}");
        let Request::Control(ControlRequest { action: asked, drone, .. }) = requested(&world) else { panic!("{body}") };
        assert_eq!((asked, drone.is_some()), (action, body.contains("drone_id")));
    }
    for (touched, status) in [(1, "ok"), (0, "no_change")] {
        world.will_answer(Answer::Done(Done { touched, what: Vec::new() }));
        let body = r#"{"action":"unblock","package":"=a/b-1"}"#;
        let reply = world.write(Method::POST, "/api/v1/control", body).await.json();
        assert_eq!((&reply["status"], &reply["package"]), (&json!(status), &json!("=a/b-1")));
    }
}

#[tokio::test]
async fn a_drone_is_paused_resumed_drained_and_forgotten() {
    let (store, view) = busy();
    let world = World::new(store, view);
    for (method, path, action, status) in [
        (Method::POST, "/api/v1/nodes/UALPHA/pause", DroneAction::Pause, "paused"),
        (Method::POST, "/api/v1/nodes/alpha/resume", DroneAction::Resume, "resumed"),
        (Method::POST, "/api/v1/nodes/alpha/drain", DroneAction::Drain, "draining"),
        (Method::DELETE, "/api/v1/nodes/alpha", DroneAction::Forget, "forgotten"),
    ] {
        world.will_answer(Answer::Done(Done { touched: 1, what: Vec::new() }));
        let reply = world.write(method, path, "").await.json();
        assert_eq!(reply, json!({"status": status, "name": "alpha"}));
        let Request::Drone(DroneRequest { action: asked, .. }) = requested(&world) else { panic!("{path}") };
        assert_eq!(asked, action);
    }
    world.will_answer(Answer::Done(Done { touched: 1, what: Vec::new() }));
    let reply = world.write(Method::DELETE, "/api/v1/queue/app-misc/wasp-1.0", "").await.json();
    assert_eq!(reply, json!({"status": "removed", "package": "app-misc/wasp-1.0", "removed": 1}));
}

#[tokio::test]
async fn the_history_newest_first_and_filtered() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let ids = async |query: &str| {
        let answer = world.get(&format!("/api/v1/history{query}")).await.json();
        assert_eq!(answer["history"], answer["builds"]);
        has(&answer["stats"], "total_builds,per_drone");
        for entry in answer["history"].as_array().unwrap() {
            has(entry, "id,package,drone_id,drone_name,status,duration_seconds,error_message,session_id,built_at");
        }
        answer["history"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [2, 1]);
    assert_eq!(ids("?limit=1").await, [2]);
    assert_eq!(ids("?status=failed").await, [1]);
    assert_eq!(ids("?drone=alpha&session=1").await, [2, 1]);
    assert_eq!(ids("?drone=beta").await, Vec::<u64>::new());
    assert_eq!(ids("?session=2").await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_session_tells_what_became_of_each_package() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let sessions = world.get("/api/v1/sessions").await.json();
    assert_eq!((&sessions["sessions"][0]["id"], &sessions["sessions"][0]["name"]), (&json!(1), &json!("bees")));
    let packages = world.get("/api/v1/sessions/1").await.json()["packages"].clone();
    let by_name = |name: &str| packages.as_array().unwrap().iter().find(|package| package["package"] == name).unwrap();
    let pollen = by_name("=dev-libs/libpollen-2.0");
    assert_eq!(
        (&pollen["drone"], &pollen["duration_s"], &pollen["size_bytes"]),
        (&json!("alpha"), &json!(8.5), &json!(4096))
    );
    let wasp = by_name("=app-misc/wasp-1.0");
    assert_eq!(wasp["reasons"], json!(["alpha: compile failed"]));
    assert!(wasp["log_line"].as_str().unwrap().contains("implicit declaration"));
    assert_eq!(by_name("=app-misc/wasp-trap-1.0")["waiting_for"], json!(["=app-misc/wasp-1.0"]));
    assert_eq!(by_name("=app-misc/waggle-1.1")["phase"], "compile");
}

#[tokio::test]
async fn events_since_a_number_lose_nothing() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let ask = async |query: &str| {
        let answer = world.get(&format!("/api/v1/events{query}")).await.json();
        let events = answer["events"].as_array().unwrap().clone();
        events.iter().for_each(|event| has(event, "id,type,message,details,timestamp"));
        (events.iter().map(|e| e["id"].as_u64().unwrap()).collect::<Vec<_>>(), answer["latest_id"].as_u64().unwrap())
    };
    assert_eq!(ask("").await, (vec![1, 2, 3, 4, 5], 5));
    assert_eq!(ask("?limit=2").await, (vec![4, 5], 5));
    assert_eq!(ask("?since=1&limit=2").await, (vec![2, 3], 3), "the next question goes on from here");
    assert_eq!(ask("?since=2&type=queue").await, (vec![3, 5], 5));
    assert_eq!(ask("?since=5").await, (vec![], 5));
    assert_eq!(
        ask("?since=70000").await,
        (vec![1, 2, 3, 4, 5], 5),
        "of another store: whoever asks so knows none of ours"
    );
    assert_eq!(ask("?since=70000&wait=30").await, (vec![1, 2, 3, 4, 5], 5), "and is told at once");
    assert_eq!(ask("?drone=beta").await, (vec![], 5));
    assert_eq!(ask("?drone=alpha&limit=1").await, (vec![5], 5));
    let past = |query: &'static str| {
        let world = &world;
        async move {
            let answer = world.get(&format!("/api/v1/events/history{query}")).await.json();
            let ids = answer["events"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap());
            let ids: Vec<_> = ids.collect();
            assert_eq!(answer["total"], ids.len());
            ids
        }
    };
    assert_eq!(past("").await, [1, 2, 3, 4, 5]);
    assert_eq!(past("?limit=2").await, [4, 5]);
    assert_eq!(past("?since=3").await, [4, 5], "below 1e9 it is a number");
    assert_eq!(past("?since=70000").await, [1, 2, 3, 4, 5]);
    assert_eq!(past("?since=1700000003").await, [3, 4, 5], "above, a moment");
    assert_eq!(past("?since=1700000003.5&type=assign").await, [4]);
    assert_eq!(past("?drone=beta").await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_build_lists_its_attempts_and_their_logs() {
    let (store, view) = busy();
    let build = World::new(store, view).get("/api/v1/builds/1").await.json();
    assert_eq!((&build["build"], &build["package"]), (&json!(1), &json!("=app-misc/waggle-1.1")));
    let attempts = build["attempts"].as_array().unwrap();
    let states: Vec<_> = attempts.iter().map(|attempt| attempt["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["failed", "running"]);
    assert_eq!(attempts[1]["log"], "/api/v1/builds/1/2/log");
}

#[tokio::test]
async fn why_names_every_reason_and_narrows_by_slot_repository_and_build() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let explanation = |build| Explanation {
        build: BuildId(build),
        session: SessionId(1),
        package: "=app-misc/wasp-trap-1.0".to_owned(),
        use_flags: Vec::new(),
        state: "needed",
        summary: "waiting for 1 package(s)".to_owned(),
        reasons: Vec::new(),
        priority: 2,
        usual_ms: Some(4_000),
        path_ms: 9_000,
        waiting_for: vec![WaitingFor { build: BuildId(3), package: "=app-misc/wasp-1.0".to_owned(), state: "blocked" }],
        drones: vec![DroneExplanation {
            id: DroneId::from("UBETA"),
            name: "sweeper-beta".to_owned(),
            against: vec![Reason { rule: Rule::Online, text: "offline".to_owned() }],
            score: vec![Points { rule: ScoreRule::Speed, points: 8 }, Points { rule: ScoreRule::Trust, points: -3 }],
            estimate_ms: Some(8_000),
        }],
    };
    let builds = async |query: &str| {
        world.will_answer(Answer::Why(vec![explanation(4), explanation(99)]));
        let reply = world.get(&format!("/api/v1/packages/app-misc/wasp-trap/why{query}")).await;
        let entries = reply.json()["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["build"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(builds("").await, [4, 99]);
    assert_eq!(builds("?build=99").await, [99]);
    assert_eq!(builds("?slot=0&repo=demo").await, [4]);
    assert_eq!(builds("?slot=5").await, Vec::<u64>::new());
    world.will_answer(Answer::Why(vec![explanation(4)]));
    let answer = world.get("/api/v1/packages/app-misc/wasp-trap/why").await.json();
    let drone = &answer["entries"][0]["drones"][0];
    assert_eq!((&drone["eligible"], &drone["score"]), (&json!(false), &json!(5)));
    assert_eq!(drone["against"], json!([{"rule": "online", "text": "offline"}]));
    assert_eq!((&drone["estimated_s"], &answer["entries"][0]["path_s"]), (&json!(8.0), &json!(9.0)));
    assert_eq!(answer["entries"][0]["waiting_for"][0]["status"], "blocked");
}

#[tokio::test]
async fn a_client_learns_how_to_use_the_binhost() {
    let index =
        IndexKey { arch: "amd64".to_owned(), profile: "default".to_owned(), chost: "x86_64-pc-linux-gnu".to_owned() };
    let store = Store::default().with([IndexRow { index, header: Default::default(), timestamp: 17 }]);
    let world = World::new(store, View::default());
    let answer = world.get("/api/v1/binhost").await.json();
    let url = "http://127.0.0.1:8100/binhost/amd64/default/x86_64-pc-linux-gnu";
    assert_eq!((&answer["url"], &answer["indexes"][0]["url"]), (&json!(url), &json!(url)));
    has(&answer, "indexes,fingerprint,public_key,key_url");
    assert!(answer["indexes"][0]["snippet"].as_str().unwrap().contains(url));
    let key = world.get("/api/v1/binhost/key.asc").await;
    assert_eq!(key.headers["content-type"], "application/pgp-keys");
    assert!(key.text().starts_with("-----BEGIN PGP PUBLIC KEY"));
    assert!(World::new(Store::default(), View::default()).get("/api/v1/binhost").await.json()["url"].is_null());
}

#[tokio::test]
async fn versions_and_where_the_controller_is() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let versions = world.get("/api/v1/versions").await.json();
    has(&versions["control_plane"], "name,version,status");
    has(&versions["drones"][0], "name,ip,version,online");
    let orchestrator = world.get("/api/v1/orchestrator").await.json();
    assert_eq!(orchestrator, json!({"ip": "127.0.0.1", "name": "hive", "port": 8100, "admin_port": 8093}));
}

#[tokio::test]
async fn the_document_names_every_path_and_stands_in_the_repository() {
    let text = openapi::text();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("SWARM_BLESS").is_some() {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, &text).unwrap();
    }
    let checked_in = fs_err::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == text, "docs/openapi.json is stale: run this test with SWARM_BLESS=1, or `swarm openapi`");
    let served = World::new(Store::default(), View::default()).get("/api/openapi.json").await.json();
    assert_eq!(served, serde_json::from_str::<Value>(&text).unwrap());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: BTreeSet<_> = served["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(paths.contains("/api/v1/packages/{category}/{package}/why") && paths.contains("/readyz"), "{paths:?}");
    let operations =
        served["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    let ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each operation has a name of its own: {ids:?}");
}
