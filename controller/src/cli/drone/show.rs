//! `swarm drone show`: everything about a drone, and what comes next.

use serde::Serialize;

use super::wish::wishes_of;
use crate::cli::client::{Client, segment};
use crate::cli::problem::Problem;
use crate::cli::screen;
use swarm_api::{DeedView, Drone, DroneEscalation, DroneFact, DroneWishes, LastPing};

/// Everything about a drone.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    node: Drone,
    escalation: DroneEscalation,
    wishes: DroneWishes,
}

impl Shown {
    /// Asks for all of it.
    pub(super) fn of(client: &Client, name: &str) -> Result<Self, Problem> {
        let nodes: Vec<Drone> = client.get("/api/v1/nodes?all=true")?;
        let node = nodes.into_iter().find(|node| node.name == name || node.id == name).ok_or_else(|| {
            Problem::new(format!("there is no drone {name}")).next("`swarm fleet` shows those there are")
        })?;
        let admin = client.admin()?;
        let escalation = admin.get(&format!("/admin/api/drones/{}/escalation", segment(name)))?;
        let wishes = admin.get(&format!("/admin/api/drone-configs/{}", segment(name)))?;
        Ok(Self { node, escalation, wishes })
    }
}

/// A drone as text.
pub(super) fn render(shown: &Shown) -> String {
    let Shown { node, escalation, wishes } = shown;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name:<12} {text}"));
    let title = node.display_name.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
    line("name", format!("{}{title}, {}, {}, agent {}", node.name, node.status, node.ip, node.version));
    line("identity", node.id.clone());
    line("machine", format!("{} cores, {} GiB, {}", node.cores, node.ram_gb, node.arch));
    line("type", type_of(escalation));
    for evidence in &escalation.evidence {
        line("", evidence.clone());
    }
    line("reboots", reboots_of(node, escalation, wishes));
    line("health", health_of(node, escalation));
    line("round trip", round_trip(&escalation.ping));
    if !node.assigned_packages.is_empty() {
        line("builds", node.assigned_packages.join(", "));
    }
    for (word, fact) in facts(node) {
        line(word, fact);
    }
    for wish in wishes_of(wishes) {
        line("wish", wish);
    }
    for deed in &escalation.deeds {
        line("tried", format!("{} {}", screen::time(deed.at), deed_line(deed)));
    }
    if let Some(last) = escalation.last.as_ref().filter(|last| !escalation.deeds.contains(last)) {
        line("last", format!("{} {} (by {})", screen::time(last.at), deed_line(last), last.by));
    }
    if !wishes.ssh_host_keys_offered.is_empty() {
        line("SSH key", "it names other host keys than it is known by; see `swarm drone ssh-key`".to_owned());
    }
    if let Some(next) = next_of(escalation) {
        line("next", next);
    }
    lines.join("\n")
}

fn type_of(escalation: &DroneEscalation) -> String {
    match &escalation.type_override {
        Some(word) => format!("{word} by the operator's word; {} by its own detection", escalation.detected_type),
        None => escalation.drone_type.clone(),
    }
}

fn reboots_of(node: &Drone, escalation: &DroneEscalation, wishes: &DroneWishes) -> String {
    let may = match () {
        () if node.capabilities.auto_reboot && escalation.own_reboot == "dry-run" => "only said, not done (dry-run)",
        () if node.capabilities.auto_reboot => "allowed",
        () if wishes.protected => "never: it is protected",
        () if wishes.auto_reboot == Some(false) => "never: its operator does not want it",
        () if escalation.own_reboot == "never" => "never: its own configuration forbids it",
        () => "never: only lxc and qemu are",
    };
    format!("{may}; {} within the last day", escalation.reboots_today)
}

fn health_of(node: &Drone, escalation: &DroneEscalation) -> String {
    let worker = format!("worker {}", node.worker);
    let Some(why) = &escalation.why else {
        let recovered = escalation.last_time_to_recovery_s.map(screen::duration);
        let recovered = recovered.map(|took| format!("; last recovered in {took}")).unwrap_or_default();
        return format!("well, {worker}{recovered}");
    };
    let since = escalation.since.map(screen::time).unwrap_or_default();
    let held = escalation.held.as_ref().map(|held| format!("; held: {held}")).unwrap_or_default();
    format!("level {} since {since}: {why}, {worker}{held}", escalation.escalation_level)
}

fn round_trip(ping: &LastPing) -> String {
    let skew = ping.clock_skew_ms.map_or("not known".to_owned(), |skew| format!("{skew:+} ms"));
    if ping.latency.count == 0 {
        return format!("no answer yet; clock {skew}");
    }
    let latency = &ping.latency;
    format!(
        "min {:.2}, median {:.2}, p99 {:.2} ms of {} in the last hour; {} missed; clock {skew}",
        latency.min_ms, latency.median_ms, latency.p99_ms, latency.count, ping.misses
    )
}

fn facts(node: &Drone) -> Vec<(&'static str, String)> {
    let facts = &node.facts;
    let all = [
        ("paused", &facts.paused),
        ("draining", &facts.draining),
        ("grounded", &facts.grounded),
        ("impaired", &facts.upload_impaired),
    ];
    let line = |fact: &DroneFact| format!("by {} since {}: {}", fact.by, screen::time(fact.since), fact.reason);
    all.into_iter().filter_map(|(word, fact)| Some((word, line(fact.as_ref()?)))).collect()
}

/// A deed in a line.
pub(in crate::cli) fn deed_line(deed: &DeedView) -> String {
    format!("{} by {}: {}: {}", deed.action, deed.route, deed.outcome, deed.detail)
}

fn next_of(escalation: &DroneEscalation) -> Option<String> {
    escalation.why.as_ref()?;
    let name = &escalation.drone;
    Some(match (&escalation.acting, escalation.next_not_before, escalation.escalation_level) {
        (Some(acting), _, _) => format!("{acting} is under way"),
        (None, _, 4) => format!("look at it; `swarm drone reset {name}` starts the ladder anew"),
        (None, Some(at), _) => format!("the next level not before {}", screen::time(at)),
        (None, None, _) => "the next level at once, unless something holds it back".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_api::Latency;

    #[test]
    fn what_was_tried_and_what_comes_next_is_shown() {
        let deed = DeedView {
            action: "hard_restart".to_owned(),
            route: "ssh".to_owned(),
            outcome: "failed".to_owned(),
            detail: "no route to host".to_owned(),
            by: "swarm".to_owned(),
            at: 1_700_000_000.0,
        };
        assert_eq!(deed_line(&deed), "hard_restart by ssh: failed: no route to host");
        let mut escalation = DroneEscalation { drone: "d1".to_owned(), ..DroneEscalation::default() };
        assert_eq!(next_of(&escalation), None, "nothing is wrong");
        escalation.why = Some("silent".to_owned());
        escalation.escalation_level = 4;
        assert!(next_of(&escalation).unwrap().contains("swarm drone reset d1"));
        let ping = LastPing { latency: Latency { count: 3, ..Latency::default() }, ..LastPing::default() };
        assert!(round_trip(&ping).contains("of 3 in the last hour"));
    }
}
