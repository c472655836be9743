//! Which orders are taken. A fence the drone knows is answered with its state and never run twice.

use swarm_protocol::Fence;
use swarm_protocol::order::{BuildJob, Order, OrderAnswer, PlanJob, Task};
use swarm_protocol::report::{Failure, FailureClass};

use crate::attempt::{After, Held, Stage};
use crate::input::PlanOrder;
use crate::{Effect, Millis, Worker};

/// Most copies of one order that are answered while its job is being written.
const MAX_REPLIES: usize = 8;
/// Most requests to a planner in line.
const MAX_PLANS: usize = 16;
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
        let waiting = self.attempts.values().filter(|held| held.in_line()).count();
        let busy = if self.closing {
            Some("the worker shuts down".to_owned())
        } else if waiting as u64 >= u64::from(self.settings.max_waiting) {
            Some(format!("{waiting} orders wait already"))
        } else {
            None
        };
        let slot = self.slot_for_next();
        let mut held = Held::new(fence, current.clone(), number, slot, Stage::Waiting);
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
        self.attempts.insert(fence, Held::new(fence, store_id, number, 0, Stage::Waiting));
        self.forget(now, fence, After::Dropped(reason), effects);
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
            if self.plans.is_empty() {
                effects.push(Effect::Plan { job: job.clone(), store_id: store_id.clone() });
            }
            self.plans.push_back(PlanOrder { job, store_id });
        }
        effects.push(Effect::accepted(reply));
        self.saw(number, effects);
    }

    /// The first plan in line is delivered; the next begins. A later try of a request replaces nothing: the controller
    /// answers the earlier one "superseded".
    pub(crate) fn plan_over(&mut self, plan: swarm_protocol::PlanId, attempt: u32, effects: &mut Vec<Effect>) {
        if self.plans.front().is_none_or(|p| (p.job.plan, p.job.attempt) != (plan, attempt)) {
            return;
        }
        self.plans.pop_front();
        self.planned.push_back((plan, attempt));
        if self.planned.len() > MAX_PLANNED {
            self.planned.pop_front();
        }
        if let Some(next) = self.plans.front().filter(|_| !self.closing) {
            effects.push(Effect::Plan { job: next.job.clone(), store_id: next.store_id.clone() });
        }
    }
}
