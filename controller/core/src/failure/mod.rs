//! What follows from a failure: whose fault it is, whether and where the package is tried again, and when a drone is kept
//! from work.

mod blame;
mod breaker;
mod retry;

pub(crate) use blame::blame;
pub use retry::{Next, next};
use swarm_protocol::report::{BuildResult, Failure, FailureClass};
use swarm_protocol::{BuildId, DroneId};

use crate::core::Core;
use crate::rows::{BlockedBy, BuildRow, BuildState, Cancelling, Culprit, EventKind, FailureMark, HistoryStatus};

/// A failure without a log behind it.
pub(crate) fn failed(class: FailureClass, message: String) -> Failure {
    Failure { class, cpv: None, phase: None, message, log_line: None }
}

impl Core {
    /// The current attempt of a delegated entry has failed.
    pub(crate) fn fail(&mut self, id: BuildId, failure: &Failure, result: Option<(&BuildResult, bool)>) {
        let Some(build) = self.rows.builds.get(&id).cloned() else { return };
        let Some(assignment) = build.assignment().cloned() else { return };
        let drone = assignment.drone.clone();
        let culprit = blame(failure.class);
        let status = if culprit == Culprit::Operator || failure.class == FailureClass::Busy {
            HistoryStatus::Returned
        } else {
            HistoryStatus::Failed
        };
        self.record_failure(id, &drone, status, failure, result);
        self.blame_drone(&drone, failure.class, culprit);
        if let Some(then) = assignment.cancelling.filter(|then| *then != Cancelling::GiveBack {}) {
            return self.after_cancel(id, then);
        }
        let charged = if culprit == Culprit::Package { self.charged(&build, failure) } else { id };
        if failure.class != FailureClass::Busy {
            self.mark(charged, &drone, build.attempt, failure, culprit, assignment.disk_free);
        }
        if let Some(sweep) = assignment.sweep {
            let reason = (culprit == Culprit::Package)
                .then(|| reason(&self.drone_name(&drone), &failure.message, failure.log_line.as_ref()));
            if charged != id {
                self.decide(charged, failure, culprit, false);
            }
            return self.end_sweep(id, sweep, reason);
        }
        if charged != id {
            // The dependency's own entry decides; this one waits for it.
            let message = format!("its dependency {} failed", failure.cpv.as_deref().unwrap_or("?"));
            self.build_event(EventKind::Return, id, message, Some(self.drone_name(&drone)));
            let mut after = build.after.clone();
            if !after.contains(&charged) {
                after.push(charged);
            }
            self.set_after(id, after);
            self.decide(charged, failure, culprit, false);
            self.set_state(id, BuildState::Needed { not_before: 0 });
            return;
        }
        self.decide(id, failure, culprit, true);
    }

    fn record_failure(
        &mut self,
        id: BuildId,
        drone: &DroneId,
        status: HistoryStatus,
        failure: &Failure,
        result: Option<(&BuildResult, bool)>,
    ) {
        let (told, log_complete) = match result {
            Some((result, complete)) => (result.clone(), complete),
            None => {
                let since = self.rows.builds.get(&id).and_then(|row| row.assignment()).and_then(|a| a.building_since);
                let duration_ms = since.map_or(0, |since| self.now.wall.saturating_sub(since));
                (BuildResult { duration_ms, ..BuildResult::default() }, false)
            }
        };
        // the judgement may be ours, not the drone's: success without a binary is a failure
        let told = BuildResult { failure: Some(failure.clone()), ..told };
        self.record(id, drone, status, Some((&told, log_complete)), Some(&failure.message));
        let name = self.drone_name(drone);
        let kind = if status == HistoryStatus::Returned { EventKind::Return } else { EventKind::Fail };
        let atom = self.rows.builds.get(&id).map(BuildRow::atom).unwrap_or_default();
        let blamed = blame(failure.class).name();
        self.build_event(kind, id, format!("{atom} on {name}: {} ({blamed})", failure.message), Some(name));
    }

    /// A failing dependency is charged to its own entry, if it has one that is not in the binhost yet.
    fn charged(&self, build: &BuildRow, failure: &Failure) -> BuildId {
        let Some(cpv) = failure.cpv.as_ref().filter(|cpv| Some(*cpv) != build.cpv.as_ref()) else { return build.id };
        let mut same = self.soft.queue.of_version(&build.profile, cpv).filter_map(|id| self.rows.builds.get(&id));
        let own = same.find(|row| {
            row.session == build.session
                && !matches!(row.state, BuildState::Received { .. } | BuildState::Planning { .. })
        });
        own.map_or(build.id, |row| row.id)
    }

