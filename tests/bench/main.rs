//! `make bench`: the figures of `docs/performance.md`, measured on this machine. Prints a table and writes JSON below
//! `target/bench/`. An aim that is missed is said, and is no failure: figures depend on the machine and on who shares it.
//!
//! Both sides of a ratio are measured in the same run, by turns. `--quick` runs everything at a small scale, to show that it
//! works: its figures say nothing.

mod agent;
mod cycles;
mod heartbeats;
mod index;
mod machine;
mod memory;
mod pings;
mod plant;
mod recovery;
mod redb_alone;
mod report;
mod simulation;
mod start;
mod usage;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use report::Report;
use swarm_tests::figures::Figure;
use swarm_tests::tools;

/// Measures Build Swarm.
#[derive(Parser)]
struct Arguments {
    /// Only these: cycles, heartbeats, pings, recovery, memory, index, agent, build, start, simulation.
    names: Vec<String>,
    /// A small scale, to show that everything works; the figures say nothing.
    #[arg(long)]
    quick: bool,
    /// Rounds of each figure; each has its own default.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Where results are written; default: target/bench of the project.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How much is done.
#[derive(Debug, Clone)]
pub struct Scale {
    /// To show that it works.
    pub quick: bool,
    rounds: Option<usize>,
    /// A place on the disk that is measured; removed when the figure is done.
    pub dir: PathBuf,
}

impl Scale {
    /// Rounds: those of the command line, else one when quick, else `usual`.
    pub fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { usual }).max(1)
    }

    /// One of two sizes.
    pub fn pick<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}

type Run = fn(&Scale) -> Result<Vec<Figure>>;

const ALL: [(&str, Run); 10] = [
    ("cycles", cycles::run),
    ("heartbeats", heartbeats::run),
    ("pings", pings::run),
    ("recovery", recovery::run),
    ("memory", memory::run),
    ("index", index::run),
    ("agent", agent::at_rest),
    ("build", agent::beside_plain),
    ("start", start::run),
    ("simulation", simulation::run),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(unknown) = arguments.names.iter().find(|name| ALL.iter().all(|(known, _)| known != name)) {
        let known: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        bail!("there is no figure {unknown:?}; there are {}", known.join(", "));
    }
    let out = arguments.out.clone().unwrap_or_else(|| tools::project().join("target/bench"));
    fs_err::create_dir_all(&out)?;
    usage::allow_many_files()?;
    if cfg!(debug_assertions) && !arguments.quick {
        eprintln!("this is an unoptimised build: `make bench` measures the optimised one");
    }
    let mut report = Report::new(machine::Machine::look(&out)?, arguments.quick);
    for (name, run) in ALL {
        if !arguments.names.is_empty() && !arguments.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("measuring {name} …");
        let dir = tempfile::Builder::new().prefix("b").tempdir_in(&out)?;
        // Portage verifies signatures as nobody, who must be able to pass
        fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let scale = Scale { quick: arguments.quick, rounds: arguments.rounds, dir: dir.path().to_owned() };
        let load = machine::LoadWatch::begin();
        let figures = run(&scale).with_context(|| format!("measure {name}"))?;
        report.add(name, figures, load.end());
        report.write(&out)?;
    }
    println!("{report}");
    println!("written to {}", out.join("results.json").display());
    Ok(())
}
