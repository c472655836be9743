//! `swarm drone ping|show|reset|set-type|restart|reboot|wish|ssh-key`: one drone's health, and what a person does about it.
//!
//! `ping`, `show` and `wish` are the larger ones; what a person orders by hand is waited for here.

mod ping;
mod show;
mod wish;

use std::time::{Duration, Instant};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use self::ping::{ping, render_all, render_last};
use self::show::{Shown, render};
use self::wish::{SshKeyArgs, WishArgs, ssh_key, wish};
use super::client::{Client, segment};
use super::problem::Exit;
use super::screen::Screen;
use super::{Context, Problem};
use swarm_api::{ActOrdered, DroneEscalation, LastPings, PingAllAnswer, ResetDone, TypeDone};

pub(super) use self::show::deed_line;

/// Three ways of 20 s each, and their slack.
const ACT: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// What a person does about a drone's health.
#[derive(Debug, Subcommand)]
pub enum DroneHealing {
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

/// Runs the command.
pub fn run(context: &Context, command: &DroneHealing) -> Result<(), Problem> {
    let client = context.client()?;
    let screen = &context.screen;
    match command {
        DroneHealing::Ping { name: Some(name), .. } => ping(&client, screen, name),
        DroneHealing::Ping { all: true, .. } => {
            let all: PingAllAnswer = client.get("/api/v1/ping/all")?;
            screen.show(&all, |all| render_all(all, screen))
        }
        DroneHealing::Ping { .. } => {
            let last: LastPings = client.get("/api/v1/ping")?;
            screen.show(&last, |last| render_last(last, screen))
        }
        DroneHealing::Show { name } => {
            let all = Shown::of(&client, name)?;
            screen.show(&all, render)
        }
        DroneHealing::Reset { name } => {
            let done: ResetDone = client.post(&format!("/api/v1/nodes/{}/reset-escalation", segment(name)), &())?;
            screen.show(&done, |done| format!("{} is at level 0, was at {}", done.name, done.previous_level))
        }
        DroneHealing::SetType { name, kind } => {
            let word = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let body = json!({ "drone_type": word });
            let done: TypeDone = client.post(&format!("/api/v1/nodes/{}/set-type", segment(name)), &body)?;
            screen.show(&done, |done| format!("{} counts as {}", done.name, done.drone_type))
        }
        DroneHealing::Restart { name, hard, no_wait } => {
            let path = format!("/admin/api/drones/{}/restart", segment(name));
            by_hand(&client.admin()?, screen, name, &path, &json!({ "hard": hard }), *no_wait)
        }
        DroneHealing::Reboot { name, no_wait } => {
            let path = format!("/admin/api/drones/{}/reboot", segment(name));
            by_hand(&client.admin()?, screen, name, &path, &json!({}), *no_wait)
        }
        DroneHealing::Wish(args) => wish(&client.admin()?, screen, args),
        DroneHealing::SshKey(args) => ssh_key(&client.admin()?, screen, args),
    }
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
