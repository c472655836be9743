//! What a person, or a program of theirs, can ask for: one type a request, by topic, and the list that pairs each with its
//! answer. Decides nothing; `dispatch` gives each to the rule that answers it.

mod binhost;
mod drones;
mod members;
mod queue;

pub use binhost::{
    CollectRequest, DamagedRequest, ImportRequest, PinRequest, ReindexRequest, TicketRequest, UnpublishRequest,
};
pub use drones::{DroneAction, DroneRequest, DroneWishes, HealAction, HealRequest, TestNoticeRequest, WishRequest};
pub use members::{
    EnrolRequest, InvitationRequest, InviteRequest, LocalDronesRequest, RevokeTapperRequest, TapperRequest,
    UninviteRequest, WrongProofRequest,
};
pub use queue::{ConfigChange, Control, ControlRequest, QueueRequest, RemoveRequest, WhyRequest};

use crate::answer::{Answer, Collected, Done, Enrolled, Healed, ImportAnswer, Queued, Ticket, Verifier};
use crate::explanation::Explanation;
use crate::rows::InviteRow;

/// A request and the answer to it, if it is not refused.
pub trait Demand: Into<Request> + Send + 'static {
    /// What its answer tells.
    type Answer: TryFrom<Answer, Error = Answer> + Into<Answer> + Send + 'static;
}

/// A request a line: its name, its type, its answer.
macro_rules! requests {
    ($($kind:ident($request:ty) -> $answer:ty,)+) => {
        /// What a person can ask for.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $(#[doc = concat!("See [`", stringify!($request), "`].")] $kind($request),)+
        }

        $(
            impl From<$request> for Request {
                fn from(request: $request) -> Self {
                    Self::$kind(request)
                }
            }

            impl Demand for $request {
                type Answer = $answer;
            }
        )+
    };
}

requests! {
    Queue(QueueRequest) -> Queued,
    Remove(RemoveRequest) -> Done,
    Control(ControlRequest) -> Done,
    Configure(ConfigChange) -> Done,
    Why(WhyRequest) -> Vec<Explanation>,
    Drone(DroneRequest) -> Done,
    Heal(HealRequest) -> Healed,
    Wish(WishRequest) -> Done,
    TestNotice(TestNoticeRequest) -> Done,
    Pin(PinRequest) -> Done,
    Unpublish(UnpublishRequest) -> Done,
    Collect(CollectRequest) -> Collected,
    Import(ImportRequest) -> ImportAnswer,
    Damaged(DamagedRequest) -> Done,
    Reindex(ReindexRequest) -> Done,
    Ticket(TicketRequest) -> Ticket,
    Invite(InviteRequest) -> InviteRow,
    Uninvite(UninviteRequest) -> Done,
    Invitation(InvitationRequest) -> Verifier,
    WrongProof(WrongProofRequest) -> Done,
    Enrol(EnrolRequest) -> Enrolled,
    LocalDrones(LocalDronesRequest) -> Done,
    Tapper(TapperRequest) -> Done,
    RevokeTapper(RevokeTapperRequest) -> Done,
}
