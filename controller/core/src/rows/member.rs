//! Who the bus lets in, and who is invited to come.

use serde::{Deserialize, Serialize};
use swarm_protocol::DroneId;

use crate::table::Row;

/// Somebody with a key of its own on the bus. Who left stays as a row, so that a late message, an old key or an old copy of
/// a configuration does not bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Its identity: nkey public key (`U…`).
    pub id: String,
    /// Its name for people; unique among those let in with the same role.
    pub name: String,
    /// What it may do.
    pub role: MemberRole,
    /// How it came in.
    pub origin: MemberOrigin,
    /// Who let it in.
    pub by: String,
    /// Wall clock when it was let in, Unix milliseconds.
    pub since: u64,
    /// Whether it is let in now.
    pub standing: Standing,
}

impl Row for MemberRow {
    type Key = String;
    const TABLE: &'static str = "members";
    fn key(&self) -> String {
        self.id.clone()
    }
}

impl MemberRow {
    /// Whether the bus is to let it in.
    pub fn is_in(&self) -> bool {
        matches!(self.standing, Standing::Admitted {})
    }
}

/// What a member may do on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Its own orders and reports.
    Drone,
    /// Read events, nothing else.
    Tapper,
}

impl MemberRole {
    /// One word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drone => "drone",
            Self::Tapper => "tapper",
        }
    }
}

/// How a member came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum MemberOrigin {
    /// Its key lies on the controller's machine and the configuration names it.
    Local {},
    /// By an invitation.
    Invited {
        /// Number of the invitation.
        invitation: String,
    },
    /// A holder of the admin key handed in its public key.
    Handed {},
    /// The operator of a bus that is not ours let it in.
    Elsewhere {},
}

/// Whether a member is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// The bus lets it in.
    Admitted {},
    /// Not any more; its key may come in again, if the configuration names it or it is invited.
    Forgotten {
        /// Who said so.
        by: String,
        /// Wall clock, Unix milliseconds.
        at: u64,
    },
    /// Never again with this key.
    Revoked {
        /// Who said so.
        by: String,
        /// Wall clock, Unix milliseconds.
        at: u64,
    },
}

/// An invitation for one drone. Its secret is never here: only the public half of the key pair made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRow {
    /// Number, random; no secret.
    pub id: String,
    /// Name the drone will have.
    pub name: String,
    /// Public half of the invitation's key pair: proofs are checked against it.
    pub verifier: String,
    /// The build profile the drone is to serve.
    #[serde(default)]
    pub profile: Option<String>,
    /// Who invited.
    pub by: String,
    /// Wall clock of its making, Unix milliseconds.
    pub created_at: u64,
    /// End on the core's clock.
    pub until: u64,
    /// The same on the wall clock, for people and for the token.
    pub expires_at: u64,
    /// What became of it.
    pub state: InviteState,
}

impl Row for InviteRow {
    type Key = String;
    const TABLE: &'static str = "invites";
    fn key(&self) -> String {
        self.id.clone()
    }
}

/// The life of an invitation. Taken back, it has no row any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum InviteState {
    /// Good until it ends.
    Open {
        /// Proofs that were wrong.
        #[serde(default)]
        wrong: u32,
    },
    /// A drone came in by it.
    Used {
        /// The drone that came in.
        drone: DroneId,
        /// Wall clock, Unix milliseconds.
        at: u64,
    },
    /// Too many wrong proofs.
    Closed {
        /// Wall clock, Unix milliseconds.
        at: u64,
    },
}
