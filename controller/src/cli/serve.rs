//! `swarm serve`: runs the controller in this process.

use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::config::wrong;
use super::problem::Problem;
use crate::config::Config;

/// How to run the controller.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration [default: ~/.config/build-swarm/controller.toml for a user, /etc/build-swarm/controller.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port of the façade
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
}

/// Runs the command; ends when a signal says so.
pub fn run(args: &ServeArgs) -> Result<(), Problem> {
    let flags = args.http_port.map(|port| ("http.port".to_owned(), port.to_string())).into_iter().collect();
    let config = Config::load(args.config.as_deref(), flags).map_err(wrong)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.log.level.name()));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log.json {
        log.json().init()
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Problem::new("can't start").with(error))?;
    let ended = runtime.block_on(crate::serve::serve(config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended.map_err(|error| Problem::new("the controller can't run").with(format!("{error:#}")))
}
