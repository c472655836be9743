//! Packages that people ask for: what is checked, what is queued, what a name means.

use std::collections::BTreeSet;

use swarm_protocol::atom::{AtomError, is_package_use_line};
use swarm_protocol::{Atom, Attempt, BuildId, PlanId, SessionId};

use super::index::cp_of;
use crate::answer::{Queued, Refusal, RefusalKind, invalid};
use crate::core::Core;
use crate::names::DEFAULT_PROFILE;
use crate::names::is_label;
use crate::now::Now;
use crate::request::QueueRequest;
use crate::rows::{BuildRow, BuildState, BuildWishes, EventKind, IdempotencyRow, Origin, PlanRow, PlanState};

/// Atoms resolved together; keeps a plan's order far below the bus's bound.
pub(super) const ATOMS_PER_PLAN: usize = 500;
/// Packages in one request.
const MAX_REQUEST: usize = 50_000;
/// Lines of `package.use` in one request.
const MAX_USE_LINES: usize = 2_000;
/// How long an `Idempotency-Key` is honoured, milliseconds.
const IDEMPOTENCY: u64 = 24 * 3_600_000;

impl Core {
    pub(crate) fn queue(&mut self, actor: &str, request: &QueueRequest) -> Result<Queued, Refusal> {
        if let Some(known) = request.idempotency_key.as_ref().and_then(|key| self.rows.idempotency.get(key)) {
            return self.queued_before(known, request);
        }
        let atoms = self.checked_atoms(request)?;
        let profile = request.profile.clone().unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        let session = self.session_for(actor, request);
        let mut queued = Queued {
            session,
            session_name: self.session_name(session),
            builds: Vec::new(),
            packages: Vec::new(),
            duplicates: Vec::new(),
        };
        let mut fresh = Vec::new();
        let mut waiting = self.waiting_atoms(session, &profile, &request.package_use, &atoms);
        for atom in atoms {
            let asked = atom.to_string();
            if waiting.insert(asked.clone()) {
                queued.packages.push(asked);
                fresh.push(atom);
            } else {
                queued.duplicates.push(asked);
            }
        }
        for atoms in fresh.chunks(ATOMS_PER_PLAN) {
            let builds = self.queue_plan(session, &profile, atoms, request);
            queued.builds.extend(builds);
        }
        self.announce(actor, &queued);
        if let Some(key) = &request.idempotency_key {
            let until = self.now.at + IDEMPOTENCY;
            self.soft.queue.remember_key(key.clone(), until);
            self.rows.idempotency.put(IdempotencyRow {
                key: key.clone(),
                session,
                packages: queued.packages.clone(),
                duplicates: queued.duplicates.clone(),
                builds: queued.builds.clone(),
                until,
            });
        }
        Ok(queued)
    }

    /// The answer to a request that comes once more. Another one under its key was meant for itself, and is not queued.
    fn queued_before(&self, known: &IdempotencyRow, request: &QueueRequest) -> Result<Queued, Refusal> {
        let asked: BTreeSet<String> = atoms_of(request)?.iter().map(ToString::to_string).collect();
        let then: BTreeSet<String> = known.packages.iter().chain(&known.duplicates).cloned().collect();
        // a row of before says nothing of duplicates and entries
        if asked != then && !(known.builds.is_empty() && then.is_subset(&asked)) {
            return Err(Refusal {
                kind: RefusalKind::Conflict,
                error: "this Idempotency-Key was used for other packages; nothing was queued".to_owned(),
                hint: Some("a key stands for one request; take a new one".to_owned()),
            });
        }
        Ok(Queued {
            session: known.session,
            session_name: self.session_name(known.session),
            builds: known.builds.clone(),
            packages: known.packages.clone(),
            duplicates: known.duplicates.clone(),
        })
    }

