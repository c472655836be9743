//! The worker's rules: which orders are taken, what runs when, what is told until it is answered.
//!
//! Never touches a disk, process or bus; the worker process of `drone-agent` and the simulation call it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use swarm_protocol::report::{BuildResult, Failure, FailureClass};
use swarm_protocol::{Fence, InstanceId, PlanId, StoreId};

use crate::attempt::{After, Flight, HeldAttempt, Stage};
use crate::input::{PlanOrder, SyncOrder};
use crate::tombs::{Tomb, Tombs};
use crate::{AttemptStanding, Effect, Found, Input, Millis, Uploaded};

/// What a worker is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This run.
    pub instance: InstanceId,
    /// Roots, and so emerges at a time; at least 1.
    pub slots: u32,
    /// Most orders that wait beyond the slots; with more, orders are refused as busy.
    pub max_waiting: u32,
}

/// What a former run left besides the attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The store last seen in a welcome.
    pub store_id: Option<StoreId>,
    /// Highest order number seen of that store.
    pub orders_seen: u64,
    /// Attempts that are over, oldest first.
    pub tombs: Vec<Tomb>,
}

/// What a hello says of the attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The store last seen in a welcome.
    pub store_id: Option<StoreId>,
    /// Highest order number seen.
    pub orders_seen: u64,
    /// Attempts that run or wait.
    pub running: Vec<Fence>,
    /// Attempts that are over and not yet acknowledged.
    pub finished: Vec<Fence>,
}

/// The worker's state.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(crate) settings: Settings,
    pub(crate) store_id: Option<StoreId>,
    /// Whether this run was welcomed; before, no order is taken.
    pub(crate) welcomed: bool,
    pub(crate) closing: bool,
    pub(crate) orders_seen: u64,
    pub(crate) attempts: BTreeMap<Fence, HeldAttempt>,
    pub(crate) tombs: Tombs,
    pub(crate) plans: VecDeque<PlanOrder>,
    /// Whether the first of them is being resolved.
    pub(crate) resolving: bool,
    /// The order to bring the ebuild repositories up to date.
    pub(crate) sync: Option<SyncOrder>,
    /// Numbers of syncs that are over, so that a late copy does not begin another one.
    pub(crate) synced: VecDeque<u64>,
    /// Requests lately delivered, so that a late copy is not resolved again.
    pub(crate) planned: VecDeque<(PlanId, u32)>,
}

impl Worker {
    /// A worker that finds `found` on disk: running attempts are adopted, finished ones reported again, vanished ones
    /// cleared away and reported as lost, waiting ones started.
    pub fn restore(now: Millis, settings: Settings, saved: Saved, found: Vec<Found>) -> (Self, Vec<Effect>) {
        let mut worker = Self {
            settings: Settings { slots: settings.slots.max(1), ..settings },
            orders_seen: saved.orders_seen,
            welcomed: false,
            closing: false,
            attempts: BTreeMap::new(),
            tombs: Tombs::default(),
            plans: VecDeque::new(),
            resolving: false,
            sync: None,
            synced: VecDeque::new(),
            planned: VecDeque::new(),
            store_id: saved.store_id,
        };
        for tomb in saved.tombs {
            if Some(&tomb.store_id) == worker.store_id.as_ref() {
                worker.tombs.add(tomb.fence, tomb.at.min(now));
            }
        }
        let mut effects = Vec::new();
        for attempt in found {
            worker.adopt(now, attempt, &mut effects);
        }
        worker.settle(now, &mut effects);
        (worker, effects)
    }

