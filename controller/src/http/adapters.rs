//! The real logs, bus and binhost as the façade's ports.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::BodyDataStream;
use futures::future::BoxFuture;
use swarm_core::Membership;
use swarm_core::files::UploadedFile;
use swarm_core::rows::IndexKey;
use swarm_protocol::{ArtifactId, Fence, Secret};

use super::ports::{Addresses, Binhost, Bus, BusState, ClientHelp, LogPiece, Logs, Readiness, UploadError};
use crate::bus::gate::{self, Gate};
use crate::bus::link::Link;
use crate::bus::server::BusServer;
use crate::bus::{permissions, tls};
use crate::config::{Config, host_of};
use crate::logs::LogCollector;
use swarm_binhost::gpkg::{Limits, inspect};
use swarm_binhost::room::{self, RoomError};
use swarm_binhost::upload::{self, path_of};
use swarm_binhost::verify::Report;
use swarm_binhost::verifying::Verifying;
use swarm_binhost::{service::Folders, snippet};

impl Logs for LogCollector {
    fn read(&self, fence: Fence, offset: u64, max: u64) -> BoxFuture<'_, std::io::Result<Option<LogPiece>>> {
        Box::pin(async move {
            let read = LogCollector::read(self, fence, offset, max).await?;
            Ok(read.map(|read| LogPiece {
                offset: read.piece.offset,
                bytes: read.piece.bytes,
                total: read.total,
                ended: read.ended,
                complete: read.complete,
            }))
        })
    }

    fn grown(&self, fence: Fence) -> BoxFuture<'static, ()> {
        let follow = self.follow(fence);
        Box::pin(async move {
            match follow {
                Some(mut progress) => drop(progress.changed().await),
                None => futures::future::pending().await,
            }
        })
    }
}

/// The built-in binhost's doors.
pub struct Door {
    /// Where its files are.
    pub folders: Folders,
    /// Fingerprint of the signing key.
    pub fingerprint: String,
    /// The signing key's public half.
    pub public_key: String,
    /// What opens the restricted part.
    pub secret: Secret,
    /// Checks of what is published.
    pub verifying: Verifying,
    /// Largest upload, bytes.
    pub max_upload: u64,
    /// Least free part of the disk, percent.
    pub min_free_percent: u32,
    /// Bounds of a package.
    pub limits: Limits,
}

impl Door {
    /// Uploads and signed packages may lie on different disks.
    fn room(&self, package: u64) -> Result<(), RoomError> {
        let folders = &self.folders;
        room::check(&[&folders.incoming, &folders.root, &folders.private], package, self.min_free_percent)
    }
}

impl Binhost for Door {
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn public_key(&self) -> String {
        self.public_key.clone()
    }

    fn client_help(&self, index: &IndexKey, url: &str, key_url: &str) -> ClientHelp {
        let name = format!("swarm-{}", index.profile);
        let commands = snippet::trust_on_gentoo(&self.fingerprint, key_url);
        ClientHelp {
            snippet: snippet::binrepos_conf(&name, url, snippet::CLIENT_PRIORITY),
            commands: commands.lines().map(str::to_owned).collect(),
        }
    }

    fn receive(
        &self,
        artifact: ArtifactId,
        sha256: String,
        size: u64,
        body: BodyDataStream,
    ) -> BoxFuture<'_, Result<UploadedFile, UploadError>> {
        Box::pin(async move {
            self.room(size).map_err(|error| match error {
                RoomError::Full { .. } => UploadError::Full(error.to_string()),
                RoomError::Unknown(..) => UploadError::Broken(error.to_string()),
            })?;
            let path = upload::receive(body, &self.folders.incoming, artifact.0, &sha256, size, self.max_upload)
                .await
                .map_err(|error| match &error {
                    upload::UploadError::Write { source, .. } if is_full(source) => {
                        UploadError::Full(error.to_string())
                    }
                    upload::UploadError::Write { .. } | upload::UploadError::Broken(_) => {
                        UploadError::Broken(error.to_string())
                    }
                    _ => UploadError::Refused(error.to_string()),
                })?;
            verified(path, self.limits.clone()).await
        })
    }

    fn discard(&self, artifact: ArtifactId) {
        let path = path_of(&self.folders.incoming, artifact.0);
        if let Err(error) = fs_err::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a refused upload could not be removed");
        }
    }

    fn secret(&self) -> Secret {
        self.secret.clone()
    }

    fn verify(&self, actor: &str, rebuild: bool, force: bool) -> bool {
        self.verifying.start(actor, rebuild, force)
    }

    fn report(&self) -> Option<Report> {
        self.verifying.report()
    }
}

