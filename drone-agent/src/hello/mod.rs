//! What the drone says of itself in a hello, and when. Supervisor and worker say one each; what both have in common is here,
//! and what a welcome means to either is in its own `greeting`.

mod greeting;

use std::future::Future;
use std::time::Duration;

use drone_core::Held;
use fs_err as fs;
use swarm_common::watch::blocking;
use swarm_portage::{RootConfig, state};
use swarm_protocol::machine::{DroneType, Machine, PortageState, TreeState};
use swarm_protocol::report::{Hello, Role};
use swarm_protocol::{InstanceId, PROTO_MAX, PROTO_MIN};

pub(crate) use self::greeting::Greeting;
use crate::config::Config;

/// How long hello waits for an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Source files looked at for a hello.
const MAX_SOURCES_LOOKED_AT: usize = 20_000;

/// A random identity of one run of a process.
pub fn fresh_instance() -> InstanceId {
    InstanceId(hex::encode(rand::random::<[u8; 8]>()))
}

/// Which process of the drone speaks.
pub(crate) struct Speaker {
    /// Its run.
    pub(crate) instance: InstanceId,
    /// Its part.
    pub(crate) role: Role,
    /// Of a worker: the supervisor's run it belongs to.
    pub(crate) supervisor: Option<InstanceId>,
}

/// What is said of the drone, whoever speaks: the machine and the configuration as they were at the start, Portage as it was
/// when it was last looked at.
pub(crate) struct Card {
    name: String,
    tags: Vec<String>,
    slots: u32,
    waiting: u32,
    machine: Machine,
    /// The root whose Portage and sources are told of.
    root: RootConfig,
    portage: Option<PortageState>,
    sources: Vec<u32>,
}

impl Card {
    /// Of the drone that is configured so, on this machine.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            name: config.name.clone(),
            tags: config.tags.clone(),
            slots: u32::try_from(config.roots.len()).unwrap_or(u32::MAX),
            waiting: config.limits.waiting,
            machine: crate::machine::describe(&config.bus.url, config.healing.reboot),
            root: config.roots[0].clone(),
            portage: None,
            sources: Vec::new(),
        }
    }

    /// The machine's type by its own detection.
    pub(crate) fn detected(&self) -> DroneType {
        self.machine.drone_type
    }

    /// Looks at the root's Portage and the sources at hand, beside the caller's own loop; then [`Card::saw`].
    pub(crate) fn look(&self) -> impl Future<Output = (Result<PortageState, state::StateError>, Vec<u32>)> + use<> {
        let (root, known) = (self.root.clone(), self.portage.clone());
        blocking("portage", move || (portage(&root, known), sources(&root)))
    }

    /// What a look brought; no Portage if it can't be described.
    pub(crate) fn saw(&mut self, portage: Option<PortageState>, sources: Vec<u32>) {
        self.portage = portage;
        self.sources = sources;
    }

    /// Whether there is a Portage to tell of.
    pub(crate) fn has_portage(&self) -> bool {
        self.portage.is_some()
    }

    /// Whether the tree is another one than the last look saw.
    pub(crate) fn is_outdated_by(&self, tree: &TreeState) -> bool {
        self.portage.as_ref().is_some_and(|portage| portage.tree != *tree)
    }

    /// The hello of `speaker`, which holds `held`.
    pub(crate) fn hello(&self, speaker: Speaker, held: Held) -> Hello {
        Hello {
            instance: speaker.instance,
            role: speaker.role,
            supervisor: speaker.supervisor,
            name: self.name.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            proto_min: PROTO_MIN,
            proto_max: PROTO_MAX,
            store_id: held.store_id,
            machine: self.machine.clone(),
            portage: self.portage.clone().unwrap_or_default(),
            tags: self.tags.clone(),
            slots: self.slots,
            waiting: Some(self.waiting),
            sources: self.sources.clone(),
            orders_seen: held.orders_seen,
            running: held.running,
            finished: held.finished,
        }
    }
}

/// Names of source files at hand, hashed; the newest, as many as a hello may tell. Blocking. A directory that can't be read
/// has none: this is a hint for placement.
fn sources(root: &RootConfig) -> Vec<u32> {
    let own = root.path.join("var/cache/distfiles");
    let files = root.distfiles.iter().chain([&own]).filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    let dated = files.take(MAX_SOURCES_LOOKED_AT).filter_map(|entry| {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((meta.modified().ok()?, swarm_protocol::plan::source_hash(entry.file_name().to_str()?)))
    });
    let mut newest: Vec<_> = dated.collect();
    newest.sort_unstable_by(|one, other| other.cmp(one));
    newest.into_iter().map(|(_, hash)| hash).take(Hello::MAX_SOURCES).collect()
}

/// The Portage of a root: `known`, if its tree is still that, else looked at anew. Blocking.
fn portage(root: &RootConfig, known: Option<PortageState>) -> Result<PortageState, state::StateError> {
    match known {
        Some(known) if state::tree_state(root)? == known.tree => Ok(known),
        Some(_) | None => state::inspect(root),
    }
}

#[cfg(test)]
mod tests {
    use swarm_protocol::plan::source_hash;

    use super::*;

    #[test]
    fn sources_at_hand_are_told_by_their_names() {
        let (dir, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = dir.path().join("var/cache/distfiles");
        fs::create_dir_all(own.join("a-folder")).unwrap();
        fs::write(own.join("waggle-1.1.tar.xz"), "").unwrap();
        fs::write(shared.path().join("comb-2.tar.gz"), "").unwrap();
        let distfiles = vec![shared.path().to_owned(), dir.path().join("nowhere")];
        let root = RootConfig { path: dir.path().to_owned(), distfiles, ..RootConfig::default() };
        let mut found = sources(&root);
        found.sort_unstable();
        let mut expected = vec![source_hash("waggle-1.1.tar.xz"), source_hash("comb-2.tar.gz")];
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
