//! Reads a build log piece by piece, to its end or for as long as it grows, and gives it as text or as Server-Sent Events.
//! Used by the paths that serve build logs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::response::sse;
use serde_json::json;
use swarm_protocol::Fence;

use super::BuildLogs;
use crate::http::ports::LogPiece;

/// Bytes read at a time.
pub const PIECE: u64 = 256 << 10;

/// A follower looks again after this, told or not.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A log of an attempt that runs no more is given up when nothing was added for so long; its tail has 60 s to come.
const TAIL_WAIT: Duration = Duration::from_secs(75);

/// What comes next of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// So many bytes were cut out here.
    Cut {
        /// Where they began.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// Bytes.
    Bytes {
        /// Offset of the first one.
        offset: u64,
        /// Never empty.
        bytes: Bytes,
    },
}

/// Reads on whenever its reader has taken what was read.
pub struct Reader {
    logs: BuildLogs,
    fence: Fence,
    offset: u64,
    left: u64,
    follow: bool,
    /// All that can be had was had.
    over: bool,
    /// Length and completeness as last heard.
    total: u64,
    complete: bool,
    ready: VecDeque<Part>,
    grown_at: Instant,
}

impl Reader {
    /// A reader from `offset` on of at most `limit` bytes, which begins with `first`, as read there.
    pub fn new(logs: BuildLogs, fence: Fence, offset: u64, limit: u64, follow: bool, first: LogPiece) -> Self {
        let mut reader = Self {
            logs,
            fence,
            offset,
            left: limit,
            follow,
            over: false,
            total: 0,
            complete: false,
            ready: VecDeque::new(),
            grown_at: Instant::now(),
        };
        reader.take(first);
        reader
    }

    /// Puts what was read into the stream.
    fn take(&mut self, piece: LogPiece) {
        let LogPiece { offset, mut bytes, total, ended, complete } = piece;
        (self.total, self.complete) = (total, complete);
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        if !bytes.is_empty() {
            if offset > self.offset {
                self.ready.push_back(Part::Cut { offset: self.offset, bytes: offset - self.offset });
            }
            self.offset = offset + bytes.len() as u64;
            self.left -= bytes.len() as u64;
            self.ready.push_back(Part::Bytes { offset, bytes: bytes.into() });
            self.grown_at = Instant::now();
        } else if !self.follow || ended {
            self.over = true;
        }
        self.over |= self.left == 0 || (self.offset >= total && (ended || !self.follow));
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> std::io::Result<Option<Part>> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            if self.over {
                return Ok(None);
            }
            let grown = self.logs.stored.grown(self.fence);
            let (at, before) = (self.offset, self.grown_at);
            match self.logs.read(self.fence, self.offset, PIECE).await {
                Ok(Some(piece)) => self.take(piece),
                Ok(None) if self.follow => {}
                Ok(None) => self.over = true,
                Err(error) => {
                    self.over = true;
                    return Err(error);
                }
            }
            if self.offset == at && !self.over {
                self.over = before.elapsed() > TAIL_WAIT && !self.logs.is_running(self.fence);
                // a hint or a second, whichever comes first
                let _ = tokio::time::timeout(LOOK_AGAIN, grown).await;
            }
        }
    }

    /// The next piece of text; a line in brackets stands where bytes were cut out.
    pub async fn text(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        match self.next().await {
            Ok(Some(Part::Bytes { bytes, .. })) => Some((Ok(bytes), self)),
            Ok(Some(Part::Cut { bytes, .. })) => {
                Some((Ok(format!("\n[{bytes} bytes of the log were cut out here]\n").into()), self))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), self)),
        }
    }
}

/// A log as Server-Sent Events. `data` is JSON: `{"offset", "text"}`; `event: cut` with `{"offset", "bytes"}`; at the end
/// `event: end` with `{"total", "complete"}`. `id` is where to go on.
pub struct Told {
    reader: Reader,
    /// Bytes of a character whose end has not come yet.
    begun: Vec<u8>,
    ended: bool,
}

impl Told {
    /// Tells what `reader` reads.
    pub fn new(reader: Reader) -> Self {
        Self { reader, begun: Vec::new(), ended: false }
    }

    /// The next event.
    pub async fn next(mut self) -> Option<(sse::Event, Self)> {
        loop {
            if self.ended {
                return None;
            }
            // a log that can't be read ends the stream; its reader comes again
            let event = match self.reader.next().await.ok()? {
                Some(Part::Cut { offset, bytes }) => {
                    self.begun.clear();
                    let at = (offset + bytes).to_string();
                    sse::Event::default().event("cut").id(at).json_data(json!({"offset": offset, "bytes": bytes}))
                }
                Some(Part::Bytes { offset, bytes }) => {
                    let begin = offset - self.begun.len() as u64;
                    let mut all = std::mem::take(&mut self.begun);
                    all.extend_from_slice(&bytes);
                    self.begun = all.split_off(whole(&all));
                    if all.is_empty() {
                        continue;
                    }
                    let at = (begin + all.len() as u64).to_string();
                    let text = String::from_utf8_lossy(&all);
                    sse::Event::default().id(at).json_data(json!({"offset": begin, "text": text}))
                }
                None => {
                    self.ended = true;
                    let (total, complete) = (self.reader.total, self.reader.complete);
                    let end = sse::Event::default().event("end").id(self.reader.offset.to_string());
                    end.json_data(json!({"total": total, "complete": complete}))
                }
            };
            return event.ok().map(|event| (event, self));
        }
    }
}

/// How many bytes are whole characters, or no characters at all: what is cut off is the beginning of one.
fn whole(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for (index, byte) in bytes.iter().enumerate().skip(tail) {
        let length = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        if index + length > bytes.len() {
            return index;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn only_the_beginning_of_a_character_is_held_back() {
        for (bytes, count) in [
            (&b"abc"[..], 3),
            (&b""[..], 0),
            ("aä".as_bytes(), 3),
            (&"aä".as_bytes()[..2], 1),
            (&"€".as_bytes()[..2], 0),
            (&"a🐝".as_bytes()[..4], 1),
            ("🐝".as_bytes(), 4),
            (&b"\xff\xff"[..], 2),
            (&b"a\x80"[..], 2),
        ] {
            assert_eq!(whole(bytes), count, "{bytes:?}");
        }
    }
}
