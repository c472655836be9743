//! `swarm session …`

use clap::Subcommand;
use swarm_api::{Session, SessionDetail, SessionPackage, Sessions};

use super::client::Client;
use super::screen::{self, Screen};
use super::{Context, Problem};

/// `swarm session …`
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Sessions, newest first
    List,
    /// A session with its packages; the newest if none is named
    Show {
        /// Its number
        id: Option<u64>,
    },
}

/// Runs the command.
pub fn run(context: &Context, command: &SessionCommand) -> Result<(), Problem> {
    let client = context.client()?;
    match command {
        SessionCommand::List => {
            let sessions: Sessions = client.get("/api/v1/sessions")?;
            context.screen.show(&sessions, |sessions| list(&sessions.sessions, &context.screen))
        }
        SessionCommand::Show { id } => {
            let id = id.map_or_else(|| newest(&client), Ok)?;
            let detail: SessionDetail = client.get(&format!("/api/v1/sessions/{id}")).map_err(unknown)?;
            context.screen.show(&detail, |detail| render(detail, &context.screen))
        }
    }
}

/// Number of the newest session.
///
/// # Errors
/// When there is none.
pub fn newest(client: &Client) -> Result<u64, Problem> {
    let sessions: Sessions = client.get("/api/v1/sessions")?;
    let first = sessions.sessions.first().map(|session| session.id);
    first.ok_or_else(|| Problem::new("there is no session yet").next("`swarm queue add category/name` opens one"))
}

/// A session that is not there.
pub fn unknown(problem: Problem) -> Problem {
    problem.if_missing("`swarm session list` shows those there are")
}

fn list(sessions: &[Session], screen: &Screen) -> String {
    if sessions.is_empty() {
        return "there is no session yet; `swarm queue add CATEGORY/NAME` opens one\n".to_owned();
    }
    let mut table = screen.table(&["ID", "NAME", "STATE", "RECEIVED", "LEFT", "BLOCKED", "FAILED", "SINCE", "BY"]);
    for session in sessions {
        table.add_row([
            comfy_table::Cell::new(session.id),
            comfy_table::Cell::new(&session.name),
            screen::state(&session.status),
            comfy_table::Cell::new(format!("{}/{}", session.received, session.total_packages)),
            comfy_table::Cell::new(session.needed + session.delegated),
            comfy_table::Cell::new(session.blocked),
            comfy_table::Cell::new(session.failed),
            comfy_table::Cell::new(screen::time(session.started_at)),
            comfy_table::Cell::new(&session.opened_by),
        ]);
    }
    screen::text_of(&table)
}

/// One line on a session.
pub fn summary(session: &Session) -> String {
    let left = session.eta_s.map(|left| format!("; about {} left", screen::duration(left))).unwrap_or_default();
    format!(
        "session {} \"{}\" ({}): {} of {} received, {} needed, {} delegated, {} blocked, {} failed{left}",
        session.id,
        session.name,
        session.status,
        session.received,
        session.total_packages,
        session.needed,
        session.delegated,
        session.blocked,
        session.failed
    )
}

/// A session as text: the table, then what is wrong with what.
pub fn render(detail: &SessionDetail, screen: &Screen) -> String {
    let mut table = screen.table(&["PACKAGE", "USE", "STATE", "WHERE", "TOOK", "DONE IN", "SIZE"]);
    for package in &detail.packages {
        table.add_row([
            comfy_table::Cell::new(&package.package),
            comfy_table::Cell::new(if package.use_flags.is_empty() {
                "-".to_owned()
            } else {
                package.use_flags.join(" ")
            }),
            screen::state(&package.status),
            comfy_table::Cell::new(place(package)),
            comfy_table::Cell::new(took(package)),
            comfy_table::Cell::new(screen::or_dash(package.eta_s.map(screen::duration))),
            comfy_table::Cell::new(screen::or_dash(package.size_bytes.map(screen::size))),
        ]);
    }
    let mut text = format!("{}\n\n{}", screen.bold(&summary(&detail.session)), screen::text_of(&table));
    for package in detail.packages.iter().filter(|package| matches!(package.status.as_str(), "blocked" | "failed")) {
        text += &trouble(package, detail, screen);
    }
    text
}

/// What its build took, or is likely to take.
fn took(package: &SessionPackage) -> String {
    let took = package.duration_s.filter(|seconds| *seconds > 0.0).map(screen::duration);
    let likely = || package.estimated_s.map(|seconds| format!("about {}", screen::duration(seconds)));
    screen::or_dash(took.or_else(likely))
}

fn place(package: &SessionPackage) -> String {
    let drone = || screen::or_dash(package.drone.clone());
    match (package.how.as_deref(), &package.phase) {
        (Some("already_present"), _) => "already present".to_owned(),
        (Some("on_the_side"), _) => "on the side".to_owned(),
        (_, Some(phase)) => format!("{} ({phase})", drone()),
        _ if package.planning => "being planned".to_owned(),
        _ if package.status == "needed" && !package.waiting_for.is_empty() => {
            format!("waits for {}", package.waiting_for.join(", "))
        }
        _ => drone(),
    }
}

fn trouble(package: &SessionPackage, detail: &SessionDetail, screen: &Screen) -> String {
    let mut text = format!("\n{} is {}\n", screen.bold(&package.package), package.status);
    for reason in &package.reasons {
        text += &format!("    {reason}\n");
    }
    if let Some(line) = &package.log_line {
        text += &format!("    log: {}\n", line.trim());
    }
    let waits = |other: &&SessionPackage| other.waiting_for.contains(&package.package);
    let waiting: Vec<_> = detail.packages.iter().filter(waits).map(|other| other.package.as_str()).collect();
    if !waiting.is_empty() {
        text += &format!("    waiting for it: {}\n", waiting.join(", "));
    }
    text + &format!("    look: swarm log {}    again: swarm control unblock {}\n", package.id, package.package)
}
