//! Files that appear whole or not at all and stay after a power cut, and folders that go whole.
//!
//! "Durably" means: content and name are on the disk when the call returns. Half-made files have a name that begins with
//! [`TEMPORARY`]; only a crash leaves one, and whoever owns the folder may sweep it.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use tempfile::NamedTempFile;

/// How the name of every half-made file begins.
pub const TEMPORARY: &str = ".tmp";

/// Puts `bytes` at `path`, durably, in place of what was there.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let place = |file: NamedTempFile| file.persist(path).map_err(|lost| lost.error);
    settled(path, bytes, mode).and_then(place).map_err(|error| named(path, &error))?;
    sync_folder(folder_of(path))
}

/// Puts `bytes` at `path`, durably. Of two who do so at once the first wins.
///
/// # Errors
/// `AlreadyExists` when there is something already, and then it is left as it is.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let place = |file: NamedTempFile| file.persist_noclobber(path).map_err(|lost| lost.error);
    settled(path, bytes, mode).and_then(place).map_err(|error| named(path, &error))?;
    sync_folder(folder_of(path))
}

/// Writes `text` to `path` by way of `path` with the ending `new`, unless it is there already. Says whether it wrote. Not durable: what is
/// written this way can be made again.
pub fn write_if_changed(path: &Path, text: &str) -> io::Result<bool> {
    if fs::read_to_string(path).is_ok_and(|now| now == text) {
        return Ok(false);
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)?;
    Ok(true)
}

/// Makes `folder` and its missing parents, each of them durable.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    if parent != folder {
        create_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_folder(parent)
}

/// Makes the names in `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Removes a file. One that is not there is fine.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a directory and all below it, also directories a build made read-only. One that is not there is fine.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

fn open_up(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// A file with its content and mode on the disk, beside `path` and not yet under its name.
fn settled(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    // born with mode 0600: nobody reads a secret while it is made
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder_of(path))?;
    file.as_file_mut().write_all(bytes)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The error names the file that was wanted, not the one beside it.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write {}: {error}", path.display()))
}

/// The folder a path's name is in; the working directory for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for (text, mode) in [("one", 0o644), ("two", 0o600)] {
            write_whole(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(names(dir.path()), ["f"]);
        let refused = write_whole(&dir.path().join("no/f"), b"x", 0o600).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert!(refused.to_string().contains("no/f"), "{refused}");
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, b"first", 0o600).unwrap();
        assert_eq!(write_new(&path, b"second", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(names(dir.path()), ["key"]);
    }

    #[test]
    fn a_file_that_is_right_already_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("f.conf");
        assert!(write_if_changed(&at, "x").unwrap());
        assert!(!write_if_changed(&at, "x").unwrap());
    }

    #[test]
    fn folders_are_made_with_their_parents_and_made_again_without_complaint() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_folders(&deep).unwrap();
        create_folders(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(create_folders(&dir.path().join("file/x")).is_err());
    }

    #[test]
    fn what_a_build_made_read_only_goes_and_what_is_not_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("deep/down")).unwrap();
        fs::write(tree.join("deep/down/f"), "x").unwrap();
        for folder in ["deep/down", "deep"] {
            fs::set_permissions(tree.join(folder), PermissionsExt::from_mode(0o500)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
        remove_if_there(&tree).unwrap();
        assert!(remove_if_there(dir.path()).is_err(), "a folder is no file");
    }
}
