//! Whose fault a failure is. One exhaustive match; evidence comes from the drone, judgement is made here.

use swarm_protocol::report::FailureClass;

use crate::rows::Culprit;

/// The culprit of a class of failure (rules.md §3, decision 22).
pub(crate) fn blame(class: FailureClass) -> Culprit {
    match class {
        FailureClass::Phase
        | FailureClass::Silence
        | FailureClass::Timeout
        | FailureClass::Masked
        | FailureClass::Unsatisfiable => Culprit::Package,
        FailureClass::OutOfMemory
        | FailureClass::DiskFull
        | FailureClass::MissingTool
        | FailureClass::Killed
        | FailureClass::AgentLost
        | FailureClass::MissingBinary => Culprit::Drone,
        FailureClass::Fetch
        | FailureClass::BinhostUnreachable
        | FailureClass::IndexTooOld
        | FailureClass::Upload
        | FailureClass::Busy
        | FailureClass::Unknown => Culprit::Fleet,
        FailureClass::Cancelled => Culprit::Operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_memory_network_and_missing_tools_are_never_a_broken_package() {
        for class in [
            FailureClass::OutOfMemory,
            FailureClass::DiskFull,
            FailureClass::MissingTool,
            FailureClass::Killed,
            FailureClass::AgentLost,
            FailureClass::MissingBinary,
            FailureClass::Fetch,
            FailureClass::BinhostUnreachable,
            FailureClass::IndexTooOld,
            FailureClass::Upload,
            FailureClass::Busy,
            FailureClass::Unknown,
            FailureClass::Cancelled,
        ] {
            assert_ne!(blame(class), Culprit::Package, "{class:?}");
        }
    }
}
