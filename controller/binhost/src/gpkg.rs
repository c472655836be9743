//! Judges an uploaded package before anything is done with it: structure, Manifest, metadata. What passes here can be signed,
//! listed and read by Portage; whether it was wanted is the core's business. Called once per upload, on a blocking thread.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use swarm_core::files::UploadedFile;
use swarm_protocol::Cpv;
use thiserror::Error;

use super::container::{ContainerError, Layout, Member};
use super::manifest::{self, ManifestError, Record, Summing, Sums};
use super::metadata::{Metadata, MetadataError, Packing};
use super::reduce::ReduceError;
use super::stanza;

/// Bounds of what is taken.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a package.
    pub package: u64,
    /// Bytes of the metadata member, packed and unpacked.
    pub metadata: u64,
    /// Bytes of the Manifest.
    pub manifest: u64,
    /// Bytes of one value that goes into the index; the longest real ones are below 100 KiB.
    pub value: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { package: 16 << 30, metadata: 16 << 20, manifest: 64 << 10, value: 256 << 10 }
    }
}

/// A package that can't be taken. The problem is the source.
#[derive(Debug, Error)]
#[error("verify the package {}", path.display())]
pub struct GpkgError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a package.
#[derive(Debug, Error)]
pub enum Problem {
    /// The outer tar.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The Manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The metadata.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Larger than its bound.
    #[error("{what} has {size} bytes, at most {limit} are taken")]
    TooLarge {
        /// Package or member.
        what: String,
        /// Bytes it has.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A member the Manifest doesn't list, or a record without a member.
    #[error("{0} is not in both the package and its Manifest")]
    Unlisted(String),
    /// A member that is not what the Manifest says.
    #[error("{0} is not what the Manifest says")]
    Mismatch(String),
    /// A key without which nothing can be done, or with a value that makes no sense.
    #[error("the metadata has {value:?} as {key}")]
    BadKey {
        /// Its name in the metadata.
        key: &'static str,
        /// What it has.
        value: String,
    },
    /// A dependency Portage couldn't read: it would drop the package from its index.
    #[error("read {key} of the metadata")]
    Dependency {
        /// Which key.
        key: &'static str,
        /// Where in it the text can't be read.
        #[source]
        source: ReduceError,
    },
    /// The folder in the container doesn't fit the metadata.
    #[error("its folder is {folder:?}, the metadata says {pf}")]
    OtherName {
        /// Folder in the container.
        folder: String,
        /// PF of the metadata.
        pf: String,
    },
    /// Reading failed.
    #[error("read it")]
    Read(#[from] io::Error),
}

/// What a sound package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Category, name, version.
    pub cpv: Cpv,
    /// SLOT, with its sub-slot if it has one.
    pub slot: String,
    /// Repository it was built from.
    pub repository: String,
    /// All values of the metadata, white space collapsed.
    pub metadata: BTreeMap<String, String>,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
}

impl Inspected {
    /// A value of the metadata; empty if it has none.
    pub fn value(&self, key: &str) -> &str {
        self.metadata.get(key).map_or("", String::as_str)
    }

    /// SLOT without its sub-slot.
    pub fn main_slot(&self) -> &str {
        self.slot.split('/').next().unwrap_or(&self.slot)
    }

    /// Enabled flags of its IUSE, sorted.
    pub fn use_flags(&self) -> Vec<String> {
        let known: BTreeSet<&str> =
            self.value("IUSE").split_whitespace().map(|flag| flag.trim_start_matches(['+', '-'])).collect();
        let enabled: BTreeSet<&str> = self.value("USE").split_whitespace().collect();
        known.intersection(&enabled).map(|flag| (*flag).to_owned()).collect()
    }

    /// RESTRICT for the flags it was built with; `bindist` in it keeps a package from the public. One that can't be
    /// evaluated counts with all its words.
    pub fn restrict(&self) -> String {
        let enabled = self.value("USE").split_whitespace().collect();
        let raw = self.value("RESTRICT");
        super::reduce::use_reduce(raw, &enabled, false).unwrap_or_else(|_| raw.to_owned())
    }

