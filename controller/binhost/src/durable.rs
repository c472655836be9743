//! Files that appear whole or not at all, and stay after a power cut. Temporary files have one prefix, so that
//! [`tidy`] finds what a crash left and `serve` never shows one.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

/// Prefix of every temporary file of the binhost.
pub const TEMPORARY: &str = ".swarm-";

/// Depth of the deepest folder with temporary files: `<arch>/<profile>/<chost>/<cat>/<pn>`.
const DEPTH: usize = 5;

/// A temporary file in `folder`; gone when dropped.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)
}

/// Gives `file` its mode and modification time (seconds since the epoch) and makes its content durable.
pub fn settle(file: &NamedTempFile, mode: u32, mtime: u64) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let file = file.as_file();
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.set_modified(at(mtime))?;
    file.sync_all()
}

/// Settles `file` and puts it at `target`, in place of what was there. The folder is not synced.
pub fn place(file: NamedTempFile, target: &Path, mode: u32, mtime: u64) -> io::Result<()> {
    settle(&file, mode, mtime)?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// The moment `seconds` after the epoch.
pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Whole seconds from the epoch to `moment`; 0 before it.
pub fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Removes temporary files a crash left below `root` and in `incoming`; only at start, before anything is written.
/// Answers how many. Links are not followed.
pub fn tidy(root: &Path, incoming: &Path) -> io::Result<usize> {
    Ok(tidy_folder(root, DEPTH)? + tidy_folder(incoming, 0)?)
}

fn tidy_folder(folder: &Path, depth: usize) -> io::Result<usize> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut removed = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            removed += tidy_folder(&entry.path(), depth - 1)?;
        } else if kind.is_file() && entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs_err::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use swarm_common::files::create_folders;

    use super::*;

    #[test]
    fn tidy_removes_temporary_files_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let package = root.join("amd64/base/x86_64-pc-linux-gnu/app-misc/hello");
        let incoming = dir.path().join("incoming");
        create_folders(&package).unwrap();
        create_folders(&incoming).unwrap();
        for stale in [package.join(".swarm-a1"), root.join(".swarm-b2"), incoming.join(".swarm-c3")] {
            fs_err::write(stale, "x").unwrap();
        }
        let kept = [package.join("hello-1-1.gpkg.tar"), incoming.join("7.gpkg.tar"), root.join("binhost.asc")];
        for file in &kept {
            fs_err::write(file, "x").unwrap();
        }
        assert_eq!(tidy(&root, &incoming).unwrap(), 3);
        assert_eq!(tidy(&root, &incoming).unwrap(), 0);
        assert!(kept.iter().all(|file| file.is_file()));
        assert_eq!(tidy(&dir.path().join("absent"), &incoming).unwrap(), 0);
    }
}
