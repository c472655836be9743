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
async fn a_range_beyond_what_there_is_or_will_be_is_said_to_be_so() {
    let world = World::new(Store::default(), View::default());
    let range = async |range: &str| {
        let request = Request::get("/api/v1/builds/1/2/log").header("range", range).body(Body::empty()).unwrap();
        world.send(request).await
    };
    world.logs.log.send_replace(log("0123456789", true));
    let whole = range("bytes=0-18446744073709551615").await;
    assert_eq!((whole.status, whole.text().as_str()), (StatusCode::PARTIAL_CONTENT, "0123456789"));
    // a tail that never came: nobody needs to ask again
    let lost = LogPiece { offset: 10, bytes: Vec::new(), total: 20, ended: true, complete: false };
    world.logs.log.send_replace(lost.clone());
    assert_eq!(range("bytes=10-").await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    world.logs.log.send_replace(LogPiece { ended: false, ..lost });
    assert_eq!(range("bytes=10-").await.status, StatusCode::SERVICE_UNAVAILABLE);
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

/// The pieces of a stream as they come.
struct Pieces(axum::body::BodyDataStream);

impl Pieces {
    async fn of(world: &World, request: Request<Body>) -> Self {
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body().into_data_stream())
    }

    async fn next(&mut self) -> Option<String> {
        let piece = tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.expect("a piece in time");
        piece.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap())
    }

    /// Numbers of the next events, one a piece.
    async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let piece = self.next().await.expect("an event");
            let id = piece.lines().find_map(|line| line.strip_prefix("id: ")).unwrap_or_else(|| panic!("{piece:?}"));
            let data = piece.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let event: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(event["id"].to_string(), id);
            ids.push(id.parse().unwrap());
        }
        ids
    }
}

