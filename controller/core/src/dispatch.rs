//! Gives each request to the rule that answers it.

use crate::answer::{Answer, Refusal, ReplyTo, Verifier};
use crate::core::Core;
use crate::request::{
    CollectRequest, ConfigChange, ControlRequest, DamagedRequest, Demand, DroneRequest, EnrolRequest, HealRequest,
    ImportRequest, InvitationRequest, InviteRequest, LocalDronesRequest, PinRequest, QueueRequest, ReindexRequest,
    RemoveRequest, Request, RevokeTapperRequest, TapperRequest, TestNoticeRequest, TicketRequest, UninviteRequest,
    UnpublishRequest, WhyRequest, WishRequest, WrongProofRequest,
};

/// The answer of a rule, which must be the one its request has.
fn answer<D: Demand>(rule: Result<D::Answer, Refusal>) -> Answer {
    rule.map_or_else(Answer::Refused, Into::into)
}

impl Core {
    pub(crate) fn request(&mut self, by: &str, request: Request, reply: ReplyTo) {
        let answer = match request {
            Request::Queue(ask) => answer::<QueueRequest>(self.queue(by, &ask)),
            Request::Remove(ask) => answer::<RemoveRequest>(self.remove(by, &ask.package)),
            Request::Control(ask) => {
                let (package, drone) = (ask.package.as_deref(), ask.drone.as_deref());
                answer::<ControlRequest>(self.control(by, ask.action, package, drone))
            }
            Request::Configure(change) => answer::<ConfigChange>(Ok(self.configure(by, change))),
            Request::Why(ask) => answer::<WhyRequest>(self.why(&ask.package)),
            Request::Drone(ask) => answer::<DroneRequest>(self.drone_action(by, &ask.drone, ask.action)),
            Request::Heal(ask) => answer::<HealRequest>(self.heal(by, &ask.drone, ask.action)),
            Request::Wish(ask) => answer::<WishRequest>(self.wish(by, &ask.drone, *ask.wishes)),
            Request::TestNotice(_) => answer::<TestNoticeRequest>(Ok(self.test_notice(by))),
            Request::Pin(ask) => answer::<PinRequest>(self.pin(by, &ask.package, ask.pinned)),
            Request::Unpublish(ask) => answer::<UnpublishRequest>(self.take_out(by, &ask.package, ask.force)),
            Request::Collect(ask) => answer::<CollectRequest>(Ok(self.collect_now(ask.dry_run))),
            Request::Import(ask) => answer::<ImportRequest>(self.import(by, ask)),
            Request::Damaged(ask) => {
                answer::<DamagedRequest>(Ok(self.damaged(by, ask.artifact, &ask.reason, ask.rebuild)))
            }
            Request::Reindex(ask) => answer::<ReindexRequest>(self.reindex(&ask.index)),
            Request::Ticket(ask) => answer::<TicketRequest>(self.ticket(ask.artifact)),
            Request::Invite(ask) => answer::<InviteRequest>(self.invite(by, ask)),
            Request::Uninvite(ask) => answer::<UninviteRequest>(self.uninvite(by, &ask.which)),
            Request::Invitation(ask) => answer::<InvitationRequest>(self.verifier(&ask.id).map(Verifier)),
            Request::WrongProof(ask) => answer::<WrongProofRequest>(Err(self.wrong_proof(&ask.invitation))),
            Request::Enrol(ask) => answer::<EnrolRequest>(self.enrol(&ask.invitation, &ask.drone)),
            Request::LocalDrones(ask) => answer::<LocalDronesRequest>(Ok(self.local_drones(&ask.drones))),
            Request::Tapper(ask) => answer::<TapperRequest>(self.admit_tapper(by, &ask.id, &ask.name)),
            Request::RevokeTapper(ask) => answer::<RevokeTapperRequest>(self.revoke_tapper(by, &ask.name)),
        };
        let answer = match answer {
            Answer::Done(done) => Answer::Done(done.shortened()),
            other => other,
        };
        self.reply(reply, answer);
    }
}
