//! `swarm drone ping`: a drone pinged now, all at once, or the last pings.

use comfy_table::Cell;

use crate::cli::client::{Client, segment};
use crate::cli::problem::Problem;
use crate::cli::screen::{self, Screen};
use swarm_api::{LastPings, PingAllAnswer, PingAnswer};

/// Pings one drone.
pub(super) fn ping(client: &Client, screen: &Screen, name: &str) -> Result<(), Problem> {
    let answer: PingAnswer = client.get(&format!("/api/v1/ping?name={}", segment(name)))?;
    screen.show(&answer, render_ping)?;
    match answer.error {
        None => Ok(()),
        // what was asked is on the screen; the status is for scripts
        Some(error) => Err(Problem::new(format!("{name}: {error}")).next(format!("`swarm drone show {name}`"))),
    }
}

/// A ping as a line.
fn render_ping(answer: &PingAnswer) -> String {
    let Some(metrics) = &answer.metrics else {
        return format!("{}: {}", answer.drone, answer.error.as_deref().unwrap_or(&answer.status));
    };
    format!(
        "{}: {} ms, load {:.2}, memory {:.0} %, disk {:.0} %, worker {}, {} build(s), clock {:+} ms",
        answer.drone,
        answer.latency_ms.unwrap_or_default(),
        metrics.load,
        metrics.mem_percent,
        metrics.disk_percent,
        metrics.worker,
        metrics.builds,
        answer.clock_skew_ms.unwrap_or_default(),
    )
}

/// A broadcast as text.
pub(super) fn render_all(all: &PingAllAnswer, screen: &Screen) -> String {
    if all.drones.is_empty() {
        return "no drones yet; `swarm up` starts some on this machine".to_owned();
    }
    let mut table = screen.table(&["NAME", "ANSWER", "ROUND TRIP", "LOAD", "WORKER", "BUILDS"]);
    for one in &all.drones {
        let number = |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.2}{unit}"));
        table.add_row([
            Cell::new(&one.drone),
            Cell::new(one.error.as_deref().unwrap_or(&one.status)),
            Cell::new(number(one.latency_ms, " ms")),
            Cell::new(number(one.load, "")),
            Cell::new(one.metrics.as_ref().map_or("-", |metrics| metrics.worker.as_str())),
            Cell::new(one.metrics.as_ref().map_or("-".to_owned(), |metrics| metrics.builds.to_string())),
        ]);
    }
    format!("{table}\n{} of {} answered", all.answered, all.pinged)
}

/// The last pings as text.
pub(super) fn render_last(last: &LastPings, screen: &Screen) -> String {
    if last.drones.is_empty() {
        return "no drones yet; `swarm up` starts some on this machine".to_owned();
    }
    let mut table = screen.table(&["NAME", "STATE", "LAST PONG", "MISSED", "MIN", "MEDIAN", "P99", "CLOCK"]);
    for (name, ping) in &last.drones {
        let ms = |value: f64| if ping.latency.count == 0 { "-".to_owned() } else { format!("{value:.2} ms") };
        table.add_row([
            Cell::new(name),
            screen::state(&ping.status),
            Cell::new(screen::or_dash(ping.last_pong_at.map(screen::time))),
            Cell::new(ping.misses),
            Cell::new(ms(ping.latency.min_ms)),
            Cell::new(ms(ping.latency.median_ms)),
            Cell::new(ms(ping.latency.p99_ms)),
            Cell::new(ping.clock_skew_ms.map_or("-".to_owned(), |skew| format!("{skew:+} ms"))),
        ]);
    }
    format!("{table}\n`swarm drone ping --all` pings them now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_a_line_whether_it_was_answered_or_not() {
        let silent = PingAnswer {
            drone: "d1".to_owned(),
            status: "timeout".to_owned(),
            error: Some("it does not answer".to_owned()),
            ..PingAnswer::default()
        };
        assert_eq!(render_ping(&silent), "d1: it does not answer");
        let metrics = swarm_api::PingMetrics { worker: "alive".to_owned(), ..Default::default() };
        let answered = PingAnswer {
            drone: "d1".to_owned(),
            latency_ms: Some(0.42),
            metrics: Some(metrics),
            clock_skew_ms: Some(-3),
            ..PingAnswer::default()
        };
        let line = render_ping(&answered);
        assert!(line.starts_with("d1: 0.42 ms, ") && line.ends_with("worker alive, 0 build(s), clock -3 ms"), "{line}");
    }
}
