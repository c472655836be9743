//! The JSON of the façade: types of its own, never rows. Times are Unix seconds with fraction, `null` where unknown. Field
//! names are those of 0.4 and stay; fields may be added.

mod admin;
mod artifact;
mod binhost;
mod build;
mod control;
mod event;
mod fleet;
mod healing;
mod history;
mod member;
mod metrics;
mod notice;
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
pub use event::{Event, EventHistory, Events};
pub use fleet::metrics as drone_metrics;
pub use fleet::{
    BuildProgress, Capabilities, ControllerVersion, Drone, DroneFact, DroneFacts, DroneMetrics, LegacyDrones,
    Orchestrator, Version, Versions, is_online,
};
pub use healing::{
    ActOrdered, DeedView, DroneDeed, DroneEscalation, DroneHealthEntry, DroneHealthList, Escalation, Escalations,
    HealingStatus, ProbeView, ResetDone, RestartBody, TypeBody, TypeDone, last_deeds,
};
pub use history::{DroneTiming, History, HistoryEntry, Timing};
pub use member::{
    BusAnswer, EnrolAnswer, EnrolBody, Invite, InviteAnswer, InviteBody, Invites, Member, MembersAnswer, TapperAnswer,
    TapperBody,
};
pub use metrics::{
    BinhostStats, IndexStats, Metrics, MetricsSample, PackageAttempts, PackageStats, PortageBase, PortageConfig,
    QueueCounts, SampledDrone,
};
pub use notice::{NoticeList, NoticeView, TestNotice};
pub use ping::{LastPing, LastPings, Latency, PingAllAnswer, PingAnswer, PingMetrics};
pub use queue::{QueueBody, QueueEntry, QueuedAnswer, reasons};
pub use session::{Session, SessionDetail, SessionPackage, Sessions};
pub use status::{DelegatedTo, DroneHealth, Health, Ready, Status, StatusDrone, StatusPackages, Trouble};
pub use why::{WhyAnswer, WhyDrone, WhyEntry, WhyPoints, WhyReason, WhyWaiting};
pub use wishes::{AllWishes, DroneWishes};

/// Unix milliseconds as Unix seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds fit into 53 bits until the year 287396")]
pub fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Unix milliseconds as Unix seconds; 0 is `null`.
pub fn moment(millis: u64) -> Option<f64> {
    (millis > 0).then(|| seconds(millis))
}

/// A part of a whole in percent, one decimal.
#[expect(clippy::cast_precision_loss, reason = "counts of builds")]
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 1000.0 / whole as f64).round() / 10.0 }
}
