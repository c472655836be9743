//! `drone-agent`: the command line. Everything it starts lives in the library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use drone_agent::cli::{ConfigCommand, RootCommand};
use drone_agent::config::Config;
use drone_agent::healing::command::{self, EscalateArguments};
use drone_agent::join::{JoinArguments, JoinError};
use drone_agent::{attempt, cli, join, supervisor, worker};

/// The agent of a Build Swarm drone: builds what the controller orders.
#[derive(Parser)]
#[command(name = "drone-agent", version, propagate_version = true)]
struct Arguments {
    /// Configuration file; default: drone.toml in the user's configuration directory or /etc/build-swarm.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the drone: answer the controller and keep a worker alive.
    Run,
    /// The worker; started by `run`.
    #[command(hide = true)]
    Worker,
    /// The parent of one build; started by the worker.
    #[command(hide = true)]
    Attempt {
        /// The attempt's directory.
        dir: PathBuf,
    },
    /// Do something about this drone when it does not work: what the controller orders over the bus, here by hand or by SSH.
    Escalate(EscalateArguments),
    /// Come into a swarm with the token of an invitation (`swarm drone invite` on the controller).
    Join(JoinArguments),
    /// Make a root to build in.
    #[command(subcommand)]
    Root(RootCommand),
    /// Check the configuration, or print a commented example.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that completes this command line in a shell.
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands.
    Man {
        /// Write them into this directory.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    // clap ends with 2 on a wrong command line; everything else that fails ends with 1, `join` also with 3 and 4
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref::<JoinError>().map_or(ExitCode::FAILURE, JoinError::exit)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let given: Option<&Path> = arguments.config.as_deref();
    let done = match arguments.command {
        Command::Escalate(escalate) => return command::run(&Config::load(given)?, &escalate),
        Command::Run => cli::start(cli::checked(Config::load(given)?)?, supervisor::run),
        Command::Worker => cli::start(Config::load(given)?, worker::run),
        Command::Attempt { dir } => attempt::run(&dir),
        Command::Join(arguments) => Ok(join::run(&arguments)?),
        Command::Root(command) => cli::root(command),
        Command::Config(command) => cli::config(&command, given),
        Command::Completions { shell } => cli::completions(shell, Arguments::command()),
        Command::Man { dir } => cli::man(dir.as_deref(), Arguments::command()),
        Command::Version => {
            println!("drone-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