    /// Something happened; what is to be done about it.
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Effect> {
        self.tombs.expire(now);
        let mut effects = Vec::new();
        match input {
            Input::Welcomed { store_id, superseded } => self.welcomed(now, store_id, superseded, &mut effects),
            Input::Order { reply, order } => self.order(now, reply, order, &mut effects),
            Input::Kept { fence } => self.kept(now, fence, &mut effects),
            Input::NotKept { fence, failure } => self.not_kept(now, fence, failure, &mut effects),
            Input::Started { fence, at } => self.started(now, fence, at, &mut effects),
            Input::NotStarted { fence, failure } => self.not_started(now, fence, failure, &mut effects),
            Input::Exited { fence, result } => self.exited(now, fence, result, &mut effects),
            Input::Vanished { fence } => self.vanished(fence, &mut effects),
            Input::Ended { fence } => self.ended(now, fence, &mut effects),
            Input::Uploaded { fence, sha256, outcome } => self.uploaded(now, fence, &sha256, outcome, &mut effects),
            Input::Forgotten { fence } => self.forgotten(now, fence),
            Input::Answered { fence, store_id, number, answer } => {
                // fences of another store mean other attempts
                if self.attempts.get(&fence).is_some_and(|held| held.store_id == store_id) {
                    self.answered(now, fence, number, answer, &mut effects);
                }
            }
            Input::Unanswered { fence, number } => self.unanswered(now, fence, number),
            Input::Planned { plan, attempt } => self.plan_over(plan, attempt),
            Input::Synced { number } => self.sync_over(number),
            Input::Closing => self.closing = true,
        }
        self.settle(now, &mut effects);
        effects
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Millis) -> Vec<Effect> {
        self.tombs.expire(now);
        let mut effects = Vec::new();
        self.settle(now, &mut effects);
        effects
    }

    /// When [`Worker::wake`] is wanted next.
    pub fn next_wake(&self) -> Option<Millis> {
        self.attempts
            .values()
            .filter_map(|held| match held.flight {
                Flight::Quiet => None,
                Flight::Due { at } => Some(at),
                Flight::Out { until } => Some(until),
            })
            .min()
    }

    /// What a hello says.
    pub fn held(&self) -> Held {
        let mut held = Held { store_id: self.store_id.clone(), orders_seen: self.orders_seen, ..Held::default() };
        for attempt in self.attempts.values() {
            match attempt.stage {
                Stage::Waiting | Stage::Starting { .. } | Stage::Running { .. } | Stage::Ending { .. } => {
                    held.running.push(attempt.fence);
                }
                Stage::Uploading { .. } | Stage::Finished { .. } | Stage::Dropped { .. } => {
                    held.finished.push(attempt.fence);
                }
                Stage::Keeping { .. } | Stage::Forgetting { .. } | Stage::Refused { .. } => {}
            }
        }
        held
    }

    /// Highest order number seen.
    pub fn orders_seen(&self) -> u64 {
        self.orders_seen
    }

    /// Attempts whose process runs, for those who watch them.
    pub fn running(&self) -> BTreeSet<Fence> {
        let runs = |held: &&HeldAttempt| matches!(held.stage, Stage::Running { .. });
        self.attempts.values().filter(runs).map(|held| held.fence).collect()
    }

    /// Whether nothing is held: no attempt, no plan.
    pub fn is_idle(&self) -> bool {
        self.attempts.is_empty() && self.plans.is_empty() && self.sync.is_none()
    }

    fn adopt(&mut self, now: Millis, found: Found, effects: &mut Vec<Effect>) {
        let fence = found.fence;
        let mut held = HeldAttempt::new(fence, found.store_id, found.order_number, found.slot, Stage::Waiting);
        if Some(&held.store_id) == self.store_id.as_ref() {
            self.orders_seen = self.orders_seen.max(held.order_number);
        }
        if self.tombs.has(fence) {
            // a former run wrote the tombstone and ended before the directory was gone
            held.stage = Stage::Running { since: 0 };
            self.attempts.insert(fence, held);
            return self.give_up(now, fence, After::Silence, effects);
        }
        held.tell(now, 1);
        if let AttemptStanding::Running { since } = found.standing {
            held.stage = Stage::Running { since };
            held.tell(now, 2);
        }
        self.attempts.insert(fence, held);
        match found.standing {
            AttemptStanding::Finished { result } => self.conclude(now, fence, result, effects),
            AttemptStanding::Vanished => self.clear_away(fence, effects),
            AttemptStanding::Waiting | AttemptStanding::Running { .. } => {}
        }
    }

    fn welcomed(&mut self, now: Millis, store_id: StoreId, superseded: Vec<Fence>, effects: &mut Vec<Effect>) {
        self.welcomed = true;
        if self.store_id.as_ref() != Some(&store_id) {
            self.store_id = Some(store_id.clone());
            self.orders_seen = 0;
            self.tombs.clear();
            // the first is being resolved; its end frees the place
            self.plans.truncate(usize::from(self.resolving));
            self.planned.clear();
            self.sync = self.sync.take().filter(|sync| sync.runs);
            self.synced.clear();
            effects.push(Effect::Seen { number: 0, store_id: store_id.clone() });
        }
        let foreign = self.attempts.values().filter(|a| a.store_id != store_id).map(|a| a.fence);
        let over: BTreeSet<Fence> = foreign.chain(superseded).collect();
        for fence in over {
            self.give_up(now, fence, After::Silence, effects);
        }
        for held in self.attempts.values_mut().filter(|held| held.flight != Flight::Quiet) {
            held.say_again(now);
        }
    }

