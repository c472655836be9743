//! A build log: over the whole screen, or its end beside the panels.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Widget, Wrap};

use unicode_width::UnicodeWidthChar as _;

use super::Pen;
use crate::cli::monitor::screen::{LogView, Watched};

/// The whole screen.
pub fn draw(pen: Pen<'_>, view: &LogView, area: Rect, buffer: &mut Buffer) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    let Some(watched) = &pen.screen.watched else { return };
    Line::from(heading(pen, watched)).render(head, buffer);
    let height = usize::from(body.height);
    let length = watched.lines.len();
    let last = length.saturating_sub(height);
    let top = view.top.unwrap_or(last).min(last);
    lines(pen, watched, top, view, body, buffer);
    let place = if view.top.is_none() {
        Span::styled(if watched.lines.ended { " END " } else { " FOLLOWING " }, pen.theme.good())
    } else {
        Span::styled(format!(" {} lines below ", length.saturating_sub(top + height)), pen.theme.warn())
    };
    let mut spans = vec![place];
    for (key, does) in
        [("↑↓", "scroll"), ("g G", "top, end"), ("f", "follow"), ("v", "wrap"), ("?", "help"), ("q", "back")]
    {
        spans.push(Span::styled(format!(" {key}"), pen.theme.key()));
        spans.push(Span::raw(format!(" {does} ")));
    }
    let foot_line = match pen.screen.notice(pen.now) {
        Some(notice) => Line::styled(format!(" {notice}"), pen.theme.warn()),
        None => Line::from(spans),
    };
    foot_line.render(foot, buffer);
}

fn heading<'a>(pen: Pen<'a>, watched: &'a Watched) -> Vec<Span<'a>> {
    let mut spans = vec![
        Span::styled(watched.title.as_str(), pen.theme.strong()),
        Span::styled(format!("  build {}", watched.which.build), pen.theme.dim()),
    ];
    if watched.attempt > 0 {
        spans.push(Span::styled(format!(", attempt {}", watched.attempt), pen.theme.dim()));
    }
    let running = pen.screen.drones.iter().flat_map(|drone| &drone.build_progress);
    let progress = running
        .filter(|progress| progress.build == watched.which.build)
        .find(|progress| watched.attempt == 0 || progress.attempt == watched.attempt);
    if let Some(progress) = progress {
        spans.push(Span::styled(format!("  {}", progress.phase), pen.theme.busy()));
    } else if watched.lines.ended {
        spans.push(Span::styled("  ended", pen.theme.dim()));
    }
    if pen.screen.silent.is_some() {
        spans.push(Span::styled("  the controller does not answer", pen.theme.bad()));
    }
    spans
}

fn lines(pen: Pen<'_>, watched: &Watched, top: usize, view: &LogView, area: Rect, buffer: &mut Buffer) {
    if watched.lines.len() == 0 {
        let text = watched.problem.clone().unwrap_or_else(|| "Nothing has been written yet.".to_owned());
        return Paragraph::new(text).style(pen.theme.dim()).wrap(Wrap { trim: true }).render(area, buffer);
    }
    let mut shown: Vec<Line<'_>> = Vec::new();
    let kept_from = watched.lines.skipped > 0 || watched.lines.forgotten > 0;
    if top == 0 && kept_from {
        let text = format!("[what came before: swarm log {}]", watched.which.build);
        shown.push(Line::styled(text, pen.theme.dim()));
    }
    let (height, width) = (usize::from(area.height), usize::from(area.width).max(1));
    for line in watched.lines.from(top, height - shown.len().min(height)) {
        if view.wrap {
            shown.extend(folded(&line, width).into_iter().map(Line::from));
        } else {
            shown.push(Line::from(line.chars().skip(view.left).collect::<String>()));
        }
    }
    // following shows the end, also where lines take several rows
    let hidden = if view.top.is_none() { shown.len().saturating_sub(height) } else { 0 };
    Paragraph::new(shown.split_off(hidden)).render(area, buffer);
}

/// A line in rows of `width` columns.
fn folded(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut columns = 0;
    for c in line.chars() {
        let more = c.width().unwrap_or(0);
        if columns + more > width {
            rows.push(String::new());
            columns = 0;
        }
        columns += more;
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
    }
    rows
}

/// The end of the log that is read, in a frame.
pub fn preview(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let title = match &pen.screen.watched {
        Some(watched) => {
            let mut spans = vec![Span::raw(" ")];
            spans.extend(heading(pen, watched));
            spans.push(Span::raw(" "));
            Line::from(spans)
        }
        None => super::title(pen, "Log", String::new()),
    };
    let block = Block::new().borders(Borders::ALL).border_style(pen.theme.frame(false)).title(title);
    let inside = block.inner(area);
    block.render(area, buffer);
    match &pen.screen.watched {
        Some(watched) => {
            let view = LogView { top: None, left: 0, wrap: false };
            let top = watched.lines.len().saturating_sub(usize::from(inside.height));
            lines(pen, watched, top, &view, inside, buffer);
        }
        None => super::empty(pen, &["The log of what the chosen drone builds."], inside, buffer),
    }
}
