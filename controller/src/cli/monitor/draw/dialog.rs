//! What lies over the panels: help, questions, answers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget, Wrap};
use swarm_api::Event;

use super::overview::clock;
use super::{Pen, more_below, short};
use crate::cli::monitor::help::{HELP, LOG_HELP};
use crate::cli::monitor::reason::{WHY_WIDTH, why_rows};
use crate::cli::monitor::screen::Over;

/// Draws it in the middle.
pub fn draw(pen: Pen<'_>, over: &Over, area: Rect, buffer: &mut Buffer) {
    match over {
        Over::Help(_) => help(pen, area, buffer),
        Over::Event(event) => of_event(pen, event, area, buffer),
        Over::Confirm { question, detail, .. } => {
            let lines = vec![
                Line::styled(question.as_str(), pen.theme.strong()),
                Line::raw(detail.as_str()),
                Line::raw(""),
                keys(pen, &[("y", "yes"), ("n", "no")]),
            ];
            framed(pen, "", lines, 0, (60, 6), area, buffer);
        }
        Over::Ending => {
            let lines = vec![
                Line::styled("End the swarm?", pen.theme.strong()),
                Line::raw("What is being built is lost; the queue and the packages stay."),
                Line::raw(""),
                keys(pen, &[("e", "end it"), ("l", "leave it running"), ("Esc", "stay here")]),
            ];
            framed(pen, "", lines, 0, (66, 6), area, buffer);
        }
        Over::Why { package, answer, top } => {
            let (rows, most) = why_rows(answer.as_ref(), (area.width, area.height));
            let height = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX).max(5);
            let lines = rows.into_iter().map(Line::raw).collect();
            let place = framed(pen, &format!("Why {package}"), lines, *top, (WHY_WIDTH, height), area, buffer);
            more_below(pen, most.saturating_sub(*top), place, buffer);
        }
        Over::Log(_) => {}
    }
}

/// An event with everything it is about.
fn of_event(pen: Pen<'_>, event: &Event, area: Rect, buffer: &mut Buffer) {
    let width = area.width.saturating_sub(4).min(100);
    let mut lines = vec![
        Line::styled(
            format!("{}  {}  number {}", clock(pen.screen, event.timestamp), event.r#type, event.id),
            pen.theme.dim(),
        ),
        Line::raw(event.message.as_str()),
        Line::raw(""),
    ];
    lines.extend(event.details.iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Line::from(vec![Span::styled(short(name, 12), pen.theme.dim()), Span::raw(value)])
    }));
    if event.details.contains_key("build") {
        lines.push(Line::raw(""));
        lines.push(keys(pen, &[("l", "log"), ("Esc", "back")]));
    }
    let inside = usize::from(width.saturating_sub(2)).max(1);
    let rows: usize = lines.iter().map(|line| line.width().div_ceil(inside).max(1)).sum();
    framed(pen, "Event", lines, 0, (width, u16::try_from(rows + 3).unwrap_or(u16::MAX)), area, buffer);
}

fn keys(pen: Pen<'_>, keys: &[(&'static str, &'static str)]) -> Line<'static> {
    let mut spans = Vec::new();
    for (key, does) in keys {
        spans.push(Span::styled(*key, pen.theme.key()));
        spans.push(Span::raw(format!(" {does}    ")));
    }
    Line::from(spans)
}

fn help(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let line = |(key, does): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(short(key, 24), pen.theme.key()), Span::raw(*does)])
    };
    let mut lines: Vec<Line<'_>> = HELP.iter().map(line).collect();
    lines.push(Line::from(vec![
        Span::styled(short("Ctrl-C", 24), pen.theme.key()),
        Span::raw(if pen.screen.setting.is_up { "end the swarm" } else { "leave" }),
    ]));
    lines.push(Line::styled("in a log", pen.theme.dim()));
    lines.extend(LOG_HELP.iter().map(line));
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    framed(pen, "Keys", lines, 0, (78, height), area, buffer);
}

/// A frame in the middle of `area`, `size` at most, with lines from number `top` on. Gives its place.
fn framed(
    pen: Pen<'_>,
    title: &str,
    lines: Vec<Line<'_>>,
    top: usize,
    size: (u16, u16),
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    let (width, height) = (size.0.min(area.width.saturating_sub(2)), size.1.min(area.height.saturating_sub(2)));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, buffer);
    let mut block = Block::new().borders(Borders::ALL).border_style(pen.theme.frame(true));
    if !title.is_empty() {
        block = block.title(Span::styled(format!(" {title} "), pen.theme.strong()));
    }
    let inside = block.inner(place);
    block.render(place, buffer);
    let most = lines.len().saturating_sub(usize::from(inside.height));
    let top = u16::try_from(top.min(most)).unwrap_or(u16::MAX);
    Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((top, 0)).render(inside, buffer);
    place
}
