//! The numbers the rules use, each a configuration key with its default.

use std::collections::BTreeMap;

use swarm_protocol::Secret;
use swarm_protocol::order::{Limits, Rung};

/// Milliseconds.
pub type Millis = u64;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;

/// Numbers and addresses the core needs; all durations in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Version of the controller, for welcomes.
    pub version: String,
    /// Base address of the HTTP façade as drones reach it.
    pub http_url: String,
    /// Fingerprint of the binhost's signing key.
    pub key_fingerprint: String,
    /// The signing key's public half, ASCII-armoured.
    pub public_key: String,
    /// What opens the binhost's restricted packages; drones get it in their welcome.
    pub binhost_secret: Secret,
    /// Packages of one identity kept, the newest ones; at least 1.
    pub keep_builds: usize,
    /// A file goes so long after its package left the index: clients may hold an older generation.
    pub delete_after: Millis,
    /// Between heartbeats.
    pub heartbeat: Millis,
    /// Without a heartbeat for so long a drone is offline.
    pub offline_after: Millis,
    /// An instance with a heartbeat younger than this is alive; a second one is refused meanwhile.
    pub instance_fresh: Millis,
    /// An attempt no heartbeat lists for so long is lost.
    pub lease: Millis,
    /// After its own start the controller judges nobody (architecture.md §4).
    pub start_grace: Millis,
    /// An order not seen by the drone is sent again after this.
    pub resend_order: Millis,
    /// A planner that has not answered by then is given up.
    pub plan_timeout: Millis,
    /// Free bytes a drone needs where it builds and where it puts packages.
    pub min_free_disk: u64,
    /// Distinct drones a package may fail on before it is blocked.
    pub failures_to_block: usize,
    /// A blocked package is tried again after this.
    pub retry_blocked_after: Millis,
    /// So many times, then it has failed.
    pub max_auto_retries: u32,
    /// First wait after a failure nobody is blamed for; doubles.
    pub fleet_backoff: Millis,
    /// Longest such wait.
    pub fleet_backoff_max: Millis,
    /// So many such failures on two drones or all there are block the package.
    pub fleet_failures_to_block: usize,
    /// A drone to blame for a failure does not get that package again within this.
    pub drone_retry_after: Millis,
    /// So many failures of drones, and the package is blocked for a person to look at.
    pub drone_failures_to_block: usize,
    /// Drone-blamed failures in a row that ground a drone.
    pub failures_to_ground: u32,
    /// For so long.
    pub ground_for: Millis,
    /// Upload failures in a row that impair a drone's uploads.
    pub uploads_to_impair: u32,
    /// For so long.
    pub impair_for: Millis,
    /// A package nobody can build is announced after this.
    pub unplaceable_after: Millis,
    /// An invitation is good for so long, unless it says otherwise.
    pub invite_life: Millis,
    /// Invitations open at one time.
    pub max_invites: usize,
    /// A ticket for an upload is good for so long.
    pub ticket_life: Millis,
    /// A log tail that cannot be had by then is marked incomplete.
    pub log_wait: Millis,
    /// Ended sessions kept in the queue's tables.
    pub keep_sessions: usize,
    /// Entries the queue takes.
    pub max_queue: usize,
    /// Bounds of an attempt.
    pub limits: Limits,
    /// What a package takes that was never built: until it was, its place in line and every forecast rest on this.
    pub default_duration: Millis,
    /// What one step of priority adds to the length of a package's path.
    pub priority_step: Millis,
    /// What waiting adds to the length of a package's path, percent of the time it waits: so nothing starves.
    pub age_weight: u32,
    /// Orders a drone gets beyond its slots, so that it begins its next package at once.
    pub prefetch: u32,
    /// None behind a build that is known to take longer than this: where its place will be free first is not known yet.
    pub prefetch_within: Millis,
    /// An order that waits alone behind a build is asked back for an idle drone, if that build has run for so long and no
    /// end is in sight.
    pub steal_after: Millis,
    /// When more than half of a fleet of three or more fell silent at once, nobody is judged for so long.
    pub cut_off_hold: Millis,
    /// Whether drones with another ebuild tree than expected are told to bring it up to date.
    pub sync: bool,
    /// How long that may take.
    pub sync_timeout: Millis,
    /// Between two such orders to one drone.
    pub sync_again: Millis,
    /// What holds for single packages, by `category/name`.
    pub packages: BTreeMap<String, PackageRule>,
    /// Operator's tags the drones of a build profile must have, by its name.
    pub profile_tags: BTreeMap<String, Vec<String>>,
    /// Proof of life and self-healing.
    pub healing: Healing,
}

