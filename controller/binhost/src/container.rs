//! The outer tar of a gpkg, read strictly. Uploads come from drones, which the controller doesn't trust with more than their
//! packages: what Portage never writes (links, folders, extension headers, members twice, anything behind the end) is refused.
//! Signed packages get headers of our own, so no quirk of an upload's tar reaches a client.

use std::io::{self, Read, Seek, SeekFrom};

use thiserror::Error;

/// Bytes of a tar block.
pub const BLOCK: u64 = 512;
/// Portage writes whole records of this many bytes.
pub const RECORD: u64 = 10_240;
/// Zeros taken behind the end: some writers fill larger records.
const MAX_PADDING: u64 = 65_536;
/// `gpkg-1`, metadata, image, their signatures, Manifest.
const MAX_MEMBERS: usize = 6;
/// Endings Portage gives compressed members.
const ENDINGS: [&str; 8] = ["", ".gz", ".bz2", ".lz4", ".lz", ".lzo", ".xz", ".zst"];

/// The version marker, first in every gpkg.
pub const VERSION: &str = "gpkg-1";

/// What is wrong with a container.
#[derive(Debug, Error)]
pub enum ContainerError {
    /// Zero bytes.
    #[error("the file is empty: the placeholder of a build that was broken off")]
    Empty,
    /// Ends before its end.
    #[error("the file is cut off at byte {0}")]
    Truncated(u64),
    /// Not a tar header where one belongs.
    #[error("no tar header at byte {0}")]
    NoHeader(u64),
    /// More than zeros behind the end.
    #[error("the file goes on behind its end at byte {0}")]
    Trailing(u64),
    /// A member that is no regular file.
    #[error("{0} is not a regular file")]
    NotAFile(String),
    /// A path other than `<folder>/<member>`.
    #[error("{0:?} is not of the form folder/member")]
    BadPath(String),
    /// Members in more than one folder.
    #[error("{0} is not in the folder of the members before it")]
    OtherFolder(String),
    /// The version marker is not the first member.
    #[error("{0} stands where gpkg-1 belongs")]
    NoVersion(String),
    /// A member no gpkg has.
    #[error("{0} does not belong in a gpkg")]
    Unknown(String),
    /// The same member twice, or a second one of its kind.
    #[error("{0} is there twice")]
    Twice(String),
    /// A member is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Reading failed.
    #[error("read it")]
    Read(#[from] io::Error),
}

/// One member of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name without the folder.
    pub name: String,
    /// Where its data begins.
    pub offset: u64,
    /// Bytes of data.
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime: u64,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The folder all members are in.
    pub folder: String,
    /// All members but Manifest, in order; `gpkg-1` is the first.
    pub members: Vec<Member>,
    /// `metadata.tar…`
    pub metadata: Member,
    /// `image.tar…`
    pub image: Member,
    /// `Manifest`
    pub manifest: Member,
}

impl Layout {
    /// Reads the headers of `file`, which has `length` bytes; the members' data is skipped.
    pub fn read(file: &mut (impl Read + Seek), length: u64) -> Result<Self, ContainerError> {
        if length == 0 {
            return Err(ContainerError::Empty);
        }
        let mut found: Vec<(String, Member)> = Vec::new();
        let mut at = 0;
        while let Some((path, member)) = read_header(file, at, length)? {
            check(&path, &member, &found)?;
            if found.len() == MAX_MEMBERS {
                return Err(ContainerError::Unknown(path));
            }
            at = member.offset + member.size.next_multiple_of(BLOCK);
            found.push((path, member));
        }
        check_end(file, at, length)?;
        assemble(found)
    }
}

fn assemble(found: Vec<(String, Member)>) -> Result<Layout, ContainerError> {
    let folder = found.first().and_then(|(path, _)| path.split('/').next()).ok_or(ContainerError::Missing(VERSION))?;
    let folder = folder.to_owned();
    let mut members: Vec<Member> = found.into_iter().map(|(_, member)| member).collect();
    let take = |base: &str| members.iter().find(|member| kind(&member.name) == Some((base, false))).cloned();
    let metadata = take("metadata").ok_or(ContainerError::Missing("metadata.tar"))?;
    let image = take("image").ok_or(ContainerError::Missing("image.tar"))?;
    let at = members.iter().position(|member| member.name == "Manifest").ok_or(ContainerError::Missing("Manifest"))?;
    let manifest = members.remove(at);
    Ok(Layout { folder, members, metadata, image, manifest })
}

