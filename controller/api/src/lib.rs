//! The JSON of the HTTP contract: answers, bodies of requests and refusals, as types of their own, never rows. Times are Unix
//! seconds with fraction, `null` where unknown. Field names are those of 0.4 and stay; fields may be added.
//!
//! Made from rows and the view of the core, without deciding anything, by the façade's handlers; read by the command line and
//! its screen. Parameters of a path stand with their handlers: nobody else reads them.

mod admin;
mod artifact;
mod binhost;
mod build;
mod control;
mod error;
mod event;
mod fleet;
mod healing;
mod history;
mod life;
mod member;
mod metrics;
mod notice;
mod number;
mod ping;
mod queue;
mod session;
mod status;
mod why;
mod wishes;

pub use admin::{
    AllSettings, AuthCheck, DroneLog, DroneVersion, DroneVersions, OwnLogAnswer, Setting, SettingBody, SettingDone,
    SystemInfo,
};
pub use artifact::{ArtifactAnswer, BinhostAnswer, BinhostIndex, NewestPackage};
pub use binhost::{
    BinhostDone, BinhostPackage, BinhostPackages, CollectAnswer, CollectBody, CollectedPackage, ImportAnswer,
    ImportBody, PinBody, PrivateAnswer, PrivateIndex, RemoveBody, VerifyAnswer, VerifyBody, VerifyFinding,
};
pub use build::{BuildAnswer, BuildAttempt};
pub use control::{ControlBody, DroneDone, Removed};
pub use error::ErrorBody;
pub use event::{Event, EventHistory, Events};
pub use fleet::metrics as drone_metrics;
pub use fleet::{
    BuildProgress, Capabilities, ControllerVersion, Drone, DroneFact, DroneFacts, DroneMetrics, LegacyDrones,
    Orchestrator, Version, Versions,
};
pub use healing::{
    ActOrdered, DeedView, DroneDeed, DroneEscalation, DroneHealthEntry, DroneHealthList, Escalation, Escalations,
    HealingStatus, ProbeView, ResetDone, RestartBody, TypeBody, TypeDone, last_deeds,
};
pub use history::{DroneTiming, History, HistoryEntry, Timing};
pub use life::is_online;
pub use member::{
    BusAnswer, EnrolAnswer, EnrolBody, Invite, InviteAnswer, InviteBody, Invites, Member, MembersAnswer, TapperAnswer,
    TapperBody,
};
pub use metrics::{
    BinhostStats, IndexStats, Metrics, MetricsSample, PackageAttempts, PackageStats, PortageBase, PortageConfig,
    QueueCounts, SampledDrone,
};
pub use notice::{NoticeList, NoticeView, TestNotice};
pub use number::{moment, seconds};
pub use ping::{AdminPing, LastPing, LastPings, Latency, PingAllAnswer, PingAnswer, PingMetrics};
pub use queue::{QueueBody, QueueEntry, QueuedAnswer, reasons};
pub use session::{Session, SessionDetail, SessionPackage, Sessions};
pub use status::{DelegatedTo, DroneHealth, Health, Ready, Status, StatusDrone, StatusPackages, Trouble};
pub use why::{WhyAnswer, WhyDrone, WhyEntry, WhyPoints, WhyReason, WhyWaiting};
pub use wishes::{AllWishes, DroneWishes};
