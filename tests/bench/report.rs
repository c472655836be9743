//! What was measured, beside what was aimed at: as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::machine::{Load, Machine};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// One figure: its rounds, and what they should come to.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Its name, unique within a run.
    pub name: String,
    /// What it is, in a sentence.
    pub what: String,
    /// Unit of every value.
    pub unit: &'static str,
    /// One value per round, in their order.
    pub rounds: Vec<f64>,
    /// Of the median.
    pub aim: Option<Aim>,
    /// What else was seen, for whoever wants to understand it.
    pub notes: BTreeMap<String, f64>,
}

impl Figure {
    /// A figure without an aim.
    pub fn new(name: impl Into<String>, what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { name: name.into(), what: what.into(), unit, rounds, aim: None, notes: BTreeMap::new() }
    }

    /// With an aim.
    #[must_use]
    pub fn aim(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self
    }

    /// With something else that was seen.
    #[must_use]
    pub fn note(mut self, name: &str, value: f64) -> Self {
        self.notes.insert(name.to_owned(), value);
        self
    }

    /// The middle one of the rounds.
    pub fn median(&self) -> f64 {
        median(&self.rounds)
    }

    /// Whether the median is as aimed; `None` without an aim.
    pub fn met(&self) -> Option<bool> {
        self.aim.map(|aim| match aim {
            Aim::AtLeast(bound) => self.median() >= bound,
            Aim::AtMost(bound) => self.median() <= bound,
        })
    }
}

/// The middle value, the mean of the two middle ones of an even number, 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// The value `share` (0 to 1) of all are at or below; 0 of none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_of_the_median() {
        let figure = Figure::new("x", "y", "ms", vec![30.0, 10.0, 20.0]);
        assert_eq!((figure.median(), figure.met()), (20.0, None));
        assert_eq!(figure.clone().aim(Aim::AtMost(20.0)).met(), Some(true));
        assert_eq!(figure.clone().aim(Aim::AtMost(19.0)).met(), Some(false));
        assert_eq!(figure.clone().aim(Aim::AtLeast(20.0)).met(), Some(true));
        assert_eq!(figure.aim(Aim::AtLeast(21.0)).met(), Some(false));
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&[], 0.5)), (50.0, 99.0, 0.0));
        assert_eq!(median(&[1.0, 2.0, 3.0, 10.0]), 2.5);
    }
}
