//! How things look on a terminal: tables, colours unless unwanted, times and sizes for people.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, Color, ContentArrangement, Table};
use serde::Serialize;
use swarm_common::clock::wall_ms;

use super::problem::Problem;
use swarm_api::seconds;

/// What is wrong when the reader of standard output went away: nothing worth a word.
pub const CLOSED: &str = "standard output was closed";

/// How to print.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    /// Data as JSON.
    pub json: bool,
    /// With colours.
    pub color: bool,
    /// Standard output is a terminal somebody looks at.
    pub live: bool,
    /// Standard error is one: progress may move there.
    pub moves: bool,
    /// Columns, if known.
    pub width: Option<u16>,
}

impl Screen {
    /// What standard output is.
    pub fn of_stdout(json: bool, no_color: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let unwanted = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = terminal.then(columns).flatten();
        let moves = std::io::stderr().is_terminal() && !dumb && !json;
        Self { json, color: terminal && !unwanted && !dumb && !json, live: terminal && !dumb && !json, moves, width }
    }

    /// A word beside what was asked for, on standard error; none beside JSON.
    pub fn note(&self, text: &str) {
        if !self.json {
            eprintln!("({text})");
        }
    }

    /// Prints data as JSON, or its text.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn show<T: Serialize>(&self, data: &T, text: impl FnOnce(&T) -> String) -> Result<(), Problem> {
        if self.json {
            self.line(&serde_json::to_string_pretty(data).unwrap_or_default())
        } else {
            self.line(text(data).trim_end())
        }
    }

    /// Prints a line.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn line(&self, text: &str) -> Result<(), Problem> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Problem::new(CLOSED),
            _ => Problem::new("can't print").with(error),
        })
    }

    /// A table without borders.
    pub fn table(&self, heads: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(heads.iter().map(|head| Cell::new(head).fg(Color::DarkGrey)));
        table
    }

    /// A heading.
    pub fn bold(&self, text: &str) -> String {
        if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// From this width on there is room for sentences in a column.
const ROOMY: u16 = 130;

/// A table in which a row may have a note: a sentence. It stands in the last column where there is room for it, or nobody
/// counts columns; on a narrow terminal below its row.
pub struct Noted {
    table: Table,
    below: bool,
    notes: Vec<String>,
}

impl Noted {
    /// A table with these columns; the last one is for the notes.
    pub fn new(screen: &Screen, heads: &[&str]) -> Self {
        let below = screen.width.is_some_and(|width| width < ROOMY);
        let heads = if below { &heads[..heads.len() - 1] } else { heads };
        let mut table = screen.table(heads);
        if below {
            // what identifies a row is never broken; what does not fit runs over
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        Self { table, below, notes: Vec::new() }
    }

    /// A row and its note.
    pub fn row(&mut self, mut cells: Vec<Cell>, note: Option<String>) {
        let note = or_dash(note);
        if self.below {
            self.notes.push(note);
        } else {
            cells.push(Cell::new(note));
        }
        self.table.add_row(cells);
    }

    /// As text.
    pub fn text(&self) -> String {
        let text = text_of(&self.table);
        if !self.below {
            return text;
        }
        let notes = std::iter::once("-").chain(self.notes.iter().map(String::as_str));
        let lines = text.lines().zip(notes).map(|(line, note)| match note {
            "-" => format!("{line}\n"),
            note => format!("{line}\n    {note}\n"),
        });
        lines.collect()
    }
}

/// A table as text: nothing before the first column, nothing behind the last.
pub fn text_of(table: &Table) -> String {
    let mut table = table.clone();
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Columns of the terminal on standard output.
fn columns() -> Option<u16> {
    Table::new().width().or_else(|| std::env::var("COLUMNS").ok()?.parse().ok()).filter(|&width| width > 0)
}

/// A state in its colour.
pub fn state(name: &str) -> Cell {
    let color = match name {
        "received" | "success" | "online" | "completed" => Color::Green,
        "delegated" | "running" | "active" => Color::Cyan,
        "blocked" | "failed" => Color::Red,
        "returned" | "paused" | "draining" | "drained" | "grounded" => Color::Yellow,
        _ => Color::Reset,
    };
    Cell::new(name).fg(color)
}

/// Seconds for people: `8.4s`, `3m 05s`, `2h 07m`.
pub fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes for people: `4.0 KiB`.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Now, Unix seconds.
pub fn now() -> f64 {
    seconds(wall_ms())
}

/// Unix seconds as local time, short: the time of day for today, else the date and the time of day.
pub fn short_time(seconds: f64) -> String {
    let (whole, today) = (time(seconds), time(now()));
    match today.get(..11).and_then(|today| whole.strip_prefix(today)) {
        Some(time) => time.to_owned(),
        None => whole.get(..16).unwrap_or(&whole).to_owned(),
    }
}

/// Unix seconds as local time.
pub fn time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Unix milliseconds")]
    let moment = jiff::Timestamp::from_millisecond((seconds * 1000.0) as i64);
    moment.map_or_else(
        |_| "?".to_owned(),
        |moment| moment.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%F %T").to_string(),
    )
}

/// A missing value.
pub fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}
