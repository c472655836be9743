//! The bond between supervisor and worker: beats and their answers, as lines of JSON over a socket pair that is the worker's
//! standard input.
//!
//! The worker that reads the socket's end has lost its supervisor and ends itself, so that no two workers ever run. Called by
//! both.

use serde::{Deserialize, Serialize};
use swarm_protocol::InstanceId;

/// Environment variable that tells a worker whose it is: its supervisor's run.
pub const SUPERVISOR: &str = "BUILD_SWARM_SUPERVISOR_INSTANCE";

/// Longest line taken, bytes.
pub const MAX_LINE: u64 = 4096;

/// Supervisor → worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Counts up.
    pub beat: u64,
}

/// Worker → supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatAnswer {
    /// The beat answered.
    pub beat: u64,
    /// The worker's run.
    pub instance: InstanceId,
    /// Highest order number it has seen.
    pub orders_seen: u64,
    /// Whether the controller welcomed it.
    pub welcomed: bool,
    /// How often it brought the ebuild repositories up to date.
    #[serde(default)]
    pub syncs: u64,
}

/// One message as a line.
pub fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
