use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use swarm_core::Answer;
use swarm_core::answer::{Done, Refusal, RefusalKind};
use swarm_core::view::View;
use tower::ServiceExt;

use super::world::*;
use crate::http::openapi;

/// Every operation of the public port that changes something, from the document: (method, path).
fn writes() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let path = path.replace("{name}", "alpha").replace("{category}", "a").replace("{package}", "b");
            // these two have credentials of their own: a ticket, a token; the administrators' port asks for the key everywhere
            let own = path.contains("artifacts") || path.contains("enrol") || path.starts_with("/admin");
            if method != "get" && !own {
                assert!(operation["security"][0].get("admin_key").is_some(), "{method} {path} names no key");
                found.push((method.to_uppercase(), path));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_write_is_refused_without_the_key_and_with_a_wrong_one() {
    let writes = writes();
    assert_eq!(writes.len(), 20, "{writes:?}");
    let world = World::new(Store::default(), View::default());
    for (method, path) in &writes {
        for keys in [vec![], vec!["wrong"], vec![""], vec!["right-key "], vec!["wrong", KEY], vec![KEY, KEY]] {
            let mut request = Request::builder().method(method.as_str()).uri(path);
            for key in &keys {
                request = request.header("X-Admin-Key", *key);
            }
            let reply = world.send(request.body(Body::from("{")).unwrap()).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path} {keys:?}");
            assert_eq!(reply.json()["error"], "Admin authentication required");
            assert!(reply.json()["hint"].as_str().unwrap().contains("admin dashboard"));
        }
        let in_the_address = Request::builder().method(method.as_str()).uri(format!("{path}?admin_key={KEY}"));
        assert_eq!(world.send(in_the_address.body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    }
    assert!(world.engine.asked.lock().unwrap().is_empty(), "nothing reached the engine");
}

#[tokio::test]
async fn every_write_reaches_the_engine_with_the_right_key() {
    // a ping goes past the engine, and a check of the binhost is not the engine's to begin
    let past = |path: &str| path.ends_with("/ping") || path.ends_with("/binhost/verify");
    for (method, path) in writes().into_iter().filter(|(_, path)| !past(path)) {
        let world = World::new(Store::default(), View::default());
        let refusal = Refusal { kind: RefusalKind::Conflict, error: "as it happens".to_owned(), hint: None };
        world.will_answer(Answer::Refused(refusal));
        let key = "UCUGQGTAZWLW4VZFMDRWZDKMVL7K6F54JRKXXBA5DOZQV5PTSQF5DUTJ";
        let body = format!(
            r#"{{"packages": ["a/b"], "action": "pause", "drone_type": "lxc", "name": "alpha", "key": "{key}",
            "package": "a/b-1", "pinned": true, "sha256": "", "size_bytes": 1, "slot": "0", "repository": "gentoo",
            "chost": "x", "build_time": "1"}}"#
        );
        let reply = world.write(method.parse().unwrap(), &path, &body).await;
        assert_eq!((reply.status, reply.json()["error"].as_str().unwrap()), (StatusCode::CONFLICT, "as it happens"));
        assert_eq!(world.engine.asked.lock().unwrap().len(), 1, "{method} {path}");
    }
}

#[tokio::test]
async fn the_actor_is_who_the_key_holder_says_and_admin_else() {
    let world = World::new(Store::default(), View::default());
    for (said, heard) in [(None, "admin"), (Some("ada@hive"), "ada@hive"), (Some("  "), "admin")] {
        world.will_answer(Answer::Done(Done { touched: 1, what: Vec::new() }));
        let mut request = Request::post("/api/v1/control").header("X-Admin-Key", KEY);
        if let Some(said) = said {
            request = request.header("X-Swarm-Actor", said);
        }
        let reply = world.send(request.body(Body::from(r#"{"action":"pause"}"#)).unwrap()).await;
        assert_eq!(reply.status, StatusCode::OK);
        let asked = world.engine.asked.lock().unwrap().pop().unwrap();
        let swarm_core::Input::Request { actor, .. } = asked else { panic!("{asked:?}") };
        assert_eq!(actor, heard);
    }
}

#[tokio::test]
async fn what_only_admins_may_read_is_refused_to_others() {
    let world = World::new(Store::default(), View::default());
    for path in ["/api/v1/invites", "/api/v1/bus", "/api/v1/bus/members", "/api/v1/bus/permissions"] {
        assert_eq!(world.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(world.write(axum::http::Method::GET, path, "").await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(world.get("/api/v1/bus/authority").await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins_are_let_at_nothing() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    let documented = document["paths"].as_object().unwrap().keys().map(|path| path.replace(['{', '}'], ""));
    let more = ["/", "/metrics", "/binhost", "/binhost/", "/binhost/x", "/binhost-private/x", "/readyz", "/nothing"];
    let mut asked = 0;
    for path in documented.chain(more.map(str::to_owned)) {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let request = Request::builder().method(method).uri(&path).header("Origin", "http://evil.example");
            let request = request
                .header("X-Admin-Key", KEY)
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "x-admin-key");
            let router = if path.starts_with("/admin/") { &world.admin } else { &world.router };
            // heads are enough: some of these are streams without end
            let asking = router.clone().oneshot(request.body(Body::from("{}")).unwrap());
            let Ok(reply) = tokio::time::timeout(Duration::from_secs(5), asking).await else {
                panic!("no answer to {method} {path}");
            };
            let headers = reply.unwrap().headers().clone();
            let told = headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(told, None, "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked} answers were looked at");
}

#[test]
fn the_key_is_never_printed() {
    assert!(!format!("{:?}", crate::http::AdminKey::new(KEY)).contains(KEY));
}
