//! Who is let onto the bus: invitations, enrolment, leaving.

use swarm_core::answer::{RefusalKind, UploadAnswer};
use swarm_core::request::{
    DroneAction, DroneRequest, EnrolRequest, InviteRequest, LocalDronesRequest, RevokeTapperRequest, TapperRequest,
    TicketRequest, UninviteRequest, WrongProofRequest,
};
use swarm_core::rows::{InviteState, MemberRow, Standing};
use swarm_core::{Answer, Input, Request, Settings};
use swarm_protocol::DroneId;
use swarm_protocol::artifact::ArtifactAnswer;
use swarm_protocol::report::{BuildAnswer, BuildResult, HelloAnswer, Role};

use crate::farm::*;

const HOUR: u64 = 60 * MINUTE;

fn invitation(id: &str, name: &str) -> InviteRequest {
    InviteRequest {
        id: id.to_owned(),
        verifier: format!("verifier of {id}"),
        name: name.to_owned(),
        profile: None,
        life: None,
    }
}

impl Farm {
    fn invite(&mut self, id: &str, name: &str) -> Answer {
        self.request(Request::Invite(invitation(id, name)))
    }

    fn enrol(&mut self, id: &str, key: &str) -> Answer {
        self.request(Request::Enrol(EnrolRequest { invitation: id.to_owned(), drone: DroneId::from(key) }))
    }

    fn act(&mut self, name: &str, action: DroneAction) -> Answer {
        self.request(Request::Drone(DroneRequest { drone: name.to_owned(), action }))
    }

    fn locals(&mut self, names: &[&str]) -> Vec<String> {
        let drones = names.iter().map(|name| (Drone::new(name).id, (*name).to_owned())).collect();
        match self.request(Request::LocalDrones(LocalDronesRequest { drones })) {
            Answer::Done(refused) => refused.what,
            other => panic!("{other:?}"),
        }
    }

    fn let_in(&mut self) -> Vec<String> {
        self.view().membership.drones.iter().map(|drone| drone.0.clone()).collect()
    }

    fn member(&self, id: &str) -> MemberRow {
        let rows: Vec<MemberRow> = self.store.all();
        rows.into_iter().find(|row| row.id == id).unwrap_or_else(|| panic!("no member {id}"))
    }
}

