//! `swarm drone ping|show|reset|set-type|restart|reboot|wish|ssh-key`: one drone's health, and what a person does about it.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Cell;
use serde::Serialize;
use serde_json::{Map, Value, json};
use swarm_api::{
    ActOrdered, Drone, DroneEscalation, DroneWishes, LastPing, LastPings, PingAllAnswer, PingAnswer, ResetDone,
    TypeDone,
};

use super::client::{Client, segment};
use super::problem::Exit;
use super::screen::{self, Screen};
use super::{Context, Problem};

/// Three ways of 20 s each, and their slack.
const ACT: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// What a person does about a drone's health.
#[derive(Debug, Subcommand)]
pub enum DroneCare {
    /// Ping a drone now, or all at once; without either, the last pings
    Ping {
        /// Name or identity
        #[arg(conflicts_with = "all")]
        name: Option<String>,
        /// All of them, by one broadcast
        #[arg(long)]
        all: bool,
    },
    /// Everything about a drone: type, health, round trips, wishes, what was tried
    Show {
        /// Name or identity
        name: String,
    },
    /// Start its ladder anew: what is wrong is judged again, from the lowest level
    Reset {
        /// Name or identity
        name: String,
    },
    /// Say what kind of machine it is; allows no reboot that its own detection forbids
    SetType {
        /// Name or identity
        name: String,
        /// The type; auto is what it detects itself
        kind: TypeName,
    },
    /// Restart its worker now; its builds live on
    Restart {
        /// Name or identity
        name: String,
        /// Kill it instead of asking it to end
        #[arg(long)]
        hard: bool,
        /// Do not wait for the outcome
        #[arg(long)]
        no_wait: bool,
    },
    /// Reboot it now, if it is a container or virtual machine, is not protected and builds nothing
    Reboot {
        /// Name or identity
        name: String,
        /// Do not wait for the outcome
        #[arg(long)]
        no_wait: bool,
    },
    /// Show or change what is wished for it; an empty value takes a wish back
    Wish(WishArgs),
    /// Show the SSH host keys it is known by, or give others
    SshKey(SshKeyArgs),
}

/// Types of machines, and `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum TypeName {
    /// A Linux container
    Lxc,
    /// A virtual machine
    Qemu,
    /// Real hardware
    BareMetal,
    /// Not known; never rebooted
    Unknown,
    /// What it detects itself
    Auto,
}

