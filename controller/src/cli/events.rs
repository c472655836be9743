//! `swarm events`.

use clap::{Args, Subcommand};

use super::client::{Client, segment};
use super::problem::Exit;
use super::screen::{self, Screen};
use super::tapper::{self, TapperArgs};
use super::{Context, Problem};
use crate::http::views::{Event, Events};

/// Which events.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EventsArgs {
    #[command(subcommand)]
    command: Option<EventsCommand>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    limit: usize,
    /// Only this kind: assign, complete, fail, blocked, …
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<String>,
    /// Go on and show what happens
    #[arg(long, short)]
    follow: bool,
}

/// `swarm events …`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Let a program read the events on the bus, and nothing else
    Tapper(TapperArgs),
}

/// Runs the command.
pub fn run(context: &Context, args: &EventsArgs) -> Result<(), Problem> {
    if let Some(EventsCommand::Tapper(args)) = &args.command {
        return tapper::run(context, args);
    }
    let client = context.client()?;
    let kind = args.kind.as_ref().map(|kind| format!("&type={}", segment(kind))).unwrap_or_default();
    let events: Events = client.get(&format!("/api/v1/events?limit={}{kind}", args.limit))?;
    if !args.follow {
        return context.screen.show(&events, |events| events.events.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    print(&context.screen, &events.events)?;
    follow(&client, events.latest_id, &kind, |events| print(&context.screen, events))
}

/// Gives every event after `since` to `each`, for ever. A controller that is away is waited for.
///
/// # Errors
/// When it refuses, or `each` does.
pub fn follow(
    client: &Client,
    mut since: u64,
    kind: &str,
    mut each: impl FnMut(&[Event]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    loop {
        match next(client, since, kind, 20) {
            Ok(events) => {
                each(&events.events)?;
                since = events.latest_id.max(since);
                if since == 0 {
                    std::thread::sleep(std::time::Duration::from_secs(1));
                }
            }
            Err(problem) if problem.exit == Exit::Unreachable => std::thread::sleep(std::time::Duration::from_secs(2)),
            Err(problem) => return Err(problem),
        }
    }
}

/// Events after `since`, waiting up to `wait` seconds for one.
///
/// # Errors
/// When the controller does not answer.
pub fn next(client: &Client, since: u64, kind: &str, wait: u64) -> Result<Events, Problem> {
    client.get(&format!("/api/v1/events?since={since}&wait={wait}{kind}"))
}

fn print(screen: &Screen, events: &[Event]) -> Result<(), Problem> {
    for event in events {
        // one JSON object a line, for programs that follow
        let text = if screen.json { serde_json::to_string(event).unwrap_or_default() } else { line(event) };
        screen.line(&text)?;
    }
    Ok(())
}

/// An event in a line.
pub fn line(event: &Event) -> String {
    format!("{}  {:<10} {}", screen::time(event.timestamp), event.r#type, event.message)
}
