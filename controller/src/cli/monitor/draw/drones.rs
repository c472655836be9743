//! The drones: how each is, and what it builds.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use swarm_api::{BuildProgress, Drone};

use super::{Pen, bar, empty, first_row, frame, more_below, row, short, title};
use crate::cli::fleet::standing;
use crate::cli::monitor::screen::{Panel, Screen};
use crate::cli::screen::duration;

/// Rows of tasks of one drone; what is beyond is counted.
const MAX_TASKS: usize = 4;

/// Rows all drones need.
pub fn rows(screen: &Screen, wide: bool) -> u16 {
    let rows: usize = screen.drones.iter().map(|drone| tasks(drone, wide).len().max(1)).sum();
    u16::try_from(rows).unwrap_or(u16::MAX - 3).max(1)
}

/// What stands in the right part of a drone's rows.
enum Task<'a> {
    Builds(&'a BuildProgress),
    Has(&'a str),
    More(usize),
}

fn tasks(drone: &Drone, wide: bool) -> Vec<Task<'_>> {
    let building = drone.build_progress.iter();
    let ordered = drone
        .assigned_packages
        .iter()
        .filter(|package| !drone.build_progress.iter().any(|progress| progress.package == **package));
    let mut tasks: Vec<Task<'_>> =
        building.map(Task::Builds).chain(ordered.map(|package| Task::Has(package))).collect();
    let most = if wide { MAX_TASKS } else { 2 };
    if tasks.len() > most {
        let more = tasks.len() - most + 1;
        tasks.truncate(most - 1);
        tasks.push(Task::More(more));
    }
    tasks
}

/// Widths of the columns.
struct Columns {
    name: usize,
    vitals: Vec<(&'static str, usize)>,
    package: usize,
    bar: usize,
}

const STATE: usize = 8;
const PHASE: usize = 12;
const LEFT: usize = 13;

impl Columns {
    fn new(screen: &Screen, width: usize) -> Self {
        let longest = screen.drones.iter().map(|drone| drone.name.chars().count()).max().unwrap_or(0);
        let name = longest.clamp(5, if width >= 110 { 20 } else { 10 });
        let mut vitals = vec![("LOAD", 5), ("MEM", 4)];
        if width >= 110 {
            vitals = vec![("CPU", 4), ("LOAD", 5), ("MEM", 4), ("DISK", 8), ("OK/FAIL", 7)];
        }
        let used = 1 + name + 1 + STATE + 1 + vitals.iter().map(|(_, width)| width + 1).sum::<usize>() + 1;
        let room = width.saturating_sub(used + PHASE + 1 + LEFT + 1);
        let bar = if room >= 36 { (room / 3).min(30) } else { 0 };
        Self { name, vitals, package: room.saturating_sub(if bar > 0 { bar + 1 } else { 0 }), bar }
    }

