//! What finds entries and plans, who waits for whom, what is due when. Derived from the rows; a restart rebuilds it. Others
//! read it through narrow questions; entries change it only as `entries` says.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{BuildId, DroneId, PlanId, SessionId};

use super::finishing::Finishings;
use super::graph::Graph;
use super::identities::Identities;
use super::index::{Names, Plans};
use super::tally::{Counts, Tally};
use crate::rows::Identity;
use crate::timers::Timers;

/// Answers remembered for callers' keys; beyond, the oldest are forgotten early.
const MAX_KEYS: usize = 10_000;

/// What is soft about the queue.
#[derive(Debug, Default)]
pub(crate) struct QueueState {
    pub(super) graph: Graph,
    pub(super) names: Names,
    pub(super) plans: Plans,
    pub(super) identities: Identities,
    pub(super) tally: Tally,
    pub(super) finishing: Finishings,
    /// When each blocked entry is tried again.
    pub(super) retries: Timers<BuildId>,
    /// Callers' keys by the moment they are forgotten.
    keys: BTreeSet<(u64, String)>,
    /// Sessions whose end must be checked.
    sessions_due: BTreeSet<SessionId>,
    /// Rows looked through one after the other, ever.
    looked_through: u64,
}

impl QueueState {
    /// Who waits for whom, and who is ready.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Brings the order of the lines up to date.
    pub(crate) fn order_lines(&mut self) {
        self.graph.relax();
    }

    /// Entries of a `category/name` are likely to take another time than was thought, milliseconds.
    pub(crate) fn set_duration(&mut self, cp: &str, duration: u64) {
        for id in self.names.of(cp) {
            self.graph.set_duration(id, duration);
        }
    }

    /// Entries that stand for a package, one per session.
    pub(crate) fn same<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = BuildId> + 'a {
        self.identities.same(identity)
    }

    /// Entries that stand for a version in a build profile, whatever its USE flags.
    pub(crate) fn of_version<'a>(&'a self, profile: &'a str, cpv: &'a str) -> impl Iterator<Item = BuildId> + 'a {
        self.identities.of_version(profile, cpv)
    }

    /// Whether an entry's result waits for its packages or its log.
    pub(crate) fn is_finishing(&self, id: BuildId) -> bool {
        self.finishing.get(id).is_some()
    }

    /// Plans a drone has.
    pub(crate) fn plans_of(&self, drone: &DroneId) -> Vec<PlanId> {
        self.plans.sent_to(drone)
    }

    /// Whether a drone has a plan.
    pub(crate) fn is_planning(&self, drone: &DroneId) -> bool {
        self.plans.is_planning(drone)
    }

    /// Whether something changed that may let a plan be sent.
    pub(crate) fn are_plans_due(&self) -> bool {
        self.plans.is_due()
    }

    /// The same; from now on they are sent.
    pub(crate) fn take_plans_due(&mut self) {
        self.plans.set_due(false);
    }

    /// Entries per state in a session, or in all.
    pub(crate) fn counts(&self, session: Option<SessionId>) -> Counts {
        session.map_or_else(|| self.tally.sum(), |session| self.tally.of(session))
    }

    /// Entries per state, session by session.
    pub(crate) fn sessions(&self) -> &BTreeMap<SessionId, Counts> {
        self.tally.all()
    }

    /// Something moved in a session: it may have come to its end.
    pub(super) fn moved_in(&mut self, session: SessionId) {
        self.sessions_due.insert(session);
    }

    /// Takes the sessions that may have come to their end.
    pub(super) fn take_sessions(&mut self) -> BTreeSet<SessionId> {
        std::mem::take(&mut self.sessions_due)
    }

    /// The answer to a caller's key is remembered until this moment.
    pub(super) fn remember_key(&mut self, key: String, until: u64) {
        self.keys.insert((until, key));
    }

    /// Takes a key whose time is over, or one too many.
    pub(super) fn take_old_key(&mut self, now: u64) -> Option<String> {
        let (until, _) = self.keys.first()?;
        let old = *until <= now || self.keys.len() > MAX_KEYS;
        old.then(|| self.keys.pop_first().map(|(_, key)| key)).flatten()
    }

    /// So many rows were looked through.
    pub(super) fn look_through(&mut self, rows: u64) {
        self.looked_through += rows;
    }

    /// Rows looked through one after the other, ever.
    pub(crate) fn looked_through(&self) -> u64 {
        self.looked_through
    }

    /// When the next of the queue's rules is due.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let moments = [self.graph.next(), self.retries.next(), self.plans.next(now), self.finishing.next()];
        moments.into_iter().flatten().min()
    }
}
