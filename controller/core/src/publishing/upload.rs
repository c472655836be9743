//! The way of a binary into an index: ticket → upload → signature → index (the last step is `indexes`').
//! Each step is a row before the next begins, so a crash anywhere is repaired from the rows.

use swarm_protocol::artifact::{ArtifactAnswer, ArtifactAsk, ArtifactRef};
use swarm_protocol::{ArtifactId, BuildId, Cpv, DroneId};

use crate::answer::{Answer, Refusal, RefusalKind, ReplyTo, Ticket, UploadAnswer};
use crate::core::Core;
use crate::effect::{BinhostWork, Effect};
use crate::files::{SignedFile, UploadedFile};
use crate::rows::{ArtifactRow, ArtifactState, BuildState, EventKind, Identity, IndexKey, Outcome, Received};

/// Tickets of one drone that are not used; an attempt has one package, and some dependencies.
const MAX_TICKETS: usize = 256;

impl Core {
    pub(crate) fn artifact_ask(&mut self, drone: &DroneId, ask: ArtifactAsk, token: String, reply: ReplyTo) {
        let answer = self.ticket_for(drone, ask, token);
        self.reply(reply, Answer::Artifact(answer));
    }

    fn ticket_for(&mut self, drone: &DroneId, ask: ArtifactAsk, token: String) -> ArtifactAnswer {
        if ask.store_id != *self.store_id() || !self.is_current(drone, ask.fence) {
            return ArtifactAnswer::Superseded { reason: format!("attempt {} is not current", ask.fence) };
        }
        if !self.is_live_worker(drone, &ask.instance) {
            return ArtifactAnswer::Refused { reason: "another instance of this drone is alive".to_owned() };
        }
        let Some(index) = self.index_of(drone) else {
            return ArtifactAnswer::Refused { reason: "the drone is not known".to_owned() };
        };
        let artifact = ask.artifact;
        if artifact.cpv.parse::<Cpv>().is_err() || !is_sha256(&artifact.sha256) || artifact.size == 0 {
            return ArtifactAnswer::Refused { reason: format!("{} is no binary package", artifact.cpv) };
        }
        let target = self.rows.builds.get(&ask.fence.build).and_then(|row| row.cpv.clone());
        if target.as_ref() != Some(&artifact.cpv) && self.present_size(&index, &identity(&index, &artifact)).is_some() {
            return ArtifactAnswer::Have {};
        }
        if self.soft.publishing.tickets.held(drone) >= MAX_TICKETS {
            return ArtifactAnswer::Refused { reason: format!("{MAX_TICKETS} tickets of this drone are not used yet") };
        }
        let known = self.soft.publishing.stock.upload(&index, &artifact.sha256);
        let id = match known.and_then(|id| self.rows.artifacts.get(&id)) {
            Some(row) if row.state == ArtifactState::Ticketed {} => row.id,
            Some(_) => return ArtifactAnswer::Have {},
            None => self.next_artifact(),
        };
        self.soft.publishing.stock.announce(&index, &artifact.sha256, id);
        self.rows.artifacts.put(ArtifactRow {
            id,
            index,
            fence: ask.fence,
            drone: drone.clone(),
            cpv: artifact.cpv,
            slot: artifact.slot,
            repository: artifact.repository,
            use_flags: artifact.use_flags,
            sha_in: artifact.sha256,
            size_in: artifact.size,
            state: ArtifactState::Ticketed {},
            pinned: None,
            imported: None,
        });
        let expires_ms = self.give_ticket(id, drone.clone(), token.clone());
        ArtifactAnswer::Ticket { artifact: id, token, expires_ms }
    }

    pub(crate) fn next_artifact(&mut self) -> ArtifactId {
        let meta = self.meta_mut();
        meta.last_artifact += 1;
        ArtifactId(meta.last_artifact)
    }

    /// The secret is good for the ticket's life from now on; answers how long that is.
    pub(crate) fn give_ticket(&mut self, id: ArtifactId, drone: DroneId, token: String) -> u64 {
        let life = self.settings.ticket_life;
        self.soft.publishing.tickets.issue(id, drone, token, self.now.at + life);
        life
    }

    /// Whether an upload still has a purpose: its attempt is current, or a person brings it.
    fn is_wanted(&self, row: &ArtifactRow) -> bool {
        row.imported.is_some() || self.is_current(&row.drone, row.fence)
    }

    /// What a ticket is good for: only while its attempt is current.
    pub(crate) fn ticket(&self, artifact: ArtifactId) -> Result<Ticket, Refusal> {
        let row = self.rows.artifacts.get(&artifact);
        let Some((row, issued)) = row.zip(self.soft.publishing.tickets.get(artifact)) else {
            let hint = Some("ask for a new ticket".to_owned());
            return Err(Refusal { kind: RefusalKind::NotFound, error: "no such ticket".to_owned(), hint });
        };
        let refused = if issued.until <= self.now.at {
            Some("the ticket has expired")
        } else if !self.is_wanted(row) {
            Some("the attempt the ticket was given for is not current")
        } else {
            None
        };
        Ok(Ticket {
            artifact,
            drone: row.drone.clone(),
            refused: refused.map(str::to_owned),
            token: issued.token.clone(),
            sha256: row.sha_in.clone(),
            size: row.size_in,
        })
    }

