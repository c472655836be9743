use axum::http::{Method, StatusCode};
use nkeys::KeyPair;
use serde_json::json;
use swarm_core::answer::{Enrolled, Refusal, RefusalKind, Verifier};
use swarm_core::request::{EnrolRequest, TapperRequest, WrongProofRequest};
use swarm_core::rows::*;
use swarm_core::view::View;
use swarm_core::{Answer, Input, Membership, Request};
use swarm_protocol::DroneId;
use swarm_protocol::invite::{Invitation, signature_text, statement};

use super::world::*;

fn row(state: InviteState) -> InviteRow {
    InviteRow {
        id: "5f3a".to_owned(),
        name: "forge".to_owned(),
        verifier: String::new(),
        profile: None,
        by: "ada".to_owned(),
        created_at: NOW,
        until: 5_000,
        expires_at: u64::MAX / 1_000_000,
        state,
    }
}

/// What a drone with the token sends, and the token's public half.
fn enrolment() -> (serde_json::Value, String, String) {
    let (token, drone) = (KeyPair::new_user(), KeyPair::new_user());
    let statement = statement("5f3a", &drone.public_key());
    let body = json!({
        "invitation": "5f3a",
        "key": drone.public_key(),
        "proof": signature_text(&token.sign(&statement).unwrap()),
        "possession": signature_text(&drone.sign(&statement).unwrap()),
    });
    (body, token.public_key(), drone.public_key())
}

async fn enrol(world: &World, body: &serde_json::Value) -> Reply {
    let request = axum::http::Request::post("/api/v1/enrol").body(axum::body::Body::from(body.to_string()));
    world.send(request.unwrap()).await
}

