//! What is asked about the queue and the swarm as a whole.

use crate::Settings;
use crate::rows::BuildWishes;

/// Packages to queue.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueueRequest {
    /// Atoms.
    pub packages: Vec<String>,
    /// Joins the open session of this name, or opens one.
    pub session_name: Option<String>,
    /// Build profile; `default` if not given.
    pub profile: Option<String>,
    /// Lines of `package.use`.
    pub package_use: Vec<String>,
    /// Build what the binhost has, too.
    pub rebuild: bool,
    /// A session of its own that lists every dependency, also those the binhost has.
    pub fresh: bool,
    /// What is wished of the builds.
    pub wishes: BuildWishes,
    /// The same key within 24 h gets the same answer and queues nothing.
    pub idempotency_key: Option<String>,
}

/// Take an entry out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveRequest {
    /// Atom or `category/name-version`; every variant of it in the active session.
    pub package: String,
}

/// Why is this package not building?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyRequest {
    /// `category/name-version` with or without `=`, or `category/name`.
    pub package: String,
}

/// One of the controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRequest {
    /// The control.
    pub action: Control,
    /// Only this package.
    pub package: Option<String>,
    /// Only this drone, by name or identity.
    pub drone: Option<String>,
}

/// The controls of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Give out no work.
    Pause,
    /// Give out work again.
    Resume,
    /// Blocked packages back to needed.
    Unblock,
    /// Block a package until a person unblocks it.
    Block,
    /// Take back work of drones that are offline or, with a drone named, of that drone.
    Reclaim,
    /// End groundings and upload impairments.
    Unground,
    /// End upload impairments only.
    ResetUpload,
    /// Everything not received back to needed, marks cleared.
    Reset,
    /// Take back work that has not begun.
    Rebalance,
    /// Clear failure marks.
    ClearFailures,
    /// Blocked and failed packages back to needed, marks cleared.
    RetryFailures,
    /// Forget the history of attempts.
    ClearHistory,
}

/// A setting that changes at run time. Whoever asks has read and checked the value.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigChange {
    /// `section.key`.
    pub key: String,
    /// Its new value as text; `None` gives it back to the configuration.
    pub value: Option<String>,
    /// What held until now, as text, for the event.
    pub before: String,
    /// What holds from now on, as text, for the event.
    pub after: String,
    /// All numbers of the rules as they are with the change.
    pub settings: Box<Settings>,
}
