//! The log of one attempt while it grows: which bytes of the stream are held, which are cut, which are missing.
//!
//! Bytes lie in one file in the order they came; the pieces in memory say where in the stream they belong. Knows nothing
//! of drones and asks nobody for what is missing.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use swarm_protocol::log::LogChunk;

/// Pieces of one log in memory; a stream without gaps is one piece.
const MAX_PIECES: usize = 4096;
/// No log is longer than this, whatever a chunk says: 1 TiB.
const MAX_OFFSET: u64 = 1 << 40;

/// A run of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// First byte, in the uncut stream.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) len: u64,
    /// Where they lie in the file; `None`: cut out of the stream by the drone.
    pub(super) at: Option<u64>,
}

impl Piece {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len
    }

    /// Whether `next` goes on where this one ends, in the stream and in the file.
    fn goes_on_in(&self, next: &Piece) -> bool {
        let in_file = match (self.at, next.at) {
            (Some(at), Some(next_at)) => at + self.len == next_at,
            (None, None) => true,
            _ => false,
        };
        self.end() == next.offset && in_file
    }
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is held; also when it was before.
    Held,
    /// A bound was reached; the bytes are let go.
    Full,
}

/// A growing log.
#[derive(Debug)]
pub(super) struct Live {
    file: fs_err::File,
    file_len: u64,
    /// By offset; they never overlap.
    pieces: BTreeMap<u64, Piece>,
    /// Length of the stream as far as is known.
    pub(super) total: u64,
    /// The stream grows no more.
    pub(super) ended: bool,
    max_bytes: u64,
}

