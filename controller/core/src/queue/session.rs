//! Sessions: which one a request joins, and when one ends.

use std::collections::BTreeSet;

use swarm_protocol::{BuildId, SessionId};

use crate::input::QueueRequest;
use crate::rows::{BuildRow, BuildState, SessionRow};
use crate::state::Core;

impl Core {
    /// The newest open session.
    pub(crate) fn active_session(&self) -> Option<SessionId> {
        self.rows.sessions.iter().rev().find(|row| row.ended_at.is_none()).map(|row| row.id)
    }

    pub(crate) fn session_name(&self, id: SessionId) -> String {
        self.rows.sessions.get(&id.0).map(|row| row.name.clone()).unwrap_or_default()
    }

    /// The same name joins the open session; no name joins the active one or opens one; fresh ones always open one.
    pub(crate) fn session_for(&mut self, actor: &str, request: &QueueRequest) -> SessionId {
        let open = match &request.session_name {
            _ if request.fresh => None,
            Some(name) => self
                .rows
                .sessions
                .iter()
                .rev()
                .find(|row| row.ended_at.is_none() && row.name == *name)
                .map(|row| row.id),
            None => self.active_session(),
        };
        if let Some(id) = open {
            return id;
        }
        let meta = self.meta_mut();
        meta.last_session += 1;
        let id = SessionId(meta.last_session);
        let prefix = if request.fresh { "fresh" } else { "session" };
        let name = request.session_name.clone().unwrap_or_else(|| format!("{prefix}-{id}"));
        self.rows.sessions.put(SessionRow {
            id,
            name,
            opened_by: actor.to_owned(),
            started_at: self.now.wall,
            ended_at: None,
            builds_on: BTreeSet::new(),
        });
        self.forget_sessions();
        id
    }

    /// An entry of an ended session is to be built again.
    pub(crate) fn reopen(&mut self, id: SessionId) {
        if self.rows.sessions.get(&id.0).is_some_and(|row| row.ended_at.is_some())
            && let Some(row) = self.rows.sessions.change(&id.0)
        {
            row.ended_at = None;
        }
        self.soft.sessions_due.insert(id);
    }

    /// Ends the sessions in which nothing moves any more: what is left waits only on blocked packages (decision 24).
    pub(crate) fn end_sessions(&mut self) {
        for id in std::mem::take(&mut self.soft.sessions_due) {
            let open = self.rows.sessions.get(&id.0).is_some_and(|row| row.ended_at.is_none());
            if !open || self.moves(id) {
                continue;
            }
            let counts = self.soft.counts.get(&id).copied().unwrap_or_default();
            if let Some(row) = self.rows.sessions.change(&id.0) {
                row.ended_at = Some(self.now.wall);
            }
            self.soft.collect_due = true;
            let name = self.session_name(id);
            let stuck = counts.blocked + counts.failed + counts.waiting;
            let message = match stuck {
                0 => format!("session {name} is complete: {} packages", counts.received),
                _ => format!(
                    "session {name} has ended: {} packages received, {stuck} blocked, failed or waiting for those",
                    counts.received
                ),
            };
            self.event("control", message, |event| {
                event.session = Some(id.0);
                event.details.insert("session_ended".to_owned(), name);
            });
        }
    }

    fn moves(&self, id: SessionId) -> bool {
        let counts = self.soft.counts.get(&id).copied().unwrap_or_default();
        let in_session = |build: BuildId| self.rows.builds.get(&build.0).is_some_and(|row| row.session == id);
        if counts.delegated > 0
            || self.rows.plans.iter().any(|plan| plan.session == id)
            || self.soft.graph.in_line().any(in_session)
        {
            return true;
        }
        if counts.waiting == 0 {
            return false;
        }
        let stuck = self.stuck();
        self.rows
            .builds
            .iter()
            .filter(|row| row.session == id && matches!(row.state, BuildState::Needed { .. }))
            .any(|row| !stuck.contains(&row.id))
    }

    /// Entries that wait, directly or not, for a blocked or failed one.
    fn stuck(&self) -> BTreeSet<BuildId> {
        let given_up = |row: &&BuildRow| matches!(row.state, BuildState::Blocked { .. } | BuildState::Failed { .. });
        let mut open: Vec<BuildId> = self.rows.builds.iter().filter(given_up).map(|row| row.id).collect();
        let mut found = BTreeSet::new();
        while let Some(next) = open.pop() {
            open.extend(self.soft.graph.dependents(next).filter(|dependent| found.insert(*dependent)));
        }
        found
    }

    /// Entries of old ended sessions leave the tables; history and binhost keep what was built.
    fn forget_sessions(&mut self) {
        let ended: Vec<SessionId> =
            self.rows.sessions.iter().filter(|row| row.ended_at.is_some()).map(|row| row.id).collect();
        let surplus = ended.len().saturating_sub(self.settings.keep_sessions);
        for id in ended.into_iter().take(surplus) {
            let builds: Vec<BuildId> =
                self.rows.builds.iter().filter(|row| row.session == id).map(|row| row.id).collect();
            for build in builds {
                self.drop_build(build);
            }
            self.rows.sessions.remove(&id.0);
            self.soft.counts.remove(&id);
        }
    }
}
