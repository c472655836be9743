//! Carries out the engine's work for the binhost on a thread of its own: signatures, generations of indexes, uploads let
//! go. What became of it goes back as inputs. Decides nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use swarm_core::Input;
use swarm_core::input::SignedFile;
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow};
use swarm_core::table::Source;
use swarm_protocol::ArtifactId;
use tracing::{error, warn};

use super::gpkg::Limits;
use super::index::Index;
use super::publish::sign_into;
use super::sign::SigningKey;
use super::stanza::Stanza;
use super::upload::path_of;
use crate::engine::{BinhostWork, EngineHandle};
use crate::store::{ReadError, Snapshot};

/// Where the binhost's files are.
#[derive(Debug, Clone)]
pub struct Places {
    /// Served to clients.
    pub root: PathBuf,
    /// Uploads on their way.
    pub incoming: PathBuf,
}

/// The one writer of the binhost's files.
pub struct Service {
    places: Places,
    key: SigningKey,
    limits: Limits,
    indexes: BTreeMap<String, Index>,
}

impl Service {
    /// Takes up the indexes as the rows have them. A published package whose file is gone is left out of its index, loudly.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn load(places: Places, key: SigningKey, limits: Limits, rows: &Snapshot) -> Result<Self, ReadError> {
        let mut indexes: BTreeMap<String, Index> = BTreeMap::new();
        for row in rows.rows::<IndexRow>()? {
            indexes.insert(row.index.to_string(), Index::new(row.header));
        }
        for row in rows.rows::<ArtifactRow>()? {
            let ArtifactState::Published { path, size_out, stanza, .. } = row.state else { continue };
            let file = places.root.join(row.index.to_string()).join(&path);
            let size = fs_err::metadata(&file).map(|file| file.len()).ok();
            match Stanza::from_map(stanza) {
                Ok(stanza) if size == Some(size_out) => {
                    indexes.entry(row.index.to_string()).or_insert_with(|| Index::new(BTreeMap::new())).insert(stanza);
                }
                Ok(_) => {
                    error!(package = %row.cpv, file = %file.display(), ?size, "a published package is not as it was; left out of its index")
                }
                Err(reason) => {
                    error!(package = %row.cpv, %reason, "a published package has no usable block; left out of its index")
                }
            }
        }
        Ok(Self { places, key, limits, indexes })
    }

    /// Works until nobody can send work any more.
    pub fn run(mut self, work: &mpsc::Receiver<BinhostWork>, engine: &EngineHandle) {
        while let Ok(task) = work.recv() {
            if let Some(news) = self.carry_out(task)
                && engine.send_blocking(news).is_err()
            {
                return;
            }
        }
    }

    fn carry_out(&mut self, task: BinhostWork) -> Option<Input> {
        match task {
            BinhostWork::Sign { artifact, index, build_id, .. } => Some(self.sign(artifact, &index, build_id)),
            BinhostWork::WriteIndex { index, timestamp, header, add } => {
                Some(self.write(index, timestamp, header, add))
            }
            BinhostWork::DropUpload { artifact } => {
                remove(&path_of(&self.places.incoming, artifact.0));
                None
            }
        }
    }

    fn sign(&self, artifact: ArtifactId, index: &IndexKey, build_id: u32) -> Input {
        let incoming = path_of(&self.places.incoming, artifact.0);
        let folder = self.places.root.join(index.to_string());
        match sign_into(&incoming, &folder, build_id, &self.key, &self.limits) {
            Ok(signed) => {
                let file = SignedFile {
                    path: signed.path,
                    sha256: signed.sha256,
                    size: signed.size,
                    stanza: signed.stanza.into_map(),
                };
                Input::Signed { artifact, file }
            }
            Err(error) => Input::SigningFailed { artifact, reason: chain(&error) },
        }
    }

    fn write(
        &mut self,
        index: IndexKey,
        timestamp: u64,
        header: BTreeMap<String, String>,
        add: Vec<(ArtifactId, BTreeMap<String, String>)>,
    ) -> Input {
        let kept = self.indexes.entry(index.to_string()).or_insert_with(|| Index::new(BTreeMap::new()));
        kept.set_header(header);
        for (artifact, stanza) in add {
            // Published and on disk, or this work would not be here: the upload has done its duty.
            remove(&path_of(&self.places.incoming, artifact.0));
            match Stanza::from_map(stanza) {
                Ok(stanza) => drop(kept.insert(stanza)),
                Err(reason) => error!(%artifact, %reason, "a block can't be listed"),
            }
        }
        let folder = self.places.root.join(index.to_string());
        match kept.write(&folder, timestamp) {
            Ok(_) => Input::IndexWritten { index, timestamp },
            Err(error) => Input::IndexFailed { index, reason: chain(&error) },
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs_err::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(%error, "an upload could not be removed");
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
