use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use swarm_core::view::View;
use tower::ServiceExt;

use super::world::*;
use crate::http::ports::LogPiece;

fn log(text: &str, ended: bool) -> LogPiece {
    LogPiece { offset: 0, bytes: text.as_bytes().to_vec(), total: text.len() as u64, ended, complete: ended }
}

#[tokio::test]
async fn a_log_is_read_whole_and_in_parts() {
    let world = World::new(Store::default(), View::default());
    world.logs.log.send_replace(log("0123456789", true));
    for (query, text) in [("", "0123456789"), ("?offset=4", "456789"), ("?offset=4&limit=2", "45"), ("?offset=99", "")]
    {
        let reply = world.get(&format!("/api/v1/builds/1/2/log{query}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, text), "{query}");
        assert_eq!(reply.headers["x-log-total"], "10");
        assert_eq!(reply.headers["x-log-ended"], "true");
    }
}

#[tokio::test]
async fn a_log_larger_than_a_piece_comes_whole() {
    let world = World::new(Store::default(), View::default());
    world.logs.log.send_replace(log(&"a line of the log\n".repeat(60_000), true));
    let reply = world.get("/api/v1/builds/1/2/log").await;
    assert_eq!(reply.body.len(), 18 * 60_000);
}

#[tokio::test]
async fn where_bytes_were_cut_out_the_log_says_so() {
    let world = World::new(Store::default(), View::default());
    let cut = LogPiece { offset: 1_000, bytes: b"tail\n".to_vec(), total: 1_005, ended: true, complete: true };
    world.logs.log.send_replace(cut);
    let reply = world.get("/api/v1/builds/1/2/log?offset=400").await;
    assert_eq!(reply.text(), "\n[600 bytes of the log were cut out here]\ntail\n");
}

#[tokio::test]
async fn a_follower_gets_what_is_added_and_ends_with_the_attempt() {
    let (store, view) = busy();
    let world = World::new(store, view);
    world.logs.log.send_replace(log("one ", false));
    let request = Request::get("/api/v1/builds/1/2/log?follow=true").body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let mut next = async || {
        let chunk = tokio::time::timeout(Duration::from_secs(10), body.next()).await.expect("a chunk in time");
        chunk.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    };
    assert_eq!(next().await.as_deref(), Some("one "));
    world.logs.log.send_replace(log("one two", false));
    assert_eq!(next().await.as_deref(), Some("two"));
    world.logs.log.send_replace(log("one two!", true));
    assert_eq!(next().await.as_deref(), Some("!"));
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_reader_that_waits_for_events_is_told_when_one_comes() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let newest = world.engine.newest.clone();
    let waiting = world.get("/api/v1/events?since=4&wait=20");
    assert_eq!(waiting.await.json()["latest_id"], 5, "no wait when there is one already");
    let waiting = tokio::time::timeout(Duration::from_secs(10), world.get("/api/v1/events?since=5&wait=20"));
    let (reply, ()) = tokio::join!(waiting, async {
        newest.send_replace(6);
    });
    assert_eq!(
        reply.expect("it does not wait any longer").json()["latest_id"],
        5,
        "the store of the test has no sixth"
    );
}

#[tokio::test]
async fn large_json_is_compressed_and_logs_are_not() {
    let (store, view) = busy();
    let world = World::new(store, view);
    world.logs.log.send_replace(log(&"x".repeat(10_000), true));
    for (path, encoding) in
        [("/api/v1/status", Some("gzip")), ("/api/v1/health", None), ("/api/v1/builds/1/2/log", None)]
    {
        let request = Request::get(path).header("Accept-Encoding", "gzip").body(Body::empty()).unwrap();
        let reply = world.send(request).await;
        let found = reply.headers.get("content-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(found, encoding, "{path}");
    }
}
