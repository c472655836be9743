//! What leaves the binhost, and how. Of each identity the newest few stay, what a person pinned, and what an open session
//! builds on. A package that goes is first taken out of its index; only when that generation is on disk, and
//! no client can still hold an older one, its file is removed; its BUILD_ID stays taken for a while longer.
//!
//! What people ask of the binhost's packages is answered here, too. Files are never looked at: who finds one damaged says so.

use swarm_protocol::{ArtifactId, Cpv};

use crate::answer::{Collected, CollectedPackage, Done, Refusal, RefusalKind};
use crate::core::Core;
use crate::effect::{BinhostWork, Effect};
use crate::request::QueueRequest;

use crate::rows::{ArtifactRow, ArtifactState, EventKind, Fact, Identity, IndexKey};

/// Wait before a file that could not be removed is tried again, milliseconds.
const REMOVE_AGAIN: u64 = 60_000;
/// How long a BUILD_ID is remembered after its file is gone, milliseconds: longer than any client keeps an index.
const REMEMBER_BUILD_ID: u64 = 30 * 24 * 3_600_000;
/// Packages listed in an answer.
const MAX_LISTED: usize = 1_000;
/// Names in an event.
const MAX_NAMED: usize = 10;
/// Session of packages that are built again because their file was damaged.
const REPAIRS: &str = "binhost-repairs";

impl Core {
    pub(crate) fn pin(&mut self, actor: &str, package: &str, pinned: bool) -> Result<Done, Refusal> {
        let mut done = Done { touched: 0, what: Vec::new() };
        for id in self.published(package)? {
            let now = self.now.wall;
            let Some(row) = self.rows.artifacts.get(&id).filter(|row| row.pinned.is_some() != pinned) else {
                continue;
            };
            let name = label(row);
            let fact = Fact { by: actor.to_owned(), reason: "pinned by a person".to_owned(), since: now, until: None };
            if let Some(row) = self.rows.artifacts.change(&id) {
                row.pinned = pinned.then_some(fact);
            }
            done.touched += 1;
            done.what.push(name);
        }
        if done.touched > 0 {
            let verb = if pinned { "pinned" } else { "unpinned" };
            self.event(EventKind::Control, format!("{actor} {verb} {} in the binhost", some(&done.what)), |_| {});
            self.soft.publishing.collect_soon();
        }
        Ok(done)
    }

    pub(crate) fn take_out(&mut self, actor: &str, package: &str, force: bool) -> Result<Done, Refusal> {
        let exact = number(package).is_some() || package.trim_start_matches('=').parse::<Cpv>().is_ok();
        if !exact {
            return Err(Refusal {
                kind: RefusalKind::Invalid,
                error: format!("{package} names no version"),
                hint: Some("`swarm binhost list` shows versions and numbers".to_owned()),
            });
        }
        let ids = self.published(package)?;
        let rows: Vec<&ArtifactRow> = ids.iter().filter_map(|id| self.rows.artifacts.get(id)).collect();
        let refuse =
            |error: String, hint: &str| Refusal { kind: RefusalKind::Conflict, error, hint: Some(hint.to_owned()) };
        if let Some(row) = rows.iter().find(|row| row.pinned.is_some()) {
            return Err(refuse(format!("{} is pinned", label(row)), "`swarm binhost unpin` lets it go"));
        }
        if let Some(row) = rows.iter().find(|row| !force && self.is_needed(row)) {
            let hint = "wait for the session's end, or force it: what needs it is then built without it";
            return Err(refuse(format!("an open session builds on {}", label(row)), hint));
        }
        let what: Vec<String> = rows.iter().map(|row| label(row)).collect();
        for id in &ids {
            self.retire(*id, &format!("removed by {actor}"));
        }
        self.event(EventKind::Control, format!("{actor} removed {} from the binhost", some(&what)), |_| {});
        Ok(Done { touched: ids.len() as u64, what })
    }

    /// Published packages a name means; at least one.
    fn published(&self, package: &str) -> Result<Vec<ArtifactId>, Refusal> {
        let wanted = package.trim();
        let bare = wanted.strip_prefix('=').unwrap_or(wanted);
        let hits: Vec<ArtifactId> = self
            .rows
            .artifacts
            .iter()
            .filter(|row| matches!(row.state, ArtifactState::Published { .. }))
            .filter(|row| match number(wanted) {
                Some(id) => row.id.0 == id,
                None => row.cpv == bare || row.cpv.parse::<Cpv>().is_ok_and(|cpv| cpv.cp() == bare),
            })
            .map(|row| row.id)
            .collect();
        if hits.is_empty() {
            return Err(Refusal {
                kind: RefusalKind::NotFound,
                error: format!("the binhost has no package {wanted}"),
                hint: Some("`swarm binhost list` shows what it has".to_owned()),
            });
        }
        Ok(hits)
    }

