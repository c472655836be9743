//! What `drone-agent escalate` does when no supervisor answers: the same rules, but the hands are the service manager's. It
//! never touches a running attempt.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use drone_core::Healing;
use drone_core::healing::{Decision, Done, Rung};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use swarm_common::errors::chain;
use swarm_protocol::order::{Escalated, EscalationRefusal};

use super::door::Ask;
use super::{manager, own, running};
use crate::attempt::AttemptDir;
use crate::config::Config;
use crate::machine_type::{self, ThisMachine};
use crate::spool::Spool;

/// A disk that gives no answer by then gives none at all.
const DISK: Duration = Duration::from_secs(3);

/// What is to be done after the answer was given.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing more.
    Nothing,
    /// Run this; the machine goes down with it.
    Reboot(Vec<String>),
}

/// Does what can be done, and says what.
pub fn act(config: &Config, ask: &Ask) -> (Escalated, After) {
    let spool = match Spool::open(&config.state_dir) {
        Ok(spool) => spool,
        Err(error) => return (failed(format!("the drone's memory can't be used: {error}")), After::Nothing),
    };
    let remembered = spool.clone();
    let last = on_disk(move || remembered.last_rung()).flatten();
    let detected = machine_type::detect(&ThisMachine).drone_type;
    let rules = Healing::new(own(detected, config.healing.reboot), last);
    let mut asked = match ask.asked(0) {
        Ok(asked) => asked,
        Err(answer) => return (answer, After::Nothing),
    };
    if asked.rung == Rung::RebootContainer {
        let dir = config.build_dir.clone();
        // what can't be looked at may well be running
        asked.running = on_disk(move || running(&dir)).unwrap_or(1);
    }
    match rules.decide(&asked) {
        Decision::Answer(answer) => (answer, After::Nothing),
        Decision::Act { done, only_if_kept } => carry_out(config, &spool, &done, only_if_kept),
    }
}

fn carry_out(config: &Config, spool: &Spool, done: &Done, only_if_kept: bool) -> (Escalated, After) {
    let reboot = manager::reboots(&config.healing, &ThisMachine);
    let restart = manager::restarts_agent(&config.healing, &ThisMachine);
    let command = if done.rung == Rung::RebootContainer { reboot } else { restart };
    let Some(command) = command else {
        let detail = match done.rung {
            Rung::RebootContainer => "no init system that reboots was found; set healing.reboot_command".to_owned(),
            Rung::RestartService | Rung::HardRestart => {
                "the supervisor does not answer, and no service manager was found; set healing.service_command"
                    .to_owned()
            }
        };
        return (failed(detail), After::Nothing);
    };
    if done.generation > 0 {
        let (spool, done) = (spool.clone(), done.clone());
        let kept = on_disk(move || spool.remember_rung(&done).is_ok()).unwrap_or(false);
        if only_if_kept && !kept {
            return (failed("the order could not be written down, so it is not done".to_owned()), After::Nothing);
        }
    }
    if done.rung == Rung::RebootContainer {
        return (done.outcome.clone(), After::Reboot(command));
    }
    let mut did = String::new();
    if done.rung == Rung::HardRestart {
        did = format!("{}; ", kill_agent(config, spool));
    }
    match manager::run(&command) {
        Ok(()) => {
            let detail = format!("the supervisor did not answer; {did}`{}` was told to restart it", command.join(" "));
            (Escalated::Done { detail }, After::Nothing)
        }
        Err(error) => (failed(format!("{did}{}", chain(&error))), After::Nothing),
    }
}

/// Kills supervisor and worker, and removes what they left half-made.
fn kill_agent(config: &Config, spool: &Spool) -> String {
    let mut killed = Vec::new();
    for role in ["supervisor", "worker"] {
        let holder = spool.holder(role).ok().flatten().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let Some(pid) = holder else { continue };
        // the worker leads a group of its own, in which its planners are; attempts are in sessions of theirs
        if role == "worker" && killpg(pid, Signal::SIGKILL).is_ok() || kill(pid, Signal::SIGKILL).is_ok() {
            killed.push(format!("{role} (pid {pid})"));
        }
    }
    let (build_dir, memory) = (config.build_dir.clone(), spool.clone());
    let swept = on_disk(move || AttemptDir::sweep(&build_dir).and_then(|()| memory.sweep()).is_ok());
    let swept = if swept == Some(true) { "" } else { ", what they left half-made could not be removed" };
    let killed = if killed.is_empty() {
        "no process of the agent was there".to_owned()
    } else {
        killed.join(" and ") + " killed"
    };
    format!("{killed}{swept}")
}

/// Runs `work` on a thread of its own; `None` if it takes too long. The thread is left to itself then.
fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::channel();
    let spawned = std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
        let _ = tell.send(work());
    });
    spawned.map_err(|error: io::Error| drop(error)).ok()?;
    told.recv_timeout(DISK).ok()
}

fn failed(detail: String) -> Escalated {
    Escalated::Refused { why: EscalationRefusal::Failed, detail }
}
