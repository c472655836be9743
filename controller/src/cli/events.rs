//! `swarm events`.

use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand};
use swarm_api::{Event, Events};

use super::client::{Client, segment};
use super::problem::Exit;
use super::screen::{self, Screen};
use super::tapper::{self, TapperArgs};
use super::{Context, Problem};

/// Before a stream that broke off is opened again.
const AGAIN: Duration = Duration::from_secs(1);

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
    /// Only of this drone
    #[arg(long, value_name = "NAME")]
    drone: Option<String>,
    /// Everything after this event, by its number
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
    /// Go on and show what happens, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// `swarm events …`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Let a program read the events on the bus, and nothing else
    Tapper(TapperArgs),
}

impl EventsArgs {
    /// What chooses events, for a query string.
    fn chosen(&self) -> String {
        [("type", &self.kind), ("drone", &self.drone)]
            .iter()
            .filter_map(|(name, value)| Some(format!("&{name}={}", segment(value.as_deref()?))))
            .collect()
    }
}

/// Runs the command.
pub fn run(context: &Context, args: &EventsArgs) -> Result<(), Problem> {
    if let Some(EventsCommand::Tapper(args)) = &args.command {
        return tapper::run(context, args);
    }
    let (client, screen) = (context.client()?, &context.screen);
    // with `-n 0` nothing but what comes
    let events = if args.limit == 0 && args.follow {
        Events { events: Vec::new(), latest_id: newest(&client)? }
    } else {
        past(&client, args)?
    };
    if !args.follow {
        return screen.show(&events, |events| render(events, args));
    }
    print(screen, &events.events)?;
    follow(&client, events.latest_id, &args.chosen(), screen, |event| print(screen, std::slice::from_ref(event)))
}

fn past(client: &Client, args: &EventsArgs) -> Result<Events, Problem> {
    let since = args.since.map(|since| format!("&since={since}")).unwrap_or_default();
    let mut events: Events =
        client.get(&format!("/api/v1/events?limit={}{}{since}", args.limit.max(1), args.chosen()))?;
    events.latest_id = events.latest_id.max(args.since.unwrap_or(0));
    Ok(events)
}

fn newest(client: &Client) -> Result<u64, Problem> {
    Ok(client.get::<Events>("/api/v1/events?limit=1")?.latest_id)
}

fn render(events: &Events, args: &EventsArgs) -> String {
    if events.events.is_empty() {
        return match (&args.kind, &args.drone) {
            (None, None) => "nothing has happened yet".to_owned(),
            _ => "nothing of that kind has happened; `swarm events` shows everything".to_owned(),
        };
    }
    events.events.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Gives every event after `since` to `each`, for ever. A controller that goes away is waited for, and that is said once.
///
/// # Errors
/// When it refuses, or `each` does.
pub fn follow(
    client: &Client,
    mut since: u64,
    chosen: &str,
    screen: &Screen,
    mut each: impl FnMut(&Event) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut away = false;
    loop {
        match client.told(&format!("/api/v1/events/stream?since={since}{chosen}"), None) {
            Ok(stream) => {
                if std::mem::take(&mut away) {
                    screen.note("the controller is back");
                }
                for told in stream.map_while(Result::ok) {
                    since = told.id.unwrap_or(since);
                    if let Ok(event) = serde_json::from_str::<Event>(&told.data) {
                        each(&event)?;
                    }
                }
            }
            Err(problem) if problem.exit == Exit::Unreachable => {
                if !std::mem::replace(&mut away, true) {
                    screen.note(&format!("{}; waiting for it", problem.what));
                }
            }
            Err(problem) => return Err(problem),
        }
        sleep(AGAIN);
    }
}

/// One JSON object a line, for programs that follow; text else.
pub fn print(screen: &Screen, events: &[Event]) -> Result<(), Problem> {
    for event in events {
        let text = if screen.json { serde_json::to_string(event).unwrap_or_default() } else { line(event) };
        screen.line(&text)?;
    }
    Ok(())
}

/// An event in a line.
pub fn line(event: &Event) -> String {
    format!("{}  {:<10} {}", screen::time(event.timestamp), event.r#type, event.message)
}
