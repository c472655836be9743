//! The index of one folder of the binhost, `Packages` and `Packages.gz`, held in memory by one writer and made from rows
//!. Adding a package costs milliseconds: rendered blocks and compressed pieces are kept.
//!
//! The caller inserts a block only when its file is in place, and removes a file only after an index without it is written;
//! then no client ever sees a block without its file, whichever of the two indexes it reads.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use swarm_common::files::{create_folders, sync_folder};
use thiserror::Error;

use super::chunks::{Key, Pieces, cut, ends_piece, gzip};
use super::durable;
use super::stanza::{Stanza, StanzaError, parse_lines, push_line};

/// Header keys the index writes itself.
const OWN: [&str; 3] = ["PACKAGES", "TIMESTAMP", "VERSION"];

/// Why a generation was not written or an index not read.
#[derive(Debug, Error)]
pub enum IndexError {
    /// Clients take an index only if its TIMESTAMP is greater than that of their copy.
    #[error("TIMESTAMP {wanted} is not above {last} of the generation before in {}", dir.display())]
    NotRising {
        /// The folder.
        dir: PathBuf,
        /// What was asked for.
        wanted: u64,
        /// What is on disk.
        last: u64,
    },
    /// Writing failed; the generation before stays.
    #[error("write the index in {}", dir.display())]
    Write {
        /// The folder.
        dir: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// Not an index.
    #[error(transparent)]
    Stanza(#[from] StanzaError),
}

/// A generation on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its TIMESTAMP; mtime of both files.
    pub timestamp: u64,
    /// Packages it lists.
    pub packages: usize,
    /// Bytes of `Packages`.
    pub size: u64,
    /// Bytes of `Packages.gz`.
    pub packed: u64,
    /// Pieces compressed anew.
    pub pieces: usize,
}

struct Entry {
    stanza: Stanza,
    text: String,
    ends_piece: bool,
}

/// An index in memory. Blocks are sorted by the string CPV, then by BUILD_ID, as Portage sorts them.
#[derive(Default)]
pub struct Index {
    header: BTreeMap<String, String>,
    entries: BTreeMap<Key, Entry>,
    pieces: Pieces,
    written: u64,
}

impl Index {
    /// An empty index with the builder's header: ARCH, CHOST, USE and so on.
    pub fn new(header: BTreeMap<String, String>) -> Self {
        let mut index = Self::default();
        index.set_header(header);
        index
    }

    /// Replaces the header. PACKAGES, TIMESTAMP and VERSION in it are ignored, empty values left out.
    pub fn set_header(&mut self, mut header: BTreeMap<String, String>) {
        header.retain(|key, value| !value.is_empty() && !OWN.contains(&key.as_str()));
        let before = self.chost().to_owned();
        self.header = header;
        if before == self.chost() {
            return;
        }
        let chost = self.chost().to_owned();
        for entry in self.entries.values_mut() {
            entry.text = entry.stanza.render(&chost);
        }
    }

    fn chost(&self) -> &str {
        self.header.get("CHOST").map_or("", String::as_str)
    }

    /// Lists a package; answers the block that stood under the same CPV and BUILD_ID.
    pub fn insert(&mut self, stanza: Stanza) -> Option<Stanza> {
        let key = (stanza.cpv().to_owned(), stanza.build_id());
        let (text, ends_piece) = (stanza.render(self.chost()), ends_piece(&key));
        self.entries.insert(key, Entry { stanza, text, ends_piece }).map(|entry| entry.stanza)
    }

    /// Lists it no more; answers its block.
    pub fn remove(&mut self, cpv: &str, build_id: u32) -> Option<Stanza> {
        self.entries.remove(&(cpv.to_owned(), build_id)).map(|entry| entry.stanza)
    }

    /// All blocks, in order.
    pub fn stanzas(&self) -> impl Iterator<Item = &Stanza> {
        self.entries.values().map(|entry| &entry.stanza)
    }

    /// How many packages it lists.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Lists nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The text of `Packages` with this TIMESTAMP.
    pub fn text(&self, timestamp: u64) -> String {
        let mut text = self.head(timestamp);
        for entry in self.entries.values() {
            text.push_str(&entry.text);
        }
        text
    }

    fn head(&self, timestamp: u64) -> String {
        let mut header = self.header.clone();
        header.insert("PACKAGES".to_owned(), self.entries.len().to_string());
        header.insert("TIMESTAMP".to_owned(), timestamp.to_string());
        header.insert("VERSION".to_owned(), "0".to_owned());
        let mut text = String::new();
        for (key, value) in &header {
            push_line(&mut text, key, value);
        }
        text.push('\n');
        text
    }