    /// A plan of this session found the package in the binhost: it stays while the session is open.
    pub(crate) fn build_on(&mut self, session: swarm_protocol::SessionId, index: &IndexKey, identity: &Identity) {
        let Some(id) = self.soft.publishing.newest(index, identity) else { return };
        if self.rows.sessions.get(&session).is_some_and(|row| !row.builds_on.contains(&id))
            && let Some(row) = self.rows.sessions.change(&session)
        {
            row.builds_on.insert(id);
        }
    }

    /// Whether an open session built it, or builds on it.
    fn is_needed(&self, row: &ArtifactRow) -> bool {
        let builder = self.rows.builds.get(&row.fence.build).map(|build| build.session);
        self.rows.sessions.iter().rev().filter(|session| session.ended_at.is_none()).any(|session| {
            session.builds_on.contains(&row.id) || (row.imported.is_none() && builder == Some(session.id))
        })
    }

    /// What retention takes of the listed packages of one identity, oldest first.
    fn surplus(&self, listed: impl DoubleEndedIterator<Item = ArtifactId>) -> Vec<ArtifactId> {
        let kept =
            |id: &ArtifactId| self.rows.artifacts.get(id).is_none_or(|row| row.pinned.is_some() || self.is_needed(row));
        let older = listed.rev().skip(self.settings.keep_builds.max(1));
        let mut surplus: Vec<ArtifactId> = older.filter(|id| !kept(id)).collect();
        surplus.reverse();
        surplus
    }

    fn all_surplus(&self) -> Vec<ArtifactId> {
        self.soft.publishing.stock.identities().flat_map(|listed| self.surplus(listed.iter().copied())).collect()
    }

    /// Retention for one identity, after something of it was published.
    pub(crate) fn keep_newest(&mut self, index: &IndexKey, identity: &Identity) {
        let surplus = self.surplus(self.soft.publishing.stock.of(index, identity));
        self.let_go(&surplus);
    }

    /// Retention for everything.
    pub(crate) fn collect(&mut self) {
        let surplus = self.all_surplus();
        self.let_go(&surplus);
    }

    fn let_go(&mut self, surplus: &[ArtifactId]) {
        if surplus.is_empty() {
            return;
        }
        let names: Vec<String> = surplus.iter().filter_map(|id| self.rows.artifacts.get(id)).map(label).collect();
        let keep = self.settings.keep_builds.max(1);
        for id in surplus {
            self.retire(*id, &format!("there are {keep} newer ones"));
        }
        self.event(EventKind::Control, format!("retention: {} leave the binhost", some(&names)), |_| {});
    }

    pub(crate) fn collect_now(&mut self, dry_run: bool) -> Collected {
        let surplus = self.all_surplus();
        let mut collected = Collected { count: surplus.len() as u64, ..Collected::default() };
        for row in surplus.iter().filter_map(|id| self.rows.artifacts.get(id)) {
            let ArtifactState::Published { build_id, size_out, .. } = row.state else { continue };
            collected.bytes += size_out;
            if collected.packages.len() < MAX_LISTED {
                let (index, cpv) = (row.index.clone(), row.cpv.clone());
                let package = CollectedPackage { artifact: row.id, index, cpv, build_id, size: size_out };
                collected.packages.push(package);
            }
        }
        for row in self.rows.artifacts.iter() {
            if let ArtifactState::Retired { size, .. } = row.state {
                collected.waiting += 1;
                collected.waiting_bytes += size;
            }
        }
        if !dry_run {
            self.let_go(&surplus);
        }
        collected
    }

    /// A published package is not wanted any more.
    fn retire(&mut self, id: ArtifactId, why: &str) {
        let Some(row) = self.rows.artifacts.get(&id).cloned() else { return };
        let ArtifactState::Published { build_id, path, size_out, .. } = &row.state else { return };
        let state = ArtifactState::Retired {
            build_id: *build_id,
            path: path.clone(),
            size: *size_out,
            restricted: row.is_restricted(),
            why: why.to_owned(),
            delete_at: None,
        };
        self.soft.publishing.stock.forget(&row);
        if let Some(row) = self.rows.artifacts.change(&id) {
            row.state = state;
            row.pinned = None;
        }
        self.soft.publishing.generations.retired(&row.index, id);
    }

    /// No generation on disk lists it any more; clients may still hold one that does.
    pub(crate) fn has_left(&mut self, id: ArtifactId) {
        let at = self.now.at.saturating_add(self.settings.delete_after);
        if let Some(row) = self.rows.artifacts.change(&id)
            && let ArtifactState::Retired { delete_at, .. } = &mut row.state
        {
            *delete_at = Some(at);
            self.soft.publishing.deletions.set(id, at);
        }
    }

    pub(crate) fn package_removed(&mut self, id: ArtifactId) {
        let until = self.now.at + REMEMBER_BUILD_ID;
        let Some(row) = self.rows.artifacts.change(&id) else { return };
        let ArtifactState::Retired { build_id, .. } = row.state else { return };
        row.state = ArtifactState::Gone { build_id, until };
        self.soft.publishing.deletions.set(id, until);
    }

