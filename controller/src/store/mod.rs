//! The store: every row of the core in one redb file. It decides nothing; the engine writes through a [`Writer`], everyone
//! else reads short [`Snapshot`]s, which never wait for a commit. Nothing here knows what a row means.
//!
//! `schema`: rows as bytes · `snapshot`: reading · `writer`: writing, and forgetting old journal rows · `migrate`: older files.

pub mod migrate;
mod schema;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase};

pub use schema::{DecodeError, SCHEMA_VERSION};
pub use snapshot::{ReadError, Snapshot};
pub use writer::{Change, Retention, WriteError, Writer};

/// Bytes of page cache. The working set is the tail of the journals; the core holds its tables itself.
const CACHE_BYTES: usize = 64 << 20;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is open in another process: only one controller can run on a data directory")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error(
        "{path} has schema version {found}, this program knows versions up to {known}: \
         start a controller that knows version {found}, or restore a copy made before the upgrade"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest this program knows.
        known: u64,
    },
    /// Not a store, or damaged.
    #[error("open the store {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The file could not be made, copied or protected.
    #[error("prepare the store {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An older file could not be brought forward.
    #[error(transparent)]
    Migration(#[from] migrate::MigrateError),
}

/// The store. Cheap to clone; all clones are the same file.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    path: Arc<Path>,
}

impl Store {
    /// Opens the file, or makes it (mode 0600), and brings an older one forward.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, migrate::MIGRATIONS, SCHEMA_VERSION)
    }

    /// [`Store::open`] with a list of migrations; the seam for their tests.
    pub(crate) fn open_with(path: &Path, migrations: &[migrate::Migration], known: u64) -> Result<Self, OpenError> {
        let existed = path.exists();
        if !existed {
            create_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        }
        let database = open_database(path)?;
        let found = migrate::version(&database)?;
        let database = match found {
            Some(found) if found > known => {
                return Err(OpenError::Newer { path: path.to_owned(), found, known });
            }
            Some(found) if found < known => {
                drop(database);
                migrate::keep_copy(path, found)?;
                let database = open_database(path)?;
                migrate::run(&database, migrations, found, known)?;
                database
            }
            Some(_) => database,
            None => {
                migrate::stamp(&database, known)?;
                database
            }
        };
        Ok(Self { database: Arc::new(database), path: path.into() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A read of one moment. Keep it short: while it lives, the file can only grow.
    pub fn read(&self) -> Result<Snapshot, ReadError> {
        let transaction = self.database.begin_read().map_err(ReadError::storage)?;
        Ok(Snapshot::new(transaction, self.database.clone()))
    }

    /// A place to collect changes for one transaction. The engine is the only one who does.
    pub fn writer(&self) -> Writer {
        Writer::new(self.database.clone())
    }
}

fn create_private(path: &Path) -> Result<(), std::io::Error> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(())
}

fn open_database(path: &Path) -> Result<Database, OpenError> {
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
        other => OpenError::Database { path: path.to_owned(), source: Box::new(other.into()) },
    })
}
