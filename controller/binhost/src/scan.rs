//! Makes the index of a folder from the packages in it, as `emaint binhost --fix` does, on all processors. For folders
//! nobody's rows know: packages brought from elsewhere, a mirror to be checked. The swarm's own indexes are made from rows.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use md5::Md5;
use sha1::Sha1;
use sha2::Digest;

use super::durable;
use super::gpkg::{GpkgError, Limits, Opened, Problem};
use super::index::Index;
use super::stanza::{Listed, Stanza};

/// Folders below the index's own: category and package name, as Portage lays them out, and one to spare.
const DEPTH: usize = 3;
/// Ending of what is listed.
const ENDING: &str = ".gpkg.tar";

/// Reads every `.gpkg.tar` below `folder`. What can't be listed is left out and answered beside the index, sorted by path.
/// Links and hidden files are not followed.
///
/// # Errors
/// When a folder can't be read.
pub fn scan(folder: &Path, header: BTreeMap<String, String>, limits: &Limits) -> io::Result<(Index, Vec<GpkgError>)> {
    let mut paths = Vec::new();
    find(folder, DEPTH, &mut paths)?;
    paths.sort_unstable();
    let next = AtomicUsize::new(0);
    let read = Mutex::new((Vec::with_capacity(paths.len()), Vec::new()));
    let work = || {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(path) = paths.get(next.fetch_add(1, Relaxed)) {
            match stanza_of(folder, path, limits) {
                Ok(stanza) => good.push(stanza),
                Err(problem) => bad.push(GpkgError { path: path.clone(), problem }),
            }
        }
        let mut read = read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        read.0.append(&mut good);
        read.1.append(&mut bad);
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 1..processors {
            scope.spawn(work);
        }
        work();
    });
    let (good, mut bad) = read.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    bad.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut index = Index::new(header);
    for stanza in good {
        index.insert(stanza);
    }
    Ok((index, bad))
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        if kind.is_dir() && depth > 0 {
            find(&entry.path(), depth - 1, found)?;
        } else if kind.is_file() && name.ends_with(ENDING) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn stanza_of(folder: &Path, path: &Path, limits: &Limits) -> Result<Stanza, Problem> {
    let opened = Opened::read(path, limits)?;
    let mtime = opened.file.get_ref().metadata()?.modified()?;
    let (md5, sha1) = sums(opened.file)?;
    let relative = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
    let build_id = opened.metadata.value("BUILD_ID").parse().unwrap_or(0);
    let listed = Listed { path: relative, size: opened.size, mtime: durable::seconds(mtime), md5, sha1 };
    Stanza::of(&opened.cpv.to_string(), build_id, &opened.metadata, &listed)
        .map_err(|(key, source)| Problem::Dependency { key, source })
}

fn sums(mut file: impl Read + Seek) -> io::Result<(String, String)> {
    let (mut md5, mut sha1) = (Md5::new(), Sha1::new());
    let mut buffer = vec![0; 1 << 16];
    file.seek(SeekFrom::Start(0))?;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex::encode(md5.finalize()), hex::encode(sha1.finalize())));
        }
        md5.update(&buffer[..count]);
        sha1.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::sample;

    #[test]
    fn every_sound_package_is_listed_and_every_other_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("app-misc/hello");
        fs_err::create_dir_all(&folder).unwrap();
        sample().write(&folder);
        let mut broken = sample().build();
        broken.truncate(700);
        fs_err::write(folder.join("broken-1-1.gpkg.tar"), broken).unwrap();
        fs_err::write(folder.join(".swarm-half.gpkg.tar"), "").unwrap();
        fs_err::write(folder.join("notes.txt"), "").unwrap();
        let header = BTreeMap::from([("ARCH".to_owned(), "amd64".to_owned())]);
        let (index, bad) = scan(dir.path(), header, &Limits::default()).unwrap();
        assert_eq!((index.len(), bad.len()), (1, 1));
        assert!(bad[0].path.ends_with("app-misc/hello/broken-1-1.gpkg.tar"), "{bad:?}");
        let stanza = index.stanzas().next().unwrap();
        let file = folder.join("hello-1.1-1.gpkg.tar");
        let bytes = fs_err::read(&file).unwrap();
        assert_eq!(stanza.path(), "app-misc/hello/hello-1.1-1.gpkg.tar");
        assert_eq!(stanza.get("MD5"), hex::encode(Md5::digest(&bytes)));
        assert_eq!(stanza.get("SHA1"), hex::encode(Sha1::digest(&bytes)));
        assert_eq!(stanza.get("SIZE"), bytes.len().to_string());
        let mtime = fs_err::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(stanza.get("_mtime_"), durable::seconds(mtime).to_string());
        assert!(index.text(5).starts_with("ARCH: amd64\n"), "the header is the one given");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(scan(Path::new("/nonexistent/binhost"), BTreeMap::new(), &Limits::default()).is_err());
    }
}
