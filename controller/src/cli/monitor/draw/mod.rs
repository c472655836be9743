//! Draws a [`Screen`] into a buffer. Decides how things look and where they stand, nothing else; the same screen at the same
//! moment gives the same picture.
//!
//! From 80×24 on everything has a place: two rows of overview (three when something is wrong), the drones, the line and the troubles side by side, events, one
//! row of keys. From 160 columns on events stand in a column of their own, from 40 rows on with a log below them.

mod bar;
mod dialog;
mod drones;
mod log;
mod overview;
mod queue;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Widget};

use super::screen::{Over, Panel, Screen, WIDE};
use super::theme::Theme;

pub use bar::{bar, short};

/// Below this nothing can be shown that helps.
const LEAST: (u16, u16) = (40, 10);

/// What every part needs.
#[derive(Clone, Copy)]
pub struct Pen<'a> {
    /// What is drawn.
    pub screen: &'a Screen,
    /// Now, Unix seconds.
    pub now: f64,
    /// Colours.
    pub theme: Theme,
}

/// Draws the screen as it is at `now`.
pub fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer, now: f64, theme: Theme) {
    let pen = Pen { screen, now, theme };
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}×{} is too small;\n40×10 at least", area.width, area.height);
        return Paragraph::new(text).render(area, buffer);
    }
    if let Some(Over::Log(view) | Over::Help(Some(view))) = &screen.over {
        log::draw(pen, view, area, buffer);
        if let Some(over @ Over::Help(_)) = &screen.over {
            dialog::draw(pen, over, area, buffer);
        }
        return;
    }
    let top = 2 + u16::from(!screen.warnings().is_empty());
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(top), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    overview::draw(pen, top, buffer);
    panels(pen, middle, buffer);
    overview::keys(pen, bottom, buffer);
    match &screen.over {
        None | Some(Over::Log(_)) => {}
        Some(over) => dialog::draw(pen, over, area, buffer),
    }
}

fn panels(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let wanted = drones::rows(pen.screen, area.width >= 110) + 3;
    if area.width >= WIDE {
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
        let drones = wanted.clamp(5, (left.height * 3 / 5).max(5));
        let [fleet, queue] = Layout::vertical([Constraint::Length(drones), Constraint::Min(0)]).areas(left);
        drones::draw(pen, fleet, buffer);
        queue::draw(pen, queue, buffer);
        if pen.screen.has_preview() {
            let [events, preview] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(3)]).areas(right);
            queue::events(pen, events, buffer);
            return log::preview(pen, preview, buffer);
        }
        return queue::events(pen, right, buffer);
    }
    let most = if area.height < 26 { area.height / 3 + 1 } else { area.height * 2 / 5 };
    let drones = wanted.clamp(5, most.max(5));
    let rest = area.height - drones;
    let queue = queue::rows(pen.screen).saturating_add(2).clamp(6, (rest / 2 + u16::from(rest < 20)).max(6));
    let [fleet, queue, events] =
        Layout::vertical([Constraint::Length(drones), Constraint::Length(queue), Constraint::Min(0)]).areas(area);
    drones::draw(pen, fleet, buffer);
    queue::draw(pen, queue, buffer);
    queue::events(pen, events, buffer);
}

/// A panel's frame; gives what is inside.
fn frame(pen: Pen<'_>, panel: Panel, title: Line<'_>, area: Rect, buffer: &mut Buffer) -> Rect {
    let focused = pen.screen.focus == panel && pen.screen.over.is_none();
    let block = Block::new().borders(Borders::ALL).border_style(pen.theme.frame(focused)).title(title);
    let inside = block.inner(area);
    block.render(area, buffer);
    inside
}

/// A title: the name, then what it holds.
fn title<'a>(pen: Pen<'_>, name: &'a str, more: String) -> Line<'a> {
    let mut spans = vec![Span::raw(" "), Span::styled(name, pen.theme.strong())];
    if !more.is_empty() {
        spans.push(Span::styled(format!("  {more}"), pen.theme.dim()));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// Says in the frame's last row how many rows of a list are not seen below.
fn more_below(pen: Pen<'_>, count: usize, area: Rect, buffer: &mut Buffer) {
    if count == 0 {
        return;
    }
    let text = format!(" ↓ {count} more ");
    let width = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    if width + 4 < area.width {
        buffer.set_string(area.right() - width - 2, area.bottom() - 1, text, pen.theme.dim());
    }
}

/// First row to show of `length`, so that `chosen` is seen in `height` rows.
fn first_row(chosen: usize, length: usize, height: usize) -> usize {
    (chosen + 1).saturating_sub(height).min(length.saturating_sub(height))
}

/// Words where there is nothing to show.
fn empty(pen: Pen<'_>, lines: &[&str], area: Rect, buffer: &mut Buffer) {
    let text: Vec<Line<'_>> = lines.iter().map(|line| Line::styled((*line).to_owned(), pen.theme.dim())).collect();
    Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true }).render(area, buffer);
}

/// One row; the chosen one reversed over its whole width.
fn row(pen: Pen<'_>, line: Line<'_>, chosen: bool, area: Rect, buffer: &mut Buffer) {
    line.render(area, buffer);
    if chosen {
        buffer.set_style(area, pen.theme.chosen());
    }
}
