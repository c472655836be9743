//! A log at rest: `<build>/<attempt>.log.zst`, which `zstdcat` prints, and beside it `<attempt>.json`, which says where in
//! the stream its bytes belong and lets a reader begin in the middle.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swarm_protocol::Fence;

use super::live::Live;
use super::{LogPiece, LogRead};

/// Bytes of log per zstd frame: what a reader at most decompresses for nothing.
const FRAME: u64 = 1 << 20;
/// Build logs shrink to a tenth at level 3, at 200 MB/s.
const LEVEL: i32 = 3;

/// What stands in the `.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// Length of the stream.
    pub(super) total: u64,
    /// Nothing is missing but what the drone itself cut out.
    pub(super) complete: bool,
    /// Runs of the stream that are here, in order: first byte, length.
    held: Vec<(u64, u64)>,
    /// Runs the drone cut out: first byte, length.
    cut: Vec<(u64, u64)>,
    /// Where each frame begins in the compressed file.
    frames: Vec<u64>,
}

impl Index {
    /// Bytes of the stream that are here.
    pub(super) fn bytes(&self) -> u64 {
        self.held.iter().map(|(_, len)| len).sum()
    }
}

pub(super) fn text_path(dir: &Path, fence: Fence) -> PathBuf {
    dir.join(fence.build.to_string()).join(format!("{}.log.zst", fence.attempt))
}

pub(super) fn index_path(dir: &Path, fence: Fence) -> PathBuf {
    dir.join(fence.build.to_string()).join(format!("{}.json", fence.attempt))
}

/// Writes a log down for good. The index comes last: what has one is whole.
pub(super) fn write(dir: &Path, fence: Fence, live: &Live, total: u64) -> std::io::Result<Index> {
    let path = text_path(dir, fence);
    let folder = path.parent().unwrap_or(dir);
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".log-").tempfile_in(folder)?;
    let complete = live.missing(0, total).is_empty();
    let mut index = Index { total, complete, held: Vec::new(), cut: Vec::new(), frames: Vec::new() };
    let mut frame = Vec::new();
    for piece in live.pieces() {
        let run = (piece.offset, piece.len);
        if piece.at.is_none() {
            index.cut.push(run);
            continue;
        }
        index.held.push(run);
        let mut done = 0;
        while done < piece.len {
            let bytes = live.bytes(piece, done, FRAME - frame.len() as u64)?;
            done += bytes.len() as u64;
            frame.extend_from_slice(&bytes);
            if frame.len() as u64 == FRAME {
                index.frames.push(flush(file.as_file_mut(), &mut frame)?);
            }
        }
    }
    if !frame.is_empty() || index.frames.is_empty() {
        index.frames.push(flush(file.as_file_mut(), &mut frame)?);
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|lost| lost.error)?;
    let mut beside = tempfile::Builder::new().prefix(".log-").tempfile_in(folder)?;
    serde_json::to_writer(beside.as_file_mut(), &index)?;
    beside.as_file().sync_all()?;
    beside.persist(index_path(dir, fence)).map_err(|lost| lost.error)?;
    fs_err::File::open(folder)?.sync_all()?;
    Ok(index)
}

/// Writes one frame and says where it begins.
fn flush(file: &mut (impl Write + Seek), frame: &mut Vec<u8>) -> std::io::Result<u64> {
    let at = file.stream_position()?;
    file.write_all(&zstd::encode_all(&frame[..], LEVEL)?)?;
    frame.clear();
    Ok(at)
}

/// The index of a stored log; `None` if there is no such log.
pub(super) fn index(dir: &Path, fence: Fence) -> std::io::Result<Option<Index>> {
    match fs_err::read(index_path(dir, fence)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// At most `max` bytes from `offset` on; skips what is not here and says so.
pub(super) fn read(dir: &Path, fence: Fence, index: &Index, offset: u64, max: u64) -> std::io::Result<LogRead> {
    let mut in_text = 0;
    let mut found = None;
    for (from, len) in &index.held {
        if offset < from + len {
            let skip = offset.saturating_sub(*from);
            found = Some((from + skip, in_text + skip, (len - skip).min(max)));
            break;
        }
        in_text += len;
    }
    let piece = match found {
        None => LogPiece { offset: offset.max(index.total), bytes: Vec::new() },
        Some((from, at, len)) => LogPiece { offset: from, bytes: text(dir, fence, index, at, len)? },
    };
    Ok(LogRead { piece, total: index.total, ended: true, complete: index.complete })
}

/// `len` bytes of the text from `at` on.
fn text(dir: &Path, fence: Fence, index: &Index, at: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let number = usize::try_from(at / FRAME).unwrap_or(usize::MAX);
    let Some(frame) = index.frames.get(number) else { return Ok(Vec::new()) };
    let mut file = fs_err::File::open(text_path(dir, fence))?;
    file.seek(SeekFrom::Start(*frame))?;
    let mut text = zstd::Decoder::new(file)?;
    std::io::copy(&mut text.by_ref().take(at % FRAME), &mut std::io::sink())?;
    let mut bytes = Vec::new();
    text.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
