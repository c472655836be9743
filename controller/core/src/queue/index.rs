//! What finds entries and plans without walking all of them: by name, by session, by what a plan waits for. Derived from the
//! rows; a restart rebuilds it.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::{Atom, BuildId, Cpv, DroneId, PlanId, SessionId};

use crate::rows::{BuildRow, PlanRow, PlanState};

/// Entries by name and by session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    by_cp: BTreeMap<String, BTreeSet<BuildId>>,
    by_session: BTreeMap<SessionId, BTreeSet<BuildId>>,
}

impl Names {
    /// An entry is there, under these names.
    pub(crate) fn note(&mut self, row: &BuildRow) {
        for cp in cps(row) {
            self.by_cp.entry(cp).or_default().insert(row.id);
        }
        self.by_session.entry(row.session).or_default().insert(row.id);
    }

    /// An entry is gone, or will have other names.
    pub(crate) fn forget(&mut self, row: &BuildRow) {
        for cp in cps(row) {
            take(&mut self.by_cp, &cp, row.id);
        }
        take(&mut self.by_session, &row.session, row.id);
    }

    /// Entries of a `category/name`.
    pub(crate) fn of(&self, cp: &str) -> impl Iterator<Item = BuildId> {
        self.by_cp.get(cp).into_iter().flatten().copied()
    }

    /// Entries of a session.
    pub(crate) fn in_session(&self, session: SessionId) -> impl Iterator<Item = BuildId> {
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
pub(crate) fn cp_of(word: &str) -> Option<String> {
    let cpv = || word.parse::<Cpv>().map(|cpv| cpv.cp());
    word.parse::<Atom>().map(|atom| atom.cp()).or_else(|_| cpv()).ok()
}

/// Plans by where they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanLine {
    /// Per build profile: not before when, and which.
    waiting: BTreeMap<String, BTreeSet<(u64, PlanId)>>,
    sent: BTreeMap<DroneId, BTreeSet<PlanId>>,
    ends: BTreeSet<(u64, PlanId)>,
    sessions: BTreeMap<SessionId, usize>,
}

impl PlanLine {
    /// A plan is there.
    pub(crate) fn note(&mut self, plan: &PlanRow) {
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
    pub(crate) fn forget(&mut self, plan: &PlanRow) {
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

    /// Build profiles for which plans wait.
    pub(crate) fn profiles(&self) -> Vec<String> {
        self.waiting.keys().cloned().collect()
    }

    /// The next plan of a profile that waits and may be sent at `now`.
    pub(crate) fn due(&self, profile: &str, now: u64) -> Option<PlanId> {
        self.waiting.get(profile)?.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Plans a drone has.
    pub(crate) fn sent_to(&self, drone: &DroneId) -> Vec<PlanId> {
        self.sent.get(drone).into_iter().flatten().copied().collect()
    }

    /// Whether a drone has a plan.
    pub(crate) fn is_planning(&self, drone: &DroneId) -> bool {
        self.sent.contains_key(drone)
    }

    /// Plans whose planner has had its time at `now`.
    pub(crate) fn late(&self, now: u64) -> Vec<PlanId> {
        self.ends.iter().take_while(|(until, _)| *until <= now).map(|(_, id)| *id).collect()
    }

    /// Whether a session has a plan.
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// When the next backoff or the next planner's time ends.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let backoffs = self.waiting.values().filter_map(|line| line.range((now + 1, PlanId(0))..).next());
        backoffs.chain(self.ends.first()).map(|(at, _)| *at).min()
    }
}