    fn kept(&mut self, now: Millis, fence: Fence, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Keeping { replies, end } = &mut held.stage else { return };
        let (replies, end) = (std::mem::take(replies), end.take());
        let number = held.order_number;
        let current = Some(&held.store_id) == self.store_id.as_ref();
        held.stage = Stage::Waiting;
        held.tell(now, 1);
        effects.extend(replies.into_iter().map(Effect::accepted));
        if current {
            self.saw(number, effects);
        }
        if let Some(after) = end {
            self.give_up(now, fence, after, effects);
        }
    }

    fn not_kept(&mut self, now: Millis, fence: Fence, failure: Failure, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Keeping { replies, end } = &mut held.stage else { return };
        let (replies, end) = (std::mem::take(replies), end.take());
        effects.extend(replies.into_iter().map(|reply| Effect::refused(reply, failure.message.clone())));
        match end {
            Some(After::Silence) => {
                self.attempts.remove(&fence);
            }
            Some(After::Dropped(reason)) => {
                held.stage = Stage::Dropped { reason };
                held.tell(now, 3);
            }
            Some(After::Lost) | None => {
                held.stage = Stage::Refused { failure };
                held.tell(now, 3);
            }
        }
    }

    fn started(&mut self, now: Millis, fence: Fence, at: u64, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Starting { end } = &mut held.stage else { return };
        let end = end.take();
        held.stage = Stage::Running { since: at };
        held.tell(now, 2);
        if let Some(after) = end {
            self.give_up(now, fence, after, effects);
        }
    }

    fn not_started(&mut self, now: Millis, fence: Fence, failure: Failure, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Starting { end } = &mut held.stage else { return };
        match end.take() {
            Some(then) => self.forget(now, fence, then, effects),
            None => {
                self.conclude(now, fence, BuildResult { failure: Some(failure), ..BuildResult::default() }, effects)
            }
        }
    }

    fn exited(&mut self, now: Millis, fence: Fence, result: BuildResult, effects: &mut Vec<Effect>) {
        let runs = |held: &HeldAttempt| matches!(held.stage, Stage::Running { .. });
        if self.attempts.get(&fence).is_some_and(runs) {
            self.conclude(now, fence, result, effects);
        }
    }

    fn vanished(&mut self, fence: Fence, effects: &mut Vec<Effect>) {
        let runs = |held: &HeldAttempt| matches!(held.stage, Stage::Running { .. });
        if self.attempts.get(&fence).is_some_and(runs) {
            self.clear_away(fence, effects);
        }
    }

    /// An attempt's process was killed from outside, its emerge perhaps not: that is ended before anything is told, for
    /// the next one would build in the same root.
    fn clear_away(&mut self, fence: Fence, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        held.stage = Stage::Ending { then: After::Lost };
        held.flight = Flight::Quiet;
        effects.push(Effect::End { fence });
    }

    fn ended(&mut self, now: Millis, fence: Fence, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Ending { then } = &held.stage else { return };
        match then.clone() {
            After::Lost => self.conclude(now, fence, lost(), effects),
            then @ (After::Silence | After::Dropped(_)) => self.forget(now, fence, then, effects),
        }
    }

    fn uploaded(&mut self, now: Millis, fence: Fence, sha256: &str, outcome: Uploaded, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Uploading { result, missing } = &mut held.stage else { return };
        if missing.first().is_none_or(|first| first != sha256) {
            return;
        }
        match outcome {
            Uploaded::Done => {
                missing.remove(0);
                let (result, missing) = (result.clone(), std::mem::take(missing));
                self.upload_or_finish(now, fence, result, missing, effects);
            }
            Uploaded::Superseded => self.give_up(now, fence, After::Silence, effects),
            Uploaded::Failed { message } => {
                let mut result = result.clone();
                result.failure.get_or_insert_with(|| Failure {
                    class: FailureClass::Upload,
                    message,
                    ..Failure::default()
                });
                self.upload_or_finish(now, fence, result, Vec::new(), effects);
            }
        }
    }

