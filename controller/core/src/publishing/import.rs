//! Packages a person brings: into which index they belong, whether the binhost has them already. What is wanted gets a
//! ticket and goes the way of a drone's upload from there on; whoever holds the admin key answers for what is in it.

use swarm_protocol::{ArtifactId, Cpv, DroneId, Fence};

use super::upload::is_sha256;
use crate::answer::{ImportAnswer, Refusal, RefusalKind, invalid};
use crate::core::Core;
use crate::names::is_label;
use crate::request::ImportRequest;
use crate::rows::{ArtifactRow, ArtifactState, Fact, Identity, IndexKey, IndexRow};

/// Imports announced and not yet uploaded.
const MAX_OPEN: usize = 1_000;
/// Keys and bytes of a header taken from a `Packages`; real ones have 40 and 4 KiB.
const MAX_HEADER: (usize, usize) = (200, 64 << 10);
/// Longest ARCH, build profile or CHOST.
const MAX_LABEL: usize = 64;
/// Header keys an index writes itself.
const OWN_KEYS: [&str; 4] = ["PACKAGES", "TIMESTAMP", "VERSION", "URI"];

impl Core {
    pub(crate) fn import(&mut self, actor: &str, ask: ImportRequest) -> Result<ImportAnswer, Refusal> {
        let file = &ask.file;
        if file.cpv.parse::<Cpv>().is_err() || !is_sha256(&file.sha256) || file.size == 0 {
            return Err(invalid(format!("{} is no binary package", file.cpv), "only gpkg files are taken"));
        }
        let index = self.index_for(&ask)?;
        if let Some(artifact) = self.copy_of(&index, &ask) {
            return Ok(ImportAnswer::Present { artifact, index });
        }
        if ask.dry_run {
            return Ok(ImportAnswer::WouldTake { index });
        }
        let announced = self.soft.publishing.stock.upload(&index, &ask.file.sha256);
        if announced.is_none() && self.soft.publishing.tickets.held(&DroneId::default()) >= MAX_OPEN {
            return Err(Refusal {
                kind: RefusalKind::Full,
                error: format!("{MAX_OPEN} packages are announced and not uploaded"),
                hint: Some("upload those first; each announcement ends by itself after an hour".to_owned()),
            });
        }
        let artifact = announced.unwrap_or_else(|| self.next_artifact());
        Ok(self.expect(actor, artifact, index, ask))
    }

    fn expect(&mut self, actor: &str, artifact: ArtifactId, index: IndexKey, ask: ImportRequest) -> ImportAnswer {
        let ImportRequest { file, header, token, .. } = ask;
        if self.rows.indexes.get(&index).is_none() {
            self.rows.indexes.put(IndexRow { index: index.clone(), header, timestamp: 0 });
        }
        self.soft.publishing.stock.announce(&index, &file.sha256, artifact);
        let by = Fact { by: actor.to_owned(), reason: "imported".to_owned(), since: self.now.wall, until: None };
        self.rows.artifacts.put(ArtifactRow {
            id: artifact,
            index: index.clone(),
            fence: Fence::default(),
            drone: DroneId::default(),
            cpv: file.cpv,
            slot: file.slot,
            repository: file.repository,
            use_flags: file.use_flags,
            sha_in: file.sha256,
            size_in: file.size,
            state: ArtifactState::Ticketed {},
            pinned: None,
            imported: Some(by),
        });
        let expires_ms = self.give_ticket(artifact, DroneId::default(), token.0.clone());
        ImportAnswer::Wanted { artifact, token, expires_ms, index }
    }

    /// The index of the build profile with the package's CHOST; a new one if ARCH is said.
    fn index_for(&self, ask: &ImportRequest) -> Result<IndexKey, Refusal> {
        let (profile, chost) = (&ask.profile, &ask.file.chost);
        let fits = |row: &&IndexRow| {
            row.index.profile == *profile
                && row.index.chost == *chost
                && ask.arch.as_ref().is_none_or(|arch| *arch == row.index.arch)
        };
        let known: Vec<&IndexKey> = self.rows.indexes.iter().filter(fits).map(|row| &row.index).collect();
        match (&known[..], &ask.arch) {
            ([only], _) => return Ok((*only).clone()),
            ([_, ..], None) => {
                let arches: Vec<&str> = known.iter().map(|index| index.arch.as_str()).collect();
                let error = format!("{profile} has indexes with CHOST {chost} for {}", arches.join(", "));
                return Err(invalid(error, "say which with --arch"));
            }
            (_, None) => {
                let error = format!("no index of the build profile {profile} has CHOST {chost}");
                return Err(invalid(error, "say --arch, or bring the folder's Packages along: its header says it"));
            }
            (_, Some(_)) => {}
        }
        let index =
            IndexKey { arch: ask.arch.clone().unwrap_or_default(), profile: profile.clone(), chost: chost.clone() };
        for (what, text) in [("ARCH", &index.arch), ("build profile", &index.profile), ("CHOST", &index.chost)] {
            if !is_label(text, MAX_LABEL) {
                return Err(invalid(format!("{text:?} is no {what}"), "letters, digits, dot, hyphen and underscore"));
            }
        }
        check_header(ask)?;
        Ok(index)
    }

    /// What the binhost has of the same build: the same file, our own signed copy of it, or one with the same identity
    /// that was built in the same second.
    fn copy_of(&self, index: &IndexKey, ask: &ImportRequest) -> Option<ArtifactId> {
        let file = &ask.file;
        let uploaded = self.soft.publishing.stock.upload(index, &file.sha256);
        let taken =
            |id: &ArtifactId| self.rows.artifacts.get(id).is_some_and(|row| row.state != ArtifactState::Ticketed {});
        if let Some(id) = uploaded.filter(taken).or_else(|| self.soft.publishing.stock.by_signed(index, &file.sha256)) {
            return Some(id);
        }
        let identity = Identity {
            profile: index.profile.clone(),
            cpv: file.cpv.clone(),
            slot: file.slot.clone(),
            repository: file.repository.clone(),
            use_flags: file.use_flags.clone(),
        };
        let same_second = |id: &ArtifactId| match &self.rows.artifacts.get(id)?.state {
            ArtifactState::Published { stanza, .. } => Some(stanza.get("BUILD_TIME")? == &ask.build_time),
            _ => None,
        };
        self.soft.publishing.stock.of(index, &identity).find(|id| same_second(id) == Some(true))
    }
}

/// The header becomes part of a file every client reads.
fn check_header(ask: &ImportRequest) -> Result<(), Refusal> {
    let bytes: usize = ask.header.iter().map(|(key, value)| key.len() + value.len()).sum();
    let is_key = |key: &String| {
        !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !OWN_KEYS.contains(&key.as_str())
    };
    let bad = ask.header.iter().find(|(key, value)| !is_key(key) || value.chars().any(char::is_control));
    match bad {
        Some((key, _)) => Err(invalid(format!("the header's key {key:?} can't be taken"), "leave it out")),
        None if ask.header.len() > MAX_HEADER.0 || bytes > MAX_HEADER.1 => {
            Err(invalid(format!("a header of {bytes} bytes is too large"), "bring one emaint wrote"))
        }
        None => Ok(()),
    }
}
