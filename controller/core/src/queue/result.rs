//! Results: what a drone reports of an attempt, and when it counts. A result is accepted only when every package it made is
//! in a published index and its log is stored; until then the drone keeps it.

use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::report::{BuildAnswer, BuildNews, BuildReport, BuildResult, Failure, FailureClass};
use swarm_protocol::{BuildId, DroneId, Fence};

use super::finishing::{Finishing, Reported};
use crate::answer::{Answer, ReplyTo};
use crate::core::Core;
use crate::effect::{Effect, WantedLog};
use crate::failure::failed;
use crate::rows::{BuildState, Cancelling, EventKind, HistoryRow, HistoryStatus, Outcome, Received};
use crate::sanity;

/// What it is told to wait, milliseconds.
const ASK_AGAIN: u64 = 250;
/// What a run is told to wait that is not the drone's welcomed one, milliseconds.
const UNWELCOME_AGAIN: u64 = 5_000;

impl Core {
    pub(crate) fn build_report(&mut self, drone: &DroneId, mut report: BuildReport, reply: ReplyTo) {
        sanity::news(&mut report.news);
        let fence = report.fence;
        if report.store_id == *self.store_id() && self.is_settled(drone, &report) {
            return self.reply(reply, Answer::Build(BuildAnswer::Durable {}));
        }
        if report.store_id != *self.store_id() || !self.is_current(drone, fence) {
            self.stale(drone, &report);
            let reason = format!("attempt {fence} is not current");
            return self.reply(reply, Answer::Build(BuildAnswer::Superseded { reason }));
        }
        if !self.is_live_worker(drone, &report.instance) {
            // a copy of the drone, with its disk's attempts: what it says of them is not what became of them. A worker that was
            // only not welcomed yet says it again.
            return self.reply(reply, Answer::Build(BuildAnswer::Pending { retry_ms: UNWELCOME_AGAIN }));
        }
        self.soft.fleet.hands.listed(fence.build, self.now.at + self.settings.lease);
        let answer = match report.news {
            BuildNews::Taken {} => {
                self.change_assignment(fence.build, |assignment| assignment.taken = true);
                BuildAnswer::Durable {}
            }
            BuildNews::Started { at } => {
                self.began(fence.build, at);
                BuildAnswer::Durable {}
            }
            BuildNews::Finished { result } => return self.finished(drone, fence, result, reply),
            BuildNews::Dropped { reason } => {
                self.dropped(fence.build, &reason);
                BuildAnswer::Durable {}
            }
            BuildNews::Refused { failure } => {
                self.fail(fence.build, &failure, None);
                BuildAnswer::Durable {}
            }
            BuildNews::Unknown => BuildAnswer::NotUnderstood { reason: "news of a later version".to_owned() },
        };
        self.reply(reply, Answer::Build(answer));
    }

    /// emerge runs since the drone's wall clock said `at`: what was asked back only if it had not begun goes on.
    pub(crate) fn began(&mut self, id: BuildId, at: u64) {
        self.change_assignment(id, |assignment| {
            assignment.taken = true;
            assignment.building_since.get_or_insert(at);
            if assignment.cancelling == Some(Cancelling::GiveBack {}) {
                assignment.cancelling = None;
            }
        });
    }

    /// This result was counted already: its answer got lost, or the drone was told to ask again.
    fn is_settled(&self, drone: &DroneId, report: &BuildReport) -> bool {
        let Some(build) = self.rows.builds.get(&report.fence.build) else { return false };
        if build.fence() != report.fence || !matches!(report.news, BuildNews::Finished { .. }) {
            return false;
        }
        match &build.state {
            BuildState::Received { received } => received.drone.as_ref() == Some(&self.drone_name(drone)),
            BuildState::Delegated { .. } => false,
            BuildState::Planning { .. }
            | BuildState::Needed { .. }
            | BuildState::Blocked { .. }
            | BuildState::Failed { .. } => {
                build.marks.last().is_some_and(|mark| mark.drone == *drone && mark.attempt == report.fence.attempt)
            }
        }
    }

    /// A report of an older attempt is logged, answered "superseded", and changes nothing.
    fn stale(&mut self, drone: &DroneId, report: &BuildReport) {
        if !matches!(report.news, BuildNews::Finished { .. }) || !self.soft.fleet.may_complain(drone, self.now.at) {
            return;
        }
        let (name, fence) = (self.drone_name(drone), report.fence);
        let package = self.rows.builds.get(&fence.build).map(|row| row.atom());
        let message = format!("{name} reported attempt {fence} late; it changes nothing");
        self.event(EventKind::Stale, message, |event| {
            event.drone = Some(name);
            event.package = package;
            event.build = Some(fence.build.0);
            event.attempt = Some(fence.attempt.0);
        });
    }

