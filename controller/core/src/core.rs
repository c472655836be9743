//! The core itself: rows, and what each room remembers besides, with the few things every room does. It calls no rule of a
//! room: `turn` does, and rooms call each other.

use swarm_protocol::{BuildId, DroneId, StoreId};

use crate::answer::{Answer, ReplyTo};
use crate::effect::Effect;
use crate::fleet::FleetState;
use crate::healing::HealingState;
use crate::learned::Medians;
use crate::members::MembersState;
use crate::now::Now;
use crate::placement::PlacementState;
use crate::publishing::PublishingState;
use crate::queue::QueueState;
use crate::rows::{EventKind, EventRow, MetaKey, MetaRow, Rows};
use crate::settings::Settings;
use crate::view::ViewState;

/// The controller's rules and everything they know.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) rows: Rows,
    pub(crate) soft: Soft,
    pub(crate) now: Now,
    pub(crate) effects: Vec<Effect>,
}

/// Everything a restart may forget, room by room. Each room keeps its own to itself; others ask it by what it means.
#[derive(Default)]
pub(crate) struct Soft {
    pub fleet: FleetState,
    pub healing: HealingState,
    pub learned: Medians,
    pub members: MembersState,
    pub placement: PlacementState,
    pub publishing: PublishingState,
    pub queue: QueueState,
    pub view: ViewState,
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
        self.soft.fleet.grace_end(&self.settings)
    }

    pub(crate) fn in_grace(&self) -> bool {
        self.now.at < self.grace_end()
    }

    /// Appends an event; the closure fills in what it is about.
    pub(crate) fn event(&mut self, kind: EventKind, message: String, fill: impl FnOnce(&mut EventRow)) {
        let meta = self.meta_mut();
        meta.last_event += 1;
        let mut row =
            EventRow { seq: meta.last_event, at: 0, kind: kind.name().to_owned(), message, ..EventRow::default() };
        row.at = self.now.wall;
        fill(&mut row);
        self.rows.events.append(row);
    }

    /// Appends an event about a build.
    pub(crate) fn build_event(&mut self, kind: EventKind, id: BuildId, message: String, drone: Option<String>) {
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
