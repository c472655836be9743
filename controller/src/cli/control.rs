//! `swarm control …` and `swarm drone …`

use clap::Subcommand;
use serde_json::Value;

use super::client::{Client, segment};
use super::invite::{self, InviteArgs};
use super::problem::Exit;
use super::wait::{LOOK, MAX_SILENT};
use super::{Context, Problem};
use crate::http::views::{ControlBody, Drone, DroneDone};

/// `swarm control …`
#[derive(Debug, Subcommand)]
pub enum ControlCommand {
    /// Give out no work
    Pause,
    /// Give out work again
    Resume,
    /// Blocked packages back to needed
    Unblock {
        /// Only this package
        package: Option<String>,
    },
    /// Block a package until somebody unblocks it
    Block {
        /// The package
        package: String,
    },
    /// Take back work of offline drones, or of one drone
    Reclaim {
        /// The drone
        drone: Option<String>,
    },
    /// End groundings and upload impairments
    Unground {
        /// Only this drone
        drone: Option<String>,
    },
    /// Everything not received back to needed, failures forgotten
    Reset,
    /// Take back work that has not begun
    Rebalance,
    /// Forget failures
    ClearFailures {
        /// Only of this package
        package: Option<String>,
    },
    /// Blocked and failed packages back to needed, failures forgotten
    RetryFailures {
        /// Only this package
        package: Option<String>,
    },
    /// Forget the history of attempts
    ClearHistory,
}

impl ControlCommand {
    fn body(&self) -> ControlBody {
        let (action, package, drone) = match self {
            Self::Pause => ("pause", None, None),
            Self::Resume => ("resume", None, None),
            Self::Unblock { package } => ("unblock", package.clone(), None),
            Self::Block { package } => ("block", Some(package.clone()), None),
            Self::Reclaim { drone } => ("reclaim", None, drone.clone()),
            Self::Unground { drone } => ("unground", None, drone.clone()),
            Self::Reset => ("reset", None, None),
            Self::Rebalance => ("rebalance", None, None),
            Self::ClearFailures { package } => ("clear_failures", package.clone(), None),
            Self::RetryFailures { package } => ("retry_failures", package.clone(), None),
            Self::ClearHistory => ("clear_history", None, None),
        };
        ControlBody { action: action.to_owned(), package, drone, drone_id: None }
    }
}

/// Runs `swarm control …`.
pub fn run(context: &Context, command: &ControlCommand) -> Result<(), Problem> {
    let body = command.body();
    let answer: Value = context.client()?.post("/api/v1/control", &body)?;
    context.screen.show(&answer, |answer| render(&body, answer))
}

/// What a control did, as text.
pub fn render(body: &ControlBody, answer: &Value) -> String {
    let counts = ["unblocked", "blocked", "affected", "reclaimed", "cleared", "requeued", "ungrounded"];
    let count = counts.iter().find_map(|name| Some((*name, answer.get(*name)?.as_u64()?)));
    let of = body.package.as_ref().or(body.drone.as_ref()).map(|of| format!(" {of}")).unwrap_or_default();
    match (count, answer["status"].as_str()) {
        (Some((_, 0)), _) => format!("{}{of}: nothing to do", body.action),
        (Some((word, count)), _) => format!("{}{of}: {word} {count}", body.action),
        (None, Some(status)) => format!("the swarm is {status}"),
        (None, None) => body.action.clone(),
    }
}

/// `swarm drone …`
#[derive(Debug, Subcommand)]
pub enum DroneCommand {
    /// No new work; what runs goes on
    Pause {
        /// Name or identity
        name: String,
    },
    /// End a pause or a drain
    Resume {
        /// Name or identity
        name: String,
    },
    /// Empty it: no new work, and out once what runs has ended
    Drain {
        /// Name or identity
        name: String,
        /// Wait until it is empty
        #[arg(long)]
        wait: bool,
    },
    /// Forget it; it must be offline
    Forget {
        /// Name or identity
        name: String,
    },
    /// Cut it off at once, whatever it does; its key is never let in again
    Revoke {
        /// Name or identity
        name: String,
    },
    /// Invite a drone of another machine, or look at invitations and take them back
    Invite(InviteArgs),
}

/// Runs `swarm drone …`.
pub fn drone(context: &Context, command: &DroneCommand) -> Result<(), Problem> {
    let client = context.client()?;
    let node = |name: &str| format!("/api/v1/nodes/{}", segment(name));
    let done: DroneDone = match command {
        DroneCommand::Pause { name } => client.post(&format!("{}/pause", node(name)), &())?,
        DroneCommand::Resume { name } => client.post(&format!("{}/resume", node(name)), &())?,
        DroneCommand::Drain { name, wait } => {
            let done: DroneDone = client.post(&format!("{}/drain", node(name)), &())?;
            if *wait { drained(&client, done.name)? } else { done }
        }
        DroneCommand::Forget { name } => client.delete(&node(name))?,
        DroneCommand::Revoke { name } => client.post(&format!("{}/revoke", node(name)), &())?,
        DroneCommand::Invite(args) => return invite::run(context, args),
    };
    context.screen.show(&done, |done| format!("{} is {}", done.name, done.status))
}

/// Waits until a drain has ended.
fn drained(client: &Client, name: String) -> Result<DroneDone, Problem> {
    let mut silent = 0;
    loop {
        match client.get::<Vec<Drone>>("/api/v1/nodes?all=true").map(|drones| standing(&drones, &name)) {
            Ok(Draining::Over) => return Ok(DroneDone { status: "drained".to_owned(), name }),
            Ok(Draining::GivenUp) => {
                return Err(Problem::new(format!("{name} is drained no more: somebody resumed or forgot it")));
            }
            Ok(Draining::Goes) => silent = 0,
            // the controller may be starting anew
            Err(problem) if problem.exit == Exit::Unreachable && silent < MAX_SILENT => silent += 1,
            Err(problem) => return Err(problem),
        }
        std::thread::sleep(LOOK);
    }
}

/// How a drain stands.
#[derive(Debug, PartialEq, Eq)]
enum Draining {
    Goes,
    Over,
    GivenUp,
}

fn standing(drones: &[Drone], name: &str) -> Draining {
    match drones.iter().find(|drone| drone.name == name).map(|drone| &drone.facts) {
        Some(facts) if facts.drained.is_some() => Draining::Over,
        Some(facts) if facts.draining.is_some() => Draining::Goes,
        _ => Draining::GivenUp,
    }
}
