//! An attempt's log on disk: a byte stream addressed by offset, bounded by cutting its middle.
//!
//! The head is `build.log`; what follows lies in segments named `build.log.<offset of their first byte>`. When the bound
//! is reached the oldest segment goes, so head and tail are kept and the gap between the files' ranges is the cut:
//! readers need no index, and offsets stay those of the uncut stream. Written by the attempt, read by its observers.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Name of the head; segments append `.<offset>`.
pub const NAME: &str = "build.log";
/// Parts the tail is cut into; one more than these exists for a moment.
const SEGMENTS: u64 = 8;

/// The writing side.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    file: fs::File,
    total: u64,
    /// Offset at which the current file ends.
    file_end: u64,
    segment_bytes: u64,
    segments: std::collections::VecDeque<u64>,
}

impl LogWriter {
    /// Begins a log in `dir` that keeps at most `bound` bytes: half of them head, half tail.
    pub fn create(dir: &Path, bound: u64) -> io::Result<Self> {
        let head = (bound / 2).max(1);
        Ok(Self {
            dir: dir.to_owned(),
            file: fs::File::create(dir.join(NAME))?,
            total: 0,
            file_end: head,
            segment_bytes: (bound - bound / 2).div_ceil(SEGMENTS).max(1),
            segments: Default::default(),
        })
    }

    /// Length of the uncut stream so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Appends to the stream.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.total == self.file_end {
                self.next_segment()?;
            }
            let room = usize::try_from(self.file_end - self.total).unwrap_or(usize::MAX).min(bytes.len());
            self.file.write_all(&bytes[..room])?;
            self.total += room as u64;
            bytes = &bytes[room..];
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        self.file = fs::File::create(segment(&self.dir, self.total))?;
        self.segments.push_back(self.total);
        self.file_end = self.total + self.segment_bytes;
        while self.segments.len() as u64 > SEGMENTS {
            if let Some(oldest) = self.segments.pop_front() {
                fs::remove_file(segment(&self.dir, oldest))?;
            }
        }
        Ok(())
    }

    /// Makes the end of the log durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn segment(dir: &Path, offset: u64) -> PathBuf {
    dir.join(format!("{NAME}.{offset}"))
}

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Piece {
    /// The bytes; empty at the end and in the cut.
    pub bytes: Vec<u8>,
    /// Bytes from the offset on that are cut out.
    pub cut: u64,
    /// Length of the uncut stream.
    pub total: u64,
}

/// Reads at most `max` bytes from `offset` on. A log not begun yet is an empty one.
pub fn read(dir: &Path, offset: u64, max: usize) -> io::Result<Piece> {
    // The writer may take the oldest segment away between the listing and the opening; then look again.
    for _ in 0..3 {
        match read_once(dir, offset, max) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    Ok(Piece::default())
}

fn read_once(dir: &Path, offset: u64, max: usize) -> io::Result<Piece> {
    let files = files(dir)?;
    let total = files.last().map_or(0, |(start, length, _)| start + length);
    let mut piece = Piece { total, ..Default::default() };
    let Some((start, length, path)) = files.into_iter().find(|(start, length, _)| offset < start + length) else {
        return Ok(piece);
    };
    if offset < start {
        piece.cut = start - offset;
        return Ok(piece);
    }
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset - start))?;
    let wanted = (start + length - offset).min(max as u64);
    file.take(wanted).read_to_end(&mut piece.bytes)?;
    Ok(piece)
}

/// (first offset, length, path) of every file of the log, in order.
fn files(dir: &Path) -> io::Result<Vec<(u64, u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(NAME)) else { continue };
        let start = match rest.strip_prefix('.').map(str::parse) {
            None if rest.is_empty() => 0,
            Some(Ok(start)) => start,
            _ => continue,
        };
        found.push((start, entry.metadata()?.len(), entry.path()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(dir: &Path) -> (Vec<u8>, u64) {
        let (mut bytes, mut cut, mut offset) = (Vec::new(), 0, 0);
        loop {
            let piece = read(dir, offset, 7).unwrap();
            if piece.bytes.is_empty() && piece.cut == 0 {
                return (bytes, cut);
            }
            offset += piece.bytes.len() as u64 + piece.cut;
            cut += piece.cut;
            bytes.extend(piece.bytes);
        }
    }

    #[test]
    fn a_short_log_is_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::create(dir.path(), 1000).unwrap();
        log.write(b"one\n").unwrap();
        log.write(b"two\n").unwrap();
        assert_eq!(whole(dir.path()), (b"one\ntwo\n".to_vec(), 0));
        assert_eq!(read(dir.path(), 4, 100).unwrap(), Piece { bytes: b"two\n".to_vec(), cut: 0, total: 8 });
    }

    #[test]
    fn a_long_log_keeps_head_and_tail_and_its_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::create(dir.path(), 100).unwrap();
        let stream: Vec<u8> = (0..1000u32).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect();
        for chunk in stream.chunks(33) {
            log.write(chunk).unwrap();
        }
        let (kept, cut) = whole(dir.path());
        assert_eq!(kept.len() as u64 + cut, 1000);
        assert!(kept.len() <= 107 && kept.len() >= 90, "{}", kept.len());
        assert_eq!(kept[..50], stream[..50]);
        let tail = kept.len() - 50;
        assert_eq!(kept[50..], stream[1000 - tail..]);
        let piece = read(dir.path(), 60, 10).unwrap();
        assert!(piece.bytes.is_empty() && piece.cut == 1000 - tail as u64 - 60 && piece.total == 1000);
        let at = usize::try_from(60 + piece.cut).unwrap();
        assert_eq!(read(dir.path(), at as u64, 5).unwrap().bytes, stream[at..at + 5]);
    }

    #[test]
    fn a_log_not_begun_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), 0, 10).unwrap(), Piece::default());
    }

    proptest::proptest! {
        #[test]
        fn every_byte_that_is_read_stands_where_it_was_written(
            bound in 2u64..400, chunks in proptest::collection::vec(1usize..60, 1..40)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut log = LogWriter::create(dir.path(), bound).unwrap();
            let mut stream = Vec::new();
            for (i, length) in chunks.into_iter().enumerate() {
                let chunk: Vec<u8> = (0..length).map(|j| u8::try_from((i * 31 + j) % 251).unwrap()).collect();
                log.write(&chunk).unwrap();
                stream.extend(chunk);
            }
            let mut offset = 0;
            while offset < stream.len() as u64 {
                let piece = read(dir.path(), offset, 9).unwrap();
                let at = usize::try_from(offset).unwrap();
                proptest::prop_assert_eq!(&piece.bytes[..], &stream[at..at + piece.bytes.len()]);
                proptest::prop_assert!(piece.cut > 0 || !piece.bytes.is_empty());
                offset += piece.cut + piece.bytes.len() as u64;
            }
            proptest::prop_assert_eq!(offset, stream.len() as u64);
        }
    }
}