/// `swarm drone wish`
#[derive(Debug, Default, Args)]
pub struct WishArgs {
    /// Name or identity
    name: String,
    /// Never reboot it
    #[arg(long, value_name = "BOOL")]
    protected: Option<bool>,
    /// Whether it may be rebooted, if its type allows it: true, false, or empty for the default (true)
    #[arg(long, value_name = "BOOL")]
    auto_reboot: Option<String>,
    /// Its number or name on the hypervisor, for {vmid} in healing.hypervisor_…
    #[arg(long, value_name = "ID")]
    vmid: Option<String>,
    /// SSH user; without one SSH is no way to it
    #[arg(long, value_name = "USER")]
    ssh_user: Option<String>,
    /// SSH address, if it is not the one it shows
    #[arg(long, value_name = "HOST")]
    ssh_host: Option<String>,
    /// SSH port, if it is not 22; 0 takes it back
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<u16>,
    /// Private key on the controller
    #[arg(long, value_name = "FILE")]
    ssh_key_path: Option<String>,
    /// Name for people
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Whatever is to be remembered
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

/// `swarm drone ssh-key`
#[derive(Debug, Default, Args)]
pub struct SshKeyArgs {
    /// Name or identity
    name: String,
    /// Take the keys it names now for its own, after it was installed anew
    #[arg(long, conflicts_with_all = ["key", "learned"])]
    accept: bool,
    /// Know it by this key, as in /etc/ssh/ssh_host_ed25519_key.pub; may be given more than once
    #[arg(long, value_name = "KEY", conflicts_with = "learned")]
    key: Vec<String>,
    /// Know it by the keys it joined with
    #[arg(long)]
    learned: bool,
}

/// Runs the command.
pub fn run(context: &Context, command: &DroneCare) -> Result<(), Problem> {
    let client = context.client()?;
    let screen = &context.screen;
    match command {
        DroneCare::Ping { name: Some(name), .. } => ping(&client, screen, name),
        DroneCare::Ping { all: true, .. } => {
            let all: PingAllAnswer = client.get("/api/v1/ping/all")?;
            screen.show(&all, |all| render_all(all, screen))
        }
        DroneCare::Ping { .. } => {
            let last: LastPings = client.get("/api/v1/ping")?;
            screen.show(&last, |last| render_last(last, screen))
        }
        DroneCare::Show { name } => {
            let all = Shown::of(&client, name)?;
            screen.show(&all, render)
        }
        DroneCare::Reset { name } => {
            let done: ResetDone = client.post(&format!("/api/v1/nodes/{}/reset-escalation", segment(name)), &())?;
            screen.show(&done, |done| format!("{} is at level 0, was at {}", done.name, done.previous_level))
        }
        DroneCare::SetType { name, kind } => {
            let word = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let body = json!({ "drone_type": word });
            let done: TypeDone = client.post(&format!("/api/v1/nodes/{}/set-type", segment(name)), &body)?;
            screen.show(&done, |done| format!("{} counts as {}", done.name, done.drone_type))
        }
        DroneCare::Restart { name, hard, no_wait } => {
            let path = format!("/admin/api/drones/{}/restart", segment(name));
            by_hand(&client.admin()?, screen, name, &path, &json!({ "hard": hard }), *no_wait)
        }
        DroneCare::Reboot { name, no_wait } => {
            let path = format!("/admin/api/drones/{}/reboot", segment(name));
            by_hand(&client.admin()?, screen, name, &path, &json!({}), *no_wait)
        }
        DroneCare::Wish(args) => wish(&client.admin()?, screen, args),
        DroneCare::SshKey(args) => ssh_key(&client.admin()?, screen, args),
    }
}

fn ping(client: &Client, screen: &Screen, name: &str) -> Result<(), Problem> {
    let answer: PingAnswer = client.get(&format!("/api/v1/ping?name={}", segment(name)))?;
    screen.show(&answer, render_ping)?;
    match answer.error {
        None => Ok(()),
        // what was asked is on the screen; the status is for scripts
        Some(error) => Err(Problem::new(format!("{name}: {error}")).next(format!("`swarm drone show {name}`"))),
    }
}

/// A ping as a line.
pub fn render_ping(answer: &PingAnswer) -> String {
    let Some(metrics) = &answer.metrics else {
        return format!("{}: {}", answer.drone, answer.error.as_deref().unwrap_or(&answer.status));
    };
    format!(
        "{}: {} ms, load {:.2}, memory {:.0} %, disk {:.0} %, worker {}, {} build(s), clock {:+} ms",
        answer.drone,
        answer.latency_ms.unwrap_or_default(),
        metrics.load,
        metrics.mem_percent,
        metrics.disk_percent,
        metrics.worker,
        metrics.builds,
        answer.clock_skew_ms.unwrap_or_default(),
    )
}

/// A broadcast as text.
pub fn render_all(all: &PingAllAnswer, screen: &Screen) -> String {
    if all.drones.is_empty() {
        return "no drones yet; `swarm up` starts some on this machine".to_owned();
    }
    let mut table = screen.table(&["NAME", "ANSWER", "ROUND TRIP", "LOAD", "WORKER", "BUILDS"]);
    for one in &all.drones {
        let number = |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.2}{unit}"));
        table.add_row([
            Cell::new(&one.drone),
            Cell::new(one.error.as_deref().unwrap_or(&one.status)),
            Cell::new(number(one.latency_ms, " ms")),
            Cell::new(number(one.load, "")),
            Cell::new(one.metrics.as_ref().map_or("-", |metrics| metrics.worker.as_str())),
            Cell::new(one.metrics.as_ref().map_or("-".to_owned(), |metrics| metrics.builds.to_string())),
        ]);
    }
    format!("{table}\n{} of {} answered", all.answered, all.pinged)
}