/// Numbers of proof of life and self-healing; all durations in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Healing {
    /// Whether anything is done about drones that do not work; they are pinged and judged all the same.
    pub enabled: bool,
    /// Between two pings of a drone.
    pub ping_every: Millis,
    /// A ping not answered within this is missed.
    pub ping_within: Millis,
    /// So many misses in a row …
    pub misses: u32,
    /// … over at least so long, and the drone is unhealthy.
    pub judge_after: Millis,
    /// A worker its supervisor could not revive for so long makes the drone unhealthy.
    pub worker_unrevived_after: Millis,
    /// So many good answers in a row, and it has recovered.
    pub good_pongs: u32,
    /// Wait after `restart_service` before the next rung.
    pub wait_restart: Millis,
    /// Wait after `hard_restart`.
    pub wait_hard_restart: Millis,
    /// Wait after `reboot_container`.
    pub wait_reboot: Millis,
    /// A route that has not answered by then is given up for the next one.
    pub route_within: Millis,
    /// Trouble that comes again within this goes on with the rung after the one that helped last.
    pub cooldown: Millis,
    /// Reboots of one drone per day.
    pub reboots_per_day: usize,
    /// A person is told again after this.
    pub alert_repeat: Millis,
    /// The operator's commands on the hypervisor, an argument list per rung; `{vmid}` and `{name}` are filled in.
    pub hypervisor: BTreeMap<Rung, Vec<String>>,
}

impl Default for Healing {
    fn default() -> Self {
        Self {
            enabled: true,
            ping_every: 5 * SECOND,
            ping_within: 4 * SECOND,
            misses: 3,
            judge_after: 15 * SECOND,
            worker_unrevived_after: 60 * SECOND,
            good_pongs: 2,
            wait_restart: 30 * SECOND,
            wait_hard_restart: 30 * SECOND,
            wait_reboot: 120 * SECOND,
            route_within: 20 * SECOND,
            cooldown: 10 * MINUTE,
            reboots_per_day: 3,
            alert_repeat: 6 * 60 * MINUTE,
            hypervisor: BTreeMap::new(),
        }
    }
}

/// What holds for one `category/name`. A request's own wish wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageRule {
    /// An attempt gets so long in all.
    pub total_ms: Option<u64>,
    /// And so long without a new line of log.
    pub silence_ms: Option<u64>,
    /// Memory a drone must have, bytes; 0 leaves it to what was learned.
    pub memory_bytes: u64,
    /// Operator's tags a drone must have.
    pub tags: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_url: "http://127.0.0.1:8100".to_owned(),
            key_fingerprint: String::new(),
            public_key: String::new(),
            binhost_secret: Secret::default(),
            keep_builds: 3,
            delete_after: 24 * 60 * MINUTE,
            heartbeat: 5 * SECOND,
            offline_after: 15 * SECOND,
            instance_fresh: 6_500,
            lease: 10 * MINUTE,
            start_grace: 60 * SECOND,
            resend_order: 5 * SECOND,
            plan_timeout: 5 * MINUTE,
            min_free_disk: 10 << 30,
            failures_to_block: 2,
            retry_blocked_after: 30 * MINUTE,
            max_auto_retries: 3,
            fleet_backoff: 30 * SECOND,
            fleet_backoff_max: 15 * MINUTE,
            fleet_failures_to_block: 5,
            drone_retry_after: 10 * MINUTE,
            drone_failures_to_block: 6,
            failures_to_ground: 8,
            ground_for: 5 * MINUTE,
            uploads_to_impair: 3,
            impair_for: 30 * MINUTE,
            unplaceable_after: 2 * MINUTE,
            invite_life: 60 * MINUTE,
            max_invites: 20,
            ticket_life: 60 * MINUTE,
            log_wait: 60 * SECOND,
            keep_sessions: 20,
            max_queue: 100_000,
            limits: Limits::default(),
            default_duration: 3 * MINUTE,
            priority_step: 5 * MINUTE,
            age_weight: 10,
            prefetch: 2,
            prefetch_within: 10 * MINUTE,
            steal_after: 10 * MINUTE,
            cut_off_hold: 30 * MINUTE,
            sync: true,
            sync_timeout: 15 * MINUTE,
            sync_again: 10 * MINUTE,
            packages: BTreeMap::new(),
            profile_tags: BTreeMap::new(),
            healing: Healing::default(),
        }
    }
}
