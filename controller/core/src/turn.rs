//! The entry points: what the engine calls. Each takes its input to the room whose it is, and when all are taken, lets every
//! room draw what follows. No rule of a room is here.

use std::sync::Arc;

use swarm_protocol::StoreId;

use crate::check;
use crate::core::{Core, Soft};
use crate::effect::Effect;
use crate::input::Input;
use crate::learned::Medians;
use crate::members::MembersState;
use crate::now::Now;
use crate::rows::{MetaRow, Rows};
use crate::settings::Settings;
use crate::table::{Sink, Source};
use crate::view::{Assumed, View};

/// Work counted in steps, not in time: what bounds are tested by, on any machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Nodes and edges of the graph looked at.
    pub graph: u64,
    /// Pairs of an entry and a drone looked at to give out work.
    pub candidates: u64,
    /// Rows looked through one after the other.
    pub looked_through: u64,
    /// Drones looked at one after the other.
    pub fleet: u64,
}

impl Work {
    /// All steps over entries.
    pub fn total(&self) -> u64 {
        self.graph + self.candidates + self.looked_through
    }
}

/// How much of the line readers see.
const NEXT_SHOWN: usize = 50;

impl Core {
    /// Takes the rows back. With no `meta` row it is a new store and gets `fresh_store_id`.
    pub fn load<S: Source>(settings: Settings, source: &S, fresh_store_id: StoreId) -> Result<Self, S::Error> {
        let mut rows = Rows::load(source)?;
        if rows.meta.is_empty() {
            rows.meta.put(MetaRow { store_id: fresh_store_id, ..MetaRow::default() });
        }
        let mut core = Self { settings, rows, soft: Soft::default(), now: Now::default(), effects: Vec::new() };
        core.now.at = core.meta().clock;
        Ok(core)
    }

    /// The core's clock as it was last stored; the engine goes on from there.
    pub fn clock(&self) -> u64 {
        self.meta().clock
    }

    /// Notes about rows that contradict each other; made at start, kept for people.
    pub fn check(&self) -> Vec<check::Note> {
        check::check(&self.rows)
    }

    /// Call once after [`Core::load`]: mends what contradicts itself, rebuilds soft state and re-emits what must be done
    /// again after a restart: orders not yet taken, signatures, indexes.
    pub fn start(&mut self, now: Now) -> Vec<Effect> {
        self.now = now;
        self.soft = Soft::default();
        self.soft.fleet.begin(now.at);
        self.soft.placement.work_may_be_given();
        self.mend();
        self.soft.learned = Medians::of(self.rows.durations.iter());
        self.soft.members = MembersState::of(&self.rows);
        self.rebuild_queue();
        self.rebuild_publishing();
        self.rebuild_fleet();
        self.rebuild_healing();
        self.restart_publishing();
        self.resend_untaken(None);
        self.look_ahead();
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.handle_all(now, [input])
    }

