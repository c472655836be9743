//! Who is let onto the bus, and how others come in.

use serde::{Deserialize, Serialize};
use swarm_core::rows::{InviteRow, InviteState, MemberOrigin, MemberRow, Standing};
use utoipa::ToSchema;

use super::number::seconds;

/// What is wanted of an invitation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteBody {
    /// Name the drone will have.
    pub name: String,
    /// How long it is good: `10m`, `1h 30m`; an hour if not given, 7 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// The build profile it is to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// An invitation, fresh. The token is shown this once and kept nowhere.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InviteAnswer {
    /// What the drone needs to come in, once.
    pub token: String,
    /// The invitation.
    pub invitation: Invite,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// Number.
    pub id: String,
    /// Name the drone will have.
    pub name: String,
    /// The build profile it is to serve.
    pub profile: Option<String>,
    /// `open`, `used`, `expired` or `closed` (too many wrong tokens).
    pub status: String,
    /// Who invited.
    pub by: String,
    /// When.
    pub created_at: f64,
    /// When it ends.
    pub expires_at: f64,
    /// Identity of the drone that came in by it.
    pub drone: Option<String>,
    /// When.
    pub used_at: Option<f64>,
}

impl Invite {
    /// An invitation as it stands at `now`, Unix milliseconds.
    pub fn new(row: &InviteRow, now: u64) -> Self {
        let (status, drone, used_at) = match &row.state {
            InviteState::Open { .. } if row.expires_at <= now => ("expired", None, None),
            InviteState::Open { .. } => ("open", None, None),
            InviteState::Used { drone, at } => ("used", Some(drone.0.clone()), Some(seconds(*at))),
            InviteState::Closed { .. } => ("closed", None, None),
        };
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            profile: row.profile.clone(),
            status: status.to_owned(),
            by: row.by.clone(),
            created_at: seconds(row.created_at),
            expires_at: seconds(row.expires_at),
            drone,
            used_at,
        }
    }
}

/// All invitations, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Invites {
    /// Newest first.
    pub invites: Vec<Invite>,
}

/// A drone asks to be let in. Both signatures are over `build-swarm enrolment 1\n<invitation>\n<key>\n`, base64url.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct EnrolBody {
    /// Number of the invitation.
    pub invitation: String,
    /// The drone's public key (`U…`).
    pub key: String,
    /// Signature with the key of the token.
    pub proof: String,
    /// Signature with the drone's own key.
    pub possession: String,
}

/// A drone is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolAnswer {
    /// `enrolled`.
    pub status: String,
    /// Its name.
    pub name: String,
    /// Version of the controller.
    pub controller_version: String,
    /// The bus lets it in now; false: its operator has to add it.
    pub admitted: bool,
}

/// Somebody with a key of its own on the bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Identity: its public key.
    pub id: String,
    /// Name.
    pub name: String,
    /// `drone` or `tapper`.
    pub role: String,
    /// `local`, `invited`, `handed` or `elsewhere`.
    pub origin: String,
    /// `in`, `forgotten` or `revoked`.
    pub standing: String,
    /// Who let it in.
    pub by: String,
    /// When.
    pub since: f64,
    /// Who ended that.
    pub ended_by: Option<String>,
    /// When.
    pub ended_at: Option<f64>,
}

impl From<&MemberRow> for Member {
    fn from(row: &MemberRow) -> Self {
        let (standing, ended) = match &row.standing {
            Standing::Admitted {} => ("in", None),
            Standing::Forgotten { by, at } => ("forgotten", Some((by.clone(), *at))),
            Standing::Revoked { by, at } => ("revoked", Some((by.clone(), *at))),
        };
        let origin = match row.origin {
            MemberOrigin::Local {} => "local",
            MemberOrigin::Invited { .. } => "invited",
            MemberOrigin::Handed {} => "handed",
            MemberOrigin::Elsewhere {} => "elsewhere",
        };
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            role: row.role.name().to_owned(),
            origin: origin.to_owned(),
            standing: standing.to_owned(),
            by: row.by.clone(),
            since: seconds(row.since),
            ended_by: ended.as_ref().map(|(by, _)| by.clone()),
            ended_at: ended.map(|(_, at)| seconds(at)),
        }
    }
}

/// Everyone who is or was let onto the bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MembersAnswer {
    /// By role and name; those let in first.
    pub members: Vec<Member>,
}

/// A public key that is to read the events on the bus.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TapperBody {
    /// Its name.
    pub name: String,
    /// Its public key (`U…`).
    pub key: String,
}

/// What a tapper needs to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TapperAnswer {
    /// `admitted`, or `waiting`: the operator of the bus has to add it.
    pub status: String,
    /// Its name.
    pub name: String,
    /// The bus as the controller's machine reaches it.
    pub url: String,
    /// The bus as other machines reach it.
    pub public_url: Option<String>,
    /// The authority to trust, PEM.
    pub authority: Option<String>,
    /// Subject of the events, MessagePack.
    pub events: String,
    /// Subject of their JSON twins; they are there if events.json is on.
    pub json_events: String,
}

/// How the bus is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BusAnswer {
    /// As the controller's machine reaches it.
    pub url: String,
    /// As other machines reach it; null: they can't.
    pub public_url: Option<String>,
    /// Started and watched by the controller.
    pub managed: bool,
    /// The controller is connected.
    pub connected: bool,
    /// SHA-256 of the authority's certificate, hex.
    pub authority: Option<String>,
    /// Drones let in.
    pub drones: u64,
    /// Tappers let in.
    pub tappers: u64,
    /// What was dropped, shed or refused since the controller's start.
    pub counters: std::collections::BTreeMap<String, u64>,
}
