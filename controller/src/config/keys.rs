//! Every key there is: its name, its environment variable, its words in the example, and where it goes. The one list that
//! reading, the environment, the example and the reference are made from.

use super::Config;
use super::value::{Raw, Size, Span, Value};
use swarm_protocol::order::Rung;

/// A key.
pub(super) struct Key {
    /// `section.key`.
    pub name: &'static str,
    /// Its environment variable, if it is not the one made from the name.
    pub env: Option<&'static str>,
    /// What it does and where its number comes from; one line each.
    pub doc: &'static [&'static str],
    /// What the example shows of a key without a default.
    pub sample: &'static str,
    /// Puts a value into the configuration.
    pub set: fn(&mut Config, Raw<'_>) -> Result<(), String>,
    /// Its value as TOML.
    pub show: fn(&Config) -> Option<String>,
}

impl Key {
    /// Its environment variable: `http.public_url` is `BUILD_SWARM_HTTP_PUBLIC_URL`.
    pub fn variable(&self) -> String {
        match self.env {
            Some(name) => name.to_owned(),
            None => format!("{PREFIX}{}", self.name.to_uppercase().replace('.', "_")),
        }
    }
}

/// What environment variables begin with.
pub(super) const PREFIX: &str = "BUILD_SWARM_";

macro_rules! key {
    ($name:literal, $($field:ident).+, [$($doc:literal),+] $(, env = $env:literal)? $(, sample = $sample:literal)?) => {
        Key {
            name: $name,
            env: key!(@env $($env)?),
            doc: &[$($doc),+],
            sample: key!(@sample $($sample)?),
            set: |config, raw| { config.$($field).+ = Value::read(raw)?; Ok(()) },
            show: |config| config.$($field).+.show(),
        }
    };
    (span $name:literal, $($field:ident).+, [$($doc:literal),+]) => {
        Key {
            name: $name,
            env: None,
            doc: &[$($doc),+],
            sample: "",
            set: |config, raw| { config.$($field).+ = Span::read(raw)?.0; Ok(()) },
            show: |config| Span(config.$($field).+).show(),
        }
    };
    (size $name:literal, $($field:ident).+, [$($doc:literal),+]) => {
        Key {
            name: $name,
            env: None,
            doc: &[$($doc),+],
            sample: "",
            set: |config, raw| { config.$($field).+ = Size::read(raw)?.0; Ok(()) },
            show: |config| Size(config.$($field).+).show(),
        }
    };
    (@env) => { None };
    (@env $env:literal) => { Some($env) };
    (@sample) => { "" };
    (@sample $sample:literal) => { $sample };
}

/// The operator's command on the hypervisor for a rung; an empty list is none.
macro_rules! hypervisor {
    ($name:literal, $rung:expr, [$($doc:literal),+]) => {
        Key {
            name: $name,
            env: None,
            doc: &[$($doc),+],
            sample: "",
            set: |config, raw| {
                let command: Vec<String> = Value::read(raw)?;
                let commands = &mut config.rules.healing.hypervisor;
                if command.is_empty() { commands.remove(&$rung) } else { commands.insert($rung, command) };
                Ok(())
            },
            show: |config| config.rules.healing.hypervisor.get(&$rung).cloned().unwrap_or_default().show(),
        }
    };
}