    fn finished(&mut self, drone: &DroneId, fence: Fence, result: BuildResult, reply: ReplyTo) {
        // a later report implies the earlier ones
        self.began(fence.build, self.now.wall.saturating_sub(result.duration_ms));
        let (bytes, log_wait) = (result.log_bytes, self.settings.log_wait);
        let waiting = &mut self.soft.queue.finishing;
        let Reported { ask_log, before } = waiting.report(drone, fence, result, reply, self.now.at, log_wait);
        if ask_log {
            self.effects.push(Effect::CompleteLog(WantedLog { fence, drone: drone.clone(), bytes }));
        }
        if let Some(to) = before {
            self.reply(to, Answer::Build(BuildAnswer::Pending { retry_ms: ASK_AGAIN }));
        }
        self.try_accept(fence.build);
    }

    pub(crate) fn log_stored(&mut self, fence: Fence, complete: bool) {
        if self.soft.queue.finishing.log_stored(fence, complete) {
            self.try_accept(fence.build);
        }
    }

    /// Something was published: results may have waited for it.
    pub(crate) fn try_accept_all(&mut self) {
        for id in self.soft.queue.finishing.ids() {
            self.try_accept(id);
        }
    }

    fn try_accept(&mut self, id: BuildId) {
        let Some(entry) = self.soft.queue.finishing.get(id) else { return };
        let Some(index) = self.index_of(&entry.drone) else { return };
        // what is rebuilt is in the binhost already; only the new file counts
        let again = self.rows.builds.get(&id).filter(|build| build.rebuild).and_then(|build| build.cpv.clone());
        let older = |artifact: &ArtifactRef| Some(&artifact.cpv) != again.as_ref();
        let missing: Vec<String> = entry
            .result
            .artifacts
            .iter()
            .filter(|artifact| !self.is_here(&index, artifact, older(artifact)))
            .map(|artifact| artifact.sha256.clone())
            .collect();
        if !missing.is_empty() {
            self.answer_finishing(id, BuildAnswer::NeedArtifacts { sha256: missing });
            return;
        }
        let all_listed =
            entry.result.artifacts.iter().all(|artifact| self.is_listed(&index, artifact, older(artifact)));
        let (Some(log_complete), true) = (entry.log, all_listed) else { return };
        let Some((entry, reply)) = self.soft.queue.finishing.take(id) else { return };
        self.accept(id, &entry, log_complete);
        if let Some(to) = reply {
            self.reply(to, Answer::Build(BuildAnswer::Durable {}));
        }
    }

    /// An attempt ended while its result still waited: whoever reported it is told that it counts no more.
    pub(crate) fn end_finishing(&mut self, id: BuildId) {
        let Some((entry, reply)) = self.soft.queue.finishing.take(id) else { return };
        if let Some(to) = reply {
            let reason = format!("attempt {} is not current", entry.fence);
            self.reply(to, Answer::Build(BuildAnswer::Superseded { reason }));
        }
    }

    fn answer_finishing(&mut self, id: BuildId, answer: BuildAnswer) {
        if let Some(to) = self.soft.queue.finishing.answer(id) {
            self.reply(to, Answer::Build(answer));
        }
    }

    /// Reports that waited long enough are told to ask again.
    pub(crate) fn answer_waiting_reports(&mut self) {
        for id in self.soft.queue.finishing.due(self.now.at) {
            self.answer_finishing(id, BuildAnswer::Pending { retry_ms: ASK_AGAIN });
        }
    }

    fn accept(&mut self, id: BuildId, entry: &Finishing, log_complete: bool) {
        let Some(build) = self.rows.builds.get(&id).cloned() else { return };
        match &entry.result.failure {
            Some(failure) if failure.class == FailureClass::Cancelled => return self.dropped(id, &failure.message),
            Some(failure) => return self.fail(id, failure, Some((&entry.result, log_complete))),
            None => {}
        }
        let made =
            entry.result.artifacts.iter().find(|made| Some(&made.cpv) == build.cpv.as_ref() && made.slot == build.slot);
        let Some(made) = made else {
            let failure =
                failed(FailureClass::MissingBinary, "emerge ended well and left no binary package".to_owned());
            return self.fail(id, &failure, Some((&entry.result, log_complete)));
        };
        let size = self.index_of(&entry.drone).and_then(|index| self.published_size(&index, made)).unwrap_or(made.size);
        let name = self.drone_name(&entry.drone);
        self.learn(build.cpv.as_deref().unwrap_or_default(), &entry.drone, &entry.result);
        self.record(id, &entry.drone, HistoryStatus::Success, Some((&entry.result, log_complete)), None);
        self.build_event(
            EventKind::Complete,
            id,
            format!("{} built on {name} in {}", build.atom(), seconds(entry.result.duration_ms)),
            Some(name.clone()),
        );
        self.succeeded_on(&entry.drone);
        let received = Received {
            at: self.now.wall,
            drone: Some(name),
            duration_ms: entry.result.duration_ms,
            how: Outcome::Built,
            size,
        };
        self.set_state(id, BuildState::Received { received });
        if build.assignment().is_some_and(|a| a.cancelling == Some(Cancelling::Remove {})) {
            self.drop_build(id);
        }
    }