    /// Writes a generation into `dir`, in place of the one before, and makes it durable. `timestamp` (seconds since the epoch)
    /// must be above that of the generation before, this process's or that on disk.
    pub fn write(&mut self, dir: &Path, timestamp: u64) -> Result<Generation, IndexError> {
        let failed = |source| IndexError::Write { dir: dir.to_owned(), source };
        create_folders(dir).map_err(failed)?;
        let last = if self.written == 0 { on_disk(dir).map_err(failed)? } else { self.written };
        if timestamp <= last {
            return Err(IndexError::NotRising { dir: dir.to_owned(), wanted: timestamp, last });
        }
        let generation = self.write_files(dir, timestamp).map_err(failed)?;
        self.written = timestamp;
        Ok(generation)
    }

    fn write_files(&mut self, dir: &Path, timestamp: u64) -> io::Result<Generation> {
        let head = self.head(timestamp);
        let size = head.len() + self.entries.values().map(|entry| entry.text.len()).sum::<usize>();
        let mut plain = Vec::with_capacity(size);
        plain.extend_from_slice(head.as_bytes());
        let blocks = self.entries.iter().map(|(key, entry)| (key, entry.ends_piece, entry.text.as_str()));
        let cuts = cut(blocks, &mut plain);
        let settled = |content: &[u8]| {
            let mut file = durable::temporary(dir)?;
            file.write_all(content)?;
            durable::settle(&file, 0o644, timestamp)?;
            io::Result::Ok(file)
        };
        // the disk takes the one, the larger, while the other is compressed
        let (plain_file, packed) = std::thread::scope(|scope| {
            let plain_file = std::thread::Builder::new().spawn_scoped(scope, || settled(&plain))?;
            let packed = gzip(head.as_bytes()).and_then(|mut packed| {
                let pieces = self.pieces.pack(cuts, &plain, &mut packed)?;
                Ok((settled(&packed)?, packed.len() as u64, pieces))
            });
            io::Result::Ok((plain_file.join(), packed))
        })?;
        let plain_file = plain_file.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (packed_file, packed, pieces) = packed?;
        // both are on disk before either is seen, so that they are replaced within microseconds of each other
        for (file, name) in [(plain_file, "Packages"), (packed_file, "Packages.gz")] {
            file.persist(dir.join(name)).map_err(|error| error.error)?;
        }
        sync_folder(dir)?;
        Ok(Generation { timestamp, packages: self.entries.len(), size: plain.len() as u64, packed, pieces })
    }