/// The last pings as text.
pub fn render_last(last: &LastPings, screen: &Screen) -> String {
    if last.drones.is_empty() {
        return "no drones yet; `swarm up` starts some on this machine".to_owned();
    }
    let mut table = screen.table(&["NAME", "STATE", "LAST PONG", "MISSED", "MIN", "MEDIAN", "P99", "CLOCK"]);
    for (name, ping) in &last.drones {
        let ms = |value: f64| if ping.latency.count == 0 { "-".to_owned() } else { format!("{value:.2} ms") };
        table.add_row([
            Cell::new(name),
            screen::state(&ping.status),
            Cell::new(screen::or_dash(ping.last_pong_at.map(screen::time))),
            Cell::new(ping.misses),
            Cell::new(ms(ping.latency.min_ms)),
            Cell::new(ms(ping.latency.median_ms)),
            Cell::new(ms(ping.latency.p99_ms)),
            Cell::new(ping.clock_skew_ms.map_or("-".to_owned(), |skew| format!("{skew:+} ms"))),
        ]);
    }
    format!("{table}\n`swarm drone ping --all` pings them now")
}

/// Everything about a drone.
#[derive(Debug, Serialize)]
pub struct Shown {
    node: Drone,
    escalation: DroneEscalation,
    wishes: DroneWishes,
}

impl Shown {
    fn of(client: &Client, name: &str) -> Result<Self, Problem> {
        let nodes: Vec<Drone> = client.get("/api/v1/nodes?all=true")?;
        let node = nodes.into_iter().find(|node| node.name == name || node.id == name).ok_or_else(|| {
            Problem::new(format!("there is no drone {name}")).next("`swarm fleet` shows those there are")
        })?;
        let admin = client.admin()?;
        let escalation = admin.get(&format!("/admin/api/drones/{}/escalation", segment(name)))?;
        let wishes = admin.get(&format!("/admin/api/drone-configs/{}", segment(name)))?;
        Ok(Self { node, escalation, wishes })
    }
}

/// A drone as text.
pub fn render(shown: &Shown) -> String {
    let Shown { node, escalation, wishes } = shown;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name:<12} {text}"));
    let title = node.display_name.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
    line("name", format!("{}{title}, {}, {}, agent {}", node.name, node.status, node.ip, node.version));
    line("identity", node.id.clone());
    line("machine", format!("{} cores, {} GiB, {}", node.cores, node.ram_gb, node.arch));
    line("type", type_of(escalation));
    for evidence in &escalation.evidence {
        line("", evidence.clone());
    }
    line("reboots", reboots_of(node, escalation, wishes));
    line("health", health_of(node, escalation));
    line("round trip", round_trip(&escalation.ping));
    if !node.assigned_packages.is_empty() {
        line("builds", node.assigned_packages.join(", "));
    }
    for (word, fact) in facts(node) {
        line(word, fact);
    }
    for wish in wishes_of(wishes) {
        line("wish", wish);
    }
    for deed in &escalation.deeds {
        line("tried", format!("{} {}", screen::time(deed.at), deed_line(deed)));
    }
    if let Some(last) = escalation.last.as_ref().filter(|last| !escalation.deeds.contains(last)) {
        line("last", format!("{} {} (by {})", screen::time(last.at), deed_line(last), last.by));
    }
    if !wishes.ssh_host_keys_offered.is_empty() {
        line("SSH key", "it names other host keys than it is known by; see `swarm drone ssh-key`".to_owned());
    }
    if let Some(next) = next_of(escalation) {
        line("next", next);
    }
    lines.join("\n")
}

fn type_of(escalation: &DroneEscalation) -> String {
    match &escalation.type_override {
        Some(word) => format!("{word} by the operator's word; {} by its own detection", escalation.detected_type),
        None => escalation.drone_type.clone(),
    }
}

fn reboots_of(node: &Drone, escalation: &DroneEscalation, wishes: &DroneWishes) -> String {
    let may = match () {
        () if node.capabilities.auto_reboot && escalation.own_reboot == "dry-run" => "only said, not done (dry-run)",
        () if node.capabilities.auto_reboot => "allowed",
        () if wishes.protected => "never: it is protected",
        () if wishes.auto_reboot == Some(false) => "never: its operator does not want it",
        () if escalation.own_reboot == "never" => "never: its own configuration forbids it",
        () => "never: only lxc and qemu are",
    };
    format!("{may}; {} within the last day", escalation.reboots_today)
}

