//! The metadata member of a gpkg: a compressed tar of `metadata/<KEY>` files. Unpacked under a bound, because it comes from
//! a drone, and packed again with the BUILD_ID the controller gives.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use thiserror::Error;

use super::container::{BLOCK, header};

/// Files in a metadata member; real ones have about 35.
const MAX_FILES: usize = 1024;

/// Why metadata can't be read or written.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// Packed in a way this program has no library for.
    #[error("{0} is packed in a way that is not supported; set BINPKG_COMPRESS to zstd, gzip or bzip2 on the drone")]
    Unsupported(String),
    /// More than the bound when unpacked.
    #[error("the metadata is larger than {0} bytes when unpacked")]
    TooLarge(u64),
    /// Too many files.
    #[error("the metadata has more than {MAX_FILES} files")]
    TooMany,
    /// A member that is no regular file `metadata/<KEY>`.
    #[error("{0:?} does not belong in metadata")]
    BadMember(String),
    /// The same key twice.
    #[error("the metadata has {0} twice")]
    Twice(String),
    /// Broken compression or tar.
    #[error("unpack the metadata")]
    Unpack(#[source] io::Error),
    /// Packing failed.
    #[error("pack the metadata")]
    Pack(#[source] io::Error),
}

/// How a member is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Plain tar.
    None,
    /// `.zst`
    Zstd,
    /// `.gz`
    Gzip,
    /// `.bz2`
    Bzip2,
}

impl Packing {
    /// By the member's name.
    pub fn of(name: &str) -> Result<Self, MetadataError> {
        match name.rsplit_once(".tar").map(|(_, ending)| ending) {
            Some("") => Ok(Self::None),
            Some(".zst") => Ok(Self::Zstd),
            Some(".gz") => Ok(Self::Gzip),
            Some(".bz2") => Ok(Self::Bzip2),
            Some(_) | None => Err(MetadataError::Unsupported(name.to_owned())),
        }
    }
}

/// All files of a metadata member, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    files: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// Unpacks `packed`, at most `limit` bytes of it.
    pub fn unpack(packed: &[u8], packing: Packing, limit: u64) -> Result<Self, MetadataError> {
        let plain = unpack_bytes(packed, packing, limit)?;
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut archive = tar::Archive::new(plain.as_slice());
        // raw: extension headers are members like any other, and none belongs here
        for entry in archive.entries().map_err(MetadataError::Unpack)?.raw(true) {
            let mut entry = entry.map_err(MetadataError::Unpack)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let key = path.strip_prefix("metadata/").filter(|key| is_key(key));
            let key = match key {
                Some(key) if entry.header().entry_type() == tar::EntryType::Regular => key.to_owned(),
                Some(_) | None => return Err(MetadataError::BadMember(path)),
            };
            if files.iter().any(|(other, _)| *other == key) {
                return Err(MetadataError::Twice(key));
            }
            if files.len() == MAX_FILES {
                return Err(MetadataError::TooMany);
            }
            let size = entry.size();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(MetadataError::Unpack)?;
            if content.len() as u64 != size {
                return Err(MetadataError::Unpack(io::ErrorKind::UnexpectedEof.into()));
            }
            files.push((key, content));
        }
        Ok(Self { files })
    }

    /// The value of a key as an index has it: white space collapsed; empty if there is none.
    pub fn value(&self, key: &str) -> String {
        let content = self.files.iter().find(|(name, _)| name == key).map_or(&[][..], |(_, content)| content);
        collapse(content)
    }

    /// All values that are text of one line or more; not the ebuild and not the environment.
    pub fn values(&self) -> BTreeMap<String, String> {
        let is_value = |key: &str| !key.contains(['.', '-']) || key == "NEEDED.ELF.2";
        let values = self.files.iter().filter(|(key, _)| is_value(key));
        values.map(|(key, content)| (key.clone(), collapse(content))).collect()
    }

    /// Sets a key, in its place or at the end.
    pub fn set(&mut self, key: &str, value: &str) {
        let value = value.as_bytes().to_vec();
        match self.files.iter_mut().find(|(name, _)| name == key) {
            Some((_, content)) => *content = value,
            None => self.files.push((key.to_owned(), value)),
        }
    }

    /// Packs it; the same input and `mtime` give the same bytes.
    pub fn pack(&self, packing: Packing, mtime: u64) -> Result<Vec<u8>, MetadataError> {
        let mut plain = Vec::new();
        for (key, content) in &self.files {
            let header =
                header(&format!("metadata/{key}"), content.len() as u64, mtime).map_err(MetadataError::Pack)?;
            plain.extend_from_slice(header.as_bytes());
            plain.extend_from_slice(content);
            plain.resize(plain.len().next_multiple_of(BLOCK as usize), 0);
        }
        plain.resize(plain.len() + 2 * BLOCK as usize, 0);
        pack_bytes(&plain, packing).map_err(MetadataError::Pack)
    }
}

