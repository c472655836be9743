//! The controller: the real core, its rows in a store, and the plumbing around it as the engine has it. Rows first, then
//! effects; a crash may come before the rows, after them, or between two effects.

use std::collections::BTreeMap;

use swarm_core::effect::{self, BinhostWork, Ping, Route, WantedLog};
use swarm_core::files::{SignedFile, UploadedFile};
use swarm_core::input::{PingLoss, RouteOutcome};
use swarm_core::rows::{IndexKey, NoticeRow};
use swarm_core::{Answer, Core, Effect, Input, Now, ReplyTo, Settings};
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::order::Rung;
use swarm_protocol::{ArtifactId, DroneId, Fence, StoreId};

use super::store::Store;
use super::{Millis, SECOND};

/// Where an answer goes: which drone, under which of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waiter {
    Drone { drone: usize, ask: u64 },
    Put { drone: usize, ask: u64 },
    Person,
}

/// What the core wants of the world, once its rows are stored.
#[derive(Debug)]
pub(super) enum Out {
    Answer { waiter: Waiter, answer: Box<Answer> },
    Order { drone: DroneId, order: Box<swarm_protocol::order::Order> },
    Ping { drone: DroneId, seq: u64, within: Millis },
    Escalate { drone: DroneId, generation: u64, rung: Rung, route: Route, within: Millis },
    Log { fence: Fence, drone: DroneId },
    Sign { artifact: ArtifactId, build_id: u32, path: String },
    Index { index: IndexKey, timestamp: u64 },
    Remove { artifact: ArtifactId },
    Notice { notice: Box<NoticeRow> },
}

/// The controller.
pub(super) struct Controller {
    core: Option<Core>,
    pub store: Store,
    settings: Settings,
    /// The core's clock at the start of this life, and when that was.
    clock: (u64, Millis),
    pub life: u32,
    pub starts: u32,
    pub started: Millis,
    waiters: BTreeMap<ReplyTo, Waiter>,
    next_reply: u64,
    /// Wall clock less the world's.
    pub wall_ahead: i64,
    pub batches: u64,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    No,
    BeforeCommit,
    AfterCommit,
    /// After so many effects have left.
    AfterEffects(usize),
}

/// The wall clock at the world's beginning.
const WALL: i64 = 1_795_000_000_000;

impl Controller {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            core: None,
            store: Store::default(),
            settings,
            clock: (0, 0),
            life: 0,
            starts: 0,
            started: 0,
            waiters: BTreeMap::new(),
            next_reply: 0,
            wall_ahead: 0,
            batches: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn wall(&self, now: Millis) -> u64 {
        (WALL + now.cast_signed() + self.wall_ahead).max(0).cast_unsigned()
    }

    fn now(&self, now: Millis) -> Now {
        Now { at: self.clock.0 + (now - self.clock.1), wall: self.wall(now) }
    }

    /// Milliseconds of the core's clock in the world's.
    pub(super) fn to_world(&self, at: u64) -> Millis {
        at.saturating_sub(self.clock.0) + self.clock.1
    }

    pub(super) fn to_core(&self, now: Millis) -> u64 {
        self.clock.0 + (now - self.clock.1)
    }

    pub(super) fn start(&mut self, now: Millis) -> Vec<Out> {
        self.life += 1;
        self.starts += 1;
        self.started = now;
        self.waiters.clear();
        let core = Core::load(self.settings.clone(), &self.store, StoreId::from("store-1"));
        let mut core = match core {
            Ok(core) => core,
            Err(never) => match never {},
        };
        self.clock = (core.clock(), now);
        let effects = core.start(self.now(now));
        self.core = Some(core);
        self.commit(now, effects, Crash::No)
    }

    pub(super) fn crash(&mut self) {
        self.core = None;
        self.life += 1;
        self.waiters.clear();
    }

    pub(super) fn next_wake(&self) -> Option<Millis> {
        Some(self.to_world(self.core.as_ref()?.next_wake()?))
    }

    pub(super) fn wake(&mut self, now: Millis) -> Vec<Out> {
        let at = self.now(now);
        let Some(core) = &mut self.core else { return Vec::new() };
        let effects = core.wake(at);
        self.commit(now, effects, Crash::No)
    }