fn health_of(node: &Drone, escalation: &DroneEscalation) -> String {
    let worker = format!("worker {}", node.worker);
    let Some(why) = &escalation.why else {
        let recovered = escalation.last_time_to_recovery_s.map(screen::duration);
        let recovered = recovered.map(|took| format!("; last recovered in {took}")).unwrap_or_default();
        return format!("well, {worker}{recovered}");
    };
    let since = escalation.since.map(screen::time).unwrap_or_default();
    let held = escalation.held.as_ref().map(|held| format!("; held: {held}")).unwrap_or_default();
    format!("level {} since {since}: {why}, {worker}{held}", escalation.escalation_level)
}

fn round_trip(ping: &LastPing) -> String {
    let skew = ping.clock_skew_ms.map_or("not known".to_owned(), |skew| format!("{skew:+} ms"));
    if ping.latency.count == 0 {
        return format!("no answer yet; clock {skew}");
    }
    let latency = &ping.latency;
    format!(
        "min {:.2}, median {:.2}, p99 {:.2} ms of {} in the last hour; {} missed; clock {skew}",
        latency.min_ms, latency.median_ms, latency.p99_ms, latency.count, ping.misses
    )
}

fn facts(node: &Drone) -> Vec<(&'static str, String)> {
    let facts = &node.facts;
    let all = [
        ("paused", &facts.paused),
        ("draining", &facts.draining),
        ("grounded", &facts.grounded),
        ("impaired", &facts.upload_impaired),
    ];
    let line =
        |fact: &swarm_api::DroneFact| format!("by {} since {}: {}", fact.by, screen::time(fact.since), fact.reason);
    all.into_iter().filter_map(|(word, fact)| Some((word, line(fact.as_ref()?)))).collect()
}

