//! `swarm control …` and `swarm drone …`

use clap::Subcommand;
use serde_json::Value;
use swarm_api::{ControlBody, Drone, DroneDone};

use super::client::{Client, segment};
use super::drone::DroneHealing;
use super::invite::{self, InviteArgs};
use super::problem::Exit;
use super::progress::Steps;
use super::wait::{LOOK, MAX_SILENT};
use super::{Context, Problem, similar};

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
    /// End upload impairments
    ResetUpload {
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
            Self::ResetUpload { drone } => ("reset_upload", None, drone.clone()),
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
    let client = context.client()?;
    let answer: Value =
        client.post("/api/v1/control", &body).map_err(|problem| match (&body.package, &body.drone) {
            (Some(package), _) => similar::package(&client, problem, package),
            (None, Some(drone)) => similar::drone(&client, problem, drone),
            (None, None) => problem,
        })?;
    context.screen.show(&answer, |answer| render(&body, answer))
}

/// What a control did, as text.
pub fn render(body: &ControlBody, answer: &Value) -> String {
    let counts = ["unblocked", "blocked", "affected", "reclaimed", "cleared", "requeued", "ungrounded", "reset"];
    let count = counts.iter().find_map(|name| Some((*name, answer.get(*name)?.as_u64()?)));
    let of = body.package.as_ref().or(body.drone.as_ref()).map(|of| format!(" {of}")).unwrap_or_default();
    // as it was typed, not as the façade calls it
    let action = body.action.replace('_', "-");
    match (count, answer["status"].as_str()) {
        (Some((_, 0)), _) => format!("{action}{of}: nothing to do"),
        (Some((word, count)), _) => format!("{action}{of}: {word} {count}"),
        (None, Some(status)) => format!("the swarm is {status}"),
        (None, None) => action,
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
    /// Its health.
    #[command(flatten)]
    Healing(DroneHealing),
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
    if let DroneCommand::Healing(order) = command {
        return super::drone::run(context, order);
    }
    let client = context.client()?;
    let node = |name: &str| format!("/api/v1/nodes/{}", segment(name));
    let (name, done) = match command {
        DroneCommand::Pause { name } => (name, client.post::<DroneDone>(&format!("{}/pause", node(name)), &())),
        DroneCommand::Resume { name } => (name, client.post(&format!("{}/resume", node(name)), &())),
        DroneCommand::Drain { name, .. } => (name, client.post(&format!("{}/drain", node(name)), &())),
        DroneCommand::Forget { name } => (name, client.delete(&node(name))),
        DroneCommand::Revoke { name } => (name, client.post(&format!("{}/revoke", node(name)), &())),
        DroneCommand::Healing(_) => return Ok(()),
        DroneCommand::Invite(args) => return invite::run(context, args),
    };
    let done = done.map_err(|problem| similar::drone(&client, problem, name))?;
    let waited = matches!(command, DroneCommand::Drain { wait: true, .. });
    if waited {
        until_empty(context, &client, &done.name)?;
    }
    context.screen.show(&done, |done| match done.status.as_str() {
        "paused" => format!("{} is paused: it gets no new work, what it builds goes on", done.name),
        "resumed" => format!("{} takes work again", done.name),
        "draining" if waited => format!("{} is empty, and gets no work until it is resumed", done.name),
        "draining" => format!("{} is draining; `swarm fleet` shows when it is empty", done.name),
        other => format!("{} is {other}", done.name),
    })
}

/// Waits until a drain has ended, and says what it still waits for.
fn until_empty(context: &Context, client: &Client, name: &str) -> Result<(), Problem> {
    let steps = Steps::new(&context.screen);
    let (mut silent, mut said) = (0, String::new());
    loop {
        match client.get::<Vec<Drone>>("/api/v1/nodes?all=true").map(|drones| standing(&drones, name)) {
            Ok(Draining::Over) => return Ok(()),
            Ok(Draining::GivenUp) => {
                return Err(Problem::new(format!("{name} is drained no more: somebody resumed or forgot it")));
            }
            Ok(Draining::Goes(held)) => {
                silent = 0;
                let step = format!("{name} still has {}", held.join(", "));
                if step != said {
                    steps.now(&step);
                    said = step;
                }
            }
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
    Goes(Vec<String>),
    Over,
    GivenUp,
}

fn standing(drones: &[Drone], name: &str) -> Draining {
    match drones.iter().find(|drone| drone.name == name) {
        Some(drone) if drone.facts.drained.is_some() => Draining::Over,
        Some(drone) if drone.facts.draining.is_some() => Draining::Goes(drone.assigned_packages.clone()),
        _ => Draining::GivenUp,
    }
}
