use axum::http::StatusCode;
use serde_json::{Value, json};
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow};
use swarm_core::view::View;
use swarm_protocol::ArtifactId;

use super::world::*;

#[tokio::test]
async fn the_last_day_as_curves() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let now = swarm_common::clock::wall_ms();
    for at in [now - 7_200_000, now - 30_000, now - 15_000] {
        world.state.samples.take(&world.state.view(), at);
    }
    let ask = async |query: &str| world.get(&format!("/api/v1/metrics{query}")).await.json();
    let answer = ask("").await;
    assert!(answer["timestamp"].as_f64().unwrap() > 1e9);
    let history = answer["history"].as_array().unwrap();
    assert_eq!(history.len(), 2, "the last hour");
    assert!(history[0]["timestamp"].as_f64() < history[1]["timestamp"].as_f64(), "oldest first");
    let queue = json!({"needed": 1, "delegated": 1, "received": 1, "blocked": 1, "failed": 0, "total": 4});
    assert_eq!((&history[0]["queue"], &answer["current_queue"]), (&queue, &queue));
    assert_eq!((&history[0]["nodes_online"], &history[0]["building"]), (&json!(1), &json!(1)));
    assert_eq!(history[0]["drones"], json!({"alpha": {"cpu_percent": 12.5, "ram_percent": 0.0, "load_1m": 0.0}}));
    assert!(answer["drones"]["alpha"]["load_1m"].is_number(), "what is not finite is a number all the same");
    assert_eq!(ask("?since=0").await["history"].as_array().unwrap().len(), 3);
    #[expect(clippy::cast_precision_loss, reason = "Unix milliseconds")]
    let since = (now - 20_000) as f64 / 1000.0;
    assert_eq!(ask(&format!("?since={since}")).await["history"].as_array().unwrap().len(), 1);
    let other = ask("?node=beta").await;
    assert_eq!((&other["history"][0]["drones"], &other["drones"]), (&json!({}), &json!({})));
    assert_eq!(world.get("/api/v1/metrics?since=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn attempts_by_package() {
    let (mut store, view) = busy();
    let mut other = attempt(3, fence(5, 1), swarm_core::rows::HistoryStatus::Success);
    other.package = "=app-misc/hen-1.0".to_owned();
    other.drone_name = "beta".to_owned();
    store.history.push(other);
    let stats = World::new(store, view).get("/api/v1/build-stats/by-package").await.json();
    assert_eq!(
        stats["packages"],
        json!([
            {"package": "=app-misc/hen-1.0", "attempts": 1, "successes": 1, "tried_on": ["beta"],
             "last_attempt": 1_700_000_020.003, "success_rate": 100.0, "avg_duration_s": 12.5},
            {"package": "=app-misc/waggle-1.1", "attempts": 2, "successes": 1, "tried_on": ["alpha"],
             "last_attempt": 1_700_000_020.002, "success_rate": 50.0, "avg_duration_s": 12.5},
        ])
    );
    let none = World::new(Store::default(), View::default()).get("/api/v1/build-stats/by-package").await.json();
    assert_eq!(none["packages"], json!([]));
}

#[tokio::test]
async fn what_the_binhost_holds_under_both_names() {
    let index =
        IndexKey { arch: "amd64".to_owned(), profile: "default".to_owned(), chost: "x86_64-pc-linux-gnu".to_owned() };
    let published = |listed| ArtifactState::Published {
        build_id: 1,
        path: String::new(),
        sha_out: String::new(),
        size_out: 3 << 20,
        stanza: Default::default(),
        listed,
        at: NOW,
    };
    let artifact = |id, state| ArtifactRow {
        id: ArtifactId(id),
        fence: fence(1, 1),
        drone: swarm_protocol::DroneId::from("UALPHA"),
        index: index.clone(),
        cpv: "a/b-1".to_owned(),
        slot: "0".to_owned(),
        repository: "demo".to_owned(),
        use_flags: Vec::new(),
        sha_in: String::new(),
        size_in: 1,
        state,
        imported: None,
        pinned: None,
    };
    let store = Store {
        artifacts: vec![
            artifact(1, published(Some(17))),
            artifact(2, published(Some(18))),
            artifact(3, published(None)),
            artifact(4, ArtifactState::Ticketed {}),
        ],
        indexes: vec![IndexRow { index: index.clone(), header: Default::default(), timestamp: 18 }],
        ..Store::default()
    };
    let world = World::new(store, View::default());
    for path in ["/api/v1/binhost-stats", "/api/v1/binhost/status"] {
        let stats = world.get(path).await.json();
        for (field, value) in [
            ("status", json!("ok")),
            ("packages", json!(2)),
            ("size_mb", json!(6.0)),
            ("pending", json!(1)),
            ("last_updated", json!(18.0)),
        ] {
            assert_eq!(stats[field], value, "{path} {field}");
        }
        assert_eq!(stats["indexes"][0]["packages"], 2);
    }
    let empty = World::new(Store::default(), View::default()).get("/api/v1/binhost-stats").await.json();
    assert_eq!((&empty["status"], &empty["packages"], &empty["size_mb"]), (&json!("empty"), &json!(0), &json!(0.0)));
}

#[tokio::test]
async fn how_the_drones_portage_is_configured() {
    let (store, view) = busy();
    let config = World::new(store, view).get("/api/v1/portage-config").await.json();
    assert_eq!(config["drones"], json!({"alpha": 0, "sweeper-beta": 0}));
    let one = &config["configurations"][0];
    assert_eq!((&one["portage_version"], &one["drones"]), (&json!("3.0.83"), &json!(["alpha", "sweeper-beta"])));
}

/// `name{labels} value` lines of a scrape, by name and labels.
fn scraped(text: &str) -> std::collections::BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_scrape_has_the_queue_the_fleet_and_the_requests() {
    let (store, view) = busy();
    let world = World::new(store, view);
    world.get("/api/v1/status").await;
    world.get("/api/v1/sessions/1").await;
    world.get("/api/v1/sessions/2").await;
    world.get("/made/up/by/somebody").await;
    let reply = world.get("/metrics").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(reply.text().ends_with("# EOF\n"));
    let found = scraped(&reply.text());
    for (name, value) in [
        ("swarm_packages{state=\"blocked\"}", 1.0),
        ("swarm_packages_waiting", 1.0),
        ("swarm_drones{state=\"online\"}", 1.0),
        ("swarm_drones{state=\"offline\"}", 1.0),
        ("swarm_drone_cpu_percent{drone=\"alpha\"}", 12.5),
        ("swarm_builds_total{drone=\"alpha\",result=\"success\"}", 4.0),
        ("swarm_paused", 0.0),
        ("swarm_events_total", 5.0),
        ("swarm_http_requests_total{method=\"GET\",path=\"/api/v1/sessions/{id}\",status=\"200\"}", 1.0),
        ("swarm_http_requests_total{method=\"GET\",path=\"/api/v1/sessions/{id}\",status=\"404\"}", 1.0),
        ("swarm_http_requests_total{method=\"GET\",path=\"other\",status=\"404\"}", 1.0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name} in\n{}", reply.text());
    }
    assert!(!found.keys().any(|name| name.starts_with("swarm_drone_load1{drone=\"alpha\"")), "NaN is left out");
    assert!(!reply.text().contains("made/up"), "what strangers ask for makes no label");
}

#[tokio::test]
async fn the_status_says_what_comes_next_and_what_needs_a_person() {
    let (store, view) = busy();
    let view = View { next: vec![swarm_protocol::BuildId(4)], ..view };
    let status: Value = World::new(store, view).get("/api/v1/status").await.json();
    assert_eq!(status["next"], json!(["=app-misc/wasp-trap-1.0"]));
    assert_eq!(
        status["troubles"],
        json!([{"package": "=app-misc/wasp-1.0", "status": "blocked", "build": 3, "reason": "alpha: compile failed",
                "since": 1_700_000_002.0, "will_retry": false, "waiting": 1}])
    );
}
