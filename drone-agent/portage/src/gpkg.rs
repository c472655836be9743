//! Reads what a finished build left in its PKGDIR: complete binary packages with their names, flags and hashes.
//!
//! A gpkg is a tar whose members lie below one directory: `gpkg-1`, `metadata.tar[.zst|.bz2|…]`, `image.tar…`, `Manifest`.
//! What Portage leaves of an interrupted packing (empty files, `.gpkg.tarXXXX`) is skipped. Called when emerge has ended.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest, Sha256};
use swarm_protocol::artifact::ArtifactRef;
use thiserror::Error;

/// Most bytes of unpacked metadata read; the environment of large packages has some 100 KB.
const MAX_METADATA: u64 = 64 << 20;
/// Most bytes of one value kept.
const MAX_VALUE: u64 = 1 << 20;

/// Why a file is no package.
#[derive(Debug, Error)]
pub enum GpkgError {
    /// It could not be read.
    #[error("read package {0}")]
    Io(PathBuf, #[source] io::Error),
    /// It has no readable metadata.
    #[error("package {0} {1}")]
    Malformed(PathBuf, &'static str),
}

/// A package found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub artifact: ArtifactRef,
}

/// All complete packages below `pkgdir`, in the order of their paths, and complaints about damaged ones.
pub fn collect(pkgdir: &Path) -> io::Result<(Vec<Found>, Vec<GpkgError>)> {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    let mut files = Vec::new();
    let mut pending = vec![pkgdir.to_owned()];
    while let Some(dir) = pending.pop() {
        if !dir.exists() {
            continue;
        }
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file()
                && entry.path().to_string_lossy().ends_with(".gpkg.tar")
                && entry.metadata()?.len() > 0
            {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for path in files {
        match artifact(&path) {
            Ok(artifact) => found.push(Found { path, artifact }),
            Err(error) => damaged.push(error),
        }
    }
    Ok((found, damaged))
}

fn artifact(path: &Path) -> Result<ArtifactRef, GpkgError> {
    let metadata = metadata(path)?;
    let field = |key: &str| metadata.get(key).map_or("", |value| value.trim());
    let (category, pf) = (field("CATEGORY"), field("PF"));
    if category.is_empty() || pf.is_empty() {
        return Err(GpkgError::Malformed(path.to_owned(), "does not say its CATEGORY and PF"));
    }
    let (sha256, size) = hashed(path).map_err(|e| GpkgError::Io(path.to_owned(), e))?;
    Ok(ArtifactRef {
        cpv: format!("{category}/{pf}"),
        slot: field("SLOT").split('/').next().unwrap_or("0").to_owned(),
        repository: field("repository").to_owned(),
        sha256,
        size,
        use_flags: enabled(field("IUSE"), field("USE")),
    })
}

/// Enabled flags that the package knows, sorted.
fn enabled(iuse: &str, used: &str) -> Vec<String> {
    let known: Vec<&str> = iuse.split_whitespace().map(|flag| flag.trim_start_matches(['+', '-'])).collect();
    let mut flags: Vec<String> =
        used.split_whitespace().filter(|flag| known.contains(flag)).map(str::to_owned).collect();
    flags.sort_unstable();
    flags.dedup();
    flags
}

/// The package's metadata, key to value; nothing of the image is read.
pub fn metadata(path: &Path) -> Result<BTreeMap<String, String>, GpkgError> {
    let io = |e| GpkgError::Io(path.to_owned(), e);
    let mut outer = tar::Archive::new(fs::File::open(path).map_err(io)?);
    for entry in outer.entries().map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.path().map_err(io)?.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(compression) = name.as_deref().and_then(|name| name.strip_prefix("metadata.tar")) else { continue };
        return match compression {
            ".zst" => values(zstd::Decoder::new(entry).map_err(io)?).map_err(io),
            "" => values(entry).map_err(io),
            _ => {
                Err(GpkgError::Malformed(path.to_owned(), "is not compressed with zstd; set BINPKG_COMPRESS=\"zstd\""))
            }
        };
    }
    Err(GpkgError::Malformed(path.to_owned(), "has no metadata"))
}

fn values(tar: impl Read) -> io::Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    let mut inner = tar::Archive::new(tar.take(MAX_METADATA));
    for entry in inner.entries()? {
        let entry = entry?;
        let key = entry.path()?.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if key.ends_with(".bz2") || key.ends_with(".ebuild") || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut value = Vec::new();
        entry.take(MAX_VALUE).read_to_end(&mut value)?;
        out.insert(key, String::from_utf8_lossy(&value).into_owned());
    }
    Ok(out)
}

/// SHA-256 in hex, and size.
fn hashed(path: &Path) -> io::Result<(String, u64)> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex::encode(hash.finalize()), size));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    }

    fn package(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut inner = tar::Builder::new(Vec::new());
        for (key, value) in fields {
            add(&mut inner, &format!("metadata/{key}"), value.as_bytes());
        }
        let inner = zstd::encode_all(&inner.into_inner().unwrap()[..], 1).unwrap();
        let mut outer = tar::Builder::new(Vec::new());
        add(&mut outer, "x-1/gpkg-1", b"");
        add(&mut outer, "x-1/metadata.tar.zst", &inner);
        outer.into_inner().unwrap()
    }

    #[test]
    fn a_package_tells_its_name_slot_and_known_flags() {
        let dir = tempfile::tempdir().unwrap();
        let fields = [
            ("CATEGORY", "app-misc\n"),
            ("PF", "calc-2.0\n"),
            ("SLOT", "0/7\n"),
            ("repository", "lab\n"),
            ("IUSE", "greet +gen debug"),
            ("USE", "gen amd64 elibc_glibc greet"),
        ];
        fs::create_dir_all(dir.path().join("app-misc/calc")).unwrap();
        fs::write(dir.path().join("app-misc/calc/calc-2.0-1.gpkg.tar"), package(&fields)).unwrap();
        let (found, damaged) = collect(dir.path()).unwrap();
        assert!(damaged.is_empty());
        let artifact = &found[0].artifact;
        assert_eq!((artifact.cpv.as_str(), artifact.slot.as_str()), ("app-misc/calc-2.0", "0"));
        assert_eq!(
            (artifact.repository.as_str(), &artifact.use_flags[..]),
            ("lab", &["gen".to_owned(), "greet".to_owned()][..])
        );
        assert_eq!(artifact.sha256.len(), 64);
    }

    #[test]
    fn what_an_interrupted_packing_leaves_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a-1-1.gpkg.tar"), b"").unwrap();
        fs::write(dir.path().join("a-1-1.gpkg.tarX8f3k2.4711"), b"half").unwrap();
        fs::write(dir.path().join("Packages"), b"TIMESTAMP: 1").unwrap();
        let (found, damaged) = collect(dir.path()).unwrap();
        assert!(found.is_empty() && damaged.is_empty());
    }

    #[test]
    fn a_damaged_package_is_complained_of_and_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a-1-1.gpkg.tar"), b"this is no tar").unwrap();
        fs::write(dir.path().join("b-1-1.gpkg.tar"), package(&[("CATEGORY", "c"), ("PF", "b-1")])).unwrap();
        let (found, damaged) = collect(dir.path()).unwrap();
        assert_eq!((found.len(), damaged.len()), (1, 1));
    }
}
