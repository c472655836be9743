//! Finds the file a request names. Decides which names are shown at all; never leads out of the root. Called by the router
//! above, before anything is said of a file.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Longest path taken, encoded.
const MAX_PATH: usize = 1024;

/// The path below the root a request names; none for one that names nothing we show.
pub(super) fn relative(encoded: &str) -> Option<PathBuf> {
    if encoded.len() > MAX_PATH {
        return None;
    }
    let decoded = decode(encoded.strip_prefix('/').unwrap_or(encoded))?;
    let path = Path::new(&decoded);
    for part in path.components() {
        let Component::Normal(name) = part else { return None };
        if !is_shown(name.to_str()?) {
            return None;
        }
    }
    // components() forgives `a//b` and `a/./b`; one file has one address
    let exact = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    (exact == decoded && !decoded.is_empty()).then(|| path.to_owned())
}

/// Hidden and temporary files, uploads on their way and what Portage leaves of a broken build are nobody's business.
fn is_shown(name: &str) -> bool {
    let broken = name.contains(".gpkg.tar") && !name.ends_with(".gpkg.tar");
    let unfinished = [".tmp", ".part", ".partial", "~"].iter().any(|ending| name.ends_with(ending));
    !name.starts_with('.') && name != "incoming" && !broken && !unfinished
}

/// Percent-decoding; none for a malformed escape, text that is not UTF-8, or control characters.
fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// An open file and what is said about it. All of it is of one moment: a rename in between changes nothing.
pub(super) struct Found {
    pub(super) file: fs_err::File,
    /// Its own name, without folders.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// ETag; a weak one if the file may also be sent compressed.
    pub(super) tag: String,
}

pub(super) fn open_in(roots: &[PathBuf], relative: &Path) -> io::Result<Option<Found>> {
    for root in roots {
        if let Some(found) = open(root, relative)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn open(root: &Path, relative: &Path) -> io::Result<Option<Found>> {
    // not by fs_err: its errors hide the number
    let resolved = root.canonicalize().and_then(|root| Ok((root.join(relative).canonicalize()?, root)));
    let path = match resolved {
        // a link may lead elsewhere below the root, never out of it
        Ok((path, root)) if path.starts_with(&root) => path,
        Ok(_) => return Ok(None),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("resolve {}: {error}", relative.display()))),
    };
    // a pipe without a writer would block
    if !fs_err::metadata(&path).is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let file = match fs_err::File::open(&path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    let (size, modified) = (found.len(), found.modified()?);
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = relative.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // the index is also sent compressed under the same tag: a weak one
    let weak = if name == "Packages" { "W/" } else { "" };
    let tag = format!("{weak}\"{size:x}-{:x}\"", since.as_nanos());
    Ok(Some(Found { file, name, size, modified, tag }))
}

/// No such file, as far as a stranger is concerned.
fn is_absent(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::PermissionDenied];
    let odd = [nix::libc::ELOOP, nix::libc::ENAMETOOLONG];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|number| odd.contains(&number))
}
