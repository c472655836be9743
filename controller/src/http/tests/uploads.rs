use axum::body::Body;
use axum::http::{Request, StatusCode};
use swarm_core::Input;
use swarm_core::answer::{Answer, Refusal, RefusalKind, Ticket, UploadAnswer};
use swarm_core::view::View;
use swarm_protocol::{ArtifactId, DroneId};

use super::world::*;
use crate::http::ports::NoAnswer;

fn ticket(size: u64) -> Answer {
    let (artifact, drone, refused) = (ArtifactId(9), DroneId::from("UA"), None);
    Answer::Ticket(Ticket { artifact, drone, refused, token: "secret".to_owned(), sha256: "ab".to_owned(), size })
}

fn put(body: &str, ticket: Option<&str>) -> Request<Body> {
    let mut request = Request::put("/api/v1/artifacts/9").header("Content-Length", body.len());
    if let Some(ticket) = ticket {
        request = request.header("X-Upload-Ticket", ticket);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn an_upload_with_its_ticket_is_taken() {
    let world = World::new(Store::default(), View::default());
    world.will_answer(ticket(4));
    world.will_answer(Answer::Upload(UploadAnswer::Taken {}));
    let reply = world.send(put("gpkg", Some("secret"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.json(), serde_json::json!({"status": "taken", "artifact": 9}));
    assert_eq!(world.binhost.incoming.lock().unwrap()[&9], b"gpkg");
    let asked = world.engine.asked.lock().unwrap().pop().unwrap();
    assert!(matches!(asked, Input::Uploaded { artifact: ArtifactId(9), .. }), "{asked:?}");
}

#[tokio::test]
async fn without_its_ticket_nobody_learns_anything() {
    let world = World::new(Store::default(), View::default());
    let none = world.send(put("gpkg", None)).await;
    world.will_answer(ticket(4));
    let wrong = world.send(put("gpkg", Some("guess"))).await;
    let refusal = Refusal { kind: RefusalKind::NotFound, error: "there is no artifact 9".to_owned(), hint: None };
    world.will_answer(Answer::Refused(refusal));
    let unknown = world.send(put("gpkg", Some("secret"))).await;
    for reply in [&none, &wrong, &unknown] {
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.text(), none.text());
    }
    assert!(world.binhost.incoming.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_refusal_has_its_reason_and_leaves_nothing_behind() {
    let refused = |reason: &str| Ok(Answer::Upload(UploadAnswer::Refused { reason: reason.to_owned() }));
    for (body, size, answer, status, says) in [
        ("gpkg!", 4, None, StatusCode::UNPROCESSABLE_ENTITY, "5 bytes"),
        ("bad!", 4, None, StatusCode::UNPROCESSABLE_ENTITY, "not what was announced"),
        ("full", 4, None, StatusCode::INSUFFICIENT_STORAGE, "less than 5 %"),
        ("gpkg", 2 << 20, None, StatusCode::PAYLOAD_TOO_LARGE, "larger than"),
        ("gpkg", 4, Some(refused("superseded")), StatusCode::CONFLICT, "superseded"),
        ("gpkg", 4, Some(Err(NoAnswer::Busy)), StatusCode::SERVICE_UNAVAILABLE, "busy"),
    ] {
        let world = World::new(Store::default(), View::default());
        world.will_answer(ticket(size));
        world.engine.answers.lock().unwrap().extend(answer);
        let reply = world.send(put(body, Some("secret"))).await;
        assert_eq!(reply.status, status, "{body} {size}: {}", reply.text());
        assert!(reply.json()["error"].as_str().unwrap().contains(says), "{}", reply.text());
        assert!(world.binhost.incoming.lock().unwrap().is_empty(), "{body} {size}");
    }
}

#[tokio::test]
async fn an_upload_may_be_larger_than_other_bodies() {
    let world = World::new(Store::default(), View::default());
    let body = "x".repeat(1 << 20);
    world.will_answer(ticket(body.len() as u64));
    world.will_answer(Answer::Upload(UploadAnswer::Taken {}));
    let reply = world.send(put(&body, Some("secret"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}
