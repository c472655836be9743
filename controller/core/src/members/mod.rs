//! Who is let onto the bus: invitations, enrolment, leaving. Every change is a row; what the bus enforces is derived from
//! the rows ([`Membership`]) and follows their commit.
//!
//! Never checks a signature (the façade does, against what [`crate::Request::Invitation`] gives) and never decides what a
//! member may say (`bus::permissions` does).
//!
//! `invite`, `join`, `leave`: what changes it · `roll`: the rows · `state`: what readers and the bus see of them.

mod invite;
mod join;
mod leave;
mod roll;
mod state;

pub(crate) use state::MembersState;
pub use state::Membership;
