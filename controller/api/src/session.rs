//! Sessions: what one person asked for together, and what became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_core::forecast::{Forecast, forecast};
use swarm_core::rows::{BuildRow, BuildState, Outcome, SessionRow};
use swarm_core::view::{Counts, TaskView, View};
use swarm_protocol::SessionId;
use utoipa::ToSchema;

use super::number::seconds;
use super::queue::{drone_name, estimated_s, origin_name, reasons};

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Number.
    pub id: u64,
    /// Name.
    pub name: String,
    /// `active` or `completed`.
    pub status: String,
    /// All its entries.
    pub total_packages: u64,
    /// Received ones.
    pub completed_packages: u64,
    /// Blocked ones and those given up.
    pub failed_packages: u64,
    /// When it was opened.
    pub started_at: f64,
    /// When it ended.
    pub completed_at: Option<f64>,
    /// Who opened it.
    pub opened_by: String,
    /// To be built.
    pub needed: u64,
    /// In a drone's hands.
    pub delegated: u64,
    /// In the binhost.
    pub received: u64,
    /// Blocked.
    pub blocked: u64,
    /// Given up.
    pub failed: u64,
    /// Needed ones that wait for a dependency.
    pub waiting: u64,
    /// Seconds until everything of it that is not blocked is likely to be built; null if that can't be told, or was not
    /// looked at (in lists).
    pub eta_s: Option<f64>,
}

impl Session {
    /// The same with its forecast.
    #[must_use]
    pub fn with(self, forecast: &Forecast) -> Self {
        let eta_s = forecast.sessions.get(&SessionId(self.id)).map(|end_ms| seconds(*end_ms));
        Self { eta_s, ..self }
    }

    /// A session with its sums.
    pub fn new(row: &SessionRow, counts: &Counts) -> Self {
        Self {
            id: row.id.0,
            name: row.name.clone(),
            status: if row.ended_at.is_some() { "completed" } else { "active" }.to_owned(),
            total_packages: counts.total(),
            completed_packages: counts.received,
            failed_packages: counts.blocked + counts.failed,
            started_at: seconds(row.started_at),
            completed_at: row.ended_at.map(seconds),
            opened_by: row.opened_by.clone(),
            needed: counts.needed,
            delegated: counts.delegated,
            received: counts.received,
            blocked: counts.blocked,
            failed: counts.failed,
            waiting: counts.waiting,
            eta_s: None,
        }
    }
}

/// Sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sessions {
    /// Newest first.
    pub sessions: Vec<Session>,
}

/// A session with its packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionDetail {
    /// The session.
    pub session: Session,
    /// Its packages, by number.
    pub packages: Vec<SessionPackage>,
}

/// A package of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionPackage {
    /// Number of the build.
    pub id: u64,
    /// With `=`; as it was asked for while the version is not known.
    pub package: String,
    /// As it was asked for.
    pub asked: String,
    /// Enabled USE flags.
    pub use_flags: Vec<String>,
    /// Main slot.
    pub slot: String,
    /// Repository.
    pub repository: String,
    /// `asked` or `dependency`.
    pub origin: String,
    /// `needed`, `delegated`, `received`, `blocked` or `failed`.
    pub status: String,
    /// A drone resolves it first.
    pub planning: bool,
    /// The drone that has it or built it.
    pub drone: Option<String>,
    /// Where its build stands.
    pub phase: Option<String>,
    /// When its build began.
    pub building_since: Option<f64>,
    /// Seconds its build took.
    pub duration_s: Option<f64>,
    /// Bytes of its binary package.
    pub size_bytes: Option<u64>,
    /// How it came: `built`, `already_present` or `on_the_side`.
    pub how: Option<String>,
    /// When it was received, blocked or given up.
    pub completed_at: Option<f64>,
    /// Last attempt; 0 before the first.
    pub attempt: u32,
    /// Failures since the marks were last cleared.
    pub failures: usize,
    /// Why it is blocked or has failed.
    pub reasons: Vec<String>,
    /// The line of the log that matters, of its last failure.
    pub log_line: Option<String>,
    /// Dependencies that are not in the binhost, with `=`.
    pub waiting_for: Vec<String>,
    /// As it was asked for; counts in the line.
    pub priority: i32,
    /// Seconds its build is likely to take where it is or on an ordinary drone, if it was ever built.
    pub estimated_s: Option<f64>,
    /// Seconds until its build is likely to begin; 0 when it has, null if that can't be told.
    pub starts_in_s: Option<f64>,
    /// Seconds until its build is likely to have ended; null if that can't be told.
    pub eta_s: Option<f64>,
}

