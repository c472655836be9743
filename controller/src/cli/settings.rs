//! `swarm settings …`: what may change while the controller runs. Goes to the administrators' port.

use clap::Subcommand;
use comfy_table::Cell;
use swarm_api::{AllSettings, SettingBody, SettingDone};

use super::client::Client;
use super::screen::{self, Screen};
use super::similar::nearest;
use super::{Context, Problem};

const PATH: &str = "/admin/api/config";

/// `swarm settings …`
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// What may change, and what it is now
    List,
    /// Change one; it holds at once and survives a restart
    Set {
        /// Which, e.g. rules.ground_for
        key: String,
        /// Its new value, written as in the configuration file: 90s, 10GiB, true
        value: String,
    },
    /// Give one back to the configuration file
    Reset {
        /// Which
        key: String,
    },
}

/// Runs the command.
pub fn run(context: &Context, command: &SettingsCommand) -> Result<(), Problem> {
    let client = context.client()?.admin()?;
    let (key, value) = match command {
        SettingsCommand::List => {
            let all: AllSettings = client.get(PATH)?;
            return context.screen.show(&all, |all| render(all, &context.screen));
        }
        SettingsCommand::Set { key, value } => (key, serde_json::Value::from(value.clone())),
        SettingsCommand::Reset { key } => (key, serde_json::Value::Null),
    };
    let body = SettingBody { key: key.clone(), value };
    let done: SettingDone = client.post(PATH, &body).map_err(|problem| known(&client, problem, key))?;
    context.screen.show(&done, |done| match done.status.as_str() {
        "no_change" => format!("{} is {} already", done.key, done.value),
        _ => format!("{} is {} from now on", done.key, done.value),
    })
}

fn known(client: &Client, problem: Problem, key: &str) -> Problem {
    // a key that is known but can't change says itself what to do
    if !problem.missing || problem.what.contains("can't change") {
        return problem;
    }
    let all: AllSettings = client.get(PATH).unwrap_or_default();
    match nearest(key, all.keys().map(String::as_str)) {
        Some(near) => problem.next(format!("did you mean {near}?")),
        None => problem.next("`swarm settings list` shows those there are"),
    }
}

/// The settings as text: those that were changed stand out.
pub fn render(all: &AllSettings, screen: &Screen) -> String {
    let mut table = screen::Noted::new(screen, &["KEY", "VALUE", "CHANGED", "BY", "WHAT IT DOES"]);
    for (key, setting) in all {
        let cells = vec![
            Cell::new(key),
            Cell::new(&setting.value),
            Cell::new(screen::or_dash(setting.updated_at.map(screen::time))),
            Cell::new(screen::or_dash(setting.updated_by.clone())),
        ];
        table.row(cells, Some(setting.description.clone()));
    }
    table.text()
}
