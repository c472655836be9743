//! The core itself: rows, soft state and the entry points. Soft state is what a restart may forget; it is rebuilt from rows
//! and from the next heartbeats.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarm_protocol::{ArtifactId, BuildId, DroneId, PlanId, SessionId, StoreId};

use crate::check;
use crate::effect::{Answer, Effect};
use crate::fleet::{CutOff, Outlook, Pulse};
use crate::generation::Generation;
use crate::healing::Probe;
use crate::input::{Input, Now, ReplyTo};
use crate::members::Membership;
use crate::placement::Watch;
use crate::queue::{Finishing, Graph, Names, PlanLine};
use crate::roster::Roster;
use crate::rows::{EventRow, Identity, IndexKey, MetaKey, MetaRow, Rows};
use crate::settings::Settings;
use crate::stock::Stock;
use crate::table::{Sink, Source};
use crate::tickets::Tickets;
use crate::view::{Assumed, Counts, DroneView, View};

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

/// The controller's rules and everything they know.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) rows: Rows,
    pub(crate) soft: Soft,
    pub(crate) now: Now,
    pub(crate) effects: Vec<Effect>,
}

/// Everything a restart may forget.
#[derive(Default)]
pub(crate) struct Soft {
    /// Moment of the controller's own start.
    pub started: u64,
    /// Signs of life per drone.
    pub pulses: BTreeMap<DroneId, Pulse>,
    /// What the last look through the fleet found to come.
    pub outlook: Outlook,
    /// When each delegated attempt is lost, unless a heartbeat lists it.
    pub leases: BTreeMap<BuildId, u64>,
    /// Heartbeats in a row that should have listed an attempt and did not.
    pub missing: BTreeMap<BuildId, u32>,
    /// When an order was last sent, by build.
    pub sent: BTreeMap<BuildId, u64>,
    /// What each drone has.
    pub held: BTreeMap<DroneId, BTreeSet<BuildId>>,
    /// Results that wait for their packages and log.
    pub finishing: BTreeMap<BuildId, Finishing>,
    /// Who waits for whom, and who is ready.
    pub graph: Graph,
    /// Entries by name and session.
    pub names: Names,
    /// Plans by where they stand.
    pub plans: PlanLine,
    /// Something changed that may let a plan be sent.
    pub plans_due: bool,
    /// Callers' keys by the moment they are forgotten.
    pub forget_keys: BTreeSet<(u64, String)>,
    /// Rows looked through one after the other, ever.
    pub looked_through: u64,
    /// Entries looked at for a drone, ever.
    pub candidates: u64,
    /// Entries by what makes them the same.
    pub identities: BTreeMap<(Identity, SessionId), BuildId>,
    /// Entries per state per session.
    pub counts: BTreeMap<SessionId, Counts>,
    /// Blocked entries by the moment they are tried again.
    pub retries: BTreeSet<(u64, BuildId)>,
    /// Tickets that are out.
    pub tickets: Tickets,
    /// Artifacts by index and SHA-256 of the upload.
    pub uploads: BTreeMap<(String, String), ArtifactId>,
    /// What the binhost holds.
    pub stock: Stock,
    /// Signatures to try again, with tries so far.
    pub signing: BTreeMap<ArtifactId, (u64, u32)>,
    /// State of each index's writing.
    pub generations: BTreeMap<IndexKey, Generation>,
    /// Files of retired packages, and rows that only keep a BUILD_ID, by the moment they go.
    pub deletions: BTreeSet<(u64, ArtifactId)>,
    /// What retention keeps has changed.
    pub collect_due: bool,
    /// Drones for which nothing in the line of their place is, and how far the line had grown when that was seen.
    pub vain: BTreeMap<DroneId, u64>,
    /// Drones that have more than their slots hold.
    pub with_lines: BTreeSet<DroneId>,
    /// When the syncs that are under way are given up.
    pub sync_ends: BTreeMap<DroneId, u64>,
    /// Drones whose base or tree may have moved since what they have was given out.
    pub moved_homes: BTreeSet<DroneId>,
    /// Blocked entries a sweeper did not manage: no other try before this moment.
    pub swept_until: BTreeMap<BuildId, u64>,
    /// Most of the fleet fell silent at once: nobody is judged.
    pub cut_off: Option<CutOff>,
    /// When a drone may be told to bring its tree up to date again.
    pub sync_after: BTreeMap<DroneId, u64>,
    /// What waits for a drone to build or to plan it, and whether any may.
    pub watch: Watch,
    /// When reasons that end by themselves were last looked at.
    pub last_look: u64,
    /// When what waits is looked at next.
    pub next_look: u64,
    /// Who last failed at each plan.
    pub gave_up: BTreeMap<PlanId, DroneId>,
    /// Something changed that may let work be given out.
    pub assign_due: bool,
    /// Sessions whose end must be checked.
    pub sessions_due: BTreeSet<SessionId>,
    /// Published drones; rebuilt where touched.
    pub views: Roster<DroneView>,
    /// Drones whose view is stale.
    pub touched: BTreeSet<DroneId>,
    /// Since when, and how often, each drone's misbehaviour was told.
    pub complaints: BTreeMap<DroneId, (u64, u32)>,
    /// Who the bus is to let in, published as it is.
    pub membership: Arc<Membership>,
    /// It is stale.
    pub membership_due: bool,
    /// Learned medians, published as they are.
    pub medians: Arc<BTreeMap<String, u64>>,
    /// What pinging tells of each drone.
    pub probes: BTreeMap<DroneId, Probe>,
    /// Who is pinged when.
    pub pings_due: BTreeSet<(u64, DroneId)>,
    /// Drones that gave a sign of trouble or are being helped, and when each is looked at next without a further sign.
    pub ailing: BTreeMap<DroneId, Option<u64>>,
    /// The same by the moment.
    pub looks_due: BTreeSet<(u64, DroneId)>,
    /// Drones that may be between their reboot and the end of the wait after it; no others are.
    pub rebooting: BTreeSet<DroneId>,
    /// After a silence of the fleet: nobody is helped before this moment.
    pub settled_at: u64,
    /// Times an ailing drone was looked at, ever.
    pub looked_at: u64,
    /// No ailing drone is looked at before this moment.
    pub next_look_healing: u64,
    /// Notices by the moment they are tried.
    pub notices_due: BTreeSet<(u64, u64)>,
}

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

    /// The store's life.
    pub fn store_id(&self) -> &StoreId {
        &self.meta().store_id
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
        self.soft = Soft { started: now.at, assign_due: true, ..Soft::default() };
        self.mend();
        self.rebuild();
        self.soft.membership = Arc::new(Membership::of(&self.rows, 1));
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
        let others = [self.next_fleet(), self.next_queue(), self.next_publishing()];
        if others.into_iter().flatten().any(|due| due <= self.now.at) {
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
        [self.next_fleet(), self.next_queue(), self.next_publishing(), self.next_healing()].into_iter().flatten().min()
    }

    /// Whether any row waits to be stored.
    pub fn is_changed(&self) -> bool {
        self.rows.is_changed()
    }

    /// Hands every changed row to the store; with them goes the clock (decision 8).
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
        let counts = match session {
            Some(id) => self.soft.counts.get(&id).copied().unwrap_or_default(),
            None => self.soft.counts.values().fold(Counts::default(), |sum, one| sum.plus(one)),
        };
        View {
            drones: self.soft.views.clone(),
            session,
            counts,
            sessions: self.soft.counts.clone(),
            paused: self.meta().paused.clone(),
            last_event: self.meta().last_event,
            last_history: self.meta().last_history,
            in_grace: self.in_grace(),
            healing: self.settings.healing.enabled,
            membership: Arc::clone(&self.soft.membership),
            medians: Arc::clone(&self.soft.medians),
            next: self.soft.graph.head(NEXT_SHOWN),
            cut_off: self.meta().cut_off.or(self.soft.cut_off.as_ref().map(|cut| cut.since)),
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
            graph: self.soft.graph.work(),
            candidates: self.soft.candidates,
            looked_through: self.soft.looked_through
                + self.rows.builds.walked()
                + self.rows.plans.walked()
                + self.rows.artifacts.walked()
                + self.rows.durations.walked()
                + self.rows.idempotency.walked(),
            fleet: self.rows.drones.walked() + self.rows.healing.walked() + self.soft.looked_at,
        }
    }

    /// What follows from any change: indexes written, plans sent, work given out, sessions ended.
    fn settle(&mut self) {
        self.write_indexes();
        if self.soft.assign_due || self.soft.plans_due {
            self.soft.plans_due = false;
            self.send_plans();
            if std::mem::take(&mut self.soft.assign_due) {
                self.assign();
                self.send_syncs();
            }
            self.end_drains();
        }
        self.end_sessions();
        if std::mem::take(&mut self.soft.collect_due) {
            self.collect();
            self.write_indexes();
        }
    }

    pub(crate) fn meta(&self) -> &MetaRow {
        self.rows.meta.get(&MetaKey).expect("load puts the meta row")
    }

    pub(crate) fn meta_mut(&mut self) -> &mut MetaRow {
        self.rows.meta.change(&MetaKey).expect("load puts the meta row")
    }

    pub(crate) fn reply(&mut self, to: ReplyTo, answer: Answer) {
        self.effects.push(Effect::Reply { to, answer });
    }

    pub(crate) fn in_grace(&self) -> bool {
        self.now.at < self.soft.started + self.settings.start_grace
    }

    /// Appends an event; the closure fills in what it is about.
    pub(crate) fn event(&mut self, kind: &str, message: String, fill: impl FnOnce(&mut EventRow)) {
        let meta = self.meta_mut();
        meta.last_event += 1;
        let mut row = EventRow { seq: meta.last_event, at: 0, kind: kind.to_owned(), message, ..EventRow::default() };
        row.at = self.now.wall;
        fill(&mut row);
        self.rows.events.append(row);
    }

    /// Appends an event about a build.
    pub(crate) fn build_event(&mut self, kind: &str, id: BuildId, message: String, drone: Option<String>) {
        let Some(build) = self.rows.builds.get(&id) else { return };
        let (package, session, attempt) = (build.atom(), build.session.0, build.attempt.0);
        self.event(kind, message, |event| {
            event.package = Some(package);
            event.build = Some(id.0);
            event.session = Some(session);
            event.attempt = (attempt > 0).then_some(attempt);
            event.drone = drone;
        });
    }

    pub(crate) fn drone_name(&self, drone: &DroneId) -> String {
        let seen = self.rows.drones.get(drone).map(|row| row.name.clone());
        // one that was revoked is still spoken of
        seen.or_else(|| Some(self.rows.members.get(&drone.0)?.name.clone())).unwrap_or_else(|| drone.0.clone())
    }
}
