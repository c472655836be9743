//! Which orders are taken. A fence the drone knows is answered with its state and never run twice.

use swarm_protocol::Fence;
use swarm_protocol::order::{BuildJob, Order, OrderAnswer, PlanJob, SyncJob, Task};
use swarm_protocol::report::{Failure, FailureClass};

use crate::attempt::{After, HeldAttempt, Stage};
use crate::input::{PlanOrder, SyncOrder};
use crate::{Effect, Millis, Worker};

/// Most copies of one order that are answered while its job is being written.
const MAX_REPLIES: usize = 8;
/// Most requests to a planner in line.
const MAX_PLANS: usize = 16;
/// Syncs that are over and remembered, so that a late copy of the order does not begin another one.
const MAX_SYNCED: usize = 8;
/// Delivered requests remembered, so that a late copy is not resolved again.
const MAX_PLANNED: usize = 64;

impl Effect {
    pub(crate) fn accepted(reply: u64) -> Self {
        Self::Answer { reply, answer: OrderAnswer::Accepted {} }
    }

    pub(crate) fn refused(reply: u64, reason: impl Into<String>) -> Self {
        Self::Answer { reply, answer: OrderAnswer::Refused { reason: reason.into() } }
    }
}

impl Worker {
    pub(crate) fn order(&mut self, now: Millis, reply: u64, order: Order, effects: &mut Vec<Effect>) {
        if order.instance != self.settings.instance {
            let text = format!("this is instance {}, the order is for {}", self.settings.instance, order.instance);
            return effects.push(Effect::refused(reply, text));
        }
        if !self.welcomed || self.store_id.as_ref() != Some(&order.store_id) {
            effects.push(Effect::refused(reply, "not welcomed by this store yet; saying hello"));
            return effects.push(Effect::Greet);
        }
        match order.task {
            Task::Build { job } => self.build(now, reply, order.number, job, effects),
            Task::Cancel { fence, reason } => {
                effects.push(Effect::accepted(reply));
                self.cancel(now, fence, order.number, reason, effects);
                self.saw(order.number, effects);
            }
            Task::Release { fence, reason } => {
                effects.push(Effect::accepted(reply));
                self.release(now, fence, order.number, reason, effects);
                self.saw(order.number, effects);
            }
            Task::Sync { job } => self.sync(reply, order.number, job, effects),
            Task::Plan { job } => self.plan(reply, order.number, job, effects),
            Task::Ping { .. } | Task::Logs { .. } | Task::Escalate { .. } => {
                effects.push(Effect::refused(reply, "an order for the supervisor"));
            }
            Task::Unknown => effects.push(Effect::Answer {
                reply,
                answer: OrderAnswer::NotUnderstood { reason: "an order this version does not know".to_owned() },
            }),
        }
    }

    /// Orders up to `number` are dealt with.
    pub(crate) fn saw(&mut self, number: u64, effects: &mut Vec<Effect>) {
        if number <= self.orders_seen {
            return;
        }
        self.orders_seen = number;
        if let Some(store_id) = self.store_id.clone() {
            effects.push(Effect::Seen { number, store_id });
        }
    }

    fn build(&mut self, now: Millis, reply: u64, number: u64, job: BuildJob, effects: &mut Vec<Effect>) {
        let fence = job.fence;
        let current = self.store_id.clone().unwrap_or_default();
        if let Some(held) = self.attempts.get_mut(&fence) {
            if held.store_id != current {
                let text = format!("attempt {fence} of the former store is still being ended");
                return effects.push(Effect::refused(reply, text));
            }
            if let Stage::Keeping { replies, .. } = &mut held.stage {
                if replies.len() < MAX_REPLIES {
                    replies.push(reply);
                }
                return;
            }
            held.order_number = held.order_number.max(number);
            held.say_again(now);
            effects.push(Effect::accepted(reply));
            return self.saw(number, effects);
        }
        if self.tombs.has(fence) {
            effects.push(Effect::accepted(reply));
            return self.saw(number, effects);
        }
        // what is about to fill a free slot waits for nothing
        let held = self.attempts.values().filter(|held| held.in_line() || held.occupies()).count() as u64;
        let waiting = held.saturating_sub(u64::from(self.settings.slots));
        let busy = if self.closing {
            Some("the worker shuts down".to_owned())
        } else if held >= u64::from(self.settings.slots) + u64::from(self.settings.max_waiting) {
            Some(format!("{waiting} orders wait already"))
        } else {
            None
        };
        let slot = self.slot_for_next();
        let mut held = HeldAttempt::new(fence, current.clone(), number, slot, Stage::Waiting);
        if let Some(message) = busy {
            effects.push(Effect::refused(reply, message.clone()));
            let failure = Failure { class: FailureClass::Busy, message, ..Failure::default() };
            held.stage = Stage::Refused { failure };
            held.tell(now, 3);
        } else {
            held.stage = Stage::Keeping { replies: vec![reply], end: None };
            effects.push(Effect::Keep { job, slot, order_number: number, store_id: current });
        }
        self.attempts.insert(fence, held);
    }