    /// What the core wants to know of it.
    pub fn described(&self) -> UploadedFile {
        UploadedFile {
            sha256: self.sha256.clone(),
            size: self.size,
            cpv: self.cpv.to_string(),
            slot: self.main_slot().to_owned(),
            repository: self.repository.clone(),
            use_flags: self.use_flags(),
            chost: self.value("CHOST").to_owned(),
            restrict: self.restrict(),
        }
    }
}

/// Checks all of the file at `path`: layout, every digest of the Manifest, metadata. Reads the file once.
pub fn inspect(path: &Path, limits: &Limits) -> Result<Inspected, GpkgError> {
    inspect_file(path, limits).map_err(|problem| GpkgError { path: path.to_owned(), problem })
}

fn inspect_file(path: &Path, limits: &Limits) -> Result<Inspected, Problem> {
    let mut opened = Opened::read(path, limits)?;
    let sha256 = opened.verify()?;
    let metadata = opened.metadata.values();
    let (slot, repository) = (opened.metadata.value("SLOT"), opened.metadata.value("repository"));
    Ok(Inspected { cpv: opened.cpv, slot, repository, metadata, sha256, size: opened.size })
}

/// A package whose layout, Manifest and metadata are read and make sense; its image is not verified yet.
pub(crate) struct Opened {
    pub file: BufReader<fs_err::File>,
    pub size: u64,
    pub layout: Layout,
    pub records: BTreeMap<String, Record>,
    pub metadata: Metadata,
    pub packing: Packing,
    pub cpv: Cpv,
}

impl Opened {
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Self, Problem> {
        let mut file = BufReader::with_capacity(1 << 16, fs_err::File::open(path)?);
        let size = file.get_ref().metadata()?.len();
        within("the package", size, limits.package)?;
        let layout = Layout::read(&mut file, size)?;
        within("the Manifest", layout.manifest.size, limits.manifest)?;
        within("the metadata", layout.metadata.size, limits.metadata)?;
        let records = manifest::parse(&read_member(&mut file, &layout.manifest)?)?;
        check_records(&layout, &records)?;
        let packing = Packing::of(&layout.metadata.name)?;
        let packed = read_member(&mut file, &layout.metadata)?;
        verify_member(&layout.metadata.name, &records, &Sums::of(&packed))?;
        let metadata = Metadata::unpack(&packed, packing, limits.metadata)?;
        let cpv = check_metadata(&metadata, &layout.folder, limits)?;
        Ok(Self { file, size, layout, records, metadata, packing, cpv })
    }

    /// Reads the whole file, checks every member against the Manifest and answers the file's SHA-256.
    fn verify(&mut self) -> Result<String, Problem> {
        let mut whole = Sha256::new();
        let mut at = 0;
        self.file.seek(SeekFrom::Start(0))?;
        let mut members: Vec<&Member> = self.layout.members.iter().collect();
        members.sort_by_key(|member| member.offset);
        for member in members {
            pass(&mut self.file, member.offset - at, |bytes| whole.update(bytes))?;
            let mut summing = Summing::default();
            pass(&mut self.file, member.size, |bytes| {
                whole.update(bytes);
                summing.update(bytes);
            })?;
            verify_member(&member.name, &self.records, &summing.finish())?;
            at = member.offset + member.size;
        }
        pass(&mut self.file, self.size - at, |bytes| whole.update(bytes))?;
        Ok(hex::encode(whole.finalize()))
    }
}

/// Gives the next `length` bytes to `take`, piece by piece.
fn pass(file: &mut impl Read, length: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut left = length;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact(&mut buffer[..wanted])?;
        take(&buffer[..wanted]);
        left -= wanted as u64;
    }
    Ok(())
}