    /// An attempt ended without a result, as ordered.
    pub(crate) fn dropped(&mut self, id: BuildId, reason: &str) {
        let Some(assignment) = self.rows.builds.get(&id).and_then(|row| row.assignment()).cloned() else { return };
        let name = self.drone_name(&assignment.drone);
        self.record(id, &assignment.drone, HistoryStatus::Returned, None, Some(reason));
        self.build_event(EventKind::Return, id, format!("{name} gave it back: {reason}"), Some(name));
        match (assignment.cancelling, assignment.sweep) {
            (Some(then), _) => self.after_cancel(id, then),
            (None, Some(sweep)) => self.end_sweep(id, sweep, None),
            // nobody asked for it: at once it would come straight back
            (None, None) => self.back_to_needed(id, self.now.at + self.settings.heartbeat),
        }
    }

    /// An attempt has ended because we ordered it: what its entry is from now on.
    pub(crate) fn after_cancel(&mut self, id: BuildId, then: Cancelling) {
        let sweep = self.rows.builds.get(&id).and_then(|row| row.assignment()).and_then(|a| a.sweep.clone());
        match then {
            Cancelling::Return {} | Cancelling::GiveBack {} => match sweep {
                Some(sweep) => self.end_sweep(id, sweep, None),
                None => self.back_to_needed(id, 0),
            },
            Cancelling::Block { by } => self.block_by_person(id, &by),
            Cancelling::Remove {} => self.drop_build(id),
        }
    }

    /// Writes the history of an attempt.
    pub(crate) fn record(
        &mut self,
        id: BuildId,
        drone: &DroneId,
        status: HistoryStatus,
        result: Option<(&BuildResult, bool)>,
        error: Option<&str>,
    ) {
        let Some(build) = self.rows.builds.get(&id) else { return };
        let (fence, session, package) = (build.fence(), build.session, build.atom());
        let since = build.assignment().map_or(self.now.wall, |a| a.building_since.unwrap_or(a.assigned_at));
        let failure: Option<&Failure> = result.and_then(|(result, _)| result.failure.as_ref());
        let duration_ms = result.map_or(self.now.wall.saturating_sub(since), |(result, _)| result.duration_ms);
        let meta = self.meta_mut();
        meta.last_history += 1;
        let row_id = meta.last_history;
        let drone_name = self.drone_name(drone);
        self.rows.history.append(HistoryRow {
            id: row_id,
            fence,
            session,
            package,
            drone: drone.clone(),
            drone_name: drone_name.clone(),
            status,
            duration_ms,
            error: error.map(str::to_owned).or_else(|| failure.map(|failure| failure.message.clone())),
            log_line: failure.and_then(|failure| failure.log_line.clone()),
            class: failure.map(|failure| failure.class),
            culprit: failure.map(|failure| crate::failure::blame(failure.class)),
            phase: failure.and_then(|failure| failure.phase),
            log_bytes: result.map_or(0, |(result, _)| result.log_bytes),
            log_complete: result.is_some_and(|(_, complete)| complete),
            memory_peak_bytes: result.map_or(0, |(result, _)| result.memory_peak_bytes),
            built_at: self.now.wall,
        });
        if status != HistoryStatus::Returned {
            let mut stats = self.rows.stats.get(&drone_name).cloned().unwrap_or_default();
            stats.drone = drone_name;
            stats.total += 1;
            stats.success += u64::from(status == HistoryStatus::Success);
            stats.duration_ms = stats.duration_ms.saturating_add(duration_ms);
            self.rows.stats.put(stats);
        }
    }
}

fn seconds(ms: u64) -> String {
    let s = ms / 1000;
    if s >= 60 { format!("{} min {} s", s / 60, s % 60) } else { format!("{s}.{} s", ms % 1000 / 100) }
}
