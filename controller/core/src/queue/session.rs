//! Sessions: which one a request joins, and when one ends.

use swarm_protocol::{BuildId, SessionId};

use crate::core::Core;
use crate::request::QueueRequest;
use crate::rows::{BuildRow, BuildState, EventKind, SessionRow};

impl Core {
    /// The newest open session.
    pub(crate) fn active_session(&self) -> Option<SessionId> {
        self.rows.sessions.iter().rev().find(|row| row.ended_at.is_none()).map(|row| row.id)
    }

    pub(crate) fn session_name(&self, id: SessionId) -> String {
        self.rows.sessions.get(&id).map(|row| row.name.clone()).unwrap_or_default()
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
            builds_on: Default::default(),
        });
        self.forget_sessions();
        id
    }

    /// An entry of an ended session is to be built again.
    pub(crate) fn reopen(&mut self, id: SessionId) {
        if self.rows.sessions.get(&id).is_some_and(|row| row.ended_at.is_some())
            && let Some(row) = self.rows.sessions.change(&id)
        {
            row.ended_at = None;
        }
        self.soft.queue.moved_in(id);
    }

    /// Ends the sessions in which nothing moves any more: what is left waits only on blocked packages.
    pub(crate) fn end_sessions(&mut self) {
        for id in self.soft.queue.take_sessions() {
            let open = self.rows.sessions.get(&id).is_some_and(|row| row.ended_at.is_none());
            if !open || self.moves(id) {
                continue;
            }
            let counts = self.soft.queue.tally.of(id);
            if let Some(row) = self.rows.sessions.change(&id) {
                row.ended_at = Some(self.now.wall);
            }
            self.soft.publishing.collect_soon();
            let name = self.session_name(id);
            let stuck = counts.blocked + counts.failed + counts.waiting;
            let message = match stuck {
                0 => format!("session {name} is complete: {} packages", counts.received),
                _ => format!(
                    "session {name} has ended: {} packages received, {stuck} blocked, failed or waiting for those",
                    counts.received
                ),
            };
            self.event(EventKind::Control, message, |event| {
                event.session = Some(id.0);
                event.details.insert("session_ended".to_owned(), name);
            });
        }
    }

    /// Whether something is still under way in a session, or will be by itself.
    fn moves(&mut self, id: SessionId) -> bool {
        let counts = self.soft.queue.tally.of(id);
        if counts.delegated > 0 || self.soft.queue.plans.has(id) || self.soft.queue.graph.has_lined(id) {
            return true;
        }
        counts.waiting > 0 && self.waits_for_more_than_blocked(id)
    }

    /// Entries are looked through only when nothing of the session is delegated, planned or in line: once, at its end.
    fn waits_for_more_than_blocked(&mut self, id: SessionId) -> bool {
        let given_up = |row: &BuildRow| matches!(row.state, BuildState::Blocked { .. } | BuildState::Failed { .. });
        let rows = || self.soft.queue.names.in_session(id).filter_map(|build| self.rows.builds.get(&build));
        let stuck = self.soft.queue.graph.behind(rows().filter(|row| given_up(row)).map(|row| row.id));
        let moves = rows().any(|row| matches!(row.state, BuildState::Needed { .. }) && !stuck.contains(&row.id));
        let looked_through = rows().count() as u64;
        self.soft.queue.look_through(looked_through);
        moves
    }

    /// Entries of old ended sessions leave the tables; history and binhost keep what was built.
    fn forget_sessions(&mut self) {
        let ended: Vec<SessionId> =
            self.rows.sessions.iter().filter(|row| row.ended_at.is_some()).map(|row| row.id).collect();
        let surplus = ended.len().saturating_sub(self.settings.keep_sessions);
        for id in ended.into_iter().take(surplus) {
            let builds: Vec<BuildId> = self.soft.queue.names.in_session(id).collect();
            for build in builds {
                self.drop_build(build);
            }
            self.rows.sessions.remove(&id);
            self.soft.queue.tally.forget(id);
        }
    }
}
