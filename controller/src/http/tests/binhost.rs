//! What is told of the binhost, and what may be done with it.

use axum::http::{Method, StatusCode};
use serde_json::json;
use swarm_core::answer::{Answer, Collected, CollectedPackage, Done, ImportAnswer, Refusal, RefusalKind};
use swarm_core::request::{CollectRequest, PinRequest, UnpublishRequest};

use swarm_core::rows::*;
use swarm_core::view::View;
use swarm_core::{Input, Request};
use swarm_protocol::{ArtifactId, DroneId, Fence, Secret};

use super::world::*;
use crate::config::runtime::Held;

fn index() -> IndexKey {
    IndexKey { arch: "amd64".to_owned(), profile: "base".to_owned(), chost: "x86_64-pc-linux-gnu".to_owned() }
}

fn row(id: u64, cpv: &str, state: ArtifactState) -> ArtifactRow {
    ArtifactRow {
        id: ArtifactId(id),
        index: index(),
        fence: Fence::default(),
        drone: DroneId::default(),
        cpv: cpv.to_owned(),
        slot: "0".to_owned(),
        repository: "gentoo".to_owned(),
        use_flags: vec!["ssl".to_owned()],
        sha_in: String::new(),
        size_in: 10,
        state,
        pinned: None,
        imported: None,
    }
}

fn published(restrict: &str, size: u64) -> ArtifactState {
    ArtifactState::Published {
        build_id: 2,
        path: "a/b/b-1-2.gpkg.tar".to_owned(),
        sha_out: String::new(),
        size_out: size,
        stanza: [("RESTRICT".to_owned(), restrict.to_owned())].into(),
        listed: Some(5),
        at: NOW,
    }
}

fn stocked() -> World {
    let retired = ArtifactState::Retired {
        build_id: 1,
        path: "p".to_owned(),
        size: 7,
        restricted: false,
        why: "there are 3 newer ones".to_owned(),
        delete_at: None,
    };
    let store = Store {
        artifacts: vec![
            row(1, "dev-libs/libpollen-1", retired),
            row(2, "dev-libs/libpollen-2", published("", 1 << 20)),
            row(3, "app-misc/bound-1", published("mirror bindist", 1 << 20)),
            row(4, "app-misc/waggle-1", ArtifactState::Ticketed {}),
        ],
        indexes: vec![IndexRow { index: index(), header: Default::default(), timestamp: 5 }],
        ..Store::default()
    };
    World::new(store, View::default())
}

async fn post(world: &World, path: &str, body: &serde_json::Value) -> Reply {
    world.write(Method::POST, path, &body.to_string()).await
}