/// Each wish in a line.
pub fn wishes_of(wishes: &DroneWishes) -> Vec<String> {
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} = {value}"));
    [
        wishes.protected.then(|| "protected = true".to_owned()),
        wishes.auto_reboot.map(|value| format!("auto_reboot = {value}")),
        text("vmid", &wishes.vmid),
        text("ssh_user", &wishes.ssh_user),
        text("ssh_host", &wishes.ssh_host),
        wishes.ssh_port.map(|port| format!("ssh_port = {port}")),
        text("ssh_key_path", &wishes.ssh_key_path),
        wishes.ssh_host_keys.as_ref().map(|keys| format!("ssh_host_keys: {} given", keys.len())),
        text("display_name", &wishes.display_name),
        text("notes", &wishes.notes),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A deed in a line.
pub fn deed_line(deed: &swarm_api::DeedView) -> String {
    format!("{} by {}: {}: {}", deed.action, deed.route, deed.outcome, deed.detail)
}

fn next_of(escalation: &DroneEscalation) -> Option<String> {
    escalation.why.as_ref()?;
    let name = &escalation.drone;
    Some(match (&escalation.acting, escalation.next_not_before, escalation.escalation_level) {
        (Some(acting), _, _) => format!("{acting} is under way"),
        (None, _, 4) => format!("look at it; `swarm drone reset {name}` starts the ladder anew"),
        (None, Some(at), _) => format!("the next level not before {}", screen::time(at)),
        (None, None, _) => "the next level at once, unless something holds it back".to_owned(),
    })
}

/// Orders a level by hand and waits for its outcome.
fn by_hand(
    admin: &Client,
    screen: &Screen,
    name: &str,
    path: &str,
    body: &Value,
    no_wait: bool,
) -> Result<(), Problem> {
    let ordered: ActOrdered = admin.post(path, body)?;
    if no_wait {
        return screen.show(&ordered, |ordered| format!("{} of {} is ordered", ordered.action, ordered.drone));
    }
    let until = Instant::now() + ACT;
    let now = loop {
        let now: DroneEscalation = admin.get(&format!("/admin/api/drones/{}/escalation", segment(name)))?;
        if now.acting.is_none() || Instant::now() >= until {
            break now;
        }
        std::thread::sleep(LOOK);
    };
    let next = format!("`swarm drone show {name}` has all that was tried");
    let Some(last) = now.last.filter(|_| now.acting.is_none()) else {
        return Err(Problem::new(format!("{} of {name} has no outcome yet", ordered.action)).next(next));
    };
    screen.show(&last, deed_line)?;
    if matches!(last.outcome.as_str(), "done" | "dry-run") {
        return Ok(());
    }
    Err(Problem { exit: Exit::Error, ..Problem::new(format!("{} of {name} was not done", ordered.action)).next(next) })
}

fn wish(admin: &Client, screen: &Screen, args: &WishArgs) -> Result<(), Problem> {
    let path = format!("/admin/api/drone-configs/{}", segment(&args.name));
    let changes = changes(args)?;
    let wishes: DroneWishes = if changes.is_empty() { admin.get(&path)? } else { admin.post(&path, &changes)? };
    screen.show(&wishes, |wishes| {
        let lines = wishes_of(wishes);
        if lines.is_empty() {
            return format!("nothing is wished for {}; `swarm drone wish --help` has what can be", wishes.node_name);
        }
        lines.join("\n")
    })
}

fn changes(args: &WishArgs) -> Result<Map<String, Value>, Problem> {
    let mut changes = Map::new();
    let texts = [
        ("vmid", &args.vmid),
        ("ssh_user", &args.ssh_user),
        ("ssh_host", &args.ssh_host),
        ("ssh_key_path", &args.ssh_key_path),
        ("display_name", &args.display_name),
        ("notes", &args.notes),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let value = if text.is_empty() { Value::Null } else { Value::from(text.clone()) };
            changes.insert(name.to_owned(), value);
        }
    }
    if let Some(protected) = args.protected {
        changes.insert("protected".to_owned(), protected.into());
    }
    if let Some(port) = args.ssh_port {
        changes.insert("ssh_port".to_owned(), if port == 0 { Value::Null } else { port.into() });
    }
    if let Some(text) = &args.auto_reboot {
        let value = match text.as_str() {
            "" => Value::Null,
            "true" => true.into(),
            "false" => false.into(),
            other => {
                return Err(Problem::usage(format!("--auto-reboot {other:?} is neither true nor false"))
                    .next("an empty value takes the wish back"));
            }
        };
        changes.insert("auto_reboot".to_owned(), value);
    }
    Ok(changes)
}

fn ssh_key(admin: &Client, screen: &Screen, args: &SshKeyArgs) -> Result<(), Problem> {
    let path = format!("/admin/api/drone-configs/{}", segment(&args.name));
    let mut wishes: DroneWishes = admin.get(&path)?;
    let keys = match () {
        () if args.accept && wishes.ssh_host_keys_offered.is_empty() => {
            return Err(Problem::new(format!("{} names no other SSH host keys than it is known by", args.name))
                .next("give them with --key"));
        }
        // exactly the keys that were looked at
        () if args.accept => Some(Value::from(wishes.ssh_host_keys_offered.clone())),
        () if args.learned => Some(Value::Null),
        () if !args.key.is_empty() => Some(Value::from(args.key.iter().map(|key| bare(key)).collect::<Vec<_>>())),
        () => None,
    };
    if let Some(keys) = keys {
        wishes = admin.post(&path, &json!({ "ssh_host_keys": keys }))?;
    }
    screen.show(&wishes, render_keys)
}

