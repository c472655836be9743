use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};
use swarm_core::answer::Done;
use swarm_core::request::{Control, ControlRequest};
use swarm_core::rows::{ConfigRow, Fact};
use swarm_core::view::View;
use swarm_core::{Answer, Input};
use tower::ServiceExt;

use super::world::*;
use crate::http::openapi;

fn done(touched: u64) -> Answer {
    Answer::Done(Done { touched, what: Vec::new() })
}

fn requested(world: &World) -> swarm_core::Request {
    match world.engine.asked.lock().unwrap().pop().unwrap() {
        Input::Request { request, actor, .. } => {
            assert_eq!(actor, "admin");
            request
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_but_the_door_is_open_without_the_key() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert!(paths.iter().any(|path| path.starts_with("/admin/api")));
    let more = ["/api/openapi.json", "/api", "/nothing", "/admin/api", "/metrics", "//"].map(str::to_owned);
    for path in paths.into_iter().cloned().chain(more) {
        let path = path.replace(['{', '}'], "");
        for key in [None, Some("wrong"), Some("")] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let request = Request::builder().method(method.clone()).uri(&path);
                let request = key.into_iter().fold(request, |request, key| request.header("X-Admin-Key", key));
                let reply = world.admin.clone().oneshot(request.body(Body::from("{")).unwrap()).await.unwrap();
                let reply = Reply::of(reply).await;
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path} {key:?}");
                assert_eq!(reply.json()["error"], "Admin authentication required");
                assert!(reply.json()["hint"].is_string());
            }
        }
    }
    assert!(world.engine.asked.lock().unwrap().is_empty());
    let door = world.admin.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    let door = Reply::of(door).await;
    assert_eq!(door.status, StatusCode::OK);
    assert!(door.text().contains("X-Admin-Key"));
}

#[tokio::test]
async fn everything_of_the_public_api_is_there_too() {
    let (store, view) = busy();
    let world = World::new(store, view);
    // none that tells how long something takes
    for path in ["/api/v1/versions", "/api/v1/queue", "/api/v1/history", "/api/v1/sessions"] {
        let (public, admin) = (world.get(path).await, world.admin(Method::GET, path, "").await);
        assert_eq!((admin.status, admin.json()), (StatusCode::OK, public.json()), "{path}");
    }
    assert_eq!(world.admin(Method::GET, "/api/v1/nothing", "").await.status, StatusCode::NOT_FOUND);
    let wrong_port = Request::get("/admin/api/system/info").body(Body::empty()).unwrap();
    let lost = Reply::of(world.router.clone().oneshot(wrong_port).await.unwrap()).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND, "the public port has none of the administrators' paths");
    assert!(lost.json()["hint"].as_str().unwrap().contains("8093"));
}