    /// A number under which an answer comes back.
    pub(super) fn expect(&mut self, waiter: Waiter) -> ReplyTo {
        self.next_reply += 1;
        let reply = ReplyTo(self.next_reply);
        self.waiters.insert(reply, waiter);
        reply
    }

    pub(super) fn handle(&mut self, now: Millis, input: Input, crash: Crash) -> Vec<Out> {
        let at = self.now(now);
        let Some(core) = &mut self.core else { return Vec::new() };
        let effects = core.handle(at, input);
        self.commit(now, effects, crash)
    }

    fn commit(&mut self, now: Millis, effects: Vec<Effect>, crash: Crash) -> Vec<Out> {
        self.batches += 1;
        if crash == Crash::BeforeCommit {
            self.crash();
            return Vec::new();
        }
        let at = self.now(now);
        if let Some(core) = &mut self.core
            && core.is_changed()
        {
            core.drain(at, &mut self.store);
        }
        let left = match crash {
            Crash::No => effects.len(),
            Crash::AfterEffects(count) => count.min(effects.len()),
            Crash::BeforeCommit | Crash::AfterCommit => 0,
        };
        let out = effects.into_iter().take(left).filter_map(|effect| self.out(effect)).collect();
        if crash != Crash::No {
            self.crash();
        }
        out
    }

    fn out(&mut self, effect: Effect) -> Option<Out> {
        match effect {
            Effect::Reply { to, answer } => {
                let waiter = self.waiters.remove(&to)?;
                Some(Out::Answer { waiter, answer: Box::new(answer) })
            }
            Effect::Order { drone, order } => Some(Out::Order { drone, order }),
            Effect::Binhost(BinhostWork::Sign { artifact, build_id, path, .. }) => {
                Some(Out::Sign { artifact, build_id, path })
            }
            Effect::Binhost(BinhostWork::WriteIndex { index, timestamp, .. }) => Some(Out::Index { index, timestamp }),
            Effect::Binhost(BinhostWork::RemovePackage { artifact, .. }) => Some(Out::Remove { artifact }),
            Effect::CompleteLog(WantedLog { fence, drone, .. }) => Some(Out::Log { fence, drone }),
            Effect::Ping(Ping { drone, seq, within }) => Some(Out::Ping { drone, seq, within }),
            Effect::Escalate(effect::Escalation { drone, generation, rung, route, within, .. }) => {
                Some(Out::Escalate { drone, generation, rung, route, within })
            }
            Effect::Notify(notice) => Some(Out::Notice { notice }),
            // nobody waits to hear what became of the others
            _ => None,
        }
    }

    /// What the core notes about its own rows.
    pub(super) fn notes(&self) -> Vec<String> {
        let Some(core) = &self.core else { return Vec::new() };
        core.check().into_iter().map(|note| note.text).collect()
    }

    pub(super) fn core(&mut self) -> Option<&mut Core> {
        self.core.as_mut()
    }
}

/// What a signed file says.
pub(super) fn signed(artifact: ArtifactId, build_id: u32, path: String) -> Input {
    let stanza = BTreeMap::from([("BUILD_ID".to_owned(), build_id.to_string())]);
    Input::Signed { artifact, file: SignedFile { path, sha256: format!("{artifact:0>64}"), size: 21_000, stanza } }
}

/// What an uploaded file says of itself.
pub(super) fn uploaded(file: &ArtifactRef) -> UploadedFile {
    UploadedFile {
        sha256: file.sha256.clone(),
        size: file.size,
        cpv: file.cpv.clone(),
        slot: file.slot.clone(),
        repository: file.repository.clone(),
        use_flags: file.use_flags.clone(),
        chost: "x86_64-pc-linux-gnu".to_owned(),
        restrict: String::new(),
    }
}

/// A ping's loss, and when it is known.
pub(super) fn lost(cut: bool, bus_down: bool, within: Millis) -> (PingLoss, Millis) {
    match (bus_down, cut) {
        (true, _) => (PingLoss::NoBus, 1),
        (false, true) => (PingLoss::Absent, 5),
        (false, false) => (PingLoss::Silent, within),
    }
}

/// A route that led nowhere.
pub(super) fn unreachable() -> RouteOutcome {
    RouteOutcome::Failed { detail: "no route to host".to_owned() }
}

/// How long the swarm's outer hands take.
pub(super) const HANDS: (Millis, Millis) = (20, 3 * SECOND);
