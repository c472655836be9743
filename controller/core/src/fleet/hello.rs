//! Introductions: who may come in, what is remembered of a drone, and what it must forget.

use swarm_protocol::envelope::{PROTO_MAX, PROTO_MIN};
use swarm_protocol::report::{BinhostAccess, Hello, HelloAnswer, Role};
use swarm_protocol::{BuildId, DroneId, Fence, InstanceId};

use crate::answer::{Answer, ReplyTo};
use crate::core::Core;
use crate::names::{DEFAULT_PROFILE, MAX_NAME, NAME_RULE, is_drone_name, is_label};
use crate::rows::{DroneRow, EventKind, IndexKey, IndexRow, Streaks};
use crate::sanity;

/// FEATURES kept of a drone.
const MAX_FEATURES: usize = 256;

impl Core {
    pub(crate) fn hello(&mut self, drone: DroneId, mut hello: Hello, reply: ReplyTo) {
        let unfit = sanity::hello(&mut hello).err().map(|reason| (reason, "is it a Build Swarm agent?".to_owned()));
        let answer = match unfit.or_else(|| self.refusal(&drone, &hello)) {
            Some((reason, hint)) => {
                let name = sanity::clean(&hello.name, MAX_NAME);
                if self.soft.fleet.may_complain(&drone, self.now.at) {
                    self.event(
                        EventKind::Warn,
                        format!("refused {} of {name}: {reason}", role_name(hello.role)),
                        |event| event.drone = Some(name),
                    );
                }
                HelloAnswer::Refused { reason, hint }
            }
            None => self.welcome(&drone, &hello),
        };
        let welcome = matches!(answer, HelloAnswer::Welcome { .. });
        self.reply(reply, Answer::Hello(answer));
        if welcome {
            self.resend_untaken(Some(&drone));
            self.soft.placement.came_anew(&drone);
        }
    }

    fn refusal(&self, drone: &DroneId, hello: &Hello) -> Option<(String, String)> {
        let refuse = |reason: String, hint: &str| Some((reason, hint.to_owned()));
        if hello.proto_max < PROTO_MIN || hello.proto_min > PROTO_MAX {
            return refuse(
                format!(
                    "it speaks wire versions {}..={}, this controller {PROTO_MIN}..={PROTO_MAX}",
                    hello.proto_min, hello.proto_max
                ),
                "upgrade the older of the two; the controller goes first",
            );
        }
        if hello.role == Role::Unknown {
            return refuse("its role is not known here".to_owned(), "upgrade the controller");
        }
        if !is_drone_name(&hello.name) {
            return refuse(format!("{:?} is no name for a drone", sanity::clean(&hello.name, MAX_NAME)), NAME_RULE);
        }
        match self.rows.members.get(&drone.0) {
            Some(member) if !member.is_in() => {
                return refuse(
                    format!("the key of {} is let in no more", member.name),
                    "invite it anew: `swarm drone invite`, then `drone-agent join` there",
                );
            }
            Some(member) if member.name != hello.name => {
                return refuse(
                    format!("it says it is {}, its key was let in as {}", hello.name, member.name),
                    "set `name` in its drone.toml, or invite it anew under the other name",
                );
            }
            Some(_) | None => {}
        }
        let (arch, portage) = (&hello.machine.arch, &hello.portage);
        let parts =
            [("ARCH", arch.as_str()), ("build profile", or_default(&portage.build_profile)), ("CHOST", &portage.chost)];
        if let Some((what, bad)) = parts.into_iter().find(|(_, part)| !is_label(part, 64)) {
            return refuse(
                format!("{:?} is no {what}", sanity::clean(bad, MAX_NAME)),
                "letters, digits, dot, underscore and hyphen, at most 64; it names a folder of the binhost",
            );
        }
        self.rival(drone, hello)
    }