fn collapse(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    // a control character in a value could end its line and forge others
    text.split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.starts_with('.') && key.chars().all(|letter| letter.is_ascii_graphic() && letter != '/')
}

fn unpack_bytes(packed: &[u8], packing: Packing, limit: u64) -> Result<Vec<u8>, MetadataError> {
    let mut plain = Vec::new();
    let bound = limit + 1;
    let read = match packing {
        Packing::None => packed.take(bound).read_to_end(&mut plain),
        Packing::Zstd => {
            zstd::stream::read::Decoder::new(packed).and_then(|decoder| decoder.take(bound).read_to_end(&mut plain))
        }
        Packing::Gzip => flate2::read::MultiGzDecoder::new(packed).take(bound).read_to_end(&mut plain),
        Packing::Bzip2 => bzip2::read::MultiBzDecoder::new(packed).take(bound).read_to_end(&mut plain),
    };
    read.map_err(MetadataError::Unpack)?;
    if plain.len() as u64 > limit { Err(MetadataError::TooLarge(limit)) } else { Ok(plain) }
}

fn pack_bytes(plain: &[u8], packing: Packing) -> io::Result<Vec<u8>> {
    match packing {
        Packing::None => Ok(plain.to_vec()),
        Packing::Zstd => zstd::bulk::compress(plain, zstd::DEFAULT_COMPRESSION_LEVEL),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Packing::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{raw_tar, sample};

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn metadata_reads_back_from_every_packing() {
        let metadata = sample().metadata();
        for packing in [Packing::None, Packing::Zstd, Packing::Gzip, Packing::Bzip2] {
            let packed = metadata.pack(packing, 1).unwrap();
            assert_eq!(packed, metadata.pack(packing, 1).unwrap(), "{packing:?} is deterministic");
            assert_eq!(Metadata::unpack(&packed, packing, LIMIT).unwrap(), metadata);
            assert!(Metadata::unpack(&packed[..packed.len() / 2], packing, LIMIT).is_err(), "{packing:?} cut");
        }
    }

    #[test]
    fn a_key_is_replaced_in_its_place() {
        let mut metadata = sample().metadata();
        metadata.set("BUILD_ID", "7");
        metadata.set("NEW", "a\n b\t");
        assert_eq!(metadata.value("BUILD_ID"), "7");
        assert_eq!(metadata.value("NEW"), "a b");
        assert_eq!(metadata.value("ABSENT"), "");
        assert!(!metadata.values().contains_key("hello-1.1.ebuild"));
    }

    #[test]
    fn a_value_cannot_forge_a_line_of_the_index() {
        let mut metadata = sample().metadata();
        metadata.set("USE", "a\r\n\nCPV: b/c-1\u{b}\u{85}d\u{1}e");
        assert_eq!(metadata.value("USE"), "a CPV: b/c-1 d e");
    }

    #[test]
    fn a_bomb_ends_at_the_bound() {
        let mut metadata = sample().metadata();
        metadata.set("BOMB", &"0".repeat(2 << 20));
        for packing in [Packing::None, Packing::Zstd, Packing::Gzip, Packing::Bzip2] {
            let packed = metadata.pack(packing, 1).unwrap();
            let error = Metadata::unpack(&packed, packing, LIMIT).unwrap_err();
            assert!(matches!(error, MetadataError::TooLarge(LIMIT)), "{packing:?}: {error}");
        }
    }

    #[test]
    fn strange_members_are_refused() {
        let unpack = |members: &[(&str, &[u8])]| Metadata::unpack(&raw_tar(members), Packing::None, LIMIT);
        assert!(unpack(&[("metadata/USE", b"a")]).is_ok());
        for path in ["USE", "image/USE", "metadata/", "metadata/a/b", "metadata/../USE", "metadata/.USE"] {
            assert!(matches!(unpack(&[(path, b"a")]), Err(MetadataError::BadMember(_))), "{path}");
        }
        let twice = unpack(&[("metadata/USE", b"a"), ("metadata/USE", b"b")]);
        assert!(matches!(twice, Err(MetadataError::Twice(_))));
        let mut linked = raw_tar(&[("metadata/USE", b"")]);
        linked[156] = b'2';
        assert!(Metadata::unpack(&linked, Packing::None, LIMIT).is_err());
    }

    #[test]
    fn unknown_packings_are_named() {
        for name in ["metadata.tar.xz", "metadata.tar.lz4", "metadata"] {
            assert!(Packing::of(name).unwrap_err().to_string().contains(name));
        }
    }
}
