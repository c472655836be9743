//! What the façade needs of the rest of the controller, as small traits: the build logs, the bus and the
//! binhost. `adapters` implements them for the real ones; tests for their own. The engine has a port of its own, which the
//! façade shares with other rooms.
//!
//! Nothing is decided here.

use std::sync::Arc;

use axum::body::BodyDataStream;
use futures::future::BoxFuture;
use swarm_core::Membership;
use swarm_core::files::UploadedFile;
use swarm_core::rows::IndexKey;
use swarm_protocol::{ArtifactId, Fence, Secret};
use thiserror::Error;

use swarm_binhost::verify::Report;

/// A piece of a build log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPiece {
    /// Offset of the first byte in the uncut stream; larger than asked for where the middle was cut.
    pub offset: u64,
    /// The bytes; empty if there are none yet.
    pub bytes: Vec<u8>,
    /// Bytes of the stream so far.
    pub total: u64,
    /// Nothing will be added any more.
    pub ended: bool,
    /// All of it is here but what the drone itself cut out.
    pub complete: bool,
}

/// The stored build logs.
pub trait Logs: Send + Sync {
    /// At most `max` bytes from `offset`; `None` if there is no log of that attempt.
    fn read(&self, fence: Fence, offset: u64, max: u64) -> BoxFuture<'_, std::io::Result<Option<LogPiece>>>;
    /// Ends when something was added to that attempt's log. A hint that may never come: readers also look again by
    /// themselves.
    fn grown(&self, fence: Fence) -> BoxFuture<'static, ()>;
}

/// Why an upload was not taken.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The file is not what was announced, or no package at all.
    #[error("{0}")]
    Refused(String),
    /// There is no room for it.
    #[error("{0}")]
    Full(String),
    /// The connection broke or the disk failed.
    #[error("{0}")]
    Broken(String),
}

/// How a client uses an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHelp {
    /// A `binrepos.conf` section.
    pub snippet: String,
    /// Commands that make Portage trust the swarm's key, one per line of a shell.
    pub commands: Vec<String>,
}

/// The built-in binhost.
pub trait Binhost: Send + Sync {
    /// Fingerprint of the signing key, upper-case hex.
    fn fingerprint(&self) -> String;
    /// The signing key's public half, ASCII-armoured.
    fn public_key(&self) -> String;
    /// What a client at `url` needs; `key_url` is where the public key is had from.
    fn client_help(&self, index: &IndexKey, url: &str, key_url: &str) -> ClientHelp;
    /// Streams an upload into `incoming`, verifies size, hash and structure. On an error nothing is left behind.
    fn receive(
        &self,
        artifact: ArtifactId,
        sha256: String,
        size: u64,
        body: BodyDataStream,
    ) -> BoxFuture<'_, Result<UploadedFile, UploadError>>;
    /// Removes what [`Binhost::receive`] left for an artifact that was refused.
    fn discard(&self, artifact: ArtifactId);
    /// What opens the restricted part.
    fn secret(&self) -> Secret;
    /// Begins to recheck everything that is published; false if a check is under way. `actor` stands in the events.
    fn verify(&self, actor: &str, rebuild: bool, force: bool) -> bool;
    /// How the last check stands; none before the first.
    fn report(&self) -> Option<Report>;
}

/// The bus, as far as the façade has to do with it.
pub trait Bus: Send + Sync {
    /// Addresses that go into invitations.
    ///
    /// # Errors
    /// What must be configured before drones of other machines can come.
    fn addresses(&self) -> Result<Addresses, String>;
    /// The authority to trust for it, PEM; `None` where there is none of its own.
    fn authority(&self) -> Option<String>;
    /// Waits until the bus lets in who `membership` says; `false`: its operator has to see to that.
    ///
    /// # Errors
    /// Why it has not yet.
    fn admitted(&self, membership: Arc<Membership>) -> BoxFuture<'_, Result<bool, String>>;
    /// The users of the bus as `nats-server` reads them.
    ///
    /// # Errors
    /// When they can't be written.
    fn permissions(&self, membership: &Membership) -> Result<String, String>;
    /// How it is and what was counted.
    fn state(&self) -> BusState;
}

/// What drones of other machines are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Base address of the façade.
    pub facade: String,
    /// The bus.
    pub bus: String,
    /// Prefix of its subjects.
    pub prefix: String,
    /// SHA-256 of its authority's certificate, hex.
    pub authority: Option<String>,
}

/// How the bus is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BusState {
    /// As this machine reaches it.
    pub url: String,
    /// As other machines reach it.
    pub public_url: Option<String>,
    /// Started and watched by the controller.
    pub managed: bool,
    /// The controller is connected.
    pub connected: bool,
    /// SHA-256 of the authority's certificate, hex.
    pub authority: Option<String>,
    /// Prefix of every subject.
    pub prefix: String,
    /// What was counted since the controller's start: name and count.
    pub counters: Vec<(&'static str, u64)>,
}

/// Whether the controller can do its work.
pub trait Readiness: Send + Sync {
    /// What is missing, in sentences; none means ready. Must not block for long.
    fn missing(&self) -> Vec<String>;
}
