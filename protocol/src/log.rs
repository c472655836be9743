//! Logs as byte streams addressed by offset. Live chunks are hints; whoever needs the whole asks for what is missing.

use serde::{Deserialize, Serialize};

use crate::ids::Fence;

/// Most bytes of log in one message.
pub const MAX_CHUNK: usize = 256 * 1024;

/// A piece of an attempt's log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogChunk {
    /// Which attempt.
    pub fence: Fence,
    /// Offset of the first byte in the uncut stream.
    pub offset: u64,
    /// The bytes. Empty if the range was cut out or lies behind the end.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// Length of the stream so far.
    pub total: u64,
    /// Bytes from `offset` on that were cut out of the stream (log bound reached) and exist no more.
    #[serde(default)]
    pub cut: u64,
    /// The stream will grow no more.
    #[serde(default)]
    pub end: bool,
}