fn asked(path: &str, last: Option<&str>) -> Request<Body> {
    let request = Request::get(path).header("Accept", "text/event-stream");
    let request = last.into_iter().fold(request, |request, last| request.header("Last-Event-ID", last));
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_its_reader_was_and_ends_with_the_controller() {
    let (store, view) = busy();
    let world = World::new(store, view);
    for (path, last, ids) in [
        ("/api/v1/events/stream?since=0", None, vec![1, 2, 3, 4, 5]),
        ("/api/v1/events/stream?since=3", None, vec![4, 5]),
        ("/api/v1/events/stream?since=0", Some("4"), vec![5]),
        ("/api/v1/events/stream?since=2&type=queue", None, vec![3, 5]),
    ] {
        let mut pieces = Pieces::of(&world, asked(path, last)).await;
        assert_eq!(pieces.ids(ids.len()).await, ids, "{path} {last:?}");
    }
    let mut pieces = Pieces::of(&world, asked("/api/v1/events/stream", None)).await;
    world.state.streams.stop.cancel();
    assert_eq!(pieces.next().await, None, "it ends with the controller");
}

#[tokio::test]
async fn a_reader_that_knows_nothing_or_another_store_gets_what_is_new() {
    for (path, last) in [("/api/v1/events/stream", None), ("/api/v1/events/stream?since=0", Some("900"))] {
        let (store, view) = busy();
        let world = World::new(store, view);
        let mut pieces = Pieces::of(&world, asked(path, last)).await;
        world.store.put([event(6, "assign")]);
        world.engine.newest.send_replace(6);
        assert_eq!(pieces.ids(1).await, [6], "{path} {last:?}");
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_costs_nothing() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let mut pieces = Pieces::of(&world, asked("/api/v1/events/stream?since=4", None)).await;
    assert_eq!(pieces.ids(1).await, [5]);
    let before = world.reads();
    world.store.put((6..=1000).map(|seq| event(seq, "assign")));
    for seq in 6..=1000 {
        world.engine.newest.send_replace(seq);
    }
    // others are served all the while; of this one nothing is read, queued or kept until it reads on
    world.get("/api/v1/health").await;
    assert_eq!(world.reads(), before);
    let expected: Vec<u64> = (6..=1000).collect();
    assert_eq!(pieces.ids(expected.len()).await, expected, "and it gets all of it when it does");
}

#[tokio::test]
async fn streams_are_bounded_and_a_place_is_given_back() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let mut open = Vec::new();
    while world.state.streams.readers.available_permits() > 0 {
        open.push(Pieces::of(&world, asked("/api/v1/events/stream", None)).await);
    }
    let reply = world.send(asked("/api/v1/events/stream", None)).await;
    assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert!(reply.json()["hint"].is_string());
    open.pop();
    drop(Pieces::of(&world, asked("/api/v1/events/stream", None)).await);
    drop(open);
    assert_eq!(world.state.streams.following(), 0);
}

#[tokio::test]
async fn who_waits_for_an_event_takes_no_place_of_those_who_ask() {
    let (store, view) = busy();
    let world = World::new(store, view);
    let ask = || world.router.clone().oneshot(asked("/api/v1/events?since=5&wait=30", None));
    let mut waiting: Vec<_> = Vec::new();
    while world.state.streams.waiters.available_permits() > 0 {
        let mut one = Box::pin(ask());
        assert!(futures::poll!(&mut one).is_pending());
        waiting.push(one);
    }
    let reply = world.send(asked("/api/v1/events?since=5&wait=30", None)).await;
    assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert_eq!(world.get("/api/v1/events?since=4").await.status, StatusCode::OK);
    assert_eq!(world.get("/api/v1/status").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_log_is_followed_as_events_with_where_to_go_on() {
    let (store, view) = busy();
    let world = World::new(store, view);
    world.logs.log.send_replace(log("one ä", false));
    let path = "/api/v1/builds/1/2/log?follow=true";
    let mut pieces = Pieces::of(&world, asked(path, None)).await;
    assert_eq!(pieces.next().await.as_deref(), Some("id: 6\ndata: {\"offset\":0,\"text\":\"one ä\"}\n\n"));
    // half a character waits for its other half
    let half = LogPiece { bytes: "one äxé".as_bytes()[..8].to_vec(), total: 8, ..log("", false) };
    world.logs.log.send_replace(half);
    assert_eq!(pieces.next().await.as_deref(), Some("id: 7\ndata: {\"offset\":6,\"text\":\"x\"}\n\n"));
    world.logs.log.send_replace(log("one äxé", true));
    assert_eq!(pieces.next().await.as_deref(), Some("id: 9\ndata: {\"offset\":7,\"text\":\"é\"}\n\n"));
    let end = pieces.next().await.unwrap();
    assert!(end.contains("event: end") && end.contains("{\"total\":9,\"complete\":true}"), "{end}");
    assert_eq!(pieces.next().await, None);
    let mut rest = Pieces::of(&world, asked(path, Some("6"))).await;
    assert!(rest.next().await.unwrap().contains("\"text\":\"xé\""), "it goes on where its reader was");
    let reply = world.send(asked(path, Some("9"))).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "a browser that comes again after the end stays away");
}

#[tokio::test]
async fn a_range_of_a_log_is_given_as_http_has_it() {
    let world = World::new(Store::default(), View::default());
    world.logs.log.send_replace(log("0123456789", true));
    for (range, status, text, place) in [
        ("bytes=2-4", StatusCode::PARTIAL_CONTENT, "234", "bytes 2-4/10"),
        ("bytes=7-", StatusCode::PARTIAL_CONTENT, "789", "bytes 7-9/10"),
        ("bytes=-2", StatusCode::PARTIAL_CONTENT, "89", "bytes 8-9/10"),
        ("bytes=0-99", StatusCode::PARTIAL_CONTENT, "0123456789", "bytes 0-9/10"),
        ("bytes=1-2,4-5", StatusCode::OK, "0123456789", ""),
    ] {
        let request = Request::get("/api/v1/builds/1/2/log").header("Range", range).body(Body::empty()).unwrap();
        let reply = world.send(request).await;
        assert_eq!((reply.status, reply.text().as_str()), (status, text), "{range}");
        let found = reply.headers.get("content-range").map_or("", |value| value.to_str().unwrap());
        assert_eq!(found, place, "{range}");
    }
    let beyond = Request::get("/api/v1/builds/1/2/log").header("Range", "bytes=10-").body(Body::empty()).unwrap();
    let reply = world.send(beyond).await;
    assert_eq!(
        (reply.status, reply.headers["content-range"].to_str().unwrap()),
        (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */10")
    );
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
