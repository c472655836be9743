//! What finds entries and plans without walking all of them: by name, by session, by what a plan waits for. Derived from the
//! rows; a restart rebuilds it.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{Atom, BuildId, Cpv, DroneId, PlanId, SessionId};

use crate::rows::{BuildRow, PlanRow, PlanState};

/// Entries by name and by session.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    by_cp: BTreeMap<String, BTreeSet<BuildId>>,
    by_session: BTreeMap<SessionId, BTreeSet<BuildId>>,
}

impl Names {
    /// An entry is there, under these names.
    pub(super) fn note(&mut self, row: &BuildRow) {
        for cp in cps(row) {
            self.by_cp.entry(cp).or_default().insert(row.id);
        }
        self.by_session.entry(row.session).or_default().insert(row.id);
    }

    /// An entry is gone, or will have other names.
    pub(super) fn forget(&mut self, row: &BuildRow) {
        for cp in cps(row) {
            take(&mut self.by_cp, &cp, row.id);
        }
        take(&mut self.by_session, &row.session, row.id);
    }

    /// Entries of a `category/name`.
    pub(super) fn of(&self, cp: &str) -> impl Iterator<Item = BuildId> {
        self.by_cp.get(cp).into_iter().flatten().copied()
    }

    /// Entries of a session.
    pub(super) fn in_session(&self, session: SessionId) -> impl Iterator<Item = BuildId> {
        self.by_session.get(&session).into_iter().flatten().copied()
    }
}

fn take<K: Ord>(index: &mut BTreeMap<K, BTreeSet<BuildId>>, key: &K, id: BuildId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// `category/name` of what was asked for and of what it became; mostly the same.
fn cps(row: &BuildRow) -> BTreeSet<String> {
    let asked = row.asked.parse::<Atom>().map(|atom| atom.cp()).ok();
    asked.into_iter().chain(row.cp()).collect()
}

/// `category/name` that a name in anybody's words is about: an atom, a `category/name-version`, a `category/name`.
pub(super) fn cp_of(word: &str) -> Option<String> {
    let cpv = || word.parse::<Cpv>().map(|cpv| cpv.cp());
    word.parse::<Atom>().map(|atom| atom.cp()).or_else(|_| cpv()).ok()
}

/// Plans by where they stand, and who last failed at each.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans {
    /// Something changed that may let a plan be sent.
    due: bool,
    gave_up: BTreeMap<PlanId, DroneId>,
    /// Per build profile: not before when, and which.
    waiting: BTreeMap<String, BTreeSet<(u64, PlanId)>>,
    sent: BTreeMap<DroneId, BTreeSet<PlanId>>,
    ends: BTreeSet<(u64, PlanId)>,
    sessions: BTreeMap<SessionId, usize>,
}

impl Plans {
    /// A plan is there.
    pub(super) fn note(&mut self, plan: &PlanRow) {
        match &plan.state {
            PlanState::Waiting {} => {
                self.waiting.entry(plan.profile.clone()).or_default().insert((plan.not_before, plan.id));
            }
            PlanState::Sent { drone, until, .. } => {
                self.sent.entry(drone.clone()).or_default().insert(plan.id);
                self.ends.insert((*until, plan.id));
            }
        }
        *self.sessions.entry(plan.session).or_default() += 1;
    }

    /// A plan is gone, or will stand elsewhere.
    pub(super) fn forget(&mut self, plan: &PlanRow) {
        match &plan.state {
            PlanState::Waiting {} => {
                if let Some(line) = self.waiting.get_mut(&plan.profile) {
                    line.remove(&(plan.not_before, plan.id));
                    if line.is_empty() {
                        self.waiting.remove(&plan.profile);
                    }
                }
            }
            PlanState::Sent { drone, until, .. } => {
                if let Some(sent) = self.sent.get_mut(drone) {
                    sent.remove(&plan.id);
                    if sent.is_empty() {
                        self.sent.remove(drone);
                    }
                }
                self.ends.remove(&(*until, plan.id));
            }
        }
        if let Some(count) = self.sessions.get_mut(&plan.session) {
            *count -= 1;
            if *count == 0 {
                self.sessions.remove(&plan.session);
            }
        }
    }

    /// Whether something changed that may let a plan be sent.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// Something changed that may let a plan be sent, or it was looked at since.
    pub(super) fn set_due(&mut self, due: bool) {
        self.due = due;
    }

    /// A drone did not manage a plan.
    pub(super) fn gave_up(&mut self, id: PlanId, drone: &DroneId) {
        self.gave_up.insert(id, drone.clone());
    }

    /// Who last did not manage a plan.
    pub(super) fn who_gave_up(&self, id: PlanId) -> Option<&DroneId> {
        self.gave_up.get(&id)
    }

    /// A plan is settled: who failed at it does not matter any more.
    pub(super) fn settled(&mut self, id: PlanId) {
        self.gave_up.remove(&id);
    }

    /// Build profiles for which plans wait.
    pub(super) fn profiles(&self) -> Vec<String> {
        self.waiting.keys().cloned().collect()
    }

    /// The next plan of a profile that waits and may be sent at `now`.
    pub(super) fn due(&self, profile: &str, now: u64) -> Option<PlanId> {
        self.waiting.get(profile)?.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Plans a drone has.
    pub(super) fn sent_to(&self, drone: &DroneId) -> Vec<PlanId> {
        self.sent.get(drone).into_iter().flatten().copied().collect()
    }

    /// Whether a drone has a plan.
    pub(super) fn is_planning(&self, drone: &DroneId) -> bool {
        self.sent.contains_key(drone)
    }

    /// Plans whose planner has had its time at `now`.
    pub(super) fn late(&self, now: u64) -> Vec<PlanId> {
        self.ends.iter().take_while(|(until, _)| *until <= now).map(|(_, id)| *id).collect()
    }

    /// Whether a session has a plan.
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// When the next backoff or the next planner's time ends.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let backoffs = self.waiting.values().filter_map(|line| line.range((now + 1, PlanId(0))..).next());
        backoffs.chain(self.ends.first()).map(|(at, _)| *at).min()
    }
}