    fn forgotten(&mut self, now: Millis, fence: Fence) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let Stage::Forgetting { then } = &held.stage else { return };
        match then.clone() {
            After::Silence | After::Lost => {
                self.attempts.remove(&fence);
            }
            After::Dropped(reason) => {
                held.stage = Stage::Dropped { reason };
                held.tell(now, 3);
            }
        }
    }

    /// An attempt has a result: its packages go up, then it is reported.
    fn conclude(&mut self, now: Millis, fence: Fence, result: BuildResult, effects: &mut Vec<Effect>) {
        let missing = result.artifacts.iter().map(|a| a.sha256.clone()).collect();
        self.upload_or_finish(now, fence, result, missing, effects);
    }

    pub(crate) fn upload_or_finish(
        &mut self,
        now: Millis,
        fence: Fence,
        result: BuildResult,
        missing: Vec<String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        if let Some(sha256) = missing.first() {
            effects.push(Effect::Upload { fence, sha256: sha256.clone() });
            held.stage = Stage::Uploading { result, missing };
            held.say_again(now);
        } else {
            held.stage = Stage::Finished { result };
            held.tell(now, 3);
        }
    }

    /// The attempt is unwanted: whatever it is at is ended, then `then` follows. A result stays a result: only the
    /// controller's word (`After::Silence`) ends it.
    pub(crate) fn give_up(&mut self, now: Millis, fence: Fence, then: After, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        match &mut held.stage {
            Stage::Keeping { end, .. } | Stage::Starting { end } => override_with(end, then),
            Stage::Ending { then: former } | Stage::Forgetting { then: former } => {
                if then == After::Silence {
                    *former = then;
                }
            }
            Stage::Running { .. } => {
                held.stage = Stage::Ending { then };
                held.flight = Flight::Quiet;
                effects.push(Effect::End { fence });
            }
            Stage::Waiting => self.forget(now, fence, then, effects),
            Stage::Uploading { .. } | Stage::Finished { .. } | Stage::Dropped { .. } | Stage::Refused { .. } => {
                match then {
                    After::Silence => self.forget(now, fence, then, effects),
                    After::Dropped(_) | After::Lost => held.say_again(now),
                }
            }
        }
    }

    pub(crate) fn forget(&mut self, now: Millis, fence: Fence, then: After, effects: &mut Vec<Effect>) {
        let Some(held) = self.attempts.get_mut(&fence) else { return };
        let tomb = Tomb { fence, store_id: held.store_id.clone(), at: now };
        held.stage = Stage::Forgetting { then };
        held.flight = Flight::Quiet;
        if Some(&tomb.store_id) == self.store_id.as_ref() {
            self.tombs.add(fence, now);
        }
        effects.push(Effect::Forget { tomb });
    }

    /// What follows from any change: free slots are filled, due reports are said.
    fn settle(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.start_next(effects);
        self.start_sync(effects);
        self.start_plan(effects);
        self.report_due(now, effects);
    }

    /// Fills free slots in the order of the orders.
    fn start_next(&mut self, effects: &mut Vec<Effect>) {
        if self.closing || self.sync.is_some() {
            return;
        }
        let mut taken: BTreeSet<u32> = self.attempts.values().filter(|a| a.occupies()).map(|a| a.slot).collect();
        let waits = |held: &&HeldAttempt| held.stage == Stage::Waiting;
        let mut line: Vec<(u64, Fence)> =
            self.attempts.values().filter(waits).map(|a| (a.order_number, a.fence)).collect();
        line.sort_unstable();
        for (_, fence) in line {
            let Some(held) = self.attempts.get_mut(&fence) else { continue };
            if taken.insert(held.slot) {
                held.stage = Stage::Starting { end: None };
                effects.push(Effect::Start { fence });
            }
        }
    }
}

fn override_with(end: &mut Option<After>, then: After) {
    if end.is_none() || then == After::Silence {
        *end = Some(then);
    }
}

fn lost() -> BuildResult {
    let failure = Failure {
        class: FailureClass::AgentLost,
        message: "the attempt is gone without a result: its process or the machine was ended from outside".to_owned(),
        ..Failure::default()
    };
    BuildResult { failure: Some(failure), ..BuildResult::default() }
}