    pub(crate) fn uploaded(&mut self, artifact: ArtifactId, file: UploadedFile, reply: ReplyTo) {
        let refused = self.refuse_upload(artifact, &file);
        match refused {
            Some(reason) => {
                let known =
                    self.rows.artifacts.get(&artifact).is_some_and(|row| row.state != ArtifactState::Ticketed {});
                if !known {
                    self.effects.push(Effect::Binhost(BinhostWork::DropUpload { artifact }));
                }
                self.reply(reply, Answer::Upload(UploadAnswer::Refused { reason }));
            }
            None => {
                match self.rows.artifacts.get(&artifact).map(|row| &row.state) {
                    Some(ArtifactState::Ticketed {}) | None => self.take_upload(artifact, file),
                    // the same file once more, in the place of the first, which waits to be signed
                    Some(ArtifactState::Uploaded { .. }) => {}
                    Some(_) => self.effects.push(Effect::Binhost(BinhostWork::DropUpload { artifact })),
                }
                self.reply(reply, Answer::Upload(UploadAnswer::Taken {}));
            }
        }
    }

    /// What the file says of itself must be what the ticket was given for.
    fn refuse_upload(&self, artifact: ArtifactId, file: &UploadedFile) -> Option<String> {
        let Some(row) = self.rows.artifacts.get(&artifact) else { return Some("no such ticket".to_owned()) };
        if !self.is_wanted(row) {
            return Some("the attempt the ticket was given for is not current".to_owned());
        }
        let pairs = [
            ("SHA-256", &row.sha_in, &file.sha256),
            ("package", &row.cpv, &file.cpv),
            ("slot", &row.slot, &file.slot),
            ("repository", &row.repository, &file.repository),
            ("CHOST", &row.index.chost, &file.chost),
        ];
        let wrong = pairs.into_iter().find(|(_, expected, found)| expected != found);
        wrong.map(|(what, expected, found)| format!("its {what} is {found:?}, the ticket is for {expected:?}"))
    }

    fn take_upload(&mut self, artifact: ArtifactId, file: UploadedFile) {
        self.soft.publishing.tickets.withdraw(artifact);
        let Some(row) = self.rows.artifacts.get(&artifact).cloned() else { return };
        let build_id = self.soft.publishing.stock.next_build_id(&row);
        if let Some(row) = self.rows.artifacts.change(&artifact) {
            row.use_flags = file.use_flags;
            row.state = ArtifactState::Uploaded { build_id, restrict: file.restrict };
        }
        self.sign(artifact);
    }

    pub(super) fn sign(&mut self, artifact: ArtifactId) {
        let Some(row) = self.rows.artifacts.get(&artifact) else { return };
        let ArtifactState::Uploaded { build_id, .. } = row.state else { return };
        let Some(path) = row.path() else { return };
        let (index, restricted) = (row.index.clone(), row.is_restricted());
        let work = BinhostWork::Sign { artifact, index, build_id, path, restricted };
        self.effects.push(Effect::Binhost(work));
    }

    pub(crate) fn signed(&mut self, artifact: ArtifactId, file: SignedFile) {
        self.soft.publishing.signing.settled(artifact);
        let at = self.now.wall;
        let Some(row) = self.rows.artifacts.change(&artifact) else { return };
        let ArtifactState::Uploaded { build_id, .. } = row.state else { return };
        row.state = ArtifactState::Published {
            build_id,
            path: file.path,
            sha_out: file.sha256,
            size_out: file.size,
            stanza: file.stanza,
            listed: None,
            at,
        };
        let row = row.clone();
        if let ArtifactState::Published { sha_out, .. } = &row.state {
            self.soft.publishing.stock.sign(&row, sha_out);
        }
        self.soft.publishing.generations.signed(&row.index, artifact);
    }

    pub(crate) fn signing_failed(&mut self, artifact: ArtifactId, reason: &str) {
        let uploaded = |row: &&ArtifactRow| matches!(row.state, ArtifactState::Uploaded { .. });
        let Some(row) = self.rows.artifacts.get(&artifact).filter(uploaded) else { return };
        let cpv = row.cpv.clone();
        self.event(EventKind::Warn, format!("{cpv} could not be signed: {reason}"), |event| {
            event.package = Some(format!("={cpv}"))
        });
        if self.soft.publishing.signing.failed(artifact, self.now.at) {
            return;
        }
        if let Some(row) = self.rows.artifacts.change(&artifact) {
            row.state = ArtifactState::Ticketed {};
        }
        self.effects.push(Effect::Binhost(BinhostWork::DropUpload { artifact }));
        self.forget_unused(artifact);
        self.try_accept_all();
    }