    /// Everything that can be wrong with a request is found before anything changes.
    fn checked_atoms(&self, request: &QueueRequest) -> Result<Vec<Atom>, Refusal> {
        let atoms = atoms_of(request)?;
        if atoms.is_empty() {
            return Err(invalid("no packages given".to_owned(), "name at least one atom, for example app-misc/hello"));
        }
        if atoms.len() > MAX_REQUEST {
            return Err(invalid(
                format!("{} packages in one request", atoms.len()),
                "at most 50000; send several requests",
            ));
        }
        if self.rows.builds.len() + atoms.len() > self.settings.max_queue {
            return Err(Refusal {
                kind: RefusalKind::Full,
                error: format!("the queue holds {} of {} entries", self.rows.builds.len(), self.settings.max_queue),
                hint: Some("wait for sessions to end, or remove packages".to_owned()),
            });
        }
        if request.package_use.len() > MAX_USE_LINES {
            return Err(invalid(format!("{} lines of package.use", request.package_use.len()), "at most 2000"));
        }
        if let Some(bad) = request.package_use.iter().find(|line| !is_package_use_line(line)) {
            return Err(invalid(
                format!("{bad:?} is no line of package.use"),
                "an atom and its flags, for example app-misc/calc greet -debug",
            ));
        }
        if let Some(bad) = request.profile.as_ref().filter(|name| !is_label(name, 64)) {
            return Err(invalid(
                format!("{bad:?} is no name of a build profile"),
                "letters, digits, dot, underscore and hyphen, at most 64",
            ));
        }
        if let Some(bad) = request
            .session_name
            .as_ref()
            .filter(|name| name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control))
        {
            return Err(invalid(format!("{bad:?} is no name of a session"), "1 to 100 printable characters"));
        }
        if let Some((error, hint)) = bad_wish(&request.wishes) {
            return Err(invalid(error, hint));
        }
        if let Some(bad) = request.idempotency_key.as_ref().filter(|key| key.is_empty() || key.len() > 200) {
            return Err(invalid(format!("Idempotency-Key of {} bytes", bad.len()), "1 to 200 bytes"));
        }
        Ok(atoms)
    }

    /// Which of the atoms wait or are being built with the same USE in the same session.
    fn waiting_atoms(
        &self,
        session: SessionId,
        profile: &str,
        package_use: &[String],
        atoms: &[Atom],
    ) -> BTreeSet<String> {
        let waits = |state: &BuildState| {
            matches!(state, BuildState::Planning { .. } | BuildState::Needed { .. } | BuildState::Delegated { .. })
        };
        let same = |row: &&BuildRow| {
            row.session == session && row.profile == profile && row.package_use == package_use && waits(&row.state)
        };
        let asked: BTreeSet<String> = atoms.iter().map(Atom::cp).collect();
        let known = asked.iter().flat_map(|cp| self.soft.queue.names.of(cp)).filter_map(|id| self.rows.builds.get(&id));
        known.filter(same).map(|row| row.asked.clone()).collect()
    }

    fn queue_plan(
        &mut self,
        session: SessionId,
        profile: &str,
        atoms: &[Atom],
        request: &QueueRequest,
    ) -> Vec<BuildId> {
        let meta = self.meta_mut();
        meta.last_plan += 1;
        let plan = PlanId(meta.last_plan);
        let mut builds = Vec::new();
        for atom in atoms {
            let id = self.next_build();
            builds.push(id);
            self.add_build(BuildRow {
                cpv: atom.exact().map(|cpv| cpv.to_string()),
                rebuild: request.rebuild,
                package_use: request.package_use.clone(),
                wishes: request.wishes.clone(),
                ..blank(id, session, profile, atom.to_string(), Origin::Asked, plan, self.now)
            });
        }
        self.add_plan(PlanRow {
            id: plan,
            attempt: 0,
            session,
            profile: profile.to_owned(),
            builds: builds.clone(),
            package_use: request.package_use.clone(),
            fresh: request.fresh,
            not_before: 0,
            state: PlanState::Waiting {},
        });
        builds
    }

    pub(crate) fn next_build(&mut self) -> BuildId {
        let meta = self.meta_mut();
        meta.last_build += 1;
        BuildId(meta.last_build)
    }

    fn announce(&mut self, actor: &str, queued: &Queued) {
        if queued.packages.is_empty() {
            return;
        }
        let (count, session) = (queued.packages.len(), queued.session.0);
        let first = queued.packages.iter().take(5).cloned().collect::<Vec<_>>().join(" ");
        let more = if count > 5 { format!(" and {} more", count - 5) } else { String::new() };
        let package = (count == 1).then(|| queued.packages[0].clone());
        self.event(EventKind::Queue, format!("{actor} queued {first}{more}"), |event| {
            event.session = Some(session);
            event.package = package;
            event.details.insert("count".to_owned(), count.to_string());
        });
    }

    /// Entries that a name means: an atom as shown, a `category/name-version`, or a `category/name` for all its versions;
    /// in the active session, or in all if none is open.
    pub(crate) fn named(&self, package: &str) -> Result<Vec<BuildId>, Refusal> {
        let wanted = package.trim();
        let bare = wanted.strip_prefix('=').unwrap_or(wanted);
        let session = self.active_session();
        let means = |row: &&BuildRow| {
            row.asked == wanted || row.cpv.as_deref() == Some(bare) || row.cp().is_some_and(|cp| cp == bare)
        };
        let near = cp_of(wanted).into_iter().flat_map(|cp| self.soft.queue.names.of(&cp).collect::<Vec<_>>());
        let hits: Vec<BuildId> = near
            .filter_map(|id| self.rows.builds.get(&id))
            .filter(|row| session.is_none_or(|id| id == row.session))
            .filter(means)
            .map(|row| row.id)
            .collect();
        if hits.is_empty() {
            return Err(Refusal {
                kind: RefusalKind::NotFound,
                error: format!("{wanted} is not in the queue"),
                hint: Some("`swarm queue list` shows what is".to_owned()),
            });
        }
        Ok(hits)
    }
}

