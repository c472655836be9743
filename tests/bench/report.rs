//! What was measured, beside what was aimed at: as a table and as JSON.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;
use swarm_tests::figures::{Aim, Figure};

use crate::machine::{Load, Machine};

#[derive(Serialize)]
struct Section {
    name: &'static str,
    load: Load,
    figures: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    figure: Figure,
    min: f64,
    median: f64,
    max: f64,
    met: Option<bool>,
}

/// All of a run.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    version: &'static str,
    quick: bool,
    sections: Vec<Section>,
}

impl Report {
    /// Nothing measured yet.
    pub fn new(machine: Machine, quick: bool) -> Self {
        Self { machine, version: env!("CARGO_PKG_VERSION"), quick, sections: Vec::new() }
    }

    /// Adds the figures of one measurement.
    pub fn add(&mut self, name: &'static str, figures: Vec<Figure>, load: Load) {
        let row = |figure: Figure| Row {
            min: figure.rounds.iter().copied().fold(f64::INFINITY, f64::min),
            max: figure.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            median: figure.median(),
            met: figure.met(),
            figure,
        };
        self.sections.push(Section { name, load, figures: figures.into_iter().map(row).collect() });
    }

    /// Writes `results.json`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(fs_err::write(folder.join("results.json"), serde_json::to_vec_pretty(self)?)?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if self.quick {
            writeln!(f, "A quick run: it shows that everything works; the figures say nothing.")?;
        }
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["figure", "median", "min", "max", "unit", "aim", "met"]);
        for section in &self.sections {
            for row in &section.figures {
                let number = |value: f64| Cell::new(shown(value)).set_alignment(CellAlignment::Right);
                let aim = match row.figure.aim {
                    None => String::new(),
                    Some(Aim::AtLeast(bound)) => format!("≥ {}", shown(bound)),
                    Some(Aim::AtMost(bound)) => format!("≤ {}", shown(bound)),
                };
                table.add_row([
                    Cell::new(&row.figure.name),
                    number(row.median),
                    number(row.min),
                    number(row.max),
                    Cell::new(row.figure.unit),
                    Cell::new(aim),
                    Cell::new(row.met.map_or("", |met| if met { "yes" } else { "no" })),
                ]);
            }
        }
        writeln!(f, "{table}")?;
        for section in &self.sections {
            writeln!(f, "{}: {}", section.name, section.load)?;
        }
        Ok(())
    }
}

/// Three digits that matter.
fn shown(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
