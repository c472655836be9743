//! Subjects of the bus. Nothing else in the project contains a subject string.

use crate::{Attempt, BuildId, DroneId};

/// Default prefix of every subject.
pub const DEFAULT_PREFIX: &str = "swarm.v1";
/// Name of the JetStream stream that holds the events.
pub const EVENT_STREAM: &str = "SWARM_EVENTS";

/// Kinds of reports, the last token of a report's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportKind {
    /// Who I am and what I hold.
    Hello,
    /// Proof of life and everything held.
    Heartbeat,
    /// News of an attempt.
    Build,
    /// A ticket for an upload is wanted.
    Artifact,
    /// A planner's result, by chunks.
    Plan,
    /// How a sync of the ebuild repositories ended.
    Sync,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hello, Self::Heartbeat, Self::Build, Self::Artifact, Self::Plan, Self::Sync];

    /// The token in the subject.
    pub fn token(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Heartbeat => "heartbeat",
            Self::Build => "build",
            Self::Artifact => "artifact",
            Self::Plan => "plan",
            Self::Sync => "sync",
        }
    }
}

/// Formats and parses subjects under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

impl Default for Subjects {
    fn default() -> Self {
        Self::new(DEFAULT_PREFIX)
    }
}

impl Subjects {
    /// Subjects under `prefix` (tokens separated by dots, no wildcard, no white space).
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A drone's report.
    pub fn report(&self, drone: &DroneId, kind: ReportKind) -> String {
        format!("{}.drone.{drone}.report.{}", self.prefix, kind.token())
    }

    /// What the controller subscribes to: every report of every drone.
    pub fn all_reports(&self) -> String {
        format!("{}.drone.*.report.>", self.prefix)
    }

    /// What a drone may publish below: its own reports.
    pub fn reports_of(&self, drone: &DroneId) -> String {
        format!("{}.drone.{drone}.report.>", self.prefix)
    }

    /// Who speaks and of what, from a report's subject; `None` if it is no report of a known kind.
    pub fn parse_report(&self, subject: &str) -> Option<(DroneId, ReportKind)> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix(".drone.")?;
        let (drone, rest) = rest.split_once('.')?;
        let token = rest.strip_prefix("report.")?;
        let kind = ReportKind::ALL.into_iter().find(|k| k.token() == token)?;
        Some((DroneId(drone.to_owned()), kind))
    }

    /// Whose report or log it is, of whatever kind; the bus sees to it that nobody else publishes there.
    pub fn speaker(&self, subject: &str) -> Option<DroneId> {
        let rest = subject.strip_prefix(&self.prefix)?;
        let (drone, _) = match rest.strip_prefix(".drone.") {
            Some(rest) => rest.split_once(".report.")?,
            None => rest.strip_prefix(".log.")?.split_once('.')?,
        };
        (!drone.is_empty() && !drone.contains('.')).then(|| DroneId(drone.to_owned()))
    }

    /// An order of the kind named by [`crate::order::Order::token`].
    pub fn order(&self, drone: &DroneId, token: &str) -> String {
        format!("{}.drone.{drone}.order.{token}", self.prefix)
    }

    /// Every order for a drone.
    pub fn orders_of(&self, drone: &DroneId) -> String {
        format!("{}.drone.{drone}.order.>", self.prefix)
    }

    /// The broadcast ping.
    pub fn ping_all(&self) -> String {
        format!("{}.all.ping", self.prefix)
    }

    /// Everything said to all drones.
    pub fn all(&self) -> String {
        format!("{}.all.>", self.prefix)
    }

    /// Live chunks of one attempt's build log.
    pub fn build_log(&self, drone: &DroneId, build: BuildId, attempt: Attempt) -> String {
        format!("{}.log.{drone}.build.{build}.{attempt}", self.prefix)
    }

    /// Live chunks of every build log.
    pub fn all_build_logs(&self) -> String {
        format!("{}.log.*.build.*.*", self.prefix)
    }

    /// What a drone may publish below: its own logs.
    pub fn logs_of(&self, drone: &DroneId) -> String {
        format!("{}.log.{drone}.>", self.prefix)
    }

    /// Drone, build and attempt of a build log's subject.
    pub fn parse_build_log(&self, subject: &str) -> Option<(DroneId, BuildId, Attempt)> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix(".log.")?;
        let mut tokens = rest.split('.');
        let (drone, what) = (tokens.next()?, tokens.next()?);
        let (build, attempt) = (tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?);
        (what == "build" && tokens.next().is_none())
            .then(|| (DroneId(drone.to_owned()), BuildId(build), Attempt(attempt)))
    }

    /// Terminal bytes of a drone's shells.
    pub fn shell(&self, drone: &DroneId, session: &str, direction: &str) -> String {
        format!("{}.shell.{drone}.{session}.{direction}", self.prefix)
    }

    /// An event of the stream.
    pub fn event(&self, kind: &str) -> String {
        format!("{}.event.{kind}", self.prefix)
    }

    /// Every event.
    pub fn all_events(&self) -> String {
        format!("{}.event.>", self.prefix)
    }

    /// The JSON mirror of an event.
    pub fn json_event(&self, kind: &str) -> String {
        format!("{}.json.event.{kind}", self.prefix)
    }

    /// Every event's JSON mirror.
    pub fn all_json_events(&self) -> String {
        format!("{}.json.event.>", self.prefix)
    }

    /// Prefix of the inboxes of one identity; the controller answers a drone only below it.
    pub fn inbox(identity: &str) -> String {
        format!("_INBOX.{identity}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_subject_names_its_drone_and_kind() {
        let subjects = Subjects::default();
        let drone = DroneId::from("UABC");
        for kind in ReportKind::ALL {
            assert_eq!(subjects.parse_report(&subjects.report(&drone, kind)), Some((drone.clone(), kind)));
        }
        for foreign in ["swarm.v1.drone.UABC.order.build", "swarm.v1.drone.UABC.report.nonsense", "other", ""] {
            assert_eq!(subjects.parse_report(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_speaker_is_told_from_reports_and_logs_of_any_kind() {
        let subjects = Subjects::default();
        let drone = Some(DroneId::from("UABC"));
        for own in ["drone.UABC.report.hello", "drone.UABC.report.later.more", "log.UABC.build.1.2", "log.UABC.x"] {
            assert_eq!(subjects.speaker(&format!("swarm.v1.{own}")), drone, "{own}");
        }
        for other in ["swarm.v1.drone.UABC.order.build", "swarm.v1.drone.U.A.report.x", "swarm.v1.log.UABC", "x", ""] {
            assert_eq!(subjects.speaker(other), None, "{other}");
        }
    }

    #[test]
    fn a_log_subject_names_drone_build_and_attempt() {
        let subjects = Subjects::new("x.y");
        let drone = DroneId::from("UABC");
        let subject = subjects.build_log(&drone, BuildId(7), Attempt(2));
        assert_eq!(subjects.parse_build_log(&subject), Some((drone, BuildId(7), Attempt(2))));
        assert_eq!(subjects.parse_build_log("x.y.log.UABC.unit.worker.1"), None);
    }
}
