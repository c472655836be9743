//! `swarm serve`: runs the controller in this process.

use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

use super::config::wrong;
use super::problem::Problem;
use crate::config::{Config, LogLevel};
use crate::own_log::{Logging, OwnLog};

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
    let logging = start_log(&config);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Problem::new("can't start").with(error))?;
    let ended = runtime.block_on(crate::serve::serve(config, logging));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended.map_err(|error| Problem::new("the controller can't run").with(format!("{error:#}")))
}

/// Logs to stderr as configured, and into the controller's own log as text.
fn start_log(config: &Config) -> Logging {
    let configured = config.log.level.name();
    let usual = move || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(configured));
    let (filter, handle) = reload::Layer::new(usual());
    let own = OwnLog::default();
    let kept = fmt::layer().with_ansi(false).with_writer(own.clone());
    let shown = fmt::layer().with_writer(std::io::stderr);
    let shown = if config.log.json {
        shown.json().boxed()
    } else {
        shown.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
    };
    tracing_subscriber::registry().with(filter).with(kept).with(shown).init();
    let level = Box::new(move |level: Option<LogLevel>| {
        let filter = level.map_or_else(usual, |level| EnvFilter::new(level.name()));
        if let Err(error) = handle.reload(filter) {
            tracing::warn!(%error, "the level of the log could not be changed");
        }
    });
    Logging { own, level }
}