fn refusal(answer: &Answer) -> (RefusalKind, String) {
    match answer {
        Answer::Refused(refusal) => (refusal.kind, refusal.error.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn an_invited_drone_comes_in_once_and_its_repeated_question_is_answered_the_same() {
    let mut farm = Farm::of(&[]);
    farm.invite("i1", "forge");
    let anna = Drone::new("forge").id.0;
    let first = farm.enrol("i1", &anna);
    assert!(matches!(&first, Answer::Enrolled(enrolled) if enrolled.name == "forge" && enrolled.drone.0 == anna));
    farm.say("the answer was lost");
    assert_eq!(farm.enrol("i1", &anna), first);
    farm.say("somebody else has copied the token");
    let (kind, error) = refusal(&farm.enrol("i1", "Uother"));
    assert_eq!((kind, error.as_str()), (RefusalKind::Gone, "the invitation for forge was used already"));
    assert_eq!(farm.let_in(), std::slice::from_ref(&anna));
    farm.say("the drone itself, and after a restart");
    farm.restart();
    assert_eq!(farm.let_in(), [anna]);
    farm.join(Drone::new("forge"));
    golden!(farm);
}

#[test]
fn an_invitation_ends_by_its_time_by_being_taken_back_and_by_wrong_tokens() {
    let mut farm = Farm::of(&[]);
    farm.invite("i1", "late");
    farm.pass(HOUR - 1);
    assert!(matches!(farm.enrol("i1", "Ulate"), Answer::Enrolled(_)), "good to its last moment");
    farm.invite("i2", "later");
    farm.pass(HOUR);
    let (kind, error) = refusal(&farm.enrol("i2", "Ularge"));
    assert_eq!((kind, error.as_str()), (RefusalKind::Gone, "the invitation for later has expired"));
    farm.invite("i3", "gone");
    farm.request(Request::Uninvite(UninviteRequest { which: "gone".to_owned() }));
    assert_eq!(refusal(&farm.enrol("i3", "Ugone")).0, RefusalKind::NotFound);
    farm.invite("i4", "guessed");
    for _ in 0..5 {
        let wrong = farm.request(Request::WrongProof(WrongProofRequest { invitation: "i4".to_owned() }));
        assert_eq!(refusal(&wrong).0, RefusalKind::NotFound, "nothing is told who has no token");
    }
    let (kind, error) = refusal(&farm.enrol("i4", "Uguessed"));
    assert_eq!((kind, error.as_str()), (RefusalKind::Gone, "the invitation for guessed was closed after wrong tokens"));
    assert_eq!(farm.let_in(), ["Ulate"]);
    golden!(farm);
}

#[test]
fn wrong_tokens_below_the_bound_and_for_ended_invitations_change_nothing() {
    let mut farm = Farm::of(&[]);
    farm.invite("i1", "forge");
    for _ in 0..4 {
        farm.request(Request::WrongProof(WrongProofRequest { invitation: "i1".to_owned() }));
    }
    farm.request(Request::WrongProof(WrongProofRequest { invitation: "nowhere".to_owned() }));
    assert!(matches!(farm.enrol("i1", "Uforge"), Answer::Enrolled(_)));
    for _ in 0..9 {
        farm.request(Request::WrongProof(WrongProofRequest { invitation: "i1".to_owned() }));
    }
    let rows: Vec<swarm_core::rows::InviteRow> = farm.store.all();
    assert!(matches!(rows[0].state, InviteState::Used { .. }), "{rows:?}");
}

#[test]
fn invitations_that_make_no_sense_are_refused_with_the_reason() {
    let mut farm = Farm::with(Settings { max_invites: 2, ..Settings::default() });
    farm.join(Drone::new("anna"));
    farm.locals(&["ben"]);
    farm.invite("i1", "forge");
    let mut refused = |request: InviteRequest| refusal(&farm.request(Request::Invite(request)));
    for name in ["", "a b", "../x", "-x", &"x".repeat(64), "<b>"] {
        assert_eq!(refused(invitation("x", name)).0, RefusalKind::Invalid, "{name:?}");
    }
    for name in ["anna", "ben", "forge"] {
        assert_eq!(refused(invitation("x", name)).0, RefusalKind::Conflict, "{name}");
    }
    for life in [0, 9_999, 8 * 24 * HOUR] {
        let request = InviteRequest { life: Some(life), ..invitation("x", "new") };
        assert_eq!(refused(request).0, RefusalKind::Invalid, "{life}");
    }
    let request = InviteRequest { profile: Some("../etc".to_owned()), ..invitation("x", "new") };
    assert_eq!(refused(request).0, RefusalKind::Invalid);
    assert!(matches!(farm.invite("i2", "second"), Answer::Invited(_)));
    assert_eq!(refusal(&farm.invite("i3", "third")).0, RefusalKind::Full);
    farm.pass(HOUR);
    assert!(matches!(farm.invite("i3", "third"), Answer::Invited(_)), "those that ended make room");
}

#[test]
fn ended_invitations_are_forgotten_after_a_day_and_never_more_than_some_are_kept() {
    let mut farm = Farm::of(&[]);
    for n in 0..300 {
        farm.invite(&format!("i{n}"), &format!("n{n}"));
        farm.enrol(&format!("i{n}"), &format!("U{n}"));
    }
    let count = |farm: &Farm| farm.store.all::<swarm_core::rows::InviteRow>().len();
    assert!(count(&farm) <= 258, "{}", count(&farm));
    assert_eq!(farm.let_in().len(), 300);
    farm.pass(26 * HOUR);
    farm.invite("last", "last");
    assert_eq!(count(&farm), 1);
}

#[test]
fn a_revoked_drone_loses_its_work_at_once_and_nothing_it_still_says_counts() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.locals(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let who = farm.holder("app-misc/hello-1.0").unwrap();
    let fence = farm.starts(&who, "app-misc/hello-1.0");
    let artifact = binary(&farm.drones[&who].running[&fence].0);
    let key = farm.drones[&who].id.0.clone();
    farm.say("it is cut off while it builds");
    assert!(matches!(farm.act(&who, DroneAction::Revoke), Answer::Done(_)));
    assert!(!farm.let_in().contains(&key));
    assert!(matches!(farm.member(&key).standing, Standing::Revoked { .. }));
    let other = if who == "anna" { "ben" } else { "anna" };
    farm.drones.get_mut(&who).unwrap().running.clear();
    assert_eq!(farm.holder("app-misc/hello-1.0").as_deref(), Some(other), "built elsewhere, at no cost");
    assert!(farm.entry("app-misc/hello-1.0").marks.is_empty());
    farm.say("what was under way arrives late");
    let upload = farm.upload(&who, fence, artifact.clone());
    assert!(matches!(upload, Some(ArtifactAnswer::Superseded { .. })), "{upload:?}");
    let late = farm.ends(&who, fence, BuildResult { artifacts: vec![artifact], ..done() });
    assert!(matches!(farm.answers[&late], Answer::Build(BuildAnswer::Superseded { .. })));
    farm.beat(&who);
    let hello = farm.hello(&who, Role::Supervisor);
    assert!(matches!(&hello, Some(Answer::Hello(HelloAnswer::Refused { reason, .. })) if reason.contains("no more")));
    farm.drones.remove(&who);
    assert!(farm.view().drones.get(&DroneId(key.clone())).is_none());
    farm.restart();
    assert!(!farm.let_in().contains(&key), "also after a restart");
    golden!(farm);
}

#[test]
fn a_ticket_of_a_revoked_drone_is_good_no_more() {
    let mut farm = Farm::of(&["anna", "ben"]);
    farm.queue(&["app-misc/hello"]);
    let who = farm.holder("app-misc/hello-1.0").unwrap();
    let fence = farm.starts(&who, "app-misc/hello-1.0");
    let artifact = binary(&farm.drones[&who].running[&fence].0);
    farm.drones.get_mut(&who).unwrap().no_upload = false;
    let ask = swarm_protocol::artifact::ArtifactAsk {
        instance: farm.drones[&who].instance(Role::Worker),
        store_id: farm.core.store_id().clone(),
        fence,
        artifact: artifact.clone(),
    };
    let id = farm.drones[&who].id.clone();
    let effects = farm.core.handle(
        farm.now,
        Input::Artifact { drone: id, ask: Box::new(ask), token: "t".to_owned(), reply: swarm_core::ReplyTo(9_999) },
    );
    let swarm_core::Effect::Reply { answer: Answer::Artifact(ArtifactAnswer::Ticket { artifact: ticket, .. }), .. } =
        &effects[0]
    else {
        panic!("{effects:?}")
    };
    let ticket = *ticket;
    assert!(matches!(farm.request(Request::Ticket(TicketRequest { artifact: ticket })), Answer::Ticket(_)));
    farm.act(&who, DroneAction::Revoke);
    let Answer::Ticket(known) = farm.request(Request::Ticket(TicketRequest { artifact: ticket })) else { panic!() };
    assert!(known.refused.is_some_and(|why| why.contains("not current")));
    assert!(matches!(farm.uploaded(ticket, &artifact), Some(Answer::Upload(UploadAnswer::Refused { .. }))));
}

#[test]
fn a_revoked_key_never_comes_back_and_its_name_is_free_for_another() {
    let mut farm = Farm::of(&[]);
    farm.invite("i1", "forge");
    farm.enrol("i1", "Uold");
    farm.act("forge", DroneAction::Revoke);
    farm.invite("i2", "forge");
    let (kind, error) = refusal(&farm.enrol("i2", "Uold"));
    assert_eq!((kind, error.as_str()), (RefusalKind::Conflict, "this key was revoked by kim"));
    assert!(matches!(farm.enrol("i2", "Unew"), Answer::Enrolled(_)));
    assert_eq!(farm.let_in(), ["Unew"]);
}

#[test]
fn a_forgotten_drone_is_let_in_no_more_until_it_is_invited_anew() {
    let mut farm = Farm::of(&[]);
    farm.invite("i1", "forge");
    farm.enrol("i1", "Uforge");
    farm.say("never seen, so it can be forgotten");
    assert!(matches!(farm.act("forge", DroneAction::Forget), Answer::Done(_)));
    assert!(farm.let_in().is_empty());
    let (kind, _) = refusal(&farm.enrol("i1", "Uforge"));
    assert_eq!(kind, RefusalKind::Gone, "the old token is used up");
    farm.invite("i2", "forge");
    assert!(matches!(farm.enrol("i2", "Uforge"), Answer::Enrolled(_)), "a forgotten key is no bad key");
    assert_eq!(refusal(&farm.act("nobody", DroneAction::Revoke)).0, RefusalKind::NotFound);
    golden!(farm);
}

#[test]
fn an_online_drone_is_not_forgotten_but_can_be_revoked() {
    let mut farm = Farm::of(&["anna"]);
    farm.locals(&["anna"]);
    let (kind, error) = refusal(&farm.act("anna", DroneAction::Forget));
    assert_eq!((kind, error.as_str()), (RefusalKind::Conflict, "anna is online"));
    assert_eq!(farm.let_in().len(), 1);
    assert!(matches!(farm.act("anna", DroneAction::Revoke), Answer::Done(_)));
}

#[test]
fn the_drones_of_this_machine_are_those_the_configuration_names() {
    let mut farm = Farm::of(&[]);
    assert!(farm.locals(&["anna", "ben"]).is_empty());
    let before = farm.view().membership.generation;
    assert!(farm.locals(&["anna", "ben"]).is_empty());
    assert_eq!(farm.view().membership.generation, before, "nothing changed, nothing is told");
    farm.say("ben is named no more");
    farm.locals(&["anna"]);
    assert_eq!(farm.let_in(), [Drone::new("anna").id.0]);
    farm.say("and again");
    farm.locals(&["anna", "ben"]);
    assert_eq!(farm.let_in().len(), 2);
    farm.say("who is revoked stays out, whatever the configuration says; who is forgotten comes again");
    farm.act("anna", DroneAction::Revoke);
    farm.act("ben", DroneAction::Forget);
    assert_eq!(farm.locals(&["anna", "ben"]), ["anna"]);
    assert_eq!(farm.let_in(), [Drone::new("ben").id.0]);
    golden!(farm);
}

#[test]
fn an_invited_drone_is_not_dropped_because_the_configuration_does_not_name_it() {
    let mut farm = Farm::of(&[]);
    farm.invite("i1", "forge");
    farm.enrol("i1", "Uforge");
    farm.locals(&[]);
    assert_eq!(farm.let_in(), ["Uforge"]);
}

#[test]
fn a_drone_speaks_under_the_name_its_key_was_let_in_with() {
    let mut farm = Farm::of(&[]);
    farm.locals(&["anna"]);
    let mut anna = Drone::new("anna");
    anna.name = "sweeper-anna".to_owned();
    let id = anna.id.clone();
    farm.drones.insert(anna.name.clone(), anna);
    let answer = farm.hello("sweeper-anna", Role::Supervisor);
    assert!(
        matches!(&answer, Some(Answer::Hello(HelloAnswer::Refused { reason, hint }))
            if reason.contains("was let in as anna") && hint.contains("drone.toml")),
        "{answer:?}"
    );
    assert!(farm.view().drones.get(&id).is_none());
}

#[test]
fn tappers_come_and_go_beside_the_drones() {
    let mut farm = Farm::of(&[]);
    let tap = |farm: &mut Farm, id: &str, name: &str| {
        farm.request(Request::Tapper(TapperRequest { id: id.to_owned(), name: name.to_owned() }))
    };
    assert!(matches!(tap(&mut farm, "Utap", "grafana"), Answer::Done(done) if done.touched == 1));
    assert!(matches!(tap(&mut farm, "Utap", "grafana"), Answer::Done(done) if done.touched == 0), "a repeat");
    assert_eq!(refusal(&tap(&mut farm, "Utap", "other")).0, RefusalKind::Conflict, "one key, one member");
    assert_eq!(refusal(&tap(&mut farm, "Utap2", "grafana")).0, RefusalKind::Conflict, "one name, one tapper");
    assert_eq!(refusal(&tap(&mut farm, "Utap2", "a b")).0, RefusalKind::Invalid);
    farm.invite("i1", "grafana");
    assert_eq!(refusal(&farm.enrol("i1", "Utap")).0, RefusalKind::Conflict, "never two roles");
    assert!(matches!(farm.enrol("i1", "Udrone"), Answer::Enrolled(_)), "drones and tappers have names of their own");
    assert_eq!(farm.view().membership.tappers.iter().collect::<Vec<_>>(), ["Utap"]);
    let revoked = farm.request(Request::RevokeTapper(RevokeTapperRequest { name: "grafana".to_owned() }));
    assert!(matches!(revoked, Answer::Done(_)));
    assert!(farm.view().membership.tappers.is_empty());
    assert_eq!(refusal(&tap(&mut farm, "Utap", "grafana")).0, RefusalKind::Conflict, "its key is good no more");
    assert_eq!(
        refusal(&farm.request(Request::RevokeTapper(RevokeTapperRequest { name: "grafana".to_owned() }))).0,
        RefusalKind::NotFound
    );
}

#[test]
fn those_who_left_are_remembered_up_to_a_bound() {
    let mut farm = Farm::of(&[]);
    for n in 0..1_100 {
        let request = Request::Tapper(TapperRequest { id: format!("U{n:04}"), name: format!("t{n}") });
        farm.request(request);
        farm.request(Request::RevokeTapper(RevokeTapperRequest { name: format!("t{n}") }));
        farm.clock_to(farm.now.at + 1);
    }
    let rows: Vec<MemberRow> = farm.store.all();
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().any(|row| row.id == "U1099") && !rows.iter().any(|row| row.id == "U0000"), "the oldest go");
}