    /// Another drone has its name, or another run its identity.
    fn rival(&self, drone: &DroneId, hello: &Hello) -> Option<(String, String)> {
        let refuse = |reason: String, hint: &str| Some((reason, hint.to_owned()));
        if let Some(other) = self.rows.drones.iter().find(|row| row.name == hello.name && row.id != *drone) {
            return refuse(
                format!("the name {} belongs to another drone", other.name),
                "give this drone another name, or forget the other one",
            );
        }
        let row = self.rows.drones.get(drone)?;
        let pulse = self.soft.fleet.pulse(drone)?;
        let fresh = self.now.at < pulse.last_beat + self.settings.instance_fresh;
        // a worker that does not say whose it is can't be told from a copy's
        let supervisor = match hello.role {
            Role::Supervisor => Some(&hello.instance),
            Role::Worker | Role::Unknown => hello.supervisor.as_ref(),
        };
        if fresh && supervisor != Some(&row.supervisor) {
            return refuse(
                "another instance of this drone is alive".to_owned(),
                "two agents share one identity; stop one of them or enrol it on its own",
            );
        }
        None
    }

    fn welcome(&mut self, drone: &DroneId, hello: &Hello) -> HelloAnswer {
        let known = self.rows.drones.get(drone).cloned();
        let first = known.is_none();
        let restarted = known.as_ref().is_none_or(|row| row.supervisor != hello.instance);
        let mut row = described(drone, hello, known, self.now.wall);
        match hello.role {
            Role::Supervisor | Role::Unknown => row.supervisor = hello.instance.clone(),
            Role::Worker => {
                if row.worker.as_ref() != Some(&hello.instance) {
                    self.take_plans_from(drone);
                    row.syncing = None;
                }
                row.worker = Some(hello.instance.clone());
            }
        }
        let index = IndexKey { arch: row.arch.clone(), profile: row.build_profile.clone(), chost: row.chost.clone() };
        self.know_index(&index, &row);
        let name = row.name.clone();
        let binhost = Box::new(self.binhost_access(&index));
        if row.syncing.is_none() {
            self.soft.fleet.syncs.ended(drone);
        }
        self.rows.drones.put(row);
        self.note_line(drone);
        self.soft.view.touch(drone);
        self.welcome_to_healing(drone);
        self.learn_host_keys(drone, &hello.machine.ssh_host_keys);
        if hello.role == Role::Supervisor {
            self.soft.fleet.said_hello(drone, self.now, restarted);
        }
        if first {
            let message = format!(
                "{name} joined: {} cores, {} GiB, {}",
                hello.machine.cores,
                hello.machine.ram_bytes >> 30,
                hello.machine.arch
            );
            self.event(EventKind::Register, message, |event| event.drone = Some(name));
        }
        HelloAnswer::Welcome {
            store_id: self.store_id().clone(),
            controller_version: self.settings.version.clone(),
            proto: hello.proto_max.min(PROTO_MAX),
            drone: drone.clone(),
            heartbeat_ms: self.settings.heartbeat,
            lease_ms: self.settings.lease,
            http_url: self.settings.http_url.clone(),
            binhost,
            superseded: self.superseded(drone, hello),
        }
    }

    /// Drones install from the complete index, people without the secret from the public one.
    fn binhost_access(&self, index: &IndexKey) -> BinhostAccess {
        let base = self.settings.http_url.trim_end_matches('/');
        let secret = self.settings.binhost_secret.clone();
        let private_url = if secret.is_empty() { String::new() } else { format!("{base}/binhost-private/{index}") };
        BinhostAccess {
            url: format!("{base}/binhost/{index}"),
            fingerprint: self.settings.key_fingerprint.clone(),
            public_key: self.settings.public_key.clone(),
            private_url,
            secret,
        }
    }

    /// Held attempts that are not this drone's current ones.
    fn superseded(&self, drone: &DroneId, hello: &Hello) -> Vec<Fence> {
        let foreign_store = hello.store_id.as_ref().is_some_and(|id| id != self.store_id());
        let held = hello.running.iter().chain(&hello.finished).copied();
        held.filter(|fence| foreign_store || !self.is_current(drone, *fence)).collect()
    }

    /// Whether this run is the worker of the drone that was welcomed last.
    pub(crate) fn is_live_worker(&self, drone: &DroneId, instance: &InstanceId) -> bool {
        self.rows.drones.get(drone).is_some_and(|row| row.worker.as_ref() == Some(instance))
    }

    /// Whether `fence` is the attempt this drone is to have now.
    pub(crate) fn is_current(&self, drone: &DroneId, fence: Fence) -> bool {
        self.rows.builds.get(&fence.build).is_some_and(|build| {
            build.fence() == fence && build.assignment().is_some_and(|assignment| assignment.drone == *drone)
        })
    }