    /// Reads an index back; answers its TIMESTAMP, too (0 if it has none).
    pub fn parse(text: &str) -> Result<(Self, u64), IndexError> {
        let mut blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
        let header = parse_lines(blocks.next().unwrap_or_default())?;
        let timestamp = header.get("TIMESTAMP").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut index = Self::new(header);
        for block in blocks {
            let stanza = Stanza::parse(block, index.chost())?;
            index.insert(stanza);
        }
        Ok((index, timestamp))
    }
}

/// The header of an index's text.
///
/// # Errors
/// When it is none.
pub fn header_of(text: &str) -> Result<BTreeMap<String, String>, IndexError> {
    Ok(parse_lines(text.split("\n\n").next().unwrap_or_default())?)
}

/// TIMESTAMP of the generation in `dir`, 0 if there is none: its files' mtime.
pub fn on_disk(dir: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for name in ["Packages", "Packages.gz"] {
        match fs_err::metadata(dir.join(name)) {
            Ok(found) => newest = newest.max(durable::seconds(found.modified()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    /// Written by `emaint binhost --fix` of Portage 3.0.83.
    const EMAINT: &str = include_str!("fixtures/Packages");

    fn gunzipped(path: &Path) -> String {
        let mut text = String::new();
        let file = fs_err::File::open(path).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    }

    fn stanza(cpv: &str, build_id: u32, keys: &[(&str, &str)]) -> Stanza {
        let mut map: BTreeMap<String, String> =
            keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        map.insert("CPV".to_owned(), cpv.to_owned());
        map.insert("BUILD_ID".to_owned(), build_id.to_string());
        map.insert("PATH".to_owned(), format!("{cpv}-{build_id}.gpkg.tar"));
        Stanza::from_map(map).unwrap()
    }

    fn header(keys: &[(&str, &str)]) -> BTreeMap<String, String> {
        keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_index_of_emaint_reads_back_to_the_byte() {
        let (index, timestamp) = Index::parse(EMAINT).unwrap();
        assert_eq!((index.len(), timestamp), (8, 1_795_450_961));
        assert_eq!(index.text(timestamp), EMAINT);
    }

    #[test]
    fn both_files_have_the_same_text_and_the_timestamp_as_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let (mut index, _) = Index::parse(EMAINT).unwrap();
        let folder = dir.path().join("amd64/base/x86_64-pc-linux-gnu");
        let done = index.write(&folder, 1_800_000_000).unwrap();
        let plain = fs_err::read_to_string(folder.join("Packages")).unwrap();
        assert_eq!(plain, EMAINT.replace("1795450961", "1800000000"));
        assert_eq!(gunzipped(&folder.join("Packages.gz")), plain);
        assert_eq!((done.packages, done.size), (8, plain.len() as u64));
        assert_eq!(on_disk(&folder).unwrap(), 1_800_000_000);
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn the_timestamp_always_rises() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::default();
        index.write(dir.path(), 100).unwrap();
        assert!(matches!(index.write(dir.path(), 100), Err(IndexError::NotRising { last: 100, .. })));
        index.write(dir.path(), 101).unwrap();
        // a new process learns it from the disk
        assert!(matches!(Index::default().write(dir.path(), 101), Err(IndexError::NotRising { last: 101, .. })));
    }

    #[test]
    fn a_failed_generation_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::default();
        index.write(dir.path(), 100).unwrap();
        fs_err::remove_file(dir.path().join("Packages.gz")).unwrap();
        fs_err::create_dir(dir.path().join("Packages.gz")).unwrap();
        fs_err::write(dir.path().join("Packages.gz/in-the-way"), "").unwrap();
        assert!(matches!(index.write(dir.path(), 200), Err(IndexError::Write { .. })));
        fs_err::remove_dir_all(dir.path().join("Packages.gz")).unwrap();
        assert_eq!(index.write(dir.path(), 200).unwrap().timestamp, 200);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn blocks_are_sorted_by_the_string_and_then_by_the_number() {
        let mut index = Index::default();
        for (cpv, id) in [("a/b-10", 1), ("a/b-9", 10), ("a/b-9", 9), ("a/b-9", 2), ("a-a/b-1", 1)] {
            assert_eq!(index.insert(stanza(cpv, id, &[])), None);
        }
        let order: Vec<(String, u32)> = index.stanzas().map(|s| (s.cpv().to_owned(), s.build_id())).collect();
        let expected = [("a-a/b-1", 1), ("a/b-10", 1), ("a/b-9", 2), ("a/b-9", 9), ("a/b-9", 10)];
        assert_eq!(order, expected.map(|(cpv, id)| (cpv.to_owned(), id)));
    }

    #[test]
    fn the_header_names_what_is_equal_and_nothing_empty() {
        let mut index = Index::new(header(&[("ARCH", "amd64"), ("CHOST", "x"), ("USE", ""), ("TIMESTAMP", "5")]));
        index.insert(stanza("a/b-1", 1, &[("CHOST", "x")]));
        index.insert(stanza("a/c-1", 1, &[("CHOST", "y")]));
        let text = index.text(9);
        assert!(
            text.starts_with(
                "ARCH: amd64\nCHOST: x\nPACKAGES: 2\nTIMESTAMP: 9\nVERSION: 0\n\nBUILD_ID: 1\nCPV: a/b-1\n"
            )
        );
        assert!(text.contains("BUILD_ID: 1\nCHOST: y\nCPV: a/c-1\n"));
        index.set_header(header(&[("CHOST", "y")]));
        assert!(index.text(9).contains("BUILD_ID: 1\nCHOST: x\nCPV: a/b-1\n"));
        assert!(!index.text(9).contains("ARCH"));
    }

    #[test]
    fn what_is_removed_is_gone() {
        let mut index = Index::default();
        index.insert(stanza("a/b-1", 1, &[]));
        let second = stanza("a/b-1", 2, &[]);
        index.insert(second.clone());
        assert_eq!(index.remove("a/b-1", 2), Some(second));
        assert_eq!(index.remove("a/b-1", 2), None);
        assert_eq!((index.len(), index.is_empty()), (1, false));
        assert!(index.text(1).contains("PACKAGES: 1\n"));
    }

    #[test]
    fn one_more_package_among_ten_thousand_compresses_little() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::default();
        for n in 0..10_000 {
            index.insert(stanza(&format!("app-misc/package{n:05}-1.2.3"), 1, &[("RDEPEND", "dev-libs/libgreet:0/1=")]));
        }
        let first = index.write(dir.path(), 1).unwrap();
        index.insert(stanza("app-misc/package05000-1.2.3", 2, &[]));
        let second = index.write(dir.path(), 2).unwrap();
        assert!(first.pieces > 20 && second.pieces <= 2, "{first:?} {second:?}");
        assert_eq!(gunzipped(&dir.path().join("Packages.gz")), index.text(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_index_reads_back(
            packages in proptest::collection::btree_map(
                ("[a-z]{1,4}/[a-z]{1,4}-[0-9]{1,2}", 1u32..4),
                proptest::collection::btree_map("(USE|RDEPEND|CHOST|SLOT|EAPI|_mtime_|repository)", "[!-~]([ -~]{0,20}[!-~])?", 0..5),
                0..40,
            ),
            chost in "[a-z]{1,3}",
            timestamp in 1u64..u64::from(u32::MAX),
        ) {
            let mut index = Index::new(header(&[("CHOST", &chost), ("ARCH", "amd64")]));
            for ((cpv, id), keys) in &packages {
                let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                index.insert(stanza(cpv, *id, &keys));
            }
            let text = index.text(timestamp);
            let (read, at) = Index::parse(&text).unwrap();
            prop_assert_eq!((at, read.len()), (timestamp, packages.len()));
            prop_assert_eq!(read.text(timestamp), text);
        }
    }
}