impl Readiness for Door {
    fn missing(&self) -> Vec<String> {
        self.room(0).err().map(|error| format!("no package is taken: {error}")).into_iter().collect()
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// Looks into an upload; one that is no package is removed.
async fn verified(path: PathBuf, limits: Limits) -> Result<UploadedFile, UploadError> {
    let looked = tokio::task::spawn_blocking(move || {
        inspect(&path, &limits).map_err(|error| {
            drop(fs_err::remove_file(&path));
            UploadError::Refused(format!("{error}: {}", error.problem))
        })
    });
    let file = looked.await.map_err(|error| UploadError::Broken(error.to_string()))??;
    Ok(file.described())
}

/// The bus with what drones of other machines are told of it.
pub struct Gateway {
    bus: Arc<BusServer>,
    gate: Gate,
    link: Link,
    logs: LogCollector,
    prefix: String,
    facade: String,
    public_url: Option<String>,
    /// PEM and fingerprint.
    authority: Option<(String, String)>,
}

impl Gateway {
    /// The gateway of a running bus.
    ///
    /// # Errors
    /// When the authority's certificate can't be read.
    pub fn new(
        config: &Config,
        bus: Arc<BusServer>,
        gate: Gate,
        link: Link,
        logs: LogCollector,
    ) -> Result<Self, tls::TlsError> {
        let port = match &*bus {
            BusServer::Managed(server) => server.port(),
            BusServer::External { .. } => 0,
        };
        let authority = bus.ca().map(tls::read_authority).transpose()?;
        let (facade, public_url) = (config.public_url(), config.bus_public_url(port));
        Ok(Self { bus, gate, link, logs, prefix: config.bus.prefix.clone(), facade, public_url, authority })
    }
}

impl Bus for Gateway {
    fn addresses(&self) -> Result<Addresses, String> {
        let loopback = |url: &str| {
            host_of(url).is_none_or(|host| {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            })
        };
        let Some(bus) = &self.public_url else {
            let only_here = "the bus listens to this machine only: set bus.listen = \"0.0.0.0\", bus.port, and \
                http.public_url (or bus.public_url), and start the controller again";
            return Err(only_here.to_owned());
        };
        if self.facade.starts_with("https://") {
            return Err(format!("drones speak plain HTTP, and http.public_url is {}", self.facade));
        }
        // both or neither: on one machine, to try it out, loopback is good for both
        if loopback(&self.facade) && !loopback(bus.split(',').next().unwrap_or_default()) {
            return Err(format!(
                "other machines can't reach the façade at {}: set http.public_url and start the controller again",
                self.facade
            ));
        }
        let authority = self.authority.as_ref().map(|(_, fingerprint)| fingerprint.clone());
        Ok(Addresses { facade: self.facade.clone(), bus: bus.clone(), prefix: self.prefix.clone(), authority })
    }

    fn authority(&self) -> Option<String> {
        self.authority.as_ref().map(|(pem, _)| pem.clone())
    }

    fn admitted(&self, membership: Arc<Membership>) -> BoxFuture<'_, Result<bool, String>> {
        Box::pin(async move {
            self.gate.admitted(membership.generation).await.map_err(|error| error.to_string())?;
            Ok(self.bus.is_managed())
        })
    }

    fn permissions(&self, membership: &Membership) -> Result<String, String> {
        let members = gate::members(self.bus.credentials().id.clone(), membership);
        permissions::render(&self.prefix, &members).map_err(|error| error.to_string())
    }

    fn state(&self) -> BusState {
        let mut counters = self.link.counters().all();
        counters.extend(self.logs.counters().all());
        BusState {
            url: self.bus.url(),
            public_url: self.public_url.clone(),
            managed: self.bus.is_managed(),
            connected: self.link.is_connected(),
            authority: self.authority.as_ref().map(|(_, fingerprint)| fingerprint.clone()),
            prefix: self.prefix.clone(),
            counters,
        }
    }
}

impl Readiness for Link {
    fn missing(&self) -> Vec<String> {
        if self.is_connected() { Vec::new() } else { vec!["the bus can't be reached".to_owned()] }
    }
}
