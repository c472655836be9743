//! Invitations: made, taken back, ended. One is for one drone, once, and for a while.

use crate::answer::{Done, Refusal, RefusalKind, invalid};
use crate::core::Core;
use crate::names::{NAME_RULE, is_drone_name, is_label};
use crate::request::InviteRequest;
use crate::rows::{EventKind, InviteRow, InviteState, MemberRole};
use crate::settings::Millis;

use super::roll::conflict;

/// Longest life of an invitation.
const MAX_LIFE: Millis = 7 * 24 * 3_600_000;
/// Shortest.
const MIN_LIFE: Millis = 10_000;
/// How long one that has ended stays, so that who comes late hears why.
const KEEP_ENDED: Millis = 24 * 3_600_000;
/// Ended ones kept at most.
const MAX_ENDED: usize = 256;
/// Wrong proofs that close an invitation. Nobody guesses one; whoever tries has a damaged token or means harm.
const MAX_WRONG: u32 = 5;

impl Core {
    pub(crate) fn invite(&mut self, actor: &str, request: InviteRequest) -> Result<InviteRow, Refusal> {
        let life = request.life.unwrap_or(self.settings.invite_life);
        self.may_invite(&request, life)?;
        self.sweep_invites();
        let row = InviteRow {
            id: request.id,
            name: request.name,
            verifier: request.verifier,
            profile: request.profile,
            by: actor.to_owned(),
            created_at: self.now.wall,
            until: self.now.at + life,
            expires_at: self.now.wall + life,
            state: InviteState::Open { wrong: 0 },
        };
        self.rows.invites.put(row.clone());
        self.event(EventKind::Control, format!("{actor} invited {}", row.name), |event| {
            event.drone = Some(row.name.clone())
        });
        Ok(row)
    }

    fn may_invite(&self, request: &InviteRequest, life: Millis) -> Result<(), Refusal> {
        let name = &request.name;
        if !is_drone_name(name) {
            return Err(invalid(format!("{name:?} is no name for a drone"), NAME_RULE));
        }
        if let Some(bad) = request.profile.as_ref().filter(|name| !is_label(name, 64)) {
            let hint = "letters, digits, dot, underscore and hyphen, at most 64";
            return Err(invalid(format!("{bad:?} is no name of a build profile"), hint));
        }
        if !(MIN_LIFE..=MAX_LIFE).contains(&life) {
            return Err(invalid(format!("an invitation can't last {} s", life / 1000), "10 seconds to 7 days"));
        }
        if self.name_taken(MemberRole::Drone, name, "") {
            let hint = format!("choose another name, or `swarm drone revoke {name}` first");
            return Err(conflict(format!("there is a drone {name} already"), &hint));
        }
        let open: Vec<&InviteRow> = self.rows.invites.iter().filter(|row| self.stands_open(row)).collect();
        if open.iter().any(|row| row.name == *name) {
            let hint = format!("take the other one back with `swarm drone invite --revoke {name}`");
            return Err(conflict(format!("an invitation for {name} is open already"), &hint));
        }
        let (open, most) = (open.len(), self.settings.max_invites);
        if open >= most {
            return Err(Refusal {
                kind: RefusalKind::Full,
                error: format!("{open} invitations are open, and no more than {most} may be"),
                hint: Some("`swarm drone invite --list` shows them; take some back or let them end".to_owned()),
            });
        }
        Ok(())
    }

    /// Takes open invitations back: by number, or by the name they are for.
    pub(crate) fn uninvite(&mut self, actor: &str, which: &str) -> Result<Done, Refusal> {
        let hits: Vec<InviteRow> =
            self.rows.invites.iter().filter(|row| row.id == which || row.name == which).cloned().collect();
        let open: Vec<InviteRow> = hits.iter().filter(|row| self.stands_open(row)).cloned().collect();
        if open.is_empty() {
            let error = match hits.last() {
                Some(row) => format!("the invitation for {} is not open any more", row.name),
                None => format!("there is no invitation {which}"),
            };
            let hint = Some("`swarm drone invite --list` shows what there is".to_owned());
            return Err(Refusal { kind: RefusalKind::NotFound, error, hint });
        }
        let mut done = Done { touched: 0, what: Vec::new() };
        for row in open {
            self.rows.invites.remove(&row.id);
            let message = format!("{actor} took back the invitation for {}", row.name);
            self.event(EventKind::Control, message, |event| event.drone = Some(row.name.clone()));
            done.touched += 1;
            done.what.push(row.name);
        }
        Ok(done)
    }

    /// What a proof for this invitation is checked against. Ended ones too: only who proves to have the token hears why
    /// it is not good any more.
    pub(crate) fn verifier(&self, id: &str) -> Result<String, Refusal> {
        self.rows.invites.get(&id.to_owned()).map(|row| row.verifier.clone()).ok_or_else(unknown_invitation)
    }

    /// A proof was wrong. It is answered like an invitation that does not exist.
    pub(crate) fn wrong_proof(&mut self, id: &str) -> Refusal {
        let wall = self.now.wall;
        let open = self.rows.invites.get(&id.to_owned()).is_some_and(|row| self.stands_open(row));
        if open
            && let Some(row) = self.rows.invites.change(&id.to_owned())
            && let InviteState::Open { wrong } = &mut row.state
        {
            *wrong += 1;
            if *wrong >= MAX_WRONG {
                row.state = InviteState::Closed { at: wall };
                let name = row.name.clone();
                let message =
                    format!("the invitation for {name} was closed: {MAX_WRONG} wrong tokens were tried on it");
                self.event(EventKind::Warn, message, |event| event.drone = Some(name));
            }
        }
        unknown_invitation()
    }

    pub(super) fn stands_open(&self, row: &InviteRow) -> bool {
        matches!(row.state, InviteState::Open { .. }) && row.until > self.now.at
    }

    /// Forgets invitations that ended long ago, and the oldest of too many.
    fn sweep_invites(&mut self) {
        let mut ended: Vec<(u64, String)> = self
            .rows
            .invites
            .iter()
            .filter(|row| !self.stands_open(row))
            .map(|row| (row.until, row.id.clone()))
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(MAX_ENDED);
        for (at, (until, id)) in ended.into_iter().enumerate() {
            if at < surplus || until + KEEP_ENDED <= self.now.at {
                self.rows.invites.remove(&id);
            }
        }
    }
}

pub(super) fn unknown_invitation() -> Refusal {
    Refusal {
        kind: RefusalKind::NotFound,
        error: "this invitation is not known here".to_owned(),
        hint: Some("it was taken back, or made by another controller: ask for a new one".to_owned()),
    }
}
