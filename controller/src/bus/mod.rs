//! The bus: the managed `nats-server` and its certificates, the keys and permissions of its users, and the controller's own
//! connection.
//!
//! Decides nothing about packages or drones; it carries what the core decided. Called by `swarm serve`.

pub mod gate;
pub mod keys;
pub mod link;
pub mod permissions;
pub mod server;
pub mod tls;
