//! All the core can do: effects, which the engine carries out only after the rows behind them are on disk.

use std::collections::BTreeMap;

use swarm_protocol::order::{Order, Rung};
use swarm_protocol::{ArtifactId, DroneId, Fence};

use crate::answer::{Answer, ReplyTo};
use crate::rows::{IndexKey, NoticeRow, RouteKind};

/// Something to be done. Effects keep their order. Each kind of work is one type, which the room that does it is handed as
/// it is.
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer whoever asked.
    Reply {
        /// Who waits for it.
        to: ReplyTo,
        /// What is said.
        answer: Answer,
    },
    /// Send an order to a drone. The core sends it again until the drone has seen it.
    Order {
        /// The receiver.
        drone: DroneId,
        /// The order.
        order: Box<Order>,
    },
    /// Work on the binhost's files.
    Binhost(BinhostWork),
    /// Get an attempt's log whole; report [`crate::input::Input::LogStored`].
    CompleteLog(WantedLog),
    /// Ping a drone's supervisor; report [`crate::input::Input::Pong`] or `PingLost`.
    Ping(Ping),
    /// Do something about a drone that does not work; report [`crate::input::Input::Escalated`].
    Escalate(Escalation),
    /// Tell people outside; report [`crate::input::Input::Notified`].
    Notify(Box<NoticeRow>),
    /// Forget the history of attempts up to and including this number.
    TrimHistory {
        /// The last one to forget.
        up_to: u64,
    },
}

/// Work on the binhost's files.
#[derive(Debug, Clone, PartialEq)]
pub enum BinhostWork {
    /// Sign an uploaded file and put it at its place; report [`crate::input::Input::Signed`] or `SigningFailed`.
    Sign {
        /// The upload.
        artifact: ArtifactId,
        /// The index whose folder it goes into.
        index: IndexKey,
        /// BUILD_ID it gets.
        build_id: u32,
        /// Path below the index's folder.
        path: String,
        /// It must not be given to the public.
        restricted: bool,
    },
    /// Write a generation of an index; report [`crate::input::Input::IndexWritten`] or `IndexFailed`.
    WriteIndex {
        /// The index.
        index: IndexKey,
        /// TIMESTAMP.
        timestamp: u64,
        /// Header, without TIMESTAMP and PACKAGES.
        header: BTreeMap<String, String>,
        /// Blocks that are new since the last generation this process wrote.
        add: Vec<(ArtifactId, BTreeMap<String, String>)>,
        /// CPV and BUILD_ID of blocks that are to go.
        remove: Vec<(String, u32)>,
    },
    /// Remove the file of a package no index lists any more; report [`crate::input::Input::PackageRemoved`] or
    /// `RemovalFailed`. One that is not there is removed.
    RemovePackage {
        /// The package.
        artifact: ArtifactId,
        /// The index whose folder it is in.
        index: IndexKey,
        /// Path below the index's folder.
        path: String,
        /// It was never given to the public.
        restricted: bool,
    },
    /// Remove an upload that is not wanted.
    DropUpload {
        /// The upload.
        artifact: ArtifactId,
    },
}

/// The log of an attempt that is to be had whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLog {
    /// The attempt.
    pub fence: Fence,
    /// The drone that has it.
    pub drone: DroneId,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A question whether a drone's supervisor is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Who is asked.
    pub drone: DroneId,
    /// Number of the ping; its answer carries it.
    pub seq: u64,
    /// Milliseconds to wait for the answer.
    pub within: u64,
}

/// Something to be done about a drone that does not work, by one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// The drone.
    pub drone: DroneId,
    /// Number of the order; its outcome carries it.
    pub generation: u64,
    /// What is to be done.
    pub rung: Rung,
    /// Why, for people.
    pub reason: String,
    /// The way to the drone.
    pub route: Route,
    /// Milliseconds to wait for the outcome.
    pub within: u64,
}

/// A way to a drone, with all it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Its supervisor, over the bus.
    Bus {},
    /// SSH, with the host key the swarm knows; another one is refused.
    Ssh {
        /// User.
        user: String,
        /// Address.
        host: String,
        /// Port.
        port: u16,
        /// Private key on the controller; its user's own if `None`.
        key: Option<String>,
        /// The host keys it is known by, `type base64`; any other is refused. With none nothing is said to it.
        host_keys: Vec<String>,
    },
    /// The operator's command on the hypervisor, as an argument list; no shell.
    Hypervisor {
        /// Program and arguments.
        command: Vec<String>,
    },
}

impl Route {
    /// Its kind.
    pub fn kind(&self) -> RouteKind {
        match self {
            Self::Bus {} => RouteKind::Bus,
            Self::Ssh { .. } => RouteKind::Ssh,
            Self::Hypervisor { .. } => RouteKind::Hypervisor,
        }
    }
}