#[tokio::test]
async fn the_process_and_its_places() {
    let (store, view) = busy();
    let info = World::new(store, view).admin(Method::GET, "/admin/api/system/info", "").await.json();
    for field in ["version", "uptime_s", "uptime_human", "db_path", "db_size_mb", "control_plane_port", "admin_port"] {
        assert!(info.get(field).is_some_and(|value| !value.is_null()), "{field} in {info}");
    }
    assert_eq!(
        (&info["control_plane_port"], &info["admin_port"], &info["nodes"]),
        (&json!(8100), &json!(8093), &json!(2))
    );
    let world = World::new(Store::default(), View::default());
    let check = world.admin(Method::GET, "/admin/api/auth/check", "").await.json();
    assert_eq!((&check["authenticated"], &check["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn settings_have_a_value_and_when_it_was_changed() {
    let store = Store::default();
    let row = ConfigRow { key: "rules.ground_for".to_owned(), value: "1m".to_owned(), at: NOW, by: "ada".to_owned() };
    store.config.lock().unwrap().push(row);
    let fact = Fact { by: "eve".to_owned(), reason: String::new(), since: NOW + 500, until: None };
    let view = View { paused: Some(fact), ..View::default() };
    let settings = World::new(store, view).admin(Method::GET, "/admin/api/config", "").await.json();
    for (key, setting) in settings.as_object().unwrap() {
        assert!(setting["value"].is_string(), "{key}: {setting}");
        assert!(setting.as_object().unwrap().contains_key("updated_at"), "{key}");
        assert!(!setting["description"].as_str().unwrap().is_empty(), "{key}");
    }
    assert_eq!(
        settings["name"],
        json!({"value": "hive", "updated_at": null, "updated_by": null,
        "description": "The controller's name for people."})
    );
    assert_eq!(settings["rules.ground_for"]["updated_at"], json!(1_700_000_000.0));
    assert_eq!(
        (&settings["paused"]["value"], &settings["paused"]["updated_at"], &settings["paused"]["updated_by"]),
        (&json!("true"), &json!(1_700_000_000.5), &json!("eve"))
    );
}

#[tokio::test]
async fn a_setting_changes_when_the_engine_has_kept_it_and_not_before() {
    let world = World::new(Store::default(), View::default());
    let post = async |body: Value| world.admin(Method::POST, "/admin/api/config", &body.to_string()).await;
    world.will_answer(done(1));
    let reply = post(json!({"key": "rules.ground_for", "value": "90s"})).await;
    assert_eq!(reply.json(), json!({"status": "ok", "key": "rules.ground_for", "value": "1m 30s"}));
    let swarm_core::Request::Configure(change) = requested(&world) else { panic!() };
    assert_eq!(
        (change.value.as_deref(), change.before.as_str(), change.settings.ground_for),
        (Some("1m 30s"), "5m", 90_000)
    );
    assert_eq!(world.state.runtime.held().config.rules.ground_for, 90_000);

    world.engine.answers.lock().unwrap().push_back(Err(crate::http::ports::NoAnswer::Busy));
    assert_eq!(post(json!({"key": "name", "value": "apiary"})).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.state.name(), "hive", "what is not kept does not hold");
    world.engine.asked.lock().unwrap().clear();

    world.will_answer(done(1));
    assert_eq!(post(json!({"key": "events.json", "value": true})).await.json()["value"], "true");
    world.will_answer(done(0));
    assert_eq!(post(json!({"key": "name", "value": null})).await.json()["status"], "no_change");
    world.engine.asked.lock().unwrap().clear();

    for (value, action) in [(json!("true"), Control::Pause), (json!(false), Control::Resume)] {
        world.will_answer(done(1));
        let reply = post(json!({"key": "paused", "value": value})).await.json();
        assert_eq!((&reply["status"], &reply["key"]), (&json!("ok"), &json!("paused")));
        let swarm_core::Request::Control(ControlRequest { action: asked, .. }) = requested(&world) else { panic!() };
        assert_eq!(asked, action);
    }
}

#[tokio::test]
async fn what_cannot_change_or_does_not_fit_is_refused_and_reaches_nobody() {
    let world = World::new(Store::default(), View::default());
    for (body, status, says) in [
        (json!({"key": "rules.gruond_for", "value": "1m"}), StatusCode::NOT_FOUND, "there is no setting"),
        (json!({"key": "http.port", "value": 1}), StatusCode::NOT_FOUND, "can't change while the controller runs"),
        (json!({"key": "rules.ground_for", "value": "soon"}), StatusCode::BAD_REQUEST, "is not a duration"),
        (json!({"key": "rules.offline_after", "value": "1s"}), StatusCode::BAD_REQUEST, "rules.heartbeat"),
        (json!({"key": "paused", "value": "perhaps"}), StatusCode::BAD_REQUEST, "neither true nor false"),
        (json!({"key": "name", "value": ["a"]}), StatusCode::BAD_REQUEST, "a value is text"),
        (json!({"value": "a"}), StatusCode::BAD_REQUEST, "JSON"),
    ] {
        let reply = world.admin(Method::POST, "/admin/api/config", &body.to_string()).await;
        assert_eq!(reply.status, status, "{body}");
        assert!(reply.json()["error"].as_str().unwrap().contains(says), "{body}: {}", reply.text());
    }
    let near = world.admin(Method::POST, "/admin/api/config", r#"{"key":"rules.gruond_for","value":"1m"}"#).await;
    assert_eq!(near.json()["hint"], "did you mean rules.ground_for?");
    assert!(world.engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_controllers_own_log_is_read_and_followed() {
    use std::io::Write as _;
    use tracing_subscriber::fmt::MakeWriter as _;
    let world = World::new(Store::default(), View::default());
    let say = |text: &str| world.state.own_log.make_writer().write_all(text.as_bytes()).unwrap();
    say("one\ntwo\nthree\n");
    let log = world.admin(Method::GET, "/admin/api/logs/control-plane?lines=2", "").await.json();
    assert_eq!(log, json!({"path": "", "lines": ["two", "three"]}));
    let follow = |last: Option<&'static str>| {
        let request = Request::get("/admin/api/logs/control-plane?lines=1&follow=true").header("X-Admin-Key", KEY);
        let request = last.into_iter().fold(request, |request, last| request.header("Last-Event-ID", last));
        let admin = world.admin.clone();
        async move { admin.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_body().into_data_stream() }
    };
    let mut body = follow(None).await;
    let mut next = async || {
        let piece = tokio::time::timeout(Duration::from_secs(10), body.next()).await.expect("a piece in time");
        piece.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap())
    };
    assert_eq!(next().await.as_deref(), Some("id: 3\ndata: three\n\n"));
    say("four\r\n");
    assert_eq!(next().await.as_deref(), Some("id: 4\ndata: four\n\n"));
    let mut again = follow(Some("2")).await;
    let piece = again.next().await.unwrap().unwrap();
    assert_eq!(&piece[..], b"id: 3\ndata: three\n\n", "it goes on where its reader was");
    world.state.stop.cancel();
    assert_eq!(next().await, None, "it ends with the controller");
}

#[tokio::test]
async fn what_a_drone_did_and_runs() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let log = world.admin(Method::GET, "/admin/api/drones/alpha/log", "").await.json();
    assert_eq!(log["drone"], "alpha");
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((ids(&log["events"]), ids(&log["builds"])), (vec![1, 2, 3, 4, 5], vec![2, 1]));
    let short = world.admin(Method::GET, "/admin/api/drones/UALPHA/log?limit=1", "").await.json();
    assert_eq!((ids(&short["events"]), ids(&short["builds"])), (vec![5], vec![2]));
    let unknown = world.admin(Method::GET, "/admin/api/drones/gamma/log", "").await;
    assert_eq!(
        (unknown.status, unknown.json()["error"].as_str()),
        (StatusCode::NOT_FOUND, Some("there is no drone gamma"))
    );
    let versions = world.admin(Method::GET, "/admin/api/drones/versions", "").await.json();
    assert_eq!(versions["control_plane"]["name"], "hive");
    assert_eq!(
        (&versions["drones"][0]["name"], &versions["drones"][0]["version"], &versions["drones"][0]["is_current"]),
        (&json!("alpha"), &json!("0.5.0"), &json!("0.5.0" == env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn the_log_of_a_package_on_a_drone() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let text = "a log";
    world.logs.log.send_replace(crate::http::ports::LogPiece {
        bytes: text.as_bytes().to_vec(),
        total: 5,
        ended: true,
        complete: true,
        offset: 0,
    });
    // the attempt that runs there comes before those that ended
    for package in ["app-misc/waggle", "app-misc/waggle-1.1", "=app-misc/waggle-1.1"] {
        let reply = world.admin(Method::GET, &format!("/admin/api/logs/build/alpha/{package}"), "").await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, text), "{package}");
    }
    for (path, says) in
        [("gamma/app-misc/waggle", "no drone gamma"), ("alpha/app-misc/hen", "has not tried app-misc/hen")]
    {
        let reply = world.admin(Method::GET, &format!("/admin/api/logs/build/{path}"), "").await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert!(reply.json()["error"].as_str().unwrap().contains(says), "{}", reply.text());
    }
}
