//! What the end-to-end tests share: a whole swarm of real processes on loopback, with handles to kill any of them.
//!
//! Everything a test starts is ended by pid when its [`Swarm`] is dropped. Waiting is polling for a condition, bounded.

pub mod bus;
pub mod chance;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod drone;
pub mod feed;
pub mod figures;
pub mod fleet;
pub mod garbage;
pub mod gpkg;
pub mod http;
pub mod mail;
pub mod network;
pub mod packages;
pub mod processes;
pub mod scripted;
pub mod serve;
pub mod server;
pub mod setup;
pub mod sshd;
pub mod standing_in;
pub mod swarm;
pub mod tools;
pub mod wait;

pub use bus::{Bus, Tapper};
pub use chance::Chance;
pub use drone::Drone;
pub use feed::Feed;
pub use figures::Times;
pub use http::Http;
pub use mail::MailServer;
pub use scripted::Scripted;
pub use setup::Setup;
pub use sshd::Sshd;
pub use swarm::Swarm;
pub use wait::until;
