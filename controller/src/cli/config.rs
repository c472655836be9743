//! `swarm config`: check a configuration without starting, or print an example.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::Context;
use super::problem::Problem;
use crate::config::{Config, example, reference};

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read a configuration and say everything that is wrong with it
    Check {
        /// The file [default: the one `swarm serve` would read]
        file: Option<PathBuf>,
    },
    /// Print a commented file with every key
    Example,
    /// Print every key as Markdown, as in docs/configuration.md
    Reference,
}

/// Runs the command.
pub fn run(context: &Context, command: &ConfigCommand) -> Result<(), Problem> {
    match command {
        ConfigCommand::Example => context.screen.line(example().trim_end()),
        ConfigCommand::Reference => context.screen.line(reference().trim_end()),
        ConfigCommand::Check { file } => {
            let config = Config::load(file.as_deref(), Vec::new()).map_err(wrong)?;
            let warnings = config.warnings.clone();
            context.screen.show(&json!({ "ok": true, "warnings": warnings }), |_| {
                warnings.iter().map(|warning| format!("warning: {warning}\n")).collect::<String>()
                    + "The configuration is well."
            })
        }
    }
}

/// A configuration that can't be used.
pub fn wrong(errors: crate::config::ConfigErrors) -> Problem {
    Problem::usage("the configuration can't be used").with(errors).next("`swarm config example` shows every key")
}
