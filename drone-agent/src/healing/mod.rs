//! Healing of a drone that does not work, by whichever way it comes: over the bus to the supervisor, or by `drone-agent escalate`
//! on the machine itself, which SSH and people call.
//!
//! What is allowed is `drone_core::Healing`'s to decide. [`door`]: how the command reaches the supervisor · [`manager`]: who
//! restarts the agent and reboots the machine · [`alone`]: what the command does when no supervisor answers · [`command`]:
//! the command itself.

pub mod alone;
pub mod command;
pub mod door;
pub mod manager;

use std::path::Path;

use drone_core::healing::Own;
use swarm_protocol::machine::{DroneType, RebootPolicy};

use crate::attempt::{AttemptDir, AttemptState};

/// What this drone is by its own word.
pub fn own(detected: DroneType, reboot: RebootPolicy) -> Own {
    Own { detected, reboot }
}

/// Attempts whose process runs, or may run for all that can be seen; blocking.
pub fn running(build_dir: &Path) -> usize {
    let runs = |dir: &AttemptDir| matches!(dir.state(), AttemptState::Running { .. } | AttemptState::Unknown);
    AttemptDir::list(build_dir).iter().filter(|dir| runs(dir)).count()
}
