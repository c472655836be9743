//! Bringing an older file forward: the schema version is one integer, migrations run one version at a time, in
//! one transaction, after a copy of the file. Called by [`super::Store::open`] only.

use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, TableError, WriteTransaction};

use super::schema::{SCHEMA, VERSION_KEY};

/// One step forward.
pub struct Migration {
    /// The version it makes out of the one before.
    pub to: u64,
    /// What it does, for the log.
    pub what: &'static str,
    /// Does it, within the transaction of the whole migration.
    pub run: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

/// Every step since the first release, in order. Version 1 is the first, so there is none yet.
pub const MIGRATIONS: &[Migration] = &[];

/// Why an older file could not be brought forward.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is no way from that version.
    #[error("no migration leads to schema version {to}")]
    Missing {
        /// The version that cannot be made.
        to: u64,
    },
    /// A step failed; the file is as it was.
    #[error("migrate the store to schema version {to} ({what})")]
    Step {
        /// The version.
        to: u64,
        /// What the step does.
        what: &'static str,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The copy failed; the file is as it was.
    #[error("copy the store to {path} before its migration")]
    Copy {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The version could not be read or written.
    #[error("read or write the schema version")]
    Version(#[source] Box<redb::Error>),
}

fn version_error(error: impl Into<redb::Error>) -> MigrateError {
    MigrateError::Version(Box::new(error.into()))
}

/// The version of a file; `None` for a new one.
pub(super) fn version(database: &Database) -> Result<Option<u64>, MigrateError> {
    let read = database.begin_read().map_err(version_error)?;
    let table = match read.open_table(SCHEMA) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(version_error(error)),
    };
    Ok(table.get(VERSION_KEY).map_err(version_error)?.map(|version| version.value()))
}

/// Writes the version of a new file.
pub(super) fn stamp(database: &Database, version: u64) -> Result<(), MigrateError> {
    let mut write = database.begin_write().map_err(version_error)?;
    write.set_durability(Durability::Immediate).map_err(version_error)?;
    write_version(&write, version)?;
    write.commit().map_err(version_error)
}

fn write_version(write: &WriteTransaction, version: u64) -> Result<(), MigrateError> {
    let mut table = write.open_table(SCHEMA).map_err(version_error)?;
    table.insert(VERSION_KEY, version).map_err(version_error)?;
    Ok(())
}

/// Where the copy of a file of that version lies.
pub fn copy_path(path: &Path, version: u64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".v{version}"));
    path.with_file_name(name)
}

/// Copies the closed file beside itself. An older copy is replaced: a migration is one transaction, so a file that still has
/// the old version is whole, and newer than any copy of it.
pub(super) fn keep_copy(path: &Path, version: u64) -> Result<(), MigrateError> {
    let copy = copy_path(path, version);
    let made = || -> Result<(), std::io::Error> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut whole = tempfile::NamedTempFile::new_in(folder)?;
        std::io::copy(&mut fs_err::File::open(path)?, whole.as_file_mut())?;
        whole.as_file().sync_all()?;
        whole.persist(&copy).map_err(|error| error.error)?;
        fs_err::File::open(folder)?.sync_all()
    };
    made().map_err(|source| MigrateError::Copy { path: copy.clone(), source })
}

/// Runs every step after `found` up to `known`, all in one transaction.
pub(super) fn run(database: &Database, steps: &[Migration], found: u64, known: u64) -> Result<(), MigrateError> {
    let mut write = database.begin_write().map_err(version_error)?;
    write.set_durability(Durability::Immediate).map_err(version_error)?;
    for to in found + 1..=known {
        let step = steps.iter().find(|step| step.to == to).ok_or(MigrateError::Missing { to })?;
        tracing::info!(to, what = step.what, "migrating the store");
        (step.run)(&write).map_err(|source| MigrateError::Step { to, what: step.what, source: Box::new(source) })?;
    }
    write_version(&write, known)?;
    write.commit().map_err(version_error)
}