/// All keys, in the order of the example; those of a section stand together.
pub(super) const KEYS: &[Key] = &[
    key!(
        "data_dir",
        data_dir,
        [
            "Where everything is kept: the store, packages, logs, keys. Without it the service manager's $STATE_DIRECTORY, else",
            "/var/lib/build-swarm for root, $XDG_DATA_HOME/build-swarm for a user."
        ],
        sample = "\"/var/lib/build-swarm\""
    ),
    key!("name", name, ["The controller's name for people."]),
    key!(
        "local_drones",
        local_drones,
        ["Drones on this machine. Each gets its bus key in <data_dir>/drones/<name>.nk at the controller's start."]
    ),
    key!(
        "log.level",
        log.level,
        ["error, warn, info, debug or trace. RUST_LOG, if set, wins and can name single modules."]
    ),
    key!("log.json", log.json, ["Log lines as JSON instead of text."]),
    key!(
        "http.listen",
        http.listen,
        ["Address the façade listens on. 127.0.0.1 keeps it to this machine; 0.0.0.0 opens it to the network."]
    ),
    key!("http.port", http.port, ["Port of the façade, the binhost and the uploads."], env = "CONTROL_PLANE_PORT"),
    key!(
        "http.admin_port",
        http.admin_port,
        ["Port for administrators: everything on it needs the admin key. 0 serves none."],
        env = "ADMIN_PORT"
    ),
    key!(
        "http.admin_listen",
        http.admin_listen,
        ["Address the admin port listens on. Without it that of http.listen."],
        sample = "\"127.0.0.1\""
    ),
    key!("http.metrics", http.metrics, ["Serve /metrics for Prometheus on the façade's port, without a key."]),
    key!(
        "http.public_url",
        http.public_url,
        [
            "Base address under which drones and clients reach this port. Without it http://<listen>:<port>, so set it as",
            "soon as a drone or client is on another machine."
        ],
        sample = "\"http://swarm.example.org:8100\""
    ),
    key!(
        "bus.url",
        bus.url,
        [
            "A NATS server or cluster somebody else runs, its servers parted by commas. Without it the controller starts and",
            "watches one of its own. `swarm bus permissions` prints the users such a server needs."
        ],
        sample = "\"tls://bus.example.org:4222\""
    ),
    key!(
        "bus.ca",
        bus.ca,
        ["The authority (PEM) that signed the certificates of bus.url. Without it those the system trusts count."],
        sample = "\"/etc/build-swarm/bus-ca.pem\""
    ),
    key!(
        "bus.credentials",
        bus.credentials,
        [
            "File with the controller's nkey seed for bus.url, mode 0600. Without it <data_dir>/keys/controller.nk, made at",
            "the first start."
        ],
        sample = "\"/etc/build-swarm/controller.nk\""
    ),
    key!("bus.prefix", bus.prefix, ["First tokens of every subject; swarms with different ones can share a bus."]),
    key!(
        "bus.server",
        bus.server,
        ["The nats-server to start. Without it the one on PATH, else <data_dir>/bin/nats-server."],
        sample = "\"/usr/bin/nats-server\""
    ),
    key!(
        "bus.listen",
        bus.listen,
        [
            "Address the server the controller starts listens on, always with TLS. 0.0.0.0 lets drones of other machines in,",
            "once they are invited (`swarm drone invite`)."
        ]
    ),
    key!(
        "bus.port",
        bus.port,
        ["Port of the server the controller starts. Without it a free one is chosen once and kept."],
        sample = "4222"
    ),
    key!(
        "bus.public_url",
        bus.public_url,
        [
            "Address under which drones of other machines reach the bus; it goes into invitations. Without it the host of",
            "http.public_url and the port of the bus."
        ],
        sample = "\"tls://swarm.example.org:4222\""
    ),
    key!(
        "bus.names",
        bus.names,
        [
            "Further host names and addresses for the certificate of the server the controller starts. localhost, bus.listen",
            "and the hosts of bus.public_url and http.public_url are in it anyway."
        ]
    ),
    key!("events.json", events.json, ["Publish each event as JSON, too, on <prefix>.json.event.<kind>."]),
    key!("events.keep", events.keep, ["Events kept in the store, at least; older ones are forgotten."]),
    key!(span "events.stream_age", events.stream_age, ["Events older than this leave the bus's stream."]),
    key!(size "events.stream_size", events.stream_size, ["Bytes the bus's stream of events may hold."]),
    key!(
        "events.replicas",
        events.replicas,
        ["Servers of the cluster at bus.url that hold the stream of events: 3 let one of them fail."]
    ),
    key!("history.keep", history.keep, ["Attempts kept in the history, at least; older ones are forgotten."]),
    key!(size "logs.keep", logs.keep, ["Compressed build logs kept, in all; the oldest go first."]),
    key!(
        "binhost.user_id",
        binhost.user_id,
        ["User id of the signing key. It counts when the key is made, at the first start."]
    ),
    key!(size "binhost.max_upload", binhost.max_upload, ["Largest binary package taken from a drone."]),
    key!(
        "binhost.min_free_percent",
        binhost.min_free_percent,
        ["Uploads are refused while less of the disk is free than this (percent)."]
    ),
    key!(
        "binhost.keep",
        rules.keep_builds,
        [
            "Packages of one identity (version, slot, repository, USE flags) kept: the newest ones. Pinned ones and what an",
            "open session builds on stay besides."
        ]
    ),
    key!(span "binhost.delete_after", rules.delete_after, [
        "The file of a package goes so long after it left the index: clients may hold an older index that lists it."
    ]),
    key!(size "binhost.verify_rate", binhost.verify_rate, [
        "Bytes `swarm binhost verify` lets the controller read per second, so that clients and uploads don't feel it."
    ]),
    key!(span "rules.heartbeat", rules.heartbeat, ["Between two heartbeats of a drone."]),
    key!(span "rules.offline_after", rules.offline_after, [
        "A drone without a heartbeat for so long is offline: three heartbeats missed."
    ]),
    key!(span "rules.instance_fresh", rules.instance_fresh, [
        "A second agent with the same identity is refused while the first one's last heartbeat is younger than this."
    ]),
    key!(span "rules.lease", rules.lease, [
        "A package returns to the queue when no heartbeat has listed its attempt for so long."
    ]),
    key!(span "rules.start_grace", rules.start_grace, [
        "So long after its own start the controller judges nobody: it has been away, not they."
    ]),
    key!(span "rules.resend_order", rules.resend_order, ["An order a drone has not seen is sent again after this."]),
    key!(span "rules.plan_timeout", rules.plan_timeout, ["A drone that resolves dependencies gets so long for it."]),
    key!(size "rules.min_free_disk", rules.min_free_disk, [
        "Free space a drone needs to be given work, where it builds and where it puts packages."
    ]),
    key!(
        "rules.failures_to_block",
        rules.failures_to_block,
        ["A package that failed on so many drones, or on all there are, is blocked."]
    ),
    key!(span "rules.retry_blocked_after", rules.retry_blocked_after, [
        "A package blocked by its failures is tried again after this."
    ]),
    key!("rules.max_auto_retries", rules.max_auto_retries, ["So many times; then it has failed."]),
    key!(span "rules.fleet_backoff", rules.fleet_backoff, [
        "First wait after a failure nobody is to blame for (network, mirrors); doubles each time."
    ]),
    key!(span "rules.fleet_backoff_max", rules.fleet_backoff_max, ["Longest such wait."]),
    key!(
        "rules.fleet_failures_to_block",
        rules.fleet_failures_to_block,
        ["So many such failures, on two drones or all there are, block the package."]
    ),
    key!(span "rules.drone_retry_after", rules.drone_retry_after, [
        "A drone to blame for a failure does not get that package again for so long."
    ]),
    key!(
        "rules.drone_failures_to_block",
        rules.drone_failures_to_block,
        ["So many failures that were the drones' fault, and the package is blocked for a person to look at."]
    ),
    key!(
        "rules.failures_to_ground",
        rules.failures_to_ground,
        ["Failures in a row that are its fault ground a drone."]
    ),
    key!(span "rules.ground_for", rules.ground_for, ["For so long."]),
    key!("rules.uploads_to_impair", rules.uploads_to_impair, ["Uploads that fail in a row keep a drone from work."]),
    key!(span "rules.impair_for", rules.impair_for, ["For so long."]),
    key!(span "rules.unplaceable_after", rules.unplaceable_after, [
        "A package no drone can build is announced after this."
    ]),
    key!(span "rules.invite_life", rules.invite_life, [
        "An invitation of a drone is good for so long, unless --ttl says otherwise."
    ]),
    key!("rules.max_invites", rules.max_invites, ["Invitations open at one time."]),
    key!(span "rules.ticket_life", rules.ticket_life, ["A ticket for an upload is good for so long."]),
    key!(span "rules.log_wait", rules.log_wait, [
        "The end of a build log that cannot be had by then is marked missing, and the result taken without it."
    ]),
    key!("rules.keep_sessions", rules.keep_sessions, ["Ended sessions whose packages stay in the queue's tables."]),
    key!("rules.max_queue", rules.max_queue, ["Packages the queue takes."]),
    key!(span "rules.default_duration", rules.default_duration, [
        "What a package takes that was never built; until it was, its place in line and every forecast rest on this."
    ]),
    key!(span "rules.priority_step", rules.priority_step, [
        "The line is ordered by the longest chain of builds that wait for a package; each step of priority counts as so",
        "much of it."
    ]),
    key!(
        "rules.age_weight",
        rules.age_weight,
        ["And waiting counts as so many percent of the time it lasts, so that nothing starves."]
    ),
    key!(
        "rules.prefetch",
        rules.prefetch,
        ["Orders a drone gets beyond its slots, so that it begins its next package at once; it may take fewer."]
    ),
    key!(span "rules.prefetch_within", rules.prefetch_within, [
        "None behind a build that is known to take longer than this: another drone may be free first."
    ]),
    key!(span "rules.steal_after", rules.steal_after, [
        "An idle drone gets what waits for another one beside a second order; what waits alone only if the build before it",
        "has run for so long and no end is in sight. What has begun is never taken."
    ]),
    key!(span "rules.cut_off_hold", rules.cut_off_hold, [
        "When more than half of three or more drones fall silent at once, the controller is cut off, not they; nobody is",
        "judged for so long."
    ]),
    key!(
        "rules.sync",
        rules.sync,
        [
            "Tell drones that have nothing to do to bring their ebuild tree up to date when others of their base have a newer one."
        ]
    ),
    key!(span "rules.sync_timeout", rules.sync_timeout, ["That may take so long."]),
    key!(span "rules.sync_again", rules.sync_again, ["And is not asked of a drone again within this."]),
    key!(
        "rules.packages",
        rules.packages,
        [
            "What holds for single packages, a line each: \"www-client/chromium total=24h silence=2h memory=16GiB tags=big+ssd\".",
            "total and silence stand in for build_timeout and build_silence, memory for what was learned; a drone must have the",
            "tags. A request's own wish wins."
        ]
    ),
    key!(
        "rules.profile_tags",
        rules.profile_tags,
        ["Tags the drones must have that build for a build profile: \"server=ssd+big\"."]
    ),
    key!(span "rules.build_timeout", rules.limits.total_ms, ["An attempt gets so long in all."]),
    key!(span "rules.build_silence", rules.limits.silence_ms, ["And so long without a new line of log."]),
    key!(size "rules.build_log", rules.limits.log_bytes, [
        "Bytes of log kept of an attempt; of a longer one the middle is cut out and the cut marked."
    ]),
    key!(
        "healing.enabled",
        rules.healing.enabled,
        ["Do something about drones that do not work. Without it they are pinged and judged all the same."]
    ),
    key!(span "healing.ping_every", rules.healing.ping_every, ["Between two pings of a drone."]),
    key!(span "healing.ping_within", rules.healing.ping_within, ["A ping not answered within this is missed."]),
    key!("healing.misses", rules.healing.misses, ["So many pings missed in a row …"]),
    key!(span "healing.judge_after", rules.healing.judge_after, [
        "… over at least so long make a drone unhealthy: three intervals, so that a short cut of the network is none."
    ]),
    key!(span "healing.worker_unrevived_after", rules.healing.worker_unrevived_after, [
        "A worker its own supervisor could not revive for so long makes the drone unhealthy. The supervisor needs some 15 s."
    ]),
    key!("healing.good_pongs", rules.healing.good_pongs, ["So many answers in a row, and a drone has recovered."]),
    key!(span "healing.wait_restart", rules.healing.wait_restart, [
        "After restart_service (level 1) the next level waits so long."
    ]),
    key!(span "healing.wait_hard_restart", rules.healing.wait_hard_restart, ["After hard_restart (level 2)."]),
    key!(span "healing.wait_reboot", rules.healing.wait_reboot, [
        "After reboot_container (level 3): a container or virtual machine is up again by then."
    ]),
    key!(span "healing.route_within", rules.healing.route_within, [
        "A way to a drone (bus, SSH, hypervisor) that has not answered by then is given up for the next one."
    ]),
    key!(span "healing.cooldown", rules.healing.cooldown, [
        "Trouble that comes again within this goes on with the level after the one that helped last."
    ]),
    key!("healing.reboots_per_day", rules.healing.reboots_per_day, ["Reboots of one drone within 24 h."]),
    key!(span "healing.alert_repeat", rules.healing.alert_repeat, [
        "A person who was told of a drone is told again after this, while it lasts."
    ]),
    key!(
        "healing.ssh_command",
        healing.ssh_command,
        [
            "What SSH runs on a drone that has an SSH user (`swarm drone wish`), program and first arguments; the level follows.",
            "For a user who is not root: [\"sudo\", \"-n\", \"/usr/bin/drone-agent\", \"escalate\"]."
        ]
    ),
    hypervisor!(
        "healing.hypervisor_restart",
        Rung::RestartService,
        [
            "The operator's command on the hypervisor for level 1, program and arguments, run without a shell. {vmid} becomes what",
            "`swarm drone wish --vmid` says, {name} the drone's name; without a vmid a command that asks for one is none."
        ]
    ),
    hypervisor!("healing.hypervisor_hard_restart", Rung::HardRestart, ["The same for level 2."]),
    hypervisor!(
        "healing.hypervisor_reboot",
        Rung::RebootContainer,
        ["The same for level 3, for example [\"ssh\", \"root@pve\", \"pct\", \"reboot\", \"{vmid}\"]."]
    ),
    key!(
        "notify.mail_server",
        notify.mail_server,
        ["Mail server for notices to people; without it none are sent by mail. Its certificate must be for this name."],
        sample = "\"smtp.example.org\""
    ),
    key!(
        "notify.mail_port",
        notify.mail_port,
        ["Its port. Without it 587 for starttls, 465 for tls, 25 for none."],
        sample = "587"
    ),
    key!(
        "notify.mail_security",
        notify.mail_security,
        ["starttls, tls (from the first byte) or none (for a server on this machine, without a password)."]
    ),
    key!(
        "notify.mail_user",
        notify.mail_user,
        ["User at the mail server, if it wants one."],
        sample = "\"swarm@example.org\""
    ),
    key!(
        "notify.mail_password_file",
        notify.mail_password_file,
        ["File with that user's password in its first line, mode 0600. A password is never in this file itself."],
        sample = "\"/etc/build-swarm/mail.password\""
    ),
    key!(
        "notify.mail_from",
        notify.mail_from,
        ["Sender of the mails."],
        sample = "\"Build Swarm <swarm@example.org>\""
    ),
    key!("notify.mail_to", notify.mail_to, ["Who gets them, for example [\"ops@example.org\"]."]),
    key!(
        "notify.webhook_url",
        notify.webhook_url,
        ["Notices are posted there as JSON; its `text` is what chat servers such as Mattermost show."],
        sample = "\"https://chat.example.org/hooks/swarm\""
    ),
    key!(
        "notify.webhook_url_file",
        notify.webhook_url_file,
        ["The same from the first line of a file, mode 0600, for an address that is a secret itself."],
        sample = "\"/etc/build-swarm/webhook.url\""
    ),
    key!(
        "notify.webhook_token_file",
        notify.webhook_token_file,
        ["File with a token for the webhook, mode 0600; sent as Authorization: Bearer."],
        sample = "\"/etc/build-swarm/webhook.token\""
    ),
    key!(
        "notify.command",
        notify.command,
        [
            "A command for notices, program and arguments, run without a shell: subject and text on its standard input,",
            "SWARM_NOTICE_KIND (alert, repeat, resolved, test), SWARM_NOTICE_KEY and SWARM_NOTICE_ID in its environment."
        ]
    ),
    key!(
        "notify.ca",
        notify.ca,
        ["A certificate authority (PEM) for mail server and webhook, besides those this machine trusts."],
        sample = "\"/etc/build-swarm/notify-ca.pem\""
    ),
];
