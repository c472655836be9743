//! `swarm status`.

use swarm_api::Status;

use super::screen::{self, Screen};
use super::{Context, Problem};

/// Runs the command.
pub fn run(context: &Context) -> Result<(), Problem> {
    let status: Status = context.client()?.get("/api/v1/status")?;
    context.screen.show(&status, |status| render(status, &context.screen))
}

/// The overview as text.
pub fn render(status: &Status, screen: &Screen) -> String {
    let paused = if status.paused { "  PAUSED" } else { "" };
    let mut text = format!("{}{paused}\n", screen.bold(&format!("Build Swarm {}", status.version)));
    text +=
        &format!("drones    {} of {} online, {} processors\n", status.nodes_online, status.nodes, status.total_cores);
    if let Some(since) = status.cut_off {
        let since = screen::time(since);
        text += &screen.bold(&format!("CUT OFF   since {since}: most drones fell silent at once; nobody is judged\n"));
    }
    match &status.session {
        Some(session) => {
            let age = screen::time(session.started_at);
            text += &format!("session   {} \"{}\", by {}, since {age}\n", session.id, session.name, session.opened_by);
        }
        None => text += "session   none open\n",
    }
    let waiting = if status.waiting > 0 { format!(" ({} waiting for others)", status.waiting) } else { String::new() };
    text += &format!(
        "packages  {} of {} received, {} needed{waiting}, {} delegated, {} blocked, {} failed\n",
        status.received, status.total, status.needed, status.delegated, status.blocked, status.failed
    );
    if let Some(left) = status.eta_s {
        text += &format!("left      about {}\n", screen::duration(left));
    }
    let timing = &status.timing;
    if timing.total_builds > 0 {
        let mean = screen::duration(timing.avg_duration_s);
        text +=
            &format!("builds    {} so far, {} % successful, {mean} each\n", timing.total_builds, timing.success_rate);
    }
    let building: Vec<_> =
        status.drones.values().flat_map(|drone| drone.build_progress.iter().map(move |p| (drone, p))).collect();
    if !building.is_empty() {
        let mut table = screen.table(&["DRONE", "BUILDS", "PHASE", "FOR", "OF ABOUT", "DONE IN"]);
        for (drone, progress) in building {
            let estimate = progress.estimated_s.map(screen::duration);
            let elapsed = screen::duration(progress.elapsed_s);
            let left = screen::or_dash(progress.eta_s.map(screen::duration));
            let estimate = screen::or_dash(estimate);
            table.add_row([&drone.name, &progress.package, &progress.phase, &elapsed, &estimate, &left]);
        }
        text += &format!("\n{}", screen::text_of(&table));
    }
    for warning in &status.warnings {
        text += &format!("\nwarning   {warning}\n");
    }
    if !status.packages.blocked.is_empty() {
        text += &format!("\nblocked   {}\n", status.packages.blocked.join(", "));
        text += "          `swarm session show` and `swarm why PACKAGE` say why\n";
    }
    text
}