/// The public name of a way to be received.
fn outcome_name(how: Outcome) -> &'static str {
    match how {
        Outcome::Built => "built",
        Outcome::AlreadyPresent => "already_present",
        Outcome::OnTheSide => "on_the_side",
    }
}

fn is_received(row: &BuildRow) -> bool {
    matches!(row.state, BuildState::Received { .. })
}

impl SessionDetail {
    /// A session with its packages; `rows` are all entries of the queue, since dependencies may be in another session.
    pub fn new(session: Session, rows: &[BuildRow], view: &View, now: u64) -> Self {
        let forecast = forecast(rows, view, now);
        let by_id: BTreeMap<u64, &BuildRow> = rows.iter().map(|row| (row.id.0, row)).collect();
        let tasks: BTreeMap<u64, &TaskView> =
            view.drones.values().flat_map(|drone| &drone.tasks).map(|task| (task.fence.build.0, task)).collect();
        let packages = rows
            .iter()
            .filter(|row| row.session.0 == session.id)
            .map(|row| {
                let package = SessionPackage::new(row, &by_id, tasks.get(&row.id.0).copied(), view);
                match forecast.entries.get(&row.id) {
                    Some(span) => SessionPackage {
                        starts_in_s: Some(seconds(span.start_ms)),
                        eta_s: Some(seconds(span.end_ms)),
                        ..package
                    },
                    None => package,
                }
            })
            .collect();
        Self { session: session.with(&forecast), packages }
    }
}

impl SessionPackage {
    fn new(row: &BuildRow, by_id: &BTreeMap<u64, &BuildRow>, task: Option<&TaskView>, view: &View) -> Self {
        let received = match &row.state {
            BuildState::Received { received } => Some(received),
            _ => None,
        };
        let assignment = row.assignment();
        let completed_at = match &row.state {
            BuildState::Received { received } => Some(received.at),
            BuildState::Blocked { since, .. } | BuildState::Failed { since, .. } => Some(*since),
            BuildState::Planning { .. } | BuildState::Needed { .. } | BuildState::Delegated { .. } => None,
        };
        let open = received.is_none();
        let needs = row.after.iter().filter(|_| open).filter_map(|need| by_id.get(&need.0));
        let mut waiting_for: Vec<String> = needs.filter(|need| !is_received(need)).map(|need| need.atom()).collect();
        waiting_for.dedup();
        Self {
            id: row.id.0,
            package: row.atom(),
            asked: row.asked.clone(),
            use_flags: row.use_flags.clone(),
            slot: row.slot.clone(),
            repository: row.repository.clone(),
            origin: origin_name(row.origin).to_owned(),
            status: row.state.name().to_owned(),
            planning: matches!(row.state, BuildState::Planning { .. }),
            drone: received
                .and_then(|received| received.drone.clone())
                .or_else(|| assignment.map(|assignment| drone_name(view, &assignment.drone))),
            phase: assignment.and(task).map(|task| task.phase.name().to_owned()),
            building_since: assignment.and_then(|assignment| assignment.building_since).map(seconds),
            duration_s: received.map(|received| seconds(received.duration_ms)),
            size_bytes: received.map(|received| received.size),
            how: received.map(|received| outcome_name(received.how).to_owned()),
            completed_at: completed_at.map(seconds),
            attempt: row.attempt.0,
            failures: row.marks.len(),
            reasons: if open { reasons(row) } else { Vec::new() },
            log_line: row.marks.iter().rev().filter(|_| open).find_map(|mark| mark.log_line.clone()),
            waiting_for,
            priority: row.wishes.priority,
            estimated_s: estimated_s(row, view).filter(|_| open),
            starts_in_s: None,
            eta_s: None,
        }
    }
}
