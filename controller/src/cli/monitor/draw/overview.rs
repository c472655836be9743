//! The first rows, which say how the swarm is, and the last one, which names the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};
use swarm_api::Status;

use super::{Pen, bar};
use crate::cli::monitor::screen::{Panel, Screen};
use crate::cli::screen::duration;

/// The overview.
pub fn draw(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let [first, second, third] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let warnings = pen.screen.warnings();
    if !warnings.is_empty() && third.height > 0 {
        let text = super::short(&format!(" {}", warnings.join("; ")), usize::from(third.width));
        Line::styled(text, pen.theme.alarm()).render(third, buffer);
    }
    let right = right(pen);
    let width = u16::try_from(right.width()).unwrap_or(u16::MAX).min(first.width);
    let [head, clock] = Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(first);
    head_line(pen, head.width).render(head, buffer);
    Paragraph::new(right).alignment(Alignment::Right).render(clock, buffer);
    match (&pen.screen.silent, &pen.screen.status) {
        (Some((since, problem)), _) => alarm(pen, *since, problem, second, buffer),
        (None, Some(status)) => Paragraph::new(counts(pen, status, second.width)).render(second, buffer),
        (None, None) => Paragraph::new(format!("asking {} …", pen.screen.setting.address)).render(second, buffer),
    }
}

/// What the swarm does, in `width` columns: what matters least is left out first.
fn head_line(pen: Pen<'_>, width: u16) -> Line<'static> {
    let theme = pen.theme;
    let mut parts = vec![(0, Span::styled("Build Swarm", theme.strong()))];
    if let Some(status) = &pen.screen.status {
        match &status.session {
            Some(session) => {
                parts.push((1, Span::raw(format!("  session {} \"{}\"", session.id, session.name))));
                let age = duration((pen.now - session.started_at).max(0.0));
                parts.push((4, Span::styled(format!(", {age}"), theme.dim())));
            }
            None => parts.push((2, Span::styled("  no session is open", theme.dim()))),
        }
        if let Some(left) = status.eta_s {
            parts.push((3, Span::raw(format!("  about {} left", duration(left)))));
        }
        if status.paused {
            parts.push((0, Span::styled("  PAUSED", theme.warn())));
        }
    }
    for least in (1..=4).rev() {
        if parts.iter().map(|(_, part)| part.width()).sum::<usize>() <= usize::from(width) {
            break;
        }
        parts.retain(|(weight, _)| *weight < least);
    }
    Line::from(parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>())
}

fn right(pen: Pen<'_>) -> Line<'static> {
    let mut spans = vec![Span::raw("  ")];
    if let Some(status) = &pen.screen.status {
        let drones = format!("{} of {} drones, {} cpus", status.nodes_online, status.nodes, status.total_cores);
        let all = status.nodes_online == status.nodes;
        spans.push(Span::styled(drones, if all { ratatui::style::Style::new() } else { pen.theme.warn() }));
        spans.push(Span::raw("  "));
    }
    spans.push(Span::styled(clock(pen.screen, pen.now), pen.theme.dim()));
    Line::from(spans)
}

/// A moment as time of day.
pub fn clock(screen: &Screen, seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Unix milliseconds")]
    let moment = jiff::Timestamp::from_millisecond((seconds * 1000.0) as i64);
    moment.map_or_else(
        |_| "--:--:--".to_owned(),
        |moment| moment.to_zoned_datetime(screen.setting.zone.clone()).strftime("%T").to_string(),
    )
}

fn alarm(pen: Pen<'_>, since: f64, problem: &str, area: Rect, buffer: &mut Buffer) {
    buffer.set_style(area, pen.theme.alarm());
    let mut text = format!(" no answer since {}; trying again.", clock(pen.screen, since));
    if pen.screen.heard_at.is_some() {
        text += &format!(" What is shown is {} old.", duration(pen.screen.age(pen.now)));
    }
    text += &format!(" {problem}");
    Line::styled(super::short(&text, usize::from(area.width)), pen.theme.alarm()).render(area, buffer);
}

/// A bar, and how many packages are where.
fn counts(pen: Pen<'_>, status: &Status, width: u16) -> Line<'static> {
    let theme = pen.theme;
    if status.total == 0 {
        return Line::styled("the queue is empty", theme.dim());
    }
    let part = |count: u64, word: &str, style| (count > 0).then(|| Span::styled(format!("  {count} {word}"), style));
    let needed = match status.waiting {
        0 => "needed".to_owned(),
        waiting => format!("needed ({waiting} waiting)"),
    };
    let parts: Vec<Span<'static>> = [
        Some(Span::styled(format!(" {}/{} received", status.received, status.total), theme.good())),
        part(status.delegated, "delegated", theme.busy()),
        part(status.needed, &needed, ratatui::style::Style::new()),
        part(status.blocked, "blocked", theme.bad()),
        part(status.failed, "failed", theme.bad()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let text: usize = parts.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(text).min(60);
    #[expect(clippy::cast_precision_loss, reason = "counts of packages")]
    let percent = status.received as f64 * 100.0 / status.total as f64;
    let mut spans = Vec::new();
    if room >= 8 {
        spans.push(Span::styled(bar(percent, room), theme.good()));
    }
    spans.extend(parts);
    Line::from(spans)
}

/// The last row: a message, or the keys that do something now.
pub fn keys(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    if let Some(notice) = pen.screen.notice(pen.now) {
        return Line::styled(format!(" {notice}"), pen.theme.warn()).render(area, buffer);
    }
    let screen = pen.screen;
    let paused = screen.status.as_ref().is_some_and(|status| status.paused);
    let mut keys = vec![("Tab", "panel"), ("↑↓", "choose")];
    match screen.focus {
        Panel::Drones => keys.extend([("Enter", "log"), ("d", "pause drone")]),
        Panel::Next => keys.push(("Enter", "why")),
        Panel::Troubles => keys.extend([("Enter", "why"), ("l", "log"), ("u", "unblock")]),
        Panel::Events => keys.extend([("Enter", "whole"), ("l", "log")]),
    }
    keys.extend([("p", if paused { "resume" } else { "pause" }), ("?", "help"), ("q", "quit")]);
    let mut spans = Vec::new();
    for (key, does) in keys {
        spans.push(Span::styled(format!(" {key}"), pen.theme.key()));
        spans.push(Span::raw(format!(" {does} ")));
    }
    Line::from(spans).render(area, buffer);
}