/// A key without its comment.
fn bare(key: &str) -> String {
    key.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// A drone's host keys as text.
pub fn render_keys(wishes: &DroneWishes) -> String {
    let name = &wishes.node_name;
    let (whose, known) = match &wishes.ssh_host_keys {
        Some(given) => ("given by the operator", given),
        None => ("named when it joined", &wishes.ssh_host_keys_learned),
    };
    if known.is_empty() && wishes.ssh_host_keys_offered.is_empty() {
        return format!(
            "no SSH host key of {name} is known, so it is not logged into\n\
             give one: swarm drone ssh-key {name} --key \"$(cat ssh_host_ed25519_key.pub)\""
        );
    }
    let mut lines = vec![format!("{name} is known by ({whose}):")];
    lines.extend(known.iter().map(|key| format!("  {key}")));
    if !wishes.ssh_host_keys_offered.is_empty() {
        lines.push("it names these now, which are not used:".to_owned());
        lines.extend(wishes.ssh_host_keys_offered.iter().map(|key| format!("  {key}")));
        lines.push(format!("if they are its own, `swarm drone ssh-key {name} --accept`"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_api::{DeedView, Latency};

    #[test]
    fn wishes_are_named_changed_and_taken_back() {
        let args = WishArgs {
            name: "d1".to_owned(),
            protected: Some(false),
            vmid: Some("104".to_owned()),
            ssh_user: Some(String::new()),
            ssh_port: Some(0),
            auto_reboot: Some(String::new()),
            ..WishArgs::default()
        };
        let expected = json!({
            "vmid": "104", "ssh_user": null, "protected": false, "ssh_port": null, "auto_reboot": null
        });
        assert_eq!(Value::from(changes(&args).unwrap()), expected);
        let wrong = WishArgs { auto_reboot: Some("perhaps".to_owned()), ..WishArgs::default() };
        assert_eq!(changes(&wrong).unwrap_err().exit, Exit::Usage);
        assert!(changes(&WishArgs::default()).unwrap().is_empty());
    }

    #[test]
    fn a_ping_is_a_line_whether_it_was_answered_or_not() {
        let silent = PingAnswer {
            drone: "d1".to_owned(),
            status: "timeout".to_owned(),
            error: Some("it does not answer".to_owned()),
            ..PingAnswer::default()
        };
        assert_eq!(render_ping(&silent), "d1: it does not answer");
        let metrics = swarm_api::PingMetrics { worker: "alive".to_owned(), ..Default::default() };
        let answered = PingAnswer {
            drone: "d1".to_owned(),
            latency_ms: Some(0.42),
            metrics: Some(metrics),
            clock_skew_ms: Some(-3),
            ..PingAnswer::default()
        };
        let line = render_ping(&answered);
        assert!(line.starts_with("d1: 0.42 ms, ") && line.ends_with("worker alive, 0 build(s), clock -3 ms"), "{line}");
    }

    #[test]
    fn what_was_tried_and_what_comes_next_is_shown() {
        let deed = DeedView {
            action: "hard_restart".to_owned(),
            route: "ssh".to_owned(),
            outcome: "failed".to_owned(),
            detail: "no route to host".to_owned(),
            by: "swarm".to_owned(),
            at: 1_700_000_000.0,
        };
        assert_eq!(deed_line(&deed), "hard_restart by ssh: failed: no route to host");
        let mut escalation = DroneEscalation { drone: "d1".to_owned(), ..DroneEscalation::default() };
        assert_eq!(next_of(&escalation), None, "nothing is wrong");
        escalation.why = Some("silent".to_owned());
        escalation.escalation_level = 4;
        assert!(next_of(&escalation).unwrap().contains("swarm drone reset d1"));
        let ping = LastPing { latency: Latency { count: 3, ..Latency::default() }, ..LastPing::default() };
        assert!(round_trip(&ping).contains("of 3 in the last hour"));
    }

    #[test]
    fn host_keys_are_shown_with_whose_word_counts_and_what_to_do() {
        let mut wishes = DroneWishes { node_name: "d1".to_owned(), ..DroneWishes::default() };
        assert!(render_keys(&wishes).contains("not logged into"));
        wishes.ssh_host_keys_learned = vec!["ssh-ed25519 AAAA".to_owned()];
        assert!(render_keys(&wishes).contains("named when it joined"));
        wishes.ssh_host_keys_offered = vec!["ssh-ed25519 BBBB".to_owned()];
        assert!(render_keys(&wishes).contains("--accept"));
        assert_eq!(bare(" ssh-ed25519  AAAA root@box\n"), "ssh-ed25519 AAAA");
    }
}
