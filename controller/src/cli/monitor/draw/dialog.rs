//! What lies over the panels: help, questions, answers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget, Wrap};
use swarm_api::{Event, WhyAnswer};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::overview::clock;
use super::{Pen, more_below, short};
use crate::cli::monitor::keys::{HELP, LOG_HELP};
use crate::cli::monitor::screen::Over;
use crate::cli::screen::Screen as Plain;
use crate::cli::why;

/// Columns of the answer to why, at most.
const WHY_WIDTH: u16 = 114;

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

/// The answer to why a package is not building, in rows that fit into its frame on a screen of `size`; and how far it can be
/// scrolled.
pub fn why_rows(answer: Option<&Result<WhyAnswer, String>>, size: (u16, u16)) -> (Vec<String>, usize) {
    let width = size.0.saturating_sub(2).min(WHY_WIDTH).saturating_sub(2);
    let text = match answer {
        None => "asking …".to_owned(),
        Some(Ok(answer)) => why::render(answer, &Plain { width: Some(width), ..Plain::default() }),
        Some(Err(problem)) => problem.clone(),
    };
    let rows: Vec<String> = text.lines().flat_map(|line| wrapped(line, usize::from(width).max(1))).collect();
    let most = rows.len().saturating_sub(usize::from(size.1.saturating_sub(4)));
    (rows, most)
}

/// A line in rows of `width` columns, broken between words where there are some; what follows stands a little further right.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    if line.width() <= width {
        return vec![line.to_owned()];
    }
    let margin = line.len() - line.trim_start().len();
    let further = " ".repeat((margin + 2).min(width / 2));
    let (mut rows, mut row) = (Vec::new(), String::new());
    for word in line.split_inclusive(' ') {
        if row.width() + word.trim_end().width() > width && !row.trim().is_empty() {
            rows.push(std::mem::replace(&mut row, further.clone()).trim_end().to_owned());
        }
        for c in word.chars() {
            if row.width() + c.width().unwrap_or(0) > width && c != ' ' {
                rows.push(std::mem::replace(&mut row, further.clone()).trim_end().to_owned());
            }
            row.push(c);
        }
    }
    rows.push(row.trim_end().to_owned());
    rows
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