    /// The slot with the least to do, the first of them.
    fn slot_for_next(&self) -> u32 {
        let load =
            |slot: u32| self.attempts.values().filter(|a| a.slot == slot && (a.occupies() || a.in_line())).count();
        (0..self.settings.slots).min_by_key(|&slot| load(slot)).unwrap_or(0)
    }

    /// Waiting: dropped. Running: ended, then dropped. Over: its result stands. Not held: dropped, and a copy of the
    /// build order that comes late finds the tombstone.
    fn cancel(&mut self, now: Millis, fence: Fence, number: u64, reason: String, effects: &mut Vec<Effect>) {
        if self.attempts.contains_key(&fence) {
            return self.give_up(now, fence, After::Dropped(reason), effects);
        }
        let store_id = self.store_id.clone().unwrap_or_default();
        self.attempts.insert(fence, HeldAttempt::new(fence, store_id, number, 0, Stage::Waiting));
        self.forget(now, fence, After::Dropped(reason), effects);
    }

    /// Waiting: dropped. Begun or over: goes on, and what became of it is told once more. Not held: as with a cancellation, a
    /// copy of the build order that comes late finds the tombstone.
    fn release(&mut self, now: Millis, fence: Fence, number: u64, reason: String, effects: &mut Vec<Effect>) {
        match self.attempts.get_mut(&fence) {
            Some(held) if !held.in_line() => held.say_again(now),
            _ => self.cancel(now, fence, number, reason, effects),
        }
    }

    /// The ebuild repositories are to be brought up to date, once nothing runs that reads them; nothing begins meanwhile.
    fn sync(&mut self, reply: u64, number: u64, job: SyncJob, effects: &mut Vec<Effect>) {
        let known = self.sync.as_ref().is_some_and(|sync| sync.number == number) || self.synced.contains(&number);
        if !known {
            if self.closing || self.sync.is_some() {
                let text = "another sync is not over, or the worker shuts down";
                return effects.push(Effect::refused(reply, text));
            }
            let store_id = self.store_id.clone().unwrap_or_default();
            self.sync = Some(SyncOrder { number, job, store_id, runs: false });
        }
        effects.push(Effect::accepted(reply));
        self.saw(number, effects);
    }

    /// The sync that waits begins as soon as nothing runs.
    pub(crate) fn start_sync(&mut self, effects: &mut Vec<Effect>) {
        let busy = self.resolving || self.attempts.values().any(|held| held.occupies());
        let Some(sync) = self.sync.as_mut().filter(|sync| !sync.runs && !busy) else { return };
        if self.closing {
            return;
        }
        sync.runs = true;
        let (number, job, store_id) = (sync.number, sync.job.clone(), sync.store_id.clone());
        effects.push(Effect::Sync { number, job, store_id });
    }

    /// A sync is over and told: work may begin again.
    pub(crate) fn sync_over(&mut self, number: u64) {
        if self.sync.as_ref().is_none_or(|sync| sync.number != number) {
            return;
        }
        self.sync = None;
        self.synced.push_back(number);
        if self.synced.len() > MAX_SYNCED {
            self.synced.pop_front();
        }
    }

    fn plan(&mut self, reply: u64, number: u64, job: PlanJob, effects: &mut Vec<Effect>) {
        let key = (job.plan, job.attempt);
        let known = self.plans.iter().any(|p| (p.job.plan, p.job.attempt) == key) || self.planned.contains(&key);
        if !known {
            if self.closing || self.plans.len() >= MAX_PLANS {
                let text = format!("{} requests wait already, or the worker shuts down", self.plans.len());
                return effects.push(Effect::refused(reply, text));
            }
            let store_id = self.store_id.clone().unwrap_or_default();
            self.plans.push_back(PlanOrder { job, store_id });
        }
        effects.push(Effect::accepted(reply));
        self.saw(number, effects);
    }

    /// The first plan in line begins, unless one is under way or the ebuild repositories are about to change.
    pub(crate) fn start_plan(&mut self, effects: &mut Vec<Effect>) {
        if self.resolving || self.closing || self.sync.is_some() {
            return;
        }
        if let Some(next) = self.plans.front() {
            self.resolving = true;
            effects.push(Effect::Plan { job: next.job.clone(), store_id: next.store_id.clone() });
        }
    }

    /// The first plan in line is delivered; the next may begin. A later try of a request replaces nothing: the controller
    /// answers the earlier one "superseded".
    pub(crate) fn plan_over(&mut self, plan: swarm_protocol::PlanId, attempt: u32) {
        if self.plans.front().is_none_or(|p| (p.job.plan, p.job.attempt) != (plan, attempt)) {
            return;
        }
        self.plans.pop_front();
        self.resolving = false;
        self.planned.push_back((plan, attempt));
        if self.planned.len() > MAX_PLANNED {
            self.planned.pop_front();
        }
    }
}
