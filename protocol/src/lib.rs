//! The wire of Build Swarm: what drones report, what the controller orders, and how both are written as MessagePack.
//!
//! This crate holds types, subjects and the codec. It never opens a connection and knows no runtime, so that both sides,
//! the simulation and other people's tools share one truth. Rules of evolution: maps with field names, internally tagged
//! enums with an `Unknown` variant, later fields optional or defaulted, byte fields through `serde_bytes`.

pub mod artifact;
pub mod atom;
mod bounded;
pub mod envelope;
pub mod event;
pub mod ids;
pub mod invite;
pub mod log;
pub mod machine;
pub mod order;
pub mod plan;
pub mod report;
pub mod subject;

pub use atom::{Atom, Cpv};
pub use envelope::{CodecError, Envelope, MAX_BODY, PROTO_MAX, PROTO_MIN, decode, encode};
pub use ids::{ArtifactId, Attempt, BuildId, DroneId, Fence, InstanceId, PlanId, Secret, SessionId, StoreId};
pub use subject::Subjects;
