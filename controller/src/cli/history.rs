//! `swarm history`.

use clap::Args;
use comfy_table::Cell;
use swarm_api::History;

use super::client::segment;
use super::screen::{self, Screen};
use super::{Context, Problem};

/// Which attempts.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 30, value_name = "COUNT")]
    limit: usize,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<u64>,
    /// Only these: success, failed, returned
    #[arg(long, value_parser = ["success", "failed", "returned"])]
    status: Option<String>,
    /// Only this drone
    #[arg(long, value_name = "NAME")]
    drone: Option<String>,
}

/// Runs the command.
pub fn run(context: &Context, args: &HistoryArgs) -> Result<(), Problem> {
    let mut path = format!("/api/v1/history?limit={}", args.limit);
    if let Some(session) = args.session {
        path += &format!("&session={session}");
    }
    for (name, value) in [("status", &args.status), ("drone", &args.drone)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", segment(value));
        }
    }
    let history: History = context.client()?.get(&path)?;
    let chosen = args.session.is_some() || args.status.is_some() || args.drone.is_some();
    context.screen.show(&history, |history| match history.history.is_empty() && chosen {
        true => "no attempt fits; `swarm history` shows all of them".to_owned(),
        false => render(history, &context.screen),
    })
}

/// The history as text.
pub fn render(history: &History, screen: &Screen) -> String {
    if history.history.is_empty() {
        return "no attempt has ended yet\n".to_owned();
    }
    let heads = ["WHEN", "PACKAGE", "BUILD", "DRONE", "END", "TOOK", "FAULT", "WHY"];
    let mut table = screen::Noted::new(screen, &heads);
    let when = if screen.width.is_some() { screen::short_time } else { screen::time };
    for entry in &history.history {
        let cells = vec![
            Cell::new(when(entry.built_at)),
            Cell::new(&entry.package),
            Cell::new(format!("{}.{}", entry.build, entry.attempt)),
            Cell::new(&entry.drone_name),
            screen::state(&entry.status),
            Cell::new(screen::duration(entry.duration_seconds)),
            Cell::new(screen::or_dash(entry.culprit.clone())),
        ];
        table.row(cells, entry.error_message.clone());
    }
    let stats = &history.stats;
    let total = screen::duration(stats.total_duration_s);
    let sums = format!("{} attempts, {} % successful, {total} of building", stats.total_builds, stats.success_rate);
    format!("{}\nin all: {sums}\n", table.text())
}
