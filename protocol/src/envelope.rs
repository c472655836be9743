//! The envelope around every message and the codec: MessagePack maps with field names, nothing after the end, at most
//! [`MAX_BODY`] bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Oldest wire version this build reads and writes.
pub const PROTO_MIN: u16 = 1;
/// Newest wire version this build reads and writes.
pub const PROTO_MAX: u16 = 1;
/// Largest encoded message in bytes; the bus takes 1 MiB, larger content goes by chunks.
pub const MAX_BODY: usize = 900 * 1024;

/// What stands around a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<B> {
    /// Wire version the sender wrote.
    pub v: u16,
    /// What the body is, as in the subject: `report.hello`, `order.build`, `event`.
    pub k: String,
    /// The sender's number for this message, for logs; unique within one run of the sender.
    pub id: u64,
    /// The sender's wall clock, Unix milliseconds.
    pub at: u64,
    /// The message.
    pub body: B,
}

impl<B> Envelope<B> {
    /// An envelope in the newest version.
    pub fn new(kind: impl Into<String>, id: u64, at: u64, body: B) -> Self {
        Self { v: PROTO_MAX, k: kind.into(), id, at, body }
    }
}

/// Why a message could not be written or read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CodecError {
    /// Too large for the bus.
    #[error("message of {size} bytes exceeds the bound of {MAX_BODY}")]
    TooLarge {
        /// Encoded size in bytes.
        size: usize,
    },
    /// Not MessagePack, or not this message.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// A message followed by something else.
    #[error("{0} bytes after the end of the message")]
    Trailing(usize),
    /// A version this build doesn't speak.
    #[error("wire version {0} is outside {PROTO_MIN}..={PROTO_MAX}")]
    Version(u16),
}

/// Writes a message.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if bytes.len() > MAX_BODY {
        return Err(CodecError::TooLarge { size: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a whole message. Garbage behind it is an error: `rmp-serde` alone would let it pass.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_BODY {
        return Err(CodecError::TooLarge { size: bytes.len() });
    }
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    let value = T::deserialize(&mut reader).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(CodecError::Trailing(rest.len()));
    }
    Ok(value)
}

/// Reads an envelope and refuses a version this build doesn't speak.
pub fn open<B: DeserializeOwned>(bytes: &[u8]) -> Result<Envelope<B>, CodecError> {
    let envelope: Envelope<B> = decode(bytes)?;
    if !(PROTO_MIN..=PROTO_MAX).contains(&envelope.v) {
        return Err(CodecError::Version(envelope.v));
    }
    Ok(envelope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_garbage_is_refused() {
        let mut bytes = encode(&7u8).unwrap();
        bytes.push(0);
        assert_eq!(decode::<u8>(&bytes), Err(CodecError::Trailing(1)));
    }

    #[test]
    fn a_message_over_the_bound_is_refused_on_both_sides() {
        let big = "x".repeat(MAX_BODY);
        assert!(matches!(encode(&big), Err(CodecError::TooLarge { .. })));
        assert!(matches!(decode::<String>(&vec![0; MAX_BODY + 1]), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn another_wire_version_is_refused_by_name() {
        let mut envelope = Envelope::new("x", 1, 2, 3u8);
        envelope.v = 9;
        assert_eq!(open::<u8>(&encode(&envelope).unwrap()), Err(CodecError::Version(9)));
    }

    #[test]
    fn fields_a_newer_sender_adds_are_skipped() {
        #[derive(Serialize)]
        struct New {
            a: u8,
            b: &'static str,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        struct Old {
            a: u8,
        }
        assert_eq!(decode::<Old>(&encode(&New { a: 1, b: "later" }).unwrap()), Ok(Old { a: 1 }));
    }
}
