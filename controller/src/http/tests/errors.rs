use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use swarm_core::answer::{Answer, Refusal, RefusalKind};
use swarm_core::view::View;

use super::world::*;
use crate::http::ports::NoAnswer;

#[tokio::test]
async fn wrong_paths_methods_parameters_and_bodies_are_json_errors() {
    let world = World::new(Store::default(), View::default());
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let post = |path: &str, body: &str| {
        Request::post(path).header("X-Admin-Key", KEY).body(Body::from(body.to_owned())).unwrap()
    };
    for (request, status, says) in [
        (get("/api/v1/nothing"), StatusCode::NOT_FOUND, "/api/v1/nothing"),
        (get("/"), StatusCode::NOT_FOUND, "there is no GET /"),
        (get("/api/v1/nodes?all=perhaps"), StatusCode::BAD_REQUEST, "perhaps"),
        (get("/api/v1/nodes?format=xml"), StatusCode::BAD_REQUEST, "xml"),
        (get("/api/v1/history?limit=-1"), StatusCode::BAD_REQUEST, "limit"),
        (get("/api/v1/history?status=lost"), StatusCode::BAD_REQUEST, "lost"),
        (get("/api/v1/events?since=yesterday"), StatusCode::BAD_REQUEST, "since"),
        (get("/api/v1/sessions/one"), StatusCode::BAD_REQUEST, "one"),
        (get("/api/v1/sessions/7"), StatusCode::NOT_FOUND, "session 7"),
        (get("/api/v1/builds/7"), StatusCode::NOT_FOUND, "build 7"),
        (get("/api/v1/builds/7/1/log"), StatusCode::NOT_FOUND, "build 7"),
        (get("/api/v1/control"), StatusCode::METHOD_NOT_ALLOWED, "GET"),
        (post("/api/v1/status", ""), StatusCode::METHOD_NOT_ALLOWED, "POST"),
        (post("/api/v1/queue", "{\"packages\""), StatusCode::BAD_REQUEST, "JSON"),
        (post("/api/v1/queue", "{\"packages\": 3}"), StatusCode::BAD_REQUEST, "JSON"),
        (post("/api/v1/queue", "{\"packages\": []}"), StatusCode::BAD_REQUEST, "no packages"),
        (post("/api/v1/queue", "{\"packages\": [\" \"]}"), StatusCode::BAD_REQUEST, "no packages"),
        (post("/api/v1/control", "{\"action\": \"unblok\"}"), StatusCode::BAD_REQUEST, "unblok"),
        (post("/api/v1/control", "{\"action\": \"block\"}"), StatusCode::BAD_REQUEST, "block needs a package"),
        (post("/api/v1/queue", &"x".repeat((1 << 20) + 1)), StatusCode::PAYLOAD_TOO_LARGE, "1 MiB"),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let reply = world.send(request).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        assert_eq!(reply.headers["content-type"], "application/json", "{what}");
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(says), "{what}: {error}");
    }
    let reply = world.write(Method::POST, "/api/v1/control", r#"{"action": "unblok"}"#).await;
    assert!(reply.json()["hint"].as_str().unwrap().starts_with("did you mean unblock?"));
}

#[tokio::test]
async fn an_engine_that_is_busy_stopping_or_late_says_when_to_come_again() {
    let world = World::new(Store::default(), View::default());
    for (reason, status, retry) in [
        (NoAnswer::Busy, StatusCode::SERVICE_UNAVAILABLE, Some("1")),
        (NoAnswer::Stopped, StatusCode::SERVICE_UNAVAILABLE, Some("5")),
        (NoAnswer::TimedOut, StatusCode::GATEWAY_TIMEOUT, None),
    ] {
        world.engine.answers.lock().unwrap().push_back(Err(reason));
        let reply = world.write(Method::POST, "/api/v1/nodes/alpha/pause", "").await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry);
        assert!(reply.json()["hint"].is_string());
    }
}

#[tokio::test]
async fn refusals_of_the_core_keep_their_words_and_get_their_status() {
    let world = World::new(Store::default(), View::default());
    for (kind, status) in [
        (RefusalKind::Invalid, StatusCode::BAD_REQUEST),
        (RefusalKind::NotFound, StatusCode::NOT_FOUND),
        (RefusalKind::Conflict, StatusCode::CONFLICT),
        (RefusalKind::Full, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let refusal = Refusal { kind, error: "no".to_owned(), hint: Some("ask later".to_owned()) };
        world.will_answer(Answer::Refused(refusal));
        let reply = world.write(Method::DELETE, "/api/v1/nodes/alpha", "").await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.json(), serde_json::json!({"error": "no", "hint": "ask later"}));
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_an_error_and_not_ready() {
    let store = Store { broken: true, ..Store::default() };
    let world = World::new(store, View::default());
    let reply = world.get("/api/v1/sessions").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!reply.text().contains("disk is gone"), "the cause belongs into the log");
    let reply = world.get("/readyz").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.json()["reasons"][0], "the store can't be read");
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_hung_and_not_ready() {
    let world = World::new(Store::default(), View::default());
    world.engine.hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let reply = world.get("/api/v1/health").await;
    assert_eq!((reply.status, &reply.json()["status"]), (StatusCode::SERVICE_UNAVAILABLE, &"hung".into()));
    let reply = world.get("/readyz").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.json()["reasons"], serde_json::json!(["the engine does not answer"]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_let_go() {
    let world = World::new(Store::default(), View::default());
    let drip = futures::stream::unfold((), async |()| {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        Some((Ok::<_, std::io::Error>(" "), ()))
    });
    let request = Request::post("/api/v1/control").header("X-Admin-Key", KEY);
    let reply = world.send(request.body(Body::from_stream(drip)).unwrap()).await;
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT, "{}", reply.text());
    assert!(reply.text().contains("within 30 s"), "{}", reply.text());
}

#[tokio::test]
async fn who_asks_for_the_overview_while_it_is_read_shares_it() {
    let (store, view) = busy();
    let reads = store.reads.clone();
    let world = World::new(store, view);
    let answers = futures::future::join_all((0..50).map(|_| world.get("/api/v1/status"))).await;
    assert!(answers.iter().all(|reply| reply.status == StatusCode::OK));
    // each of them reads its session besides
    assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 51);
}

#[tokio::test]
async fn a_handler_that_panics_answers_500() {
    // the engine of the tests panics when it is asked more than it has answers for
    let world = World::new(Store::default(), View::default());
    let reply = world.write(Method::POST, "/api/v1/control", r#"{"action":"pause"}"#).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(reply.json()["error"].as_str().unwrap().contains("stumbled"));
    assert!(!reply.text().contains("the test has"), "{}", reply.text());
}