    pub(crate) fn removal_failed(&mut self, id: ArtifactId, reason: &str) {
        let Some(row) = self.rows.artifacts.get(&id) else { return };
        let message = format!("the file of {} could not be removed: {reason}", label(row));
        self.event(EventKind::Warn, message, |_| {});
    }

    /// After a start: what has its time, and what retention, perhaps with another number, takes now.
    pub(crate) fn restart_retention(&mut self) {
        let due = self.rows.artifacts.iter().filter_map(|row| match row.state {
            ArtifactState::Retired { delete_at: Some(at), .. } | ArtifactState::Gone { until: at, .. } => {
                Some((row.id, at))
            }
            _ => None,
        });
        self.soft.publishing.deletions = due.collect();
        self.soft.publishing.collect_soon();
    }

    pub(crate) fn wake_retention(&mut self) {
        while let Some(id) = self.soft.publishing.deletions.pop(self.now.at) {
            let Some(row) = self.rows.artifacts.get(&id).cloned() else { continue };
            match row.state {
                ArtifactState::Retired { path, restricted, .. } => {
                    // until it is said to be gone
                    self.soft.publishing.deletions.set(id, self.now.at + REMOVE_AGAIN);
                    let work = BinhostWork::RemovePackage { artifact: id, index: row.index, path, restricted };
                    self.effects.push(Effect::Binhost(work));
                }
                ArtifactState::Gone { build_id, .. } => {
                    self.soft.publishing.stock.forget_build_id(&row, build_id);
                    self.rows.artifacts.remove(&id);
                }
                ArtifactState::Ticketed {} | ArtifactState::Uploaded { .. } | ArtifactState::Published { .. } => {}
            }
        }
    }

    /// Somebody looked at a published file and it is not what its row says: it leaves the index, whoever needs it.
    pub(crate) fn damaged(&mut self, actor: &str, id: ArtifactId, reason: &str, rebuild: bool) -> Done {
        let Some(row) = self.rows.artifacts.get(&id).cloned() else { return Done { touched: 0, what: Vec::new() } };
        if !matches!(row.state, ArtifactState::Published { .. }) {
            return Done { touched: 0, what: Vec::new() };
        }
        let name = label(&row);
        self.retire(id, reason);
        self.event(EventKind::Warn, format!("{name} leaves the binhost: its file {reason}"), |event| {
            event.package = Some(format!("={}", row.cpv))
        });
        if rebuild {
            self.build_again(actor, &row);
        }
        Done { touched: 1, what: vec![name] }
    }

    fn build_again(&mut self, actor: &str, row: &ArtifactRow) {
        let ArtifactState::Published { stanza, .. } = &row.state else { return };
        let known = stanza.get("IUSE").map(String::as_str).unwrap_or_default().split_whitespace();
        let flags: Vec<String> = known
            .map(|flag| flag.trim_start_matches(['+', '-']))
            .map(|flag| if row.use_flags.iter().any(|on| on == flag) { flag.to_owned() } else { format!("-{flag}") })
            .collect();
        let line = format!("={} {}", row.cpv, flags.join(" "));
        let request = QueueRequest {
            packages: vec![format!("={}", row.cpv)],
            session_name: Some(REPAIRS.to_owned()),
            profile: Some(row.index.profile.clone()),
            package_use: if flags.is_empty() { Vec::new() } else { vec![line] },
            rebuild: true,
            ..QueueRequest::default()
        };
        if let Err(refusal) = self.queue(actor, &request) {
            self.event(EventKind::Warn, format!("{} could not be queued again: {}", label(row), refusal.error), |_| {});
        }
    }

    pub(crate) fn reindex(&mut self, index: &IndexKey) -> Result<Done, Refusal> {
        if self.rows.indexes.get(index).is_none() {
            let error = format!("there is no index {index}");
            return Err(Refusal { kind: RefusalKind::NotFound, error, hint: None });
        }
        self.soft.publishing.generations.renew(index);
        self.event(
            EventKind::Warn,
            format!("the index {index} is written anew: what was on disk was not what it should be"),
            |_| {},
        );
        Ok(Done { touched: 1, what: vec![index.to_string()] })
    }
}

/// `#12`, or `12`.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.strip_prefix('#').unwrap_or(text).parse().ok()
}

/// `category/name-version (BUILD_ID 3)`.
fn label(row: &ArtifactRow) -> String {
    match &row.state {
        ArtifactState::Uploaded { build_id, .. }
        | ArtifactState::Published { build_id, .. }
        | ArtifactState::Retired { build_id, .. }
        | ArtifactState::Gone { build_id, .. } => format!("{} (BUILD_ID {build_id})", row.cpv),
        ArtifactState::Ticketed {} => row.cpv.clone(),
    }
}

/// The first few names, and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(MAX_NAMED)].join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
