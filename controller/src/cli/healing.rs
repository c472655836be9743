//! `swarm healing`: the ladder of the whole fleet, its brakes, what was done lately.

use comfy_table::Cell;
use swarm_api::{Escalation, HealingStatus};

use super::drone::deed_line;
use super::screen::{self, Screen};
use super::{Context, Problem};

/// Deeds shown.
const DEEDS: usize = 10;

/// Runs the command.
pub fn run(context: &Context) -> Result<(), Problem> {
    let status: HealingStatus = context.client()?.admin()?.get("/admin/api/self-healing/status")?;
    context.screen.show(&status, |status| render(status, &context.screen))
}

/// The ladder as text.
pub fn render(status: &HealingStatus, screen: &Screen) -> String {
    let mut text = String::new();
    if !status.monitor_running {
        text += "self-healing is switched off (healing.enabled): drones are pinged and judged, nothing is done\n";
    }
    if status.in_grace {
        text += "held: the controller has just started and judges nobody yet\n";
    }
    if let Some(since) = status.cut_off_since {
        let since = screen::time(since);
        text +=
            &format!("held since {since}: more than half of the fleet is silent, so the controller may be cut off\n");
    }
    let troubled: Vec<&Escalation> =
        status.drones.iter().filter(|one| one.why.is_some() || one.acting.is_some()).collect();
    match (status.drones.len(), troubled.is_empty()) {
        (0, _) => text += "no drones yet; `swarm up` starts some on this machine\n",
        (count, true) => {
            text +=
                &format!("all {count} drones are well; a ping takes {:.2} ms on average\n", status.average_latency_ms);
        }
        (_, false) => text += &format!("{}\n", table(&troubled, screen)),
    }
    if status.channels.is_empty() {
        text += "people are told by no channel; see [notify] in controller.toml, then `swarm notify test`\n";
    } else {
        text += &format!("people are told by {}\n", status.channels.join(", "));
    }
    if !status.last_deeds.is_empty() {
        text += "\nlately:\n";
    }
    for one in status.last_deeds.iter().take(DEEDS) {
        text +=
            &format!("  {}  {}: {} ({})\n", screen::time(one.deed.at), one.drone, deed_line(&one.deed), one.deed.by);
    }
    text
}

fn table(troubled: &[&Escalation], screen: &Screen) -> String {
    let mut table = screen.table(&["NAME", "LEVEL", "SINCE", "NOW", "WHAT IS WRONG"]);
    for one in troubled {
        let now = one.acting.clone().or_else(|| one.held.as_ref().map(|held| format!("held: {held}")));
        let level = match one.level {
            4 => "4, with a person".to_owned(),
            level => level.to_string(),
        };
        table.add_row([
            Cell::new(&one.name),
            Cell::new(level),
            Cell::new(screen::or_dash(one.since.map(screen::time))),
            Cell::new(now.unwrap_or_else(|| "waits".to_owned())),
            Cell::new(one.why.as_deref().unwrap_or("a level by hand")),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_the_ladder_says_what_it_is_and_what_to_do() {
        let screen = Screen::default();
        let mut status = HealingStatus { monitor_running: true, ..HealingStatus::default() };
        let empty = render(&status, &screen);
        assert!(empty.contains("swarm up") && empty.contains("swarm notify test"), "{empty}");
        status.drones = vec![Escalation { name: "d1".to_owned(), ..Escalation::default() }];
        status.channels = vec!["mail".to_owned()];
        let well = render(&status, &screen);
        assert!(well.contains("all 1 drones are well") && well.contains("told by mail"), "{well}");
        status.cut_off_since = Some(1_700_000_000.0);
        status.drones[0] =
            Escalation { level: 4, why: Some("it does not answer".to_owned()), ..status.drones[0].clone() };
        let cut = render(&status, &screen);
        assert!(cut.contains("more than half") && cut.contains("4, with a person"), "{cut}");
        status.monitor_running = false;
        assert!(render(&status, &screen).contains("healing.enabled"));
    }
}
