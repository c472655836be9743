//! Whose fault a failure is. One exhaustive match; evidence comes from the drone, judgement is made here.

use swarm_protocol::report::FailureClass;

use crate::rows::Culprit;

/// The culprit of a class of failure.
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
    fn every_class_has_its_culprit() {
        use Culprit::{Drone, Fleet, Operator, Package};
        for (class, culprit) in [
            (FailureClass::Phase, Package),
            (FailureClass::Silence, Package),
            (FailureClass::Timeout, Package),
            (FailureClass::Masked, Package),
            (FailureClass::Unsatisfiable, Package),
            (FailureClass::OutOfMemory, Drone),
            (FailureClass::DiskFull, Drone),
            (FailureClass::MissingTool, Drone),
            (FailureClass::Killed, Drone),
            (FailureClass::AgentLost, Drone),
            (FailureClass::MissingBinary, Drone),
            (FailureClass::Fetch, Fleet),
            (FailureClass::BinhostUnreachable, Fleet),
            (FailureClass::IndexTooOld, Fleet),
            (FailureClass::Upload, Fleet),
            (FailureClass::Busy, Fleet),
            (FailureClass::Unknown, Fleet),
            (FailureClass::Cancelled, Operator),
        ] {
            assert_eq!(blame(class), culprit, "{class:?}");
        }
    }
}