fn requests(world: &World) -> Vec<Request> {
    let asked = world.engine.asked.lock().unwrap();
    asked
        .iter()
        .map(|input| match input {
            Input::Request { request, .. } => request.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn refused(kind: RefusalKind) -> Answer {
    Answer::Refused(Refusal { kind, error: "the invitation for forge has expired".to_owned(), hint: None })
}

#[tokio::test]
async fn an_invitation_is_a_token_whose_secret_is_nowhere_but_in_it() {
    let world = World::new(Store::default(), View::default());
    world.will_answer(Answer::Invited(row(InviteState::Open { wrong: 0 })));
    let reply = world.write(Method::POST, "/api/v1/invites", r#"{"name": "forge", "ttl": "30m"}"#).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let invitation = Invitation::read(reply.json()["token"].as_str().unwrap()).unwrap();
    let Request::Invite(asked) = requests(&world).remove(0) else { panic!("{:?}", requests(&world)) };
    assert_eq!((asked.name.as_str(), asked.life, asked.id.len()), ("forge", Some(1_800_000), 16));
    assert_eq!(KeyPair::from_seed(&invitation.secret).unwrap().public_key(), asked.verifier);
    assert!(!format!("{asked:?}").contains(&invitation.secret));
    let told = (invitation.facade.as_str(), invitation.bus.as_str(), invitation.prefix.as_str());
    assert_eq!(told, ("http://swarm.example.org:8100", "tls://swarm.example.org:4222", "swarm.v1"));
    assert_eq!(invitation.authority, Some("ab".repeat(32)));
    assert!(!reply.json()["invitation"].to_string().contains(&invitation.secret));
    assert_eq!(reply.json()["invitation"]["status"], "open");
}

#[tokio::test]
async fn nobody_is_invited_to_a_swarm_that_cannot_be_reached() {
    let world = World::new(Store::default(), View::default());
    *world.bus.addresses.lock().unwrap() = Err("set bus.listen".to_owned());
    let reply = world.write(Method::POST, "/api/v1/invites", r#"{"name": "forge"}"#).await;
    assert_eq!((reply.status, reply.json()["hint"].as_str()), (StatusCode::CONFLICT, Some("set bus.listen")));
    *world.bus.addresses.lock().unwrap() = Ok(crate::http::ports::Addresses::default());
    let reply = world.write(Method::POST, "/api/v1/invites", r#"{"name": "forge", "ttl": "soon"}"#).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(world.engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_proves_to_have_the_token_is_let_in_and_answered_when_the_bus_knows() {
    let membership = std::sync::Arc::new(Membership { generation: 7, ..Membership::default() });
    let world = World::new(Store::default(), View { membership, ..View::default() });
    let (body, verifier, drone) = enrolment();
    world.will_answer(Answer::Verifier(Verifier(verifier)));
    world.will_answer(Answer::Enrolled(Enrolled { name: "forge".to_owned(), drone: DroneId(drone.clone()) }));
    let reply = enrol(&world, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!((&reply.json()["name"], &reply.json()["admitted"]), (&json!("forge"), &json!(true)));
    assert_eq!(*world.bus.waited_for.lock().unwrap(), [7]);
    let asked = requests(&world);
    assert_eq!(asked[1], Request::Enrol(EnrolRequest { invitation: "5f3a".to_owned(), drone: DroneId(drone) }));
    // the agent reads it by the type they share
    let read: swarm_protocol::invite::EnrolAnswer = serde_json::from_slice(&reply.body).unwrap();
    assert!(read.admitted && read.name == "forge" && !read.controller_version.is_empty());
    let sent: swarm_protocol::invite::EnrolRequest = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(serde_json::to_value(sent).unwrap(), body);
}

#[tokio::test]
async fn who_has_no_token_learns_nothing_and_is_counted() {
    let (body, verifier, _) = enrolment();
    let (stranger, other_token, _) = enrolment();
    let world = World::new(Store::default(), View::default());
    world.will_answer(refused(RefusalKind::NotFound));
    let unknown = enrol(&world, &body).await;
    world.will_answer(Answer::Verifier(Verifier(other_token)));
    world.will_answer(refused(RefusalKind::NotFound));
    let wrong = enrol(&world, &body).await;
    for reply in [&unknown, &wrong] {
        assert_eq!((reply.status, reply.text()), (StatusCode::UNAUTHORIZED, unknown.text()));
    }
    assert_eq!(requests(&world)[2], Request::WrongProof(WrongProofRequest { invitation: "5f3a".to_owned() }));
    // a signature that somebody overheard is good for its own key only
    let mut stolen = stranger;
    stolen["proof"] = body["proof"].clone();
    world.will_answer(Answer::Verifier(Verifier(verifier)));
    world.will_answer(refused(RefusalKind::NotFound));
    assert_eq!(enrol(&world, &stolen).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_that_is_none_or_not_the_askers_own_is_refused_before_anything_is_asked() {
    let (body, ..) = enrolment();
    let (other, ..) = enrolment();
    let world = World::new(Store::default(), View::default());
    for (field, value) in [
        ("key", json!("U>")),
        ("key", json!(KeyPair::new_account().public_key())),
        ("key", other["key"].clone()),
        ("possession", other["possession"].clone()),
        ("possession", json!("")),
        ("possession", json!("!!")),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value;
        let reply = enrol(&world, &wrong).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{field}: {}", reply.text());
    }
    assert!(world.engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_ended_invitation_says_why_to_who_has_its_token() {
    let (body, verifier, _) = enrolment();
    let world = World::new(Store::default(), View::default());
    world.will_answer(Answer::Verifier(Verifier(verifier)));
    world.will_answer(refused(RefusalKind::Gone));
    let reply = enrol(&world, &body).await;
    assert_eq!(
        (reply.status, reply.json()["error"].as_str()),
        (StatusCode::GONE, Some("the invitation for forge has expired"))
    );
}

#[tokio::test]
async fn a_bus_that_has_not_taken_the_drone_yet_is_no_success_and_no_failure_of_the_token() {
    let (body, verifier, drone) = enrolment();
    let world = World::new(Store::default(), View::default());
    *world.bus.admits.lock().unwrap() = Err("the bus has not taken its new members yet: it does not answer".to_owned());
    for _ in 0..20 {
        world.will_answer(Answer::Verifier(Verifier(verifier.clone())));
        world.will_answer(Answer::Enrolled(Enrolled { name: "forge".to_owned(), drone: DroneId(drone.clone()) }));
        let reply = enrol(&world, &body).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text());
        assert_eq!(reply.headers["retry-after"], "3");
    }
}

#[tokio::test]
async fn trying_tokens_is_slowed_down() {
    let (body, ..) = enrolment();
    let world = World::new(Store::default(), View::default());
    for _ in 0..10 {
        world.will_answer(refused(RefusalKind::NotFound));
        assert_eq!(enrol(&world, &body).await.status, StatusCode::UNAUTHORIZED);
    }
    let reply = enrol(&world, &body).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(world.engine.asked.lock().unwrap().len(), 10, "the eleventh costs the engine nothing");
}

#[tokio::test]
async fn invitations_are_listed_with_what_became_of_them_and_without_secrets() {
    let used = InviteState::Used { drone: DroneId::from("UX"), at: NOW + 5_000 };
    let invites = vec![
        row(InviteState::Open { wrong: 1 }),
        InviteRow { id: "old".to_owned(), expires_at: NOW, created_at: NOW - 2, ..row(InviteState::Open { wrong: 0 }) },
        InviteRow { id: "used".to_owned(), created_at: NOW - 1, ..row(used) },
        InviteRow { id: "shut".to_owned(), created_at: NOW - 3, ..row(InviteState::Closed { at: NOW }) },
    ];
    let world = World::new(Store { invites, ..Store::default() }, View::default());
    let reply = world.write(Method::GET, "/api/v1/invites", "").await.json();
    let told: Vec<_> = reply["invites"].as_array().unwrap().iter().map(|i| i["status"].as_str().unwrap()).collect();
    assert_eq!(told, ["open", "used", "expired", "closed"]);
    assert_eq!(
        (&reply["invites"][1]["drone"], &reply["invites"][1]["used_at"]),
        (&json!("UX"), &json!(1_700_000_005.0))
    );
}

#[tokio::test]
async fn a_tapper_is_told_where_the_events_are() {
    let world = World::new(Store::default(), View::default());
    let key = KeyPair::new_user().public_key();
    world.will_answer(Answer::Done(swarm_core::answer::Done { touched: 1, what: vec!["tap".to_owned()] }));
    let body = json!({"name": "tap", "key": key}).to_string();
    let reply = world.write(Method::POST, "/api/v1/tappers", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let told = reply.json();
    assert_eq!((&told["status"], &told["events"]), (&json!("admitted"), &json!("swarm.v1.event.>")));
    assert!(told["authority"].as_str().unwrap().contains("CERTIFICATE"));
    for bad in ["", "U", "alpha", KeyPair::new_account().public_key().as_str()] {
        let body = json!({"name": "tap", "key": bad}).to_string();
        assert_eq!(world.write(Method::POST, "/api/v1/tappers", &body).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(requests(&world), [Request::Tapper(TapperRequest { id: key, name: "tap".to_owned() })]);
}

#[tokio::test]
async fn who_leaves_is_answered_when_the_bus_lets_it_in_no_more() {
    let world = World::new(Store::default(), View::default());
    let done = || Answer::Done(swarm_core::answer::Done { touched: 1, what: vec!["forge".to_owned()] });
    for (method, path, status) in [
        (Method::POST, "/api/v1/nodes/UX/revoke", "revoked"),
        (Method::DELETE, "/api/v1/nodes/UX", "forgotten"),
        (Method::DELETE, "/api/v1/tappers/UX", "revoked"),
    ] {
        world.will_answer(done());
        let reply = world.write(method.clone(), path, "").await;
        assert_eq!(reply.json(), json!({"status": status, "name": "forge"}), "{path}");
        *world.bus.admits.lock().unwrap() = Err("not yet".to_owned());
        world.will_answer(done());
        assert_eq!(world.write(method, path, "").await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        *world.bus.admits.lock().unwrap() = Ok(true);
    }
    assert_eq!(world.bus.waited_for.lock().unwrap().len(), 6);
}