fn asked(world: &World) -> Request {
    match world.engine.asked.lock().unwrap().pop() {
        Some(Input::Request { request, .. }) => request,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_binhost_is_shown_in_numbers_and_on_a_page() {
    let world = stocked();
    let shown = world.get("/api/v1/binhost").await.json();
    assert_eq!((&shown["packages"], &shown["size_bytes"], &shown["retired"]), (&json!(2), &json!(2 << 20), &json!(1)));
    let first = &shown["indexes"][0];
    assert_eq!((&first["packages"], &first["restricted"]), (&json!(2), &json!(1)));
    assert_eq!(first["newest"]["package"], "app-misc/bound-1");
    for path in ["/api/v1/binhost-stats", "/api/v1/binhost/status"] {
        let stats = world.get(path).await.json();
        assert_eq!((&stats["packages"], &stats["size_mb"], &stats["status"]), (&json!(2), &json!(2.0), &json!("ok")));
    }
    let page = world.get("/binhost/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers.contains_key("content-security-policy"));
    let text = page.text();
    assert!(text.contains("amd64/base/x86_64-pc-linux-gnu") && text.contains("1 packages") && !text.contains("s3cret"));
}

#[tokio::test]
async fn markup_in_what_the_page_shows_is_text() {
    let nasty = |word: &str| format!("{word}\"'><script>alert(1)</script>&amp;");
    let key = IndexKey { arch: nasty("arch"), profile: nasty("profile"), chost: nasty("chost") };
    let newest = ArtifactRow { index: key.clone(), ..row(1, &nasty("a/b-1"), published("", 1)) };
    let indexes = vec![IndexRow { index: key, header: Default::default(), timestamp: 5 }];
    let world = World::new(Store { artifacts: vec![newest], indexes, ..Store::default() }, View::default());
    let mut config = world.state.runtime.held().config.clone();
    config.name = nasty("hive");
    world.state.runtime.hold(Held { config, level: None });
    let text = world.get("/binhost/").await.text();
    for word in ["hive", "arch", "profile", "chost", "a/b-1"] {
        let shown = format!("{word}&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;");
        assert!(text.contains(&shown), "{word} is not shown as it is: {text}");
    }
    assert!(!text.contains("<script"), "{text}");
    // attributes are quoted by ", and nothing in one ends it
    let links: Vec<&str> = text.split("href=").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert!(links.len() == 2 && links.iter().all(|link| link.starts_with('"') && link.ends_with('"')), "{links:?}");
}

#[tokio::test]
async fn packages_are_listed_by_name_in_pages() {
    let world = stocked();
    let ids = |path: &'static str| {
        let world = &world;
        async move {
            let list = world.get(path).await.json();
            let packages = list["packages"].as_array().unwrap().clone();
            (packages.iter().map(|one| one["id"].as_u64().unwrap()).collect::<Vec<_>>(), list)
        }
    };
    assert_eq!(ids("/api/v1/binhost/packages").await.0, [2, 3]);
    assert_eq!(ids("/api/v1/binhost/packages?retired").await.0, [1, 2, 3]);
    assert_eq!(ids("/api/v1/binhost/packages?package=dev-libs/libpollen").await.0, [2]);
    assert_eq!(ids("/api/v1/binhost/packages?package==app-misc/bound-1").await.0, [3]);
    assert_eq!(ids("/api/v1/binhost/packages?package=oll").await.0, [2]);
    assert_eq!(ids("/api/v1/binhost/packages?package=dev-libs").await.0, [2]);
    assert!(ids("/api/v1/binhost/packages?index=x").await.0.is_empty());
    let (first, list) = ids("/api/v1/binhost/packages?limit=1").await;
    assert_eq!((first, &list["total"], &list["next"]), (vec![2], &json!(2), &json!(2)));
    let (second, list) = ids("/api/v1/binhost/packages?limit=1&after=2").await;
    assert_eq!((second, &list["next"]), (vec![3], &json!(null)));
    let one = world.get("/api/v1/binhost/packages/3").await.json();
    assert_eq!((&one["restricted"], &one["state"], &one["build_id"]), (&json!(true), &json!("published"), &json!(2)));
    assert_eq!(world.get("/api/v1/binhost/packages/4").await.json()["state"], "announced");
    let retired = world.get("/api/v1/binhost/packages/1").await.json();
    assert_eq!((&retired["state"], &retired["reason"]), (&json!("retired"), &json!("there are 3 newer ones")));
    assert_eq!(world.get("/api/v1/binhost/packages/9").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_people_do_reaches_the_engine_and_its_refusal_comes_back() {
    let world = stocked();
    let done = || Answer::Done(Done { touched: 1, what: vec!["dev-libs/libpollen-2 (BUILD_ID 2)".to_owned()] });
    world.will_answer(done());
    let reply = post(&world, "/api/v1/binhost/pin", &json!({"package": "#2", "pinned": true})).await;
    assert_eq!((reply.status, &reply.json()["touched"]), (StatusCode::OK, &json!(1)));
    assert_eq!(asked(&world), Request::Pin(PinRequest { package: "#2".to_owned(), pinned: true }));
    let refusal = Refusal { kind: RefusalKind::Conflict, error: "it is pinned".to_owned(), hint: None };
    world.will_answer(Answer::Refused(refusal));
    let reply = post(&world, "/api/v1/binhost/remove", &json!({"package": "2"})).await;
    assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::CONFLICT, &json!("it is pinned")));
    assert_eq!(asked(&world), Request::Unpublish(UnpublishRequest { package: "2".to_owned(), force: false }));
    world.will_answer(Answer::Collected(Collected {
        count: 1,
        bytes: 7,
        packages: vec![CollectedPackage {
            artifact: ArtifactId(2),
            index: index(),
            cpv: "dev-libs/libpollen-2".to_owned(),
            build_id: 2,
            size: 7,
        }],
        waiting: 1,
        waiting_bytes: 7,
    }));
    let reply = post(&world, "/api/v1/binhost/gc", &json!({"dry_run": true})).await.json();
    assert_eq!((&reply["count"], &reply["packages"][0]["id"], &reply["dry_run"]), (&json!(1), &json!(2), &json!(true)));
    assert_eq!(asked(&world), Request::Collect(CollectRequest { dry_run: true }));
}

#[tokio::test]
async fn an_import_gets_a_fresh_ticket_and_too_large_a_one_none() {
    let world = stocked();
    let body = json!({"sha256": "ab", "size_bytes": 10, "package": "a/b-1", "slot": "0", "repository": "gentoo",
        "chost": "x", "build_time": "7"});
    world.will_answer(Answer::Import(ImportAnswer::Wanted {
        artifact: ArtifactId(9),
        token: Secret("t0ken".to_owned()),
        expires_ms: 60_000,
        index: index(),
    }));
    let reply = post(&world, "/api/v1/binhost/import", &body).await.json();
    assert_eq!((&reply["status"], &reply["ticket"], &reply["id"]), (&json!("wanted"), &json!("t0ken"), &json!(9)));
    let Request::Import(ask) = asked(&world) else { panic!() };
    assert_eq!((ask.profile.as_str(), ask.file.cpv.as_str(), ask.token.0.len()), ("default", "a/b-1", 48));
    let mut large = body.clone();
    large["size_bytes"] = json!(2 << 20);
    let reply = post(&world, "/api/v1/binhost/import", &large).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    world.will_answer(Answer::Import(ImportAnswer::Present { artifact: ArtifactId(2), index: index() }));
    let reply = post(&world, "/api/v1/binhost/import", &body).await.json();
    assert_eq!((&reply["status"], &reply["ticket"]), (&json!("present"), &json!(null)));
}

#[tokio::test]
async fn one_check_runs_at_a_time() {
    let world = stocked();
    assert_eq!(world.get("/api/v1/binhost/verify").await.json()["status"], "never");
    let started = post(&world, "/api/v1/binhost/verify", &json!({})).await;
    assert_eq!((started.status, &started.json()["status"]), (StatusCode::ACCEPTED, &json!("running")));
    assert_eq!(post(&world, "/api/v1/binhost/verify", &json!({})).await.status, StatusCode::CONFLICT);
    assert_eq!(world.get("/api/v1/binhost/verify").await.json()["total"], 2);
}

#[tokio::test]
async fn the_secret_is_for_the_admin_and_never_in_an_address() {
    let world = stocked();
    let refused = world.get("/api/v1/binhost/private").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let told = world.write(Method::GET, "/api/v1/binhost/private", "").await.json();
    assert_eq!((&told["user"], &told["secret"]), (&json!("swarm"), &json!("s3cret")));
    assert!(told["wgetrc"].as_str().unwrap().contains("http_password = s3cret\n"));
    let index = &told["indexes"][0];
    assert_eq!(index["url"], "http://127.0.0.1:8100/binhost-private/amd64/base/x86_64-pc-linux-gnu");
    assert!(!index["snippet"].as_str().unwrap().contains("s3cret"));
}
