//! The head of the line, what needs a person, and what happened.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};
use swarm_api::{Event, Trouble};

use super::overview::clock;
use super::{Pen, empty, first_row, frame, more_below, row, short, title};
use crate::cli::monitor::screen::{Panel, Screen};

/// The line and the troubles, side by side.
pub fn draw(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let [left, right] = Layout::horizontal([Constraint::Fill(2), Constraint::Fill(3)]).areas(area);
    next(pen, left, buffer);
    troubles(pen, right, buffer);
}

/// Rows the longer of the two lists needs.
pub fn rows(screen: &Screen) -> u16 {
    let troubles = screen.troubles().len();
    let most = screen.next().len().max(if troubles > 0 { troubles + 7 } else { 0 });
    u16::try_from(most).unwrap_or(u16::MAX)
}

fn next(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let screen = pen.screen;
    let status = screen.status.as_ref();
    let more = match status {
        Some(status) if status.needed > 0 => {
            format!("{} ready", ready(screen.next().len(), status.needed - status.waiting.min(status.needed)))
        }
        _ => String::new(),
    };
    let inside = frame(pen, Panel::Next, title(pen, "Next", more), area, buffer);
    if screen.next().is_empty() {
        let words: &[&str] = match status {
            None => &[],
            Some(status) if status.needed > 0 => {
                &["Nothing is ready: all that is needed waits for dependencies or is being planned."]
            }
            Some(status) if status.delegated > 0 => &["Nothing more waits."],
            Some(_) => &["Nothing waits.", "`swarm queue add CATEGORY/NAME` changes that."],
        };
        return empty(pen, words, inside, buffer);
    }
    let height = usize::from(inside.height);
    let first = first_row(screen.rows[0], screen.next().len(), height);
    more_below(pen, screen.next().len().saturating_sub(first + height), area, buffer);
    for (place, (index, package)) in (0..).zip(screen.next().iter().enumerate().skip(first).take(height)) {
        let number = Span::styled(format!("{:>3} ", index + 1), pen.theme.dim());
        let line = Line::from(vec![number, Span::raw(short(package, usize::from(inside.width).saturating_sub(4)))]);
        let area = Rect { y: inside.y + place, height: 1, ..inside };
        row(pen, line, screen.focus == Panel::Next && index == screen.rows[0], area, buffer);
    }
}

/// How many are ready: the list is cut at fifty.
fn ready(shown: usize, most: u64) -> String {
    if shown < 50 { shown.to_string() } else { format!("{most} needed, 50") }
}

fn troubles(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let screen = pen.screen;
    let (blocked, failed) = screen.status.as_ref().map_or((0, 0), |status| (status.blocked, status.failed));
    let more = match (blocked, failed) {
        (0, 0) => String::new(),
        (blocked, 0) => format!("{blocked}"),
        (0, failed) => format!("{failed} failed"),
        (blocked, failed) => format!("{blocked}, {failed} failed"),
    };
    let inside = frame(pen, Panel::Troubles, title(pen, "Blocked", more), area, buffer);
    if screen.troubles().is_empty() {
        let words: &[&str] = if screen.status.is_some() { &["Nothing is blocked."] } else { &[] };
        return empty(pen, words, inside, buffer);
    }
    let height = usize::from(inside.height);
    let (length, chosen) = (screen.troubles().len(), screen.rows[1]);
    // with room, the reason of the chosen one stands below the list, whole
    let detail = if height >= 9 { (height / 2 + 1).min(8) } else { 0 };
    let list = height - detail;
    let first = first_row(chosen, length, list);
    more_below(pen, length.saturating_sub(first + list), area, buffer);
    for (place, (index, trouble)) in (0..).zip(screen.troubles().iter().enumerate().skip(first).take(list)) {
        let area = Rect { y: inside.y + place, height: 1, ..inside };
        let focused = screen.focus == Panel::Troubles && index == chosen;
        row(pen, of_trouble(pen, trouble, usize::from(inside.width)), focused, area, buffer);
    }
    if let Some(trouble) = screen.troubles().get(chosen).filter(|_| detail > 0) {
        let lines = detail_of(pen, trouble);
        let area = Rect {
            y: inside.bottom() - u16::try_from(detail).unwrap_or(0),
            height: u16::try_from(detail).unwrap_or(0),
            ..inside
        };
        Paragraph::new(lines).wrap(Wrap { trim: true }).render(area, buffer);
    }
}

fn of_trouble<'a>(pen: Pen<'_>, trouble: &'a Trouble, width: usize) -> Line<'a> {
    let sign = if trouble.status == "failed" { "✗ " } else { "■ " };
    let mut spans = vec![Span::styled(sign, pen.theme.bad()), Span::raw(trouble.package.as_str())];
    let used = 2 + trouble.package.chars().count();
    if width > used + 4 {
        // the package stands there already
        let reason = trouble.reason.replace(&format!("{} ", trouble.package.trim_start_matches('=')), "");
        spans.push(Span::styled(format!("  {}", short(&reason, width - used - 2)), pen.theme.dim()));
    }
    Line::from(spans)
}

fn detail_of<'a>(pen: Pen<'_>, trouble: &'a Trouble) -> Vec<Line<'a>> {
    let mut facts = vec![format!("{} since {}", trouble.status, clock(pen.screen, trouble.since))];
    match trouble.waiting {
        0 => {}
        1 => facts.push("1 package waits for it".to_owned()),
        many => facts.push(format!("{many} packages wait for it")),
    }
    if trouble.will_retry {
        facts.push("is tried again by itself".to_owned());
    }
    vec![
        Line::styled("─".repeat(8), pen.theme.dim()),
        Line::from(Span::styled(trouble.package.as_str(), pen.theme.strong())),
        Line::raw(trouble.reason.as_str()),
        Line::styled(facts.join("; "), pen.theme.dim()),
    ]
}

/// What happened, the newest last.
pub fn events(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let screen = pen.screen;
    let chosen = screen.rows[2];
    let more = if chosen > 0 { format!("{chosen} newer below") } else { String::new() };
    let inside = frame(pen, Panel::Events, title(pen, "Events", more), area, buffer);
    if screen.events.is_empty() {
        let words: &[&str] = if screen.status.is_some() { &["Nothing has happened yet."] } else { &[] };
        return empty(pen, words, inside, buffer);
    }
    let (height, length) = (usize::from(inside.height), screen.events.len());
    // the newest at the bottom, unless somebody looks further back
    let from_end = chosen.saturating_sub(height.saturating_sub(1));
    let first = length.saturating_sub(from_end + height);
    for (place, (index, event)) in (0..).zip(screen.events.iter().enumerate().skip(first).take(height)) {
        let area = Rect { y: inside.y + place, height: 1, ..inside };
        let focused = screen.focus == Panel::Events && length - 1 - index == chosen;
        row(pen, of_event(pen, event, usize::from(inside.width)), focused, area, buffer);
    }
}

fn of_event(pen: Pen<'_>, event: &Event, width: usize) -> Line<'static> {
    Line::from(vec![
        Span::styled(clock(pen.screen, event.timestamp), pen.theme.dim()),
        Span::raw(" "),
        Span::styled(short(&event.r#type, 9), pen.theme.state(&event.r#type)),
        Span::raw(" "),
        Span::raw(short(&event.message, width.saturating_sub(19))),
    ])
}
