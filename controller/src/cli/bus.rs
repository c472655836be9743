//! `swarm bus …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use swarm_api::{BusAnswer, Member, MembersAnswer};
use swarm_common::errors::chain_once;

use super::client::segment;
use super::config::wrong;
use super::screen::{self, Screen};
use super::{Context, Problem};
use crate::bus::{gate, keys, permissions};
use crate::config::Config;
use crate::store::{OpenError, Store};

/// `swarm bus …`; alone it says how the bus is.
#[derive(Debug, Args)]
pub struct BusArgs {
    #[command(subcommand)]
    command: Option<BusCommand>,
}

/// What can be asked of the bus.
#[derive(Debug, Subcommand)]
pub enum BusCommand {
    /// Everyone who is let in, and who was
    Members {
        /// Those who left, too
        #[arg(long)]
        all: bool,
    },
    /// The users of the bus as nats-server reads them, for one that somebody else runs (bus.url)
    Permissions {
        /// Ask no controller: take the configuration, keys and store of this machine. For before its first start
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
        config: Option<PathBuf>,
    },
}

/// Runs the command.
pub fn run(context: &Context, args: &BusArgs) -> Result<(), Problem> {
    match &args.command {
        None => {
            let bus: BusAnswer = context.client()?.get_as_admin("/api/v1/bus")?;
            context.screen.show(&bus, render)
        }
        Some(BusCommand::Members { all }) => {
            let mut answer: MembersAnswer = context.client()?.get_as_admin("/api/v1/bus/members")?;
            answer.members.retain(|member| *all || member.standing == "in");
            context.screen.show(&answer, |answer| members(&answer.members, &context.screen))
        }
        Some(BusCommand::Permissions { config: None }) => {
            let text = context.client()?.text_as_admin("/api/v1/bus/permissions")?;
            context.screen.line(text.trim_end())
        }
        Some(BusCommand::Permissions { config: Some(file) }) => {
            let file = (!file.as_os_str().is_empty()).then_some(file.as_path());
            let config = Config::load(file, Vec::new()).map_err(wrong)?;
            context.screen.line(offline(&config)?.trim_end())
        }
    }
}

/// The users from what lies on this machine; keys that are missing are made, as the controller's first start would.
fn offline(config: &Config) -> Result<String, Problem> {
    let data = config.data_dir();
    let failed =
        |error: &dyn std::error::Error| Problem::new("can't say who is let onto the bus").with(chain_once(error));
    let own = match &config.bus.credentials {
        Some(path) => keys::read_seed(path).map(|(id, _)| id),
        None => keys::controller(&data.join("keys")).map(|own| own.id),
    };
    let own = own.map_err(|error| failed(&error))?;
    let path = data.join("state.redb");
    let mut membership = swarm_core::Membership::default();
    if path.exists() {
        let store = Store::open(&path).map_err(|error| match error {
            OpenError::InUse { .. } => Problem::new("the controller runs and has its store open")
                .next("ask it: `swarm bus permissions` without --config"),
            other => failed(&other),
        })?;
        let loaded = store
            .read()
            .and_then(|_| crate::engine::Loaded::load(&store, config.rules.clone()))
            .map_err(|error| failed(&error))?;
        membership = loaded.membership();
    }
    for name in &config.local_drones {
        let drone = keys::enrol_local(&data.join("drones"), name).map_err(|error| failed(&error))?;
        membership.drones.insert(swarm_protocol::DroneId(drone.id));
    }
    let text = permissions::render(&config.bus.prefix, &gate::members(own, &membership));
    text.map_err(|error| failed(&error))
}

/// The bus as text.
pub fn render(bus: &BusAnswer) -> String {
    let yes = |yes: bool, is: &str, is_not: &str| if yes { is.to_owned() } else { is_not.to_owned() };
    let mut text = format!(
        "bus         {}{}\nfor others  {}\nauthority   {}\nlet in      {} drones, {} tappers\n",
        bus.url,
        yes(bus.connected, "", "  (not connected)"),
        bus.public_url.clone().unwrap_or_else(|| "not reachable from other machines (bus.listen)".to_owned()),
        bus.authority.clone().unwrap_or_else(|| "none of its own".to_owned()),
        bus.drones,
        bus.tappers,
    );
    if !bus.managed {
        text += "users       kept by its operator: `swarm bus permissions` prints them\n";
    }
    text += "\ndropped, shed or refused since the controller's start:\n";
    for (name, count) in &bus.counters {
        text += &format!("  {count:>10}  {}\n", name.replace('_', " "));
    }
    text
}

/// Members as text.
pub fn members(members: &[Member], screen: &Screen) -> String {
    if members.is_empty() {
        return "nobody is let in; `swarm drone invite NAME` invites a drone\n".to_owned();
    }
    let mut table = screen.table(&["NAME", "ROLE", "STANDING", "CAME IN", "BY", "SINCE", "KEY"]);
    for member in members {
        let standing = match (&member.ended_by, member.ended_at) {
            (Some(by), Some(at)) => format!("{} by {by} {}", member.standing, screen::time(at)),
            _ => member.standing.clone(),
        };
        table.add_row([
            member.name.clone(),
            member.role.clone(),
            standing,
            member.origin.clone(),
            member.by.clone(),
            screen::time(member.since),
            member.id.clone(),
        ]);
    }
    format!("{table}\n")
}

/// The path of a tapper.
pub fn tapper_path(name: &str) -> String {
    format!("/api/v1/tappers/{}", segment(name))
}