fn atoms_of(request: &QueueRequest) -> Result<Vec<Atom>, Refusal> {
    let words = request.packages.iter().map(|word| word.trim()).filter(|word| !word.is_empty());
    let atoms = words.map(lenient_atom).collect::<Result<Vec<_>, _>>();
    atoms.map_err(|error| invalid(error.to_string(), "atoms look like app-misc/hello or =app-misc/hello-1.0"))
}

/// Takes `category/name-version` without an operator for the exact version.
fn lenient_atom(word: &str) -> Result<Atom, AtomError> {
    word.parse::<Atom>().or_else(|error| match error {
        AtomError::NoOperator(_) => format!("={word}").parse(),
        other => Err(other),
    })
}

/// Priorities there are: this many steps up and down.
const MAX_PRIORITY: u32 = 100;
/// Tags and features of one request.
const MAX_TAGS: usize = 16;

/// What is wrong with what somebody wishes, and what to do instead.
fn bad_wish(wishes: &BuildWishes) -> Option<(String, &'static str)> {
    if wishes.priority.unsigned_abs() > MAX_PRIORITY {
        return Some((format!("priority {}", wishes.priority), "from -100 to 100; 0 is ordinary"));
    }
    let all = || wishes.tags.iter().chain(&wishes.features);
    if wishes.tags.len() > MAX_TAGS || wishes.features.len() > MAX_TAGS {
        return Some((format!("{} tags and features", all().count()), "at most 16 of each"));
    }
    if let Some(bad) = all().find(|tag| !is_label(tag, 64)) {
        return Some((
            format!("{bad:?} is no tag or feature"),
            "letters, digits, dot, underscore and hyphen, at most 64",
        ));
    }
    if wishes.total_ms == Some(0) || wishes.silence_ms == Some(0) {
        return Some(("a timeout of nothing".to_owned(), "more than 0, or leave it out"));
    }
    None
}

/// An entry that waits for a plan.
pub(crate) fn blank(
    id: BuildId,
    session: SessionId,
    profile: &str,
    asked: String,
    origin: Origin,
    plan: PlanId,
    now: Now,
) -> BuildRow {
    BuildRow {
        id,
        session,
        profile: profile.to_owned(),
        asked,
        cpv: None,
        slot: String::new(),
        repository: String::new(),
        use_flags: Vec::new(),
        restrict: String::new(),
        sources: Vec::new(),
        package_use: Vec::new(),
        origin,
        rebuild: false,
        base: String::new(),
        tree: String::new(),
        attempt: Attempt(0),
        after: Vec::new(),
        state: BuildState::Planning { plan },
        marks: Vec::new(),
        auto_retries: 0,
        created_at: now.wall,
        queued_at: now.at,
        wishes: BuildWishes::default(),
        arch: String::new(),
        moved: false,
    }
}