    /// The first drone of a base gives its index a header; later ones with another header renew it.
    fn know_index(&mut self, index: &IndexKey, row: &DroneRow) {
        let known = self.rows.indexes.get(index);
        if known.is_some_and(|known| known.header == row.index_header) {
            return;
        }
        let timestamp = known.map_or(0, |known| known.timestamp);
        self.rows.indexes.put(IndexRow { index: index.clone(), header: row.index_header.clone(), timestamp });
        self.soft.publishing.header_changed(index);
    }

    /// Builds this drone is to have.
    pub(crate) fn held_by(&self, drone: &DroneId) -> Vec<BuildId> {
        self.soft.fleet.hands.of(drone).collect()
    }
}

fn described(drone: &DroneId, hello: &Hello, known: Option<DroneRow>, wall: u64) -> DroneRow {
    let (machine, portage) = (&hello.machine, &hello.portage);
    let build_profile =
        if portage.build_profile.is_empty() { DEFAULT_PROFILE } else { &portage.build_profile }.to_owned();
    let base = [&build_profile, &portage.profile, &portage.chost, &portage.cflags, &portage.installed_hash];
    let base = base.map(String::as_str).join("|");
    let mut row = known.unwrap_or_else(|| newcomer(drone, hello, wall));
    row.name.clone_from(&hello.name);
    row.agent_version.clone_from(&hello.agent_version);
    row.arch.clone_from(&machine.arch);
    row.cores = machine.cores;
    row.ram_bytes = machine.ram_bytes;
    row.address = machine.addresses.first().cloned().unwrap_or_else(|| "127.0.0.1".to_owned());
    row.detected_type = machine.drone_type;
    row.evidence.clone_from(&machine.evidence);
    row.own_reboot = machine.reboot;
    row.tags.clone_from(&hello.tags);
    row.slots = hello.slots.clamp(1, 64);
    row.waiting = hello.waiting;
    row.features = portage.features.iter().filter(|name| is_label(name, 64)).take(MAX_FEATURES).cloned().collect();
    row.sources = hello.sources.iter().copied().take(Hello::MAX_SOURCES).collect();
    row.sources.sort_unstable();
    row.build_profile = build_profile;
    row.chost.clone_from(&portage.chost);
    row.base = base;
    row.tree.clone_from(&portage.tree.id);
    row.tree_timestamp = portage.tree.timestamp;
    row.portage_version.clone_from(&portage.version);
    row.index_header.clone_from(&portage.index_header);
    row.last_order = row.last_order.max(hello.orders_seen);
    row.last_seen = wall;
    row
}

/// A drone that was never here before.
pub(crate) fn newcomer(drone: &DroneId, hello: &Hello, wall: u64) -> DroneRow {
    DroneRow {
        id: drone.clone(),
        name: String::new(),
        created_at: wall,
        agent_version: String::new(),
        arch: String::new(),
        cores: 0,
        ram_bytes: 0,
        address: String::new(),
        detected_type: hello.machine.drone_type,
        evidence: Vec::new(),
        own_reboot: hello.machine.reboot,
        ssh_host_keys: Vec::new(),
        ssh_host_keys_offered: Vec::new(),
        type_override: None,
        tags: Vec::new(),
        slots: 1,
        waiting: None,
        features: Vec::new(),
        sources: Vec::new(),
        build_profile: String::new(),
        chost: String::new(),
        base: String::new(),
        tree: String::new(),
        tree_timestamp: None,
        portage_version: String::new(),
        index_header: Default::default(),
        supervisor: hello.instance.clone(),
        worker: None,
        last_order: 0,
        paused: None,
        draining: None,
        drained: None,
        syncing: None,
        speeds: Vec::new(),
        grounded: None,
        upload_impaired: None,
        streaks: Streaks::default(),
        last_seen: wall,
    }
}

fn or_default(build_profile: &str) -> &str {
    if build_profile.is_empty() { DEFAULT_PROFILE } else { build_profile }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Supervisor => "the supervisor",
        Role::Worker => "the worker",
        Role::Unknown => "an unknown process",
    }
}