/// The header at `at`; none at the end-of-archive block.
fn read_header(
    file: &mut (impl Read + Seek),
    at: u64,
    length: u64,
) -> Result<Option<(String, Member)>, ContainerError> {
    if at + BLOCK > length {
        return Err(ContainerError::Truncated(length));
    }
    let mut block = [0; BLOCK as usize];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let header = tar::Header::from_byte_slice(&block);
    let is_tar = header.as_ustar().is_some() || header.as_gnu().is_some();
    if !is_tar || header.cksum().ok() != Some(checksum(&block)) {
        return Err(ContainerError::NoHeader(at));
    }
    let path = String::from_utf8_lossy(&header.path_bytes()).into_owned();
    if !matches!(block[156], b'0' | 0) {
        return Err(ContainerError::NotAFile(path));
    }
    let size = header.entry_size().map_err(|_| ContainerError::NoHeader(at))?;
    let offset = at + BLOCK;
    if size > length || offset + size.next_multiple_of(BLOCK) > length {
        return Err(ContainerError::Truncated(length));
    }
    let name = path.split_once('/').map_or("", |(_, name)| name).to_owned();
    let mtime = header.mtime().unwrap_or(0);
    Ok(Some((path, Member { name, offset, size, mtime })))
}

/// Sum of a header's bytes with its checksum field blank.
fn checksum(block: &[u8; BLOCK as usize]) -> u32 {
    let sum = |part: &[u8]| part.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

fn check(path: &str, member: &Member, before: &[(String, Member)]) -> Result<(), ContainerError> {
    let bad = || ContainerError::BadPath(path.to_owned());
    let (folder, name) = path.split_once('/').ok_or_else(bad)?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0', '\\']);
    if !plain(folder) || !plain(name) || path.chars().any(char::is_control) {
        return Err(bad());
    }
    let Some((first, _)) = before.first() else {
        return if name == VERSION && member.size <= 4096 {
            Ok(())
        } else {
            Err(ContainerError::NoVersion(path.to_owned()))
        };
    };
    if first.split('/').next() != Some(folder) {
        return Err(ContainerError::OtherFolder(path.to_owned()));
    }
    if before.iter().any(|(_, other)| other.name == name) {
        return Err(ContainerError::Twice(path.to_owned()));
    }
    if name == "Manifest" {
        return Ok(());
    }
    let Some(kind_of) = kind(name) else { return Err(ContainerError::Unknown(path.to_owned())) };
    if before.iter().any(|(_, other)| kind(&other.name) == Some(kind_of)) {
        return Err(ContainerError::Twice(path.to_owned()));
    }
    Ok(())
}

/// `metadata` or `image`, and whether it is the signature of it.
fn kind(name: &str) -> Option<(&'static str, bool)> {
    let (signed, is_signature) = name.strip_suffix(".sig").map_or((name, false), |signed| (signed, true));
    ["metadata", "image"].into_iter().find_map(|base| {
        let ending = signed.strip_prefix(base)?.strip_prefix(".tar")?;
        ENDINGS.contains(&ending).then_some((base, is_signature))
    })
}

/// Behind the last member there are at least two blocks of zeros, and zeros only.
fn check_end(file: &mut (impl Read + Seek), at: u64, length: u64) -> Result<(), ContainerError> {
    if length < at + 2 * BLOCK {
        return Err(ContainerError::Truncated(length));
    }
    if length - at > MAX_PADDING {
        return Err(ContainerError::Trailing(at));
    }
    file.seek(SeekFrom::Start(at))?;
    let mut rest = Vec::new();
    file.take(MAX_PADDING + 1).read_to_end(&mut rest)?;
    match rest.iter().position(|byte| *byte != 0) {
        Some(garbage) => Err(ContainerError::Trailing(at + garbage as u64)),
        None => Ok(()),
    }
}

/// Header of a regular file as Portage writes one: owner 0, no names, mode 0644.
pub fn header(path: &str, size: u64, mtime: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(mtime);
    header.set_cksum();
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::samples::{raw_tar, sample};

    fn layout(bytes: &[u8]) -> Result<Layout, ContainerError> {
        Layout::read(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    fn refusal(bytes: &[u8]) -> String {
        layout(bytes).unwrap_err().to_string()
    }

    const GOOD: [&str; 4] = ["p-1-1/gpkg-1", "p-1-1/metadata.tar.zst", "p-1-1/image.tar.xz", "p-1-1/Manifest"];

    #[test]
    fn a_package_is_laid_out() {
        let found = layout(&sample().build()).unwrap();
        assert_eq!(found.folder, "hello-1.1-1");
        assert_eq!(found.members.len(), 3);
        assert_eq!(found.members[0].name, VERSION);
        assert_eq!(found.image.name, "image.tar.zst");
        assert!(layout(&raw_tar(&GOOD.map(|path| (path, &b""[..])))).is_ok());
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = sample().build();
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for cut in (0..end + 512).step_by(97) {
            assert!(layout(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(refusal(&whole[..0]).contains("empty"));
        assert!(refusal(&whole[..700]).contains("cut off"));
    }

    #[test]
    fn whatever_portage_never_writes_is_refused() {
        let with = |paths: &[&str]| {
            let members: Vec<(&str, &[u8])> = paths.iter().map(|path| (*path, &b"x"[..])).collect();
            refusal(&raw_tar(&members))
        };
        let cases: &[(&[&str], &str)] = &[
            (&["p/metadata.tar.zst", "p/gpkg-1"], "where gpkg-1 belongs"),
            (&["p/gpkg-1", "q/metadata.tar.zst"], "folder of the members"),
            (&["p/gpkg-1", "p/metadata.tar.zst", "p/metadata.tar.zst"], "twice"),
            (&["p/gpkg-1", "p/metadata.tar.zst", "p/metadata.tar"], "twice"),
            (&["p/gpkg-1", "p/extra"], "does not belong"),
            (&["p/gpkg-1", "p/metadata.tar.exe"], "does not belong"),
            (&["p/gpkg-1", "p/../../etc/passwd"], "folder/member"),
            (&["../gpkg-1"], "folder/member"),
            (&["/gpkg-1"], "folder/member"),
            (&["gpkg-1"], "folder/member"),
            (&["p/gpkg-1", "p/metadata.tar", "p/Manifest"], "image.tar is missing"),
            (&["p/gpkg-1", "p/image.tar", "p/Manifest"], "metadata.tar is missing"),
            (&["p/gpkg-1", "p/metadata.tar", "p/image.tar"], "Manifest is missing"),
        ];
        for (paths, expected) in cases {
            let found = with(paths);
            assert!(found.contains(expected), "{paths:?}: {found}");
        }
    }

    #[test]
    fn links_folders_and_extension_headers_are_refused() {
        for kind in *b"1234567xgLKS" {
            let mut bytes = raw_tar(&GOOD.map(|path| (path, &b""[..])));
            bytes[512 + 156] = kind;
            let sum = checksum(bytes[512..1024].try_into().unwrap());
            bytes[512 + 148..512 + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(refusal(&bytes).contains("not a regular file"), "{}", kind as char);
        }
    }

    #[test]
    fn garbage_and_a_wrong_checksum_are_refused() {
        let whole = sample().build();
        let mut trailing = whole.clone();
        *trailing.last_mut().unwrap() = 1;
        assert!(refusal(&trailing).contains("behind its end"));
        let mut longer = whole.clone();
        longer.extend([0; 100_000]);
        assert!(refusal(&longer).contains("behind its end"));
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        assert!(refusal(&flipped).contains("no tar header"));
        assert!(refusal(&[b'x'; 2048]).contains("no tar header"));
        let mut huge = whole;
        huge[512 + 124..512 + 135].copy_from_slice(b"77777777777");
        assert!(layout(&huge).is_err());
    }
}
