//! Events: what the swarm lets the world know. Sequence numbers have no gaps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One event as tappers see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Event {
    /// Sequence number; equal to the stream's.
    pub seq: u64,
    /// Wall clock, Unix milliseconds.
    pub at: u64,
    /// What happened; the last token of the subject. Readers must expect kinds they don't know.
    pub kind: String,
    /// One sentence for people.
    pub message: String,
    /// The drone's name, if it is about one.
    #[serde(default)]
    pub drone: Option<String>,
    /// The package as atom with `=`, if it is about one.
    #[serde(default)]
    pub package: Option<String>,
    /// Build number, if it is about one.
    #[serde(default)]
    pub build: Option<u64>,
    /// Attempt, if it is about one.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// Session number, if it is about one.
    #[serde(default)]
    pub session: Option<u64>,
    /// The rest.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}
