//! What is stored. Rows are the core's own types, never the wire's messages and never an HTTP view; only identities and
//! plain vocabulary (phases, failure classes, drone types) are shared with the wire. Every field added after the first
//! release has a default, so that older rows stay readable.

mod artifact;
mod build;
mod drone;
mod healing;
mod journal;
mod list;
mod member;
mod notice;
mod session;
mod wishes;

pub use artifact::{ArtifactRow, ArtifactState, IndexKey, IndexRow, is_restricted};
pub use build::{
    Assignment, BlockedBy, BuildRow, BuildState, BuildWishes, Cancelling, Culprit, FailureMark, Identity, Origin,
    Outcome, Received, Sweep,
};
pub use drone::{DroneRow, Fact, SWARM, Streaks, Syncing};
pub use healing::{Acting, Deed, DeedOutcome, HealingRow, Incident, OrderedBy, ProbeRecord, Recovered, RouteKind};
pub use journal::{EventKind, EventRow, HistoryRow, HistoryStatus};
pub(crate) use list::Rows;
pub use list::{Visitor, visit};
pub use member::{InviteRow, InviteState, MemberOrigin, MemberRole, MemberRow, Standing};
pub use notice::{NoticeKind, NoticeRow, NoticeState};
pub use session::{
    ConfigRow, DurationRow, IdempotencyRow, MetaKey, MetaRow, PlanRow, PlanState, Run, SessionRow, StatsRow,
};
pub use wishes::DroneWishesRow;