    /// A package that came into an index completes the needed entries it stands for.
    pub(crate) fn made_on_the_side(&mut self, artifact: ArtifactId) {
        let Some(row) = self.rows.artifacts.get(&artifact).cloned() else { return };
        let ArtifactState::Published { size_out: size, .. } = row.state else { return };
        let identity = super::stock::identity(&row);
        let same: Vec<BuildId> = self.soft.queue.same(&identity).collect();
        for id in same {
            let Some(build) = self.rows.builds.get(&id) else { continue };
            if id == row.fence.build || build.rebuild || !matches!(build.state, BuildState::Needed { .. }) {
                continue;
            }
            let name = row.imported.is_none().then(|| self.drone_name(&row.drone));
            let message = match (&name, &row.imported) {
                (Some(name), _) => format!("{} was built on the side on {name}", build_atom(&row.cpv)),
                (None, by) => format!(
                    "{} was brought by {}",
                    build_atom(&row.cpv),
                    by.as_ref().map_or("a person", |fact| fact.by.as_str())
                ),
            };
            self.build_event(EventKind::Complete, id, message, name.clone());
            let received = Received { at: self.now.wall, drone: name, duration_ms: 0, how: Outcome::OnTheSide, size };
            self.set_state(id, BuildState::Received { received });
        }
    }

    /// A file that was announced and never came, by an attempt that is over: its row would stay for ever.
    pub(super) fn forget_unused(&mut self, id: ArtifactId) {
        let Some(row) = self.rows.artifacts.get(&id) else { return };
        // nobody comes with an import once its ticket has expired, or was forgotten by a restart
        let expected = row.imported.is_none() && self.is_current(&row.drone, row.fence);
        if row.state != (ArtifactState::Ticketed {}) || expected {
            return;
        }
        self.soft.publishing.stock.forget_upload(&row.index, &row.sha_in);
        self.soft.publishing.tickets.withdraw(id);
        self.rows.artifacts.remove(&id);
    }

    /// The index a drone's packages belong to.
    pub(crate) fn index_of(&self, drone: &DroneId) -> Option<IndexKey> {
        let row = self.rows.drones.get(drone)?;
        Some(IndexKey { arch: row.arch.clone(), profile: row.build_profile.clone(), chost: row.chost.clone() })
    }

    /// Whether an artifact of a result is with the controller, published or not; with `older`, an earlier one of the same
    /// identity does as well.
    pub(crate) fn is_here(&self, index: &IndexKey, artifact: &ArtifactRef, older: bool) -> bool {
        let state = self.artifact_row(index, artifact).map(|row| &row.state);
        matches!(state, Some(ArtifactState::Uploaded { .. } | ArtifactState::Published { .. }))
            || (older && self.present_size(index, &identity(index, artifact)).is_some())
    }

    /// Whether an artifact of a result is in a published index.
    pub(crate) fn is_listed(&self, index: &IndexKey, artifact: &ArtifactRef, older: bool) -> bool {
        match self.artifact_row(index, artifact).map(|row| &row.state) {
            Some(ArtifactState::Published { listed, .. }) => listed.is_some(),
            Some(ArtifactState::Uploaded { .. }) => false,
            Some(ArtifactState::Ticketed {} | ArtifactState::Retired { .. } | ArtifactState::Gone { .. }) | None => {
                older && self.present_size(index, &identity(index, artifact)).is_some()
            }
        }
    }

    pub(crate) fn published_size(&self, index: &IndexKey, artifact: &ArtifactRef) -> Option<u64> {
        match self.artifact_row(index, artifact)?.state {
            ArtifactState::Published { size_out, .. } => Some(size_out),
            _ => None,
        }
    }

    fn artifact_row(&self, index: &IndexKey, artifact: &ArtifactRef) -> Option<&ArtifactRow> {
        let id = self.soft.publishing.stock.upload(index, &artifact.sha256)?;
        self.rows.artifacts.get(&id)
    }

    /// Bytes of the newest listed package of this identity in an index.
    pub(crate) fn present_size(&self, index: &IndexKey, identity: &Identity) -> Option<u64> {
        let id = self.soft.publishing.newest(index, identity)?;
        match self.rows.artifacts.get(&id)?.state {
            ArtifactState::Published { size_out, .. } => Some(size_out),
            ArtifactState::Ticketed {}
            | ArtifactState::Uploaded { .. }
            | ArtifactState::Retired { .. }
            | ArtifactState::Gone { .. } => None,
        }
    }
}

fn identity(index: &IndexKey, artifact: &ArtifactRef) -> Identity {
    Identity {
        profile: index.profile.clone(),
        cpv: artifact.cpv.clone(),
        slot: artifact.slot.clone(),
        repository: artifact.repository.clone(),
        use_flags: artifact.use_flags.clone(),
    }
}

pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn build_atom(cpv: &str) -> String {
    format!("={cpv}")
}
