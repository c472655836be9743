//! `drone-agent escalate`: a rung of the ladder on the machine itself, for SSH and for people.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use swarm_protocol::StoreId;
use swarm_protocol::order::{Escalated, Rung};

use super::alone::{self, After};
use super::door::{self, Ask};
use super::manager;
use crate::config::Config;
use crate::spool::Spool;

/// How long the supervisor may take for an answer: a look at the builds and a write, each bounded by 3 s.
const SUPERVISOR: Duration = Duration::from_secs(7);
/// The variable in which an SSH server names the command a client wanted.
const WANTED: &str = "SSH_ORIGINAL_COMMAND";

/// `drone-agent escalate …`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct EscalateArguments {
    /// What to do.
    #[arg(required_unless_present = "forced")]
    rung: Option<RungName>,
    /// Number of the controller's order; one that was carried out is not carried out again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    generation: u64,
    /// The store of the controller that orders.
    #[arg(long, value_name = "ID", default_value = "")]
    store: String,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    /// For authorized_keys: take the rest from SSH_ORIGINAL_COMMAND, and nothing but a rung with its number.
    #[arg(long, conflicts_with_all = ["rung", "generation", "store"])]
    forced: bool,
}

/// The rungs by their public names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RungName {
    /// End the worker gracefully and start it; builds live on.
    RestartService,
    /// Kill the worker, remove what it left half-made, start it; builds live on.
    HardRestart,
    /// Reboot, if this is a container or virtual machine, its configuration allows it and nothing is built.
    RebootContainer,
}

impl From<RungName> for Rung {
    fn from(name: RungName) -> Self {
        match name {
            RungName::RestartService => Self::RestartService,
            RungName::HardRestart => Self::HardRestart,
            RungName::RebootContainer => Self::RebootContainer,
        }
    }
}

/// Asks the supervisor; where none answers, does it alone. The exit status is 0 if it was done.
pub fn run(config: &Config, arguments: &EscalateArguments) -> anyhow::Result<ExitCode> {
    let (ask, json) = wanted(arguments)?;
    let door = Spool::open(&config.state_dir)?.door();
    let (outcome, after) = match door::ask(&door, &ask, SUPERVISOR) {
        Ok(outcome) => (outcome, After::Nothing),
        Err(_) => alone::act(config, &ask),
    };
    let mut out = std::io::stdout().lock();
    let text = if json { serde_json::to_string(&outcome)? } else { told(&outcome) };
    writeln!(out, "{text}").and_then(|()| out.flush()).context("say the outcome")?;
    drop(out);
    if let After::Reboot(command) = after {
        // whoever waits at the other end of an SSH connection has the answer by then
        std::thread::sleep(Duration::from_secs(1));
        manager::run(&command)?;
    }
    let well = matches!(outcome, Escalated::Done { .. } | Escalated::DryRun { .. });
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn wanted(arguments: &EscalateArguments) -> anyhow::Result<(Ask, bool)> {
    if arguments.forced {
        let line = std::env::var(WANTED).context("no command was asked for over SSH")?;
        return parse(&line);
    }
    let rung = arguments.rung.context("no rung is named")?;
    let store_id = StoreId(arguments.store.clone());
    Ok((Ask { rung: rung.into(), generation: arguments.generation, store_id }, arguments.json))
}

/// Reads what a client wanted to run: everything after `escalate`, and that must be a rung with its number and nothing else.
fn parse(line: &str) -> anyhow::Result<(Ask, bool)> {
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "escalate").skip(1);
    let refuse = || anyhow::anyhow!("this key may run `drone-agent escalate RUNG` and nothing else");
    let rung = RungName::from_str(words.next().ok_or_else(refuse)?, false).map_err(|_| refuse())?;
    let mut ask = Ask { rung: rung.into(), generation: 0, store_id: StoreId::default() };
    let mut json = false;
    while let Some(word) = words.next() {
        match word {
            "--json" => json = true,
            "--generation" => {
                ask.generation = words.next().and_then(|number| number.parse().ok()).ok_or_else(refuse)?;
            }
            "--store" => {
                let id = words.next().filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
                ask.store_id = StoreId(id.ok_or_else(refuse)?.to_owned());
            }
            _ => return Err(refuse()),
        }
    }
    Ok((ask, json))
}

fn told(outcome: &Escalated) -> String {
    match outcome {
        Escalated::Done { detail } => format!("done: {detail}"),
        Escalated::DryRun { detail } => format!("dry run: {detail}"),
        Escalated::Refused { detail, .. } => format!("not done: {detail}"),
        Escalated::Unknown => "the supervisor answered in a later version's words".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_command_takes_a_rung_with_its_number_and_nothing_else() {
        let (ask, json) =
            parse("sudo -n drone-agent escalate hard_restart --generation 9 --store 5e9d --json").unwrap();
        assert_eq!((ask.rung, ask.generation, ask.store_id.as_str(), json), (Rung::HardRestart, 9, "5e9d", true));
        let (ask, json) = parse("drone-agent escalate restart_service").unwrap();
        assert_eq!((ask.rung, ask.generation, json), (Rung::RestartService, 0, false));
        for bad in [
            "",
            "sh",
            "escalate",
            "drone-agent escalate format_disk",
            "drone-agent escalate restart_service; rm -rf /",
            "drone-agent escalate restart_service --generation",
            "drone-agent escalate restart_service --store $(id)",
            "drone-agent escalate restart_service --config /tmp/x",
            "rm -rf / ; echo",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
