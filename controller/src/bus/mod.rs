//! The bus: the managed `nats-server` and its certificates, the keys and permissions of its users, the controller's own
//! connection, and the events on their way out.
//!
//! Decides nothing about packages or drones; it carries what the core decided. Called by `swarm serve`.

pub mod gate;
pub mod keys;
pub mod link;
pub mod outbox;
pub mod permissions;
pub mod server;
pub mod tls;