    /// Takes inputs that came together, in their order. What follows from any change is looked at once, after the last of
    /// them: a thousand results walk the line and the fleet once and not a thousand times.
    pub fn handle_all(&mut self, now: Now, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
        for input in inputs {
            self.take(now, input);
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    fn take(&mut self, now: Now, input: Input) {
        self.pass(now);
        match input {
            Input::Hello { drone, hello, reply } => self.hello(drone, *hello, reply),
            Input::Heartbeat { drone, beat } => self.heartbeat(&drone, *beat),
            Input::Build { drone, report, reply } => self.build_report(&drone, *report, reply),
            Input::Artifact { drone, ask, token, reply } => self.artifact_ask(&drone, *ask, token, reply),
            Input::Planned { drone, plan, attempt, result, reply } => {
                self.planned(&drone, plan, attempt, *result, reply)
            }
            Input::Synced { drone, report, reply } => self.synced(&drone, *report, reply),
            Input::Request { actor, request, reply } => self.request(&actor, request, reply),
            Input::Uploaded { artifact, file, reply } => self.uploaded(artifact, file, reply),
            Input::Signed { artifact, file } => self.signed(artifact, file),
            Input::SigningFailed { artifact, reason } => self.signing_failed(artifact, &reason),
            Input::PackageRemoved { artifact } => self.package_removed(artifact),
            Input::RemovalFailed { artifact, reason } => self.removal_failed(artifact, &reason),
            Input::IndexWritten { index, timestamp } => self.index_written(&index, timestamp),
            Input::IndexFailed { index, reason } => self.index_failed(&index, &reason),
            Input::Flood { drone, dropped } => self.floods(&drone, dropped),
            Input::LogStored { fence, complete } => self.log_stored(fence, complete),
            Input::Pong { drone, seq, latency_us, pong } => self.pong(&drone, seq, latency_us, &pong),
            Input::PingLost { drone, seq, why } => self.ping_lost(&drone, seq, why),
            Input::Escalated { drone, generation, outcome } => self.escalated(&drone, generation, outcome),
            Input::Notified { notice, delivered, failed } => self.notified(notice, delivered, &failed),
        }
    }

    /// Lets time pass. Drones are pinged many times a second: that alone looks at nothing else.
    pub fn wake(&mut self, now: Now) -> Vec<Effect> {
        self.pass(now);
        if self.next_but_healing().is_some_and(|due| due <= self.now.at) {
            self.wake_fleet();
            self.wake_queue();
            self.wake_publishing();
        }
        self.wake_healing();
        self.settle();
        std::mem::take(&mut self.effects)
    }

    fn pass(&mut self, now: Now) {
        let before = self.now.at;
        self.now = Now { at: now.at.max(before), wall: now.wall };
        if self.now.at > before + self.settings.heartbeat {
            self.notice_standstill(before);
        }
    }

    /// The core-clock moment of the next rule that is due.
    pub fn next_wake(&self) -> Option<u64> {
        [self.next_but_healing(), self.next_healing()].into_iter().flatten().min()
    }

    fn next_but_healing(&self) -> Option<u64> {
        let now = self.now.at;
        let (queue, publishing) = (self.soft.queue.next(now), self.soft.publishing.next(now));
        let placement = self.soft.placement.next(self.grace_end());
        [self.next_fleet(), queue, placement, publishing].into_iter().flatten().min()
    }

    /// Whether any row waits to be stored.
    pub fn is_changed(&self) -> bool {
        self.rows.is_changed()
    }

    /// Hands every changed row to the store; with them goes the clock.
    pub fn drain(&mut self, now: Now, sink: &mut impl Sink) {
        let at = now.at.max(self.now.at);
        self.meta_mut().clock = at;
        self.rows.drain(sink);
    }

    /// The newest event's sequence number.
    pub fn last_event(&self) -> u64 {
        self.meta().last_event
    }

    /// The newest history row.
    pub fn last_history(&self) -> u64 {
        self.meta().last_history
    }

    /// What readers may see.
    pub fn view(&mut self) -> View {
        self.refresh_views();
        self.refresh_membership();
        let session = self.active_session();
        View {
            drones: self.soft.view.drones(),
            session,
            counts: self.soft.queue.counts(session),
            sessions: self.soft.queue.sessions().clone(),
            paused: self.meta().paused.clone(),
            last_event: self.meta().last_event,
            last_history: self.meta().last_history,
            in_grace: self.in_grace(),
            healing: self.settings.healing.enabled,
            membership: Arc::clone(self.soft.members.membership()),
            medians: self.soft.learned.shared(),
            next: self.soft.queue.graph().head(NEXT_SHOWN),
            cut_off: self.meta().cut_off.or(self.soft.fleet.cut_off_since()),
            assumed: Assumed {
                default_duration: self.settings.default_duration,
                priority_step: self.settings.priority_step,
                age_weight: self.settings.age_weight,
            },
            now: self.now,
        }
    }

    /// Work done since the start, counted.
    pub fn work(&self) -> Work {
        Work {
            graph: self.soft.queue.graph().work(),
            candidates: self.soft.placement.candidates(),
            looked_through: self.soft.queue.looked_through()
                + self.rows.builds.walked()
                + self.rows.plans.walked()
                + self.rows.artifacts.walked()
                + self.rows.durations.walked()
                + self.rows.idempotency.walked(),
            fleet: self.rows.drones.walked() + self.rows.healing.walked() + self.soft.healing.looked_at(),
        }
    }

    /// What follows from any change: indexes written, plans sent, work given out, sessions ended.
    fn settle(&mut self) {
        self.write_indexes();
        if self.soft.placement.is_due() || self.soft.queue.are_plans_due() {
            self.soft.queue.take_plans_due();
            self.send_plans();
            if self.soft.placement.take_due() {
                self.assign();
                self.send_syncs();
            }
            self.end_drains();
        }
        self.end_sessions();
        if self.soft.publishing.take_collect_due() {
            self.collect();
            self.write_indexes();
        }
    }
}