/// The member is the one the Manifest lists.
pub(crate) fn verify_member(name: &str, records: &BTreeMap<String, Record>, sums: &Sums) -> Result<(), Problem> {
    match records.get(name) {
        Some(record) if record.matches(sums) => Ok(()),
        Some(_) => Err(Problem::Mismatch(name.to_owned())),
        None => Err(Problem::Unlisted(name.to_owned())),
    }
}

fn within(what: &str, size: u64, limit: u64) -> Result<(), Problem> {
    if size <= limit { Ok(()) } else { Err(Problem::TooLarge { what: what.to_owned(), size, limit }) }
}

fn read_member(file: &mut (impl Read + Seek), member: &Member) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(member.offset))?;
    let mut bytes = Vec::new();
    file.take(member.size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == member.size { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn check_records(layout: &Layout, records: &BTreeMap<String, Record>) -> Result<(), Problem> {
    let members: BTreeSet<&str> = layout.members.iter().map(|member| member.name.as_str()).collect();
    let listed: BTreeSet<&str> = records.keys().map(String::as_str).collect();
    match members.symmetric_difference(&listed).next() {
        Some(name) => Err(Problem::Unlisted((*name).to_owned())),
        None => Ok(()),
    }
}

/// The keys everything else stands on, and the dependencies the index will list.
fn check_metadata(metadata: &Metadata, folder: &str, limits: &Limits) -> Result<Cpv, Problem> {
    let (category, pf) = (metadata.value("CATEGORY"), metadata.value("PF"));
    let cpv: Cpv = format!("{category}/{pf}")
        .parse()
        .map_err(|_| Problem::BadKey { key: "PF", value: format!("{category}/{pf}") })?;
    // a category such as "=a" or a second slash would parse as something else
    if cpv.category() != category || cpv.pf() != pf {
        return Err(Problem::BadKey { key: "PF", value: format!("{category}/{pf}") });
    }
    let build_id = metadata.value("BUILD_ID");
    if folder != pf && folder != format!("{pf}-{build_id}") {
        return Err(Problem::OtherName { folder: folder.to_owned(), pf });
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    for key in ["SLOT", "repository", "CHOST", "EAPI", "BUILD_TIME"] {
        let value = metadata.value(key);
        let sound = match key {
            "SLOT" => is_slot(&value),
            "BUILD_TIME" => is_number(&value),
            _ => is_name(&value),
        };
        if !sound {
            return Err(Problem::BadKey { key, value });
        }
    }
    for key in stanza::COPIED {
        within(key, metadata.value(key).len() as u64, limits.value as u64)?;
    }
    stanza::reduced(metadata).map_err(|(key, source)| Problem::Dependency { key, source })?;
    Ok(cpv)
}

/// A slot, with or without a sub-slot.
fn is_slot(text: &str) -> bool {
    text.split('/').count() <= 2 && text.split('/').all(is_name)
}

/// Slot, repository, CHOST, EAPI: PMS allows the same letters for all.
fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Sample, sample};

    fn inspect_bytes(bytes: &[u8]) -> Result<Inspected, GpkgError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.gpkg.tar");
        fs_err::write(&path, bytes).unwrap();
        inspect(&path, &Limits::default())
    }

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", anyhow::Error::from(inspect_bytes(bytes).unwrap_err()))
    }

    #[test]
    fn a_sound_package_says_what_it_is() {
        let bytes = sample().with("RESTRICT", "color? ( bindist ) nls? ( test )").build();
        let found = inspect_bytes(&bytes).unwrap();
        assert_eq!(found.cpv.to_string(), "app-misc/hello-1.1");
        assert_eq!((found.slot.as_str(), found.repository.as_str()), ("0", "lab"));
        assert_eq!(found.use_flags(), ["color"]);
        assert_eq!(found.restrict(), "bindist");
        assert_eq!(found.value("CHOST"), "x86_64-pc-linux-gnu");
        assert_eq!(found.size, bytes.len() as u64);
        assert_eq!(found.sha256, hex::encode(Sha256::digest(&bytes)));
        let other = inspect_bytes(&sample().with("SLOT", "2/2.1").build()).unwrap();
        assert_eq!(other.main_slot(), "2");
    }

    #[test]
    fn one_flipped_bit_before_the_manifest_is_noticed() {
        let whole = sample().build();
        let end = whole.windows(5).position(|bytes| bytes == b"DATA ").unwrap();
        // zeros are padding, not kept and so not judged; a leading 0 of a header's number may as well be a space
        for at in (0..end).step_by(13).filter(|at| !matches!(whole[*at], 0 | b'0')) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert!(inspect_bytes(&flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_manifest_that_does_not_fit_is_refused() {
        let sample = sample();
        let manifest = sample.manifest();
        let without: String =
            manifest.lines().filter(|line| !line.contains("image")).map(|l| format!("{l}\n")).collect();
        assert!(refusal(&sample.build_with(&without)).contains("not in both"));
        let more = format!("{manifest}{}\n", manifest::line("extra", &Sums::of(b"")));
        assert!(refusal(&sample.build_with(&more)).contains("not in both"));
        let other = manifest.replace("image.tar.zst 3400", "image.tar.zst 3401");
        assert_ne!(other, manifest);
        assert!(refusal(&sample.build_with(&other)).contains("image.tar.zst is not what"));
        let mut evil = sample.clone();
        evil.image.push(1);
        assert!(refusal(&evil.build_with(&manifest)).contains("image.tar.zst is not what"));
        let evil = sample.clone().with("USE", "other");
        assert!(refusal(&evil.build_with(&manifest)).contains("metadata.tar.zst is not what"));
    }

    #[test]
    fn metadata_that_makes_no_sense_is_refused() {
        let cases = [
            ("CATEGORY", "../etc", "as PF"),
            ("CATEGORY", "=app-misc", "as PF"),
            ("CATEGORY", "", "as PF"),
            ("PF", "hello", "as PF"),
            ("PF", "hello-1.2", "its folder"),
            ("SLOT", "", "as SLOT"),
            ("SLOT", "0/1/2", "as SLOT"),
            ("SLOT", "../x", "as SLOT"),
            ("repository", "", "as repository"),
            ("CHOST", "", "as CHOST"),
            ("BUILD_TIME", "soon", "as BUILD_TIME"),
            ("EAPI", "", "as EAPI"),
            ("RDEPEND", "|| a/b", "read RDEPEND"),
        ];
        for (key, value, expected) in cases {
            let found = refusal(&sample().with(key, value).build());
            assert!(found.contains(expected), "{key}={value:?}: {found}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = sample().write(dir.path());
        let refused = |limits: Limits| inspect(&path, &limits).unwrap_err().problem;
        let bounds = [
            Limits { package: 100, ..Limits::default() },
            Limits { manifest: 100, ..Limits::default() },
            Limits { metadata: 100, ..Limits::default() },
            Limits { value: 5, ..Limits::default() },
        ];
        for limits in bounds {
            assert!(matches!(refused(limits.clone()), Problem::TooLarge { .. }), "{limits:?}");
        }
        let unpacked = Limits { metadata: 4000, ..Limits::default() };
        assert!(matches!(refused(unpacked), Problem::Metadata(MetadataError::TooLarge(4000))));
    }

    #[test]
    fn placeholders_and_files_that_are_no_packages_are_named() {
        assert!(refusal(b"").contains("placeholder"));
        assert!(refusal(&[b'x'; 4096]).contains("no tar header"));
        let xz = Sample { packing: (super::Packing::Zstd, ".xz"), ..sample() };
        assert!(refusal(&xz.build()).contains("metadata.tar.xz is packed in a way"));
        assert!(inspect(Path::new("/nonexistent/a.gpkg.tar"), &Limits::default()).is_err());
    }
}