    fn head(&self) -> String {
        let mut text = format!(" {} {} ", short("NAME", self.name), short("STATE", STATE));
        for (name, width) in &self.vitals {
            text += &format!("{name:>width$} ");
        }
        text += &format!(" {} {}", short("BUILDS", self.package), short("PHASE", PHASE));
        if self.bar > 0 {
            text += &format!(" {}", short("PROGRESS", self.bar));
        }
        text
    }
}

/// The panel.
pub fn draw(pen: Pen<'_>, area: Rect, buffer: &mut Buffer) {
    let screen = pen.screen;
    let busy = screen.drones.iter().filter(|drone| !drone.build_progress.is_empty()).count();
    let more =
        if screen.drones.is_empty() { String::new() } else { format!("{busy} of {} build", screen.drones.len()) };
    let inside = frame(pen, Panel::Drones, title(pen, "Drones", more), area, buffer);
    if screen.drones.is_empty() {
        let words: &[&str] = if screen.status.is_some() {
            &["There are no drones yet.", "`swarm up` starts some on this machine."]
        } else {
            &[]
        };
        return empty(pen, words, inside, buffer);
    }
    let wide = area.width >= 110;
    let columns = Columns::new(screen, usize::from(inside.width));
    Line::styled(columns.head(), pen.theme.dim()).render(Rect { height: 1.min(inside.height), ..inside }, buffer);
    let chosen = screen.drones.iter().position(|drone| Some(&drone.name) == screen.drone.as_ref()).unwrap_or(0);
    let mut lines: Vec<(usize, Line<'_>)> = Vec::new();
    for (index, drone) in screen.drones.iter().enumerate() {
        lines.extend(of_drone(pen, drone, &columns, wide).into_iter().map(|line| (index, line)));
    }
    let height = usize::from(inside.height.saturating_sub(1));
    let last = lines.iter().rposition(|(index, _)| *index == chosen).unwrap_or(0);
    let first = first_row(last, lines.len(), height);
    more_below(pen, lines.len().saturating_sub(first + height), area, buffer);
    let focused = screen.focus == Panel::Drones;
    for (place, (index, line)) in (1..).zip(lines.into_iter().skip(first).take(height)) {
        let area = Rect { y: inside.y + place, height: 1, ..inside };
        row(pen, line, focused && index == chosen, area, buffer);
    }
}

fn of_drone<'a>(pen: Pen<'_>, drone: &'a Drone, columns: &Columns, wide: bool) -> Vec<Line<'a>> {
    let (word, fact) = standing(drone);
    let word = if word == "online" && !drone.build_progress.is_empty() { "building" } else { word };
    let mut head = vec![
        Span::raw(format!(" {} ", short(&drone.name, columns.name))),
        Span::styled(short(word, STATE), pen.theme.state(word)),
        Span::raw(" "),
    ];
    let indent = columns.name + STATE + 3 + columns.vitals.iter().map(|(_, width)| width + 1).sum::<usize>();
    head.extend(vitals(pen, drone, columns));
    let tasks = tasks(drone, wide);
    if tasks.is_empty() {
        let words = match fact {
            Some(fact) => format!(" {} ({})", fact.reason, fact.by),
            None if drone.online && drone.worker != "alive" => format!(" its worker is {}", drone.worker),
            None if drone.online => " idle".to_owned(),
            None => drone.last_seen.map_or_else(
                || " never seen".to_owned(),
                |at| format!(" last seen {} ago", duration((pen.now - at).max(0.0))),
            ),
        };
        head.push(Span::styled(words, pen.theme.dim()));
        return vec![Line::from(head)];
    }
    let mut lines = Vec::new();
    for task in tasks {
        let mut spans = if lines.is_empty() { std::mem::take(&mut head) } else { vec![Span::raw(" ".repeat(indent))] };
        spans.extend(of_task(pen, &task, columns));
        lines.push(Line::from(spans));
    }
    lines
}

fn vitals(pen: Pen<'_>, drone: &Drone, columns: &Columns) -> Vec<Span<'static>> {
    let metrics = &drone.metrics;
    let high = |value: f64, bound: f64| if value >= bound { pen.theme.warn() } else { ratatui::style::Style::new() };
    let one = |(name, width): &(&'static str, usize)| {
        let (text, style) = match *name {
            "CPU" => (format!("{:.0}%", metrics.cpu_percent), ratatui::style::Style::new()),
            "LOAD" => (format!("{:.2}", metrics.load_1m), high(metrics.load_1m, 2.0 * f64::from(drone.cores.max(1)))),
            "MEM" => (format!("{:.0}%", drone.ram_percent), high(drone.ram_percent, 90.0)),
            "DISK" => (format!("{:.0} GiB", metrics.disk_free_gb), high(metrics.disk_percent, 95.0)),
            _ => (format!("{}/{}", drone.builds_completed, drone.builds_failed), pen.theme.dim()),
        };
        let text = if drone.online || *name == "OK/FAIL" { text } else { "-".to_owned() };
        Span::styled(format!("{text:>width$} "), style)
    };
    columns.vitals.iter().map(one).collect()
}

fn of_task(pen: Pen<'_>, task: &Task<'_>, columns: &Columns) -> Vec<Span<'static>> {
    let theme = pen.theme;
    match task {
        Task::More(count) => vec![Span::styled(format!(" and {count} more"), theme.dim())],
        Task::Has(package) => {
            vec![Span::raw(format!(" {} ", short(package, columns.package))), Span::styled("waits there", theme.dim())]
        }
        Task::Builds(progress) => {
            // time goes on between two answers, but not while there are none: who knows what goes on then
            let since = if pen.screen.silent.is_some() { 0.0 } else { pen.screen.age(pen.now) };
            let elapsed = progress.elapsed_s + since;
            let estimate = progress.estimated_s.filter(|estimate| *estimate > 0.0);
            let percent = estimate.map(|estimate| (elapsed * 100.0 / estimate).min(99.0));
            let mut spans = vec![
                Span::raw(format!(" {} ", short(&progress.package, columns.package))),
                Span::styled(short(&progress.phase, PHASE), theme.busy()),
            ];
            if columns.bar > 0 {
                let drawn = percent.map_or_else(|| " ".repeat(columns.bar), |percent| bar(percent, columns.bar));
                spans.push(Span::styled(format!(" {drawn}"), theme.busy()));
            }
            spans.push(Span::raw(format!(" {}", remaining(elapsed, estimate, percent, columns.bar > 0))));
            spans
        }
    }
}

/// `1m 05s left`, `overdue`, or how long it has taken so far; with percent where no bar shows it.
fn remaining(elapsed: f64, estimate: Option<f64>, percent: Option<f64>, has_bar: bool) -> String {
    match (estimate, percent) {
        (Some(estimate), Some(percent)) if elapsed < estimate => {
            let left = duration(estimate - elapsed);
            if has_bar { format!("{left} left") } else { format!("{percent:.0}% {left}") }
        }
        (Some(_), _) => format!("{} over", duration(elapsed)),
        _ => duration(elapsed),
    }
}