impl Live {
    /// An empty log whose bytes go to `path`; at most `max_bytes` of them.
    pub(super) fn create(path: &Path, max_bytes: u64) -> std::io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs_err::create_dir_all(dir)?;
        }
        // a new file, not the old one truncated: somebody may still write to that
        match fs_err::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = fs_err::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Self { file, file_len: 0, pieces: BTreeMap::new(), total: 0, ended: false, max_bytes })
    }

    /// Takes what is new in a chunk.
    pub(super) fn take(&mut self, chunk: &LogChunk) -> std::io::Result<Taken> {
        let len = chunk.bytes.len() as u64;
        let reach = chunk.offset.saturating_add(len.max(chunk.cut)).max(chunk.total);
        if reach > MAX_OFFSET {
            return Ok(Taken::Full);
        }
        self.total = self.total.max(reach);
        self.ended |= chunk.end;
        let mut taken = Taken::Held;
        for (from, to) in self.missing(chunk.offset, chunk.offset + len) {
            if self.file_len + (to - from) > self.max_bytes || self.pieces.len() >= MAX_PIECES {
                taken = Taken::Full;
                break;
            }
            let bytes = &chunk.bytes[(from - chunk.offset) as usize..(to - chunk.offset) as usize];
            self.file.file().write_all_at(bytes, self.file_len)?;
            self.insert(Piece { offset: from, len: to - from, at: Some(self.file_len) });
            self.file_len += to - from;
        }
        if chunk.bytes.is_empty() && chunk.cut > 0 && self.pieces.len() < MAX_PIECES {
            for (from, to) in self.missing(chunk.offset, chunk.offset + chunk.cut) {
                self.insert(Piece { offset: from, len: to - from, at: None });
            }
        }
        Ok(taken)
    }

    /// Joins a piece with its neighbours.
    fn insert(&mut self, mut piece: Piece) {
        if let Some((_, before)) = self.pieces.range(..piece.offset).next_back()
            && before.goes_on_in(&piece)
        {
            piece = Piece { offset: before.offset, len: before.len + piece.len, at: before.at };
        }
        if let Some(after) = self.pieces.get(&piece.end()).copied()
            && piece.goes_on_in(&after)
        {
            self.pieces.remove(&after.offset);
            piece.len += after.len;
        }
        self.pieces.insert(piece.offset, piece);
    }

    /// What of `from..to` is neither held nor cut, in order.
    pub(super) fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut at = from;
        let before = self.pieces.range(..from).next_back().map(|(_, piece)| *piece);
        for piece in before.into_iter().chain(self.pieces.range(from..to).map(|(_, piece)| *piece)) {
            if piece.offset > at {
                gaps.push((at, piece.offset));
            }
            at = at.max(piece.end());
        }
        if at < to {
            gaps.push((at, to));
        }
        gaps
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        self.file_len
    }

    /// All pieces in the order of the stream.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.values()
    }

    /// The piece `offset` lies in, or else the next one.
    pub(super) fn piece_at_or_after(&self, offset: u64) -> Option<Piece> {
        let before = self.pieces.range(..=offset).next_back().map(|(_, piece)| *piece);
        before.filter(|piece| offset < piece.end()).or_else(|| self.pieces.range(offset..).next().map(|(_, p)| *p))
    }

    /// Bytes of a held piece, from `skip` on, at most `max`.
    pub(super) fn bytes(&self, piece: &Piece, skip: u64, max: u64) -> std::io::Result<Vec<u8>> {
        let Some(at) = piece.at else { return Ok(Vec::new()) };
        let len = usize::try_from((piece.len - skip).min(max)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        self.file.file().read_exact_at(&mut bytes, at + skip)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swarm_protocol::Fence;

    use super::*;

    fn chunk(offset: u64, bytes: &[u8], total: u64) -> LogChunk {
        LogChunk { fence: Fence::default(), offset, bytes: bytes.to_vec(), total, cut: 0, end: false }
    }

    fn live(dir: &tempfile::TempDir) -> Live {
        Live::create(&dir.path().join("1.live"), 1 << 20).unwrap()
    }

    #[test]
    fn a_lost_chunk_is_a_gap_until_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = live(&dir);
        log.take(&chunk(0, b"abc", 3)).unwrap();
        log.take(&chunk(6, b"ghi", 9)).unwrap();
        assert_eq!(log.missing(0, 12), [(3, 6), (9, 12)]);
        log.take(&chunk(2, b"cdefg", 9)).unwrap();
        assert_eq!(log.missing(0, 9), []);
        assert_eq!(log.held(), 9);
        let text: Vec<u8> = log.pieces().flat_map(|piece| log.bytes(piece, 0, 100).unwrap()).collect();
        assert_eq!(text, b"abcdefghi");
    }

    #[test]
    fn what_the_drone_cut_out_is_not_missing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = live(&dir);
        log.take(&chunk(0, b"head", 4)).unwrap();
        log.take(&LogChunk { offset: 4, cut: 1000, total: 1008, ..LogChunk::default() }).unwrap();
        log.take(&chunk(1004, b"tail", 1008)).unwrap();
        assert_eq!(log.missing(0, 1008), []);
        assert_eq!(log.held(), 8);
        assert_eq!(log.piece_at_or_after(4), Some(Piece { offset: 4, len: 1000, at: None }));
    }

    #[test]
    fn bounds_hold_against_any_chunk() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Live::create(&dir.path().join("1.live"), 10).unwrap();
        assert_eq!(log.take(&chunk(u64::MAX - 1, b"x", 0)).unwrap(), Taken::Full);
        assert_eq!(log.take(&chunk(0, b"x", u64::MAX)).unwrap(), Taken::Full);
        assert_eq!(log.total, 0);
        assert_eq!(log.take(&chunk(0, b"0123456789", 10)).unwrap(), Taken::Held);
        assert_eq!(log.take(&chunk(10, b"x", 11)).unwrap(), Taken::Full);
        assert_eq!((log.held(), log.total), (10, 11));
    }

    proptest! {
        #[test]
        fn chunks_in_any_order_and_overlap_give_the_stream(
            cuts in proptest::collection::vec((0usize..200, 1usize..60), 1..40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut log = live(&dir);
            let stream: Vec<u8> = (0..260u32).map(|n| (n % 251) as u8).collect();
            let mut known = vec![false; stream.len()];
            for (from, len) in cuts {
                log.take(&chunk(from as u64, &stream[from..from + len], 0)).unwrap();
                known[from..from + len].fill(true);
            }
            let mut missing = vec![true; stream.len()];
            for (from, to) in log.missing(0, stream.len() as u64) {
                prop_assert!(known[from as usize..to as usize].iter().all(|known| !known));
                missing[from as usize..to as usize].fill(false);
            }
            prop_assert_eq!(&missing, &known);
            for piece in log.pieces() {
                let bytes = log.bytes(piece, 0, piece.len).unwrap();
                prop_assert_eq!(&bytes[..], &stream[piece.offset as usize..piece.end() as usize]);
            }
        }
    }
}
