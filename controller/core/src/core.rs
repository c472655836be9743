//! The core itself: rows, and what each room remembers besides, with the few things every room does. It calls no room: `turn`
//! does, and rooms call each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarm_protocol::{BuildId, DroneId, PlanId, SessionId, StoreId};

use crate::effect::{Answer, Effect};
use crate::fleet::{CutOff, Outlook, Pulse};
use crate::healing::Probe;
use crate::input::{Now, ReplyTo};
use crate::members::Membership;
use crate::placement::PlacementState;
use crate::publishing::PublishingState;
use crate::queue::{Finishing, Graph, Names, PlanLine};
use crate::rows::{EventRow, Identity, MetaKey, MetaRow, Rows};
use crate::settings::Settings;
use crate::view::{Counts, ViewState};

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
    /// Entries by what makes them the same.
    pub identities: BTreeMap<(Identity, SessionId), BuildId>,
    /// Entries per state per session.
    pub counts: BTreeMap<SessionId, Counts>,
    /// Blocked entries by the moment they are tried again.
    pub retries: BTreeSet<(u64, BuildId)>,
    pub placement: PlacementState,
    pub publishing: PublishingState,
    pub view: ViewState,
    /// When the syncs that are under way are given up.
    pub sync_ends: BTreeMap<DroneId, u64>,
    /// Most of the fleet fell silent at once: nobody is judged.
    pub cut_off: Option<CutOff>,
    /// When a drone may be told to bring its tree up to date again.
    pub sync_after: BTreeMap<DroneId, u64>,
    /// Who last failed at each plan.
    pub gave_up: BTreeMap<PlanId, DroneId>,
    /// Sessions whose end must be checked.
    pub sessions_due: BTreeSet<SessionId>,
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
    /// The store's life.
    pub fn store_id(&self) -> &StoreId {
        &self.meta().store_id
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

    /// After a start, or after the controller stood still, nobody is judged before this moment.
    pub(crate) fn grace_end(&self) -> u64 {
        self.soft.started + self.settings.start_grace
    }

    pub(crate) fn in_grace(&self) -> bool {
        self.now.at < self.grace_end()
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
