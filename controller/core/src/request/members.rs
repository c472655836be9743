//! What is asked about who is let onto the bus.

use swarm_protocol::DroneId;

use crate::settings::Millis;

/// Invite a drone. Number and key pair come from the plumbing: they are random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRequest {
    /// Random number.
    pub id: String,
    /// Public half of its key pair.
    pub verifier: String,
    /// Name the drone will have.
    pub name: String,
    /// The build profile it is to serve.
    pub profile: Option<String>,
    /// How long it is good; the default if not given. Milliseconds.
    pub life: Option<Millis>,
}

/// Take open invitations back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UninviteRequest {
    /// Number, or name they are for.
    pub which: String,
}

/// What are proofs for an invitation checked against?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRequest {
    /// Its number.
    pub id: String,
}

/// Somebody's proof for an invitation was wrong. Always refused; too many close the invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongProofRequest {
    /// Its number.
    pub invitation: String,
}

/// A drone proved to have the token of an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolRequest {
    /// Number of the invitation.
    pub invitation: String,
    /// The drone's key.
    pub drone: DroneId,
}

/// The drones of this machine, all of them. The answer names those that stay out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDronesRequest {
    /// Identities and names.
    pub drones: Vec<(DroneId, String)>,
}

/// Let somebody read the events on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapperRequest {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Let a tapper read no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeTapperRequest {
    /// Name or identity.
    pub name: String,
}