    fn mark(
        &mut self,
        id: BuildId,
        drone: &DroneId,
        attempt: swarm_protocol::Attempt,
        failure: &Failure,
        culprit: Culprit,
        disk_free: u64,
    ) {
        let had_bytes = match failure.class {
            FailureClass::OutOfMemory => self.rows.drones.get(drone).map_or(0, |row| row.ram_bytes),
            FailureClass::DiskFull => disk_free,
            _ => 0,
        };
        let mark = FailureMark {
            drone: drone.clone(),
            drone_name: self.drone_name(drone),
            attempt,
            class: failure.class,
            culprit,
            phase: failure.phase,
            message: failure.message.clone(),
            log_line: failure.log_line.clone(),
            at: self.now.at,
            wall: self.now.wall,
            had_bytes,
        };
        if let Some(row) = self.rows.builds.change(&id) {
            row.marks.push(mark);
            if row.marks.len() > BuildRow::MAX_MARKS {
                row.marks.remove(0);
            }
        }
    }

    fn decide(&mut self, id: BuildId, failure: &Failure, culprit: Culprit, own: bool) {
        let Some(build) = self.rows.builds.get(&id).cloned() else { return };
        match build.state {
            BuildState::Blocked { .. } | BuildState::Failed { .. } => return,
            // another drone has it as a dependency's own entry: how that ends decides
            BuildState::Delegated { .. } if !own => return,
            _ => {}
        }
        match next(&build, failure.class, culprit, self.drones_for(&build), self.now.at, &self.settings) {
            Next::Again { not_before } => self.back_to_needed(id, not_before),
            Next::Block { by } => {
                let reasons = reasons(&build, culprit);
                let retry_at = self.retry_moment(id);
                let waiting = self.soft.queue.graph().dependents(id).count();
                let others = if waiting > 0 { format!("; {waiting} package(s) wait for it") } else { String::new() };
                self.build_event(
                    EventKind::Blocked,
                    id,
                    format!("{} is blocked: {}{others}", build.atom(), failure.message),
                    None,
                );
                self.set_state(id, BuildState::Blocked { by, reasons, since: self.now.wall, retry_at });
            }
            Next::Fail => {
                let reasons = reasons(&build, culprit);
                self.build_event(
                    EventKind::Blocked,
                    id,
                    format!("{} has failed for good: {}", build.atom(), failure.message),
                    None,
                );
                self.set_state(id, BuildState::Failed { reasons, since: self.now.wall });
            }
        }
    }

    /// Whoever could still build it is away or has failed it: it counts as failed everywhere, so that it does not wait
    /// for ever.
    pub(crate) fn give_up_waiting(&mut self, id: BuildId) {
        let Some(build) = self.rows.builds.get(&id) else { return };
        let reasons = reasons(build, Culprit::Package);
        let message = format!("{} is blocked: it has failed on every drone that may build it", build.atom());
        let state = if build.auto_retries >= self.settings.max_auto_retries {
            BuildState::Failed { reasons, since: self.now.wall }
        } else {
            let (by, retry_at) = (by_failures(Culprit::Package), self.retry_moment(id));
            BuildState::Blocked { by, reasons, since: self.now.wall, retry_at }
        };
        self.build_event(EventKind::Blocked, id, message, None);
        self.set_state(id, state);
    }

    /// When a blocked package is tried again by itself; never once its retries are used up.
    pub(crate) fn retry_moment(&self, id: BuildId) -> Option<u64> {
        let used = self.rows.builds.get(&id).map_or(0, |row| row.auto_retries);
        (used < self.settings.max_auto_retries).then_some(self.now.at + self.settings.retry_blocked_after)
    }

    /// Drones that could build a package if it had not failed there: online, of its profile and base, not a sweeper, not
    /// kept from work by a person.
    fn drones_for(&self, build: &BuildRow) -> usize {
        self.rows
            .drones
            .iter()
            .filter(|row| row.build_profile == build.profile && row.base == build.base)
            .filter(|row| !row.is_sweeper() && self.is_around(row))
            .count()
    }
}

/// One line per failure of the culprit's kind, newest last.
fn reasons(build: &BuildRow, culprit: Culprit) -> Vec<String> {
    build
        .marks
        .iter()
        .filter(|mark| mark.culprit == culprit)
        .map(|mark| reason(&mark.drone_name, &mark.message, mark.log_line.as_ref()))
        .collect()
}

fn reason(drone: &str, message: &str, log_line: Option<&String>) -> String {
    match log_line {
        Some(line) => format!("{drone}: {message}: {line}"),
        None => format!("{drone}: {message}"),
    }
}

/// Whether a block is the failures' doing.
pub(crate) fn by_failures(culprit: Culprit) -> BlockedBy {
    BlockedBy::Failures { culprit }
}
