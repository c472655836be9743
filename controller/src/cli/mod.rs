//! The command line: `swarm …`. A thin client of the HTTP façade, and the commands that start things on this machine.
//!
//! Exit statuses: 0 well, 1 error, 2 usage, 3 controller unreachable, 4 key missing or wrong.

mod binhost;
mod bus;
mod client;
mod config;
mod control;
mod drone;
mod events;
mod fleet;
mod healing;
mod history;
mod invite;
mod log;
mod monitor;
mod notify;
mod pages;
mod portage;
mod problem;
mod progress;
mod queue;
mod screen;
mod serve;
mod session;
mod settings;
mod similar;
mod sse;
mod started;
mod status;
mod tapper;
mod up;
mod wait;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use client::{Address, Client};
use problem::Problem;
use screen::Screen;

/// A build farm for Gentoo: spare machines compile, every machine installs signed binaries.
#[derive(Debug, Parser)]
#[command(name = "swarm", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 well, 1 error, 2 usage, 3 the controller can't be reached, 4 the admin key is missing or wrong."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// Where the controller is [default: what `swarm up` wrote into --data, else http://127.0.0.1:8100]
    #[arg(long, global = true, env = "SWARM_URL", value_name = "URL")]
    url: Option<String>,
    /// The controller's data directory on this machine, for its address and the admin key
    #[arg(long, global = true, env = "SWARM_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// File with the admin key [default: ADMIN_KEY in the environment, else admin.key in the data directory]
    #[arg(long, global = true, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print without colours (also: NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller
    Serve(serve::ServeArgs),
    /// Try it out: a controller and some drones on this machine
    Up(up::UpArgs),
    /// End what `swarm up` started
    Down,
    /// Watch the swarm on a whole screen
    #[command(visible_alias = "top")]
    Monitor(monitor::MonitorArgs),
    /// The overview
    Status,
    /// The drones
    #[command(visible_alias = "drones")]
    Fleet(fleet::FleetArgs),
    /// Look at the queue, put packages in, take them out
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Queue packages with all their dependencies as a session of its own; @world is this machine's world file
    Fresh(queue::FreshArgs),
    /// What one person asked for together, and what became of it
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Wait until a session has ended; exit status 1 if packages are blocked or failed
    Wait(wait::WaitArgs),
    /// Attempts that ended, newest first
    History(history::HistoryArgs),
    /// The log of a build, or the controller's own
    Log(log::LogArgs),
    /// Why a package is not building
    Why(why::WhyArgs),
    /// What happened
    Events(events::EventsArgs),
    /// Control the whole swarm, or packages
    #[command(subcommand)]
    Control(control::ControlCommand),
    /// Invite, ping, show, pause, empty, restart, forget or revoke a drone, and what is wished for it
    #[command(subcommand)]
    Drone(control::DroneCommand),
    /// The ladder of the fleet: which drones do not work, what is done about them, what holds it back
    Healing,
    /// What people are told outside the swarm
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Settings that change while the controller runs
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// The bus: how it is, who is let in, what an operator of another bus configures
    Bus(bus::BusArgs),
    /// Use the binhost
    #[command(subcommand)]
    Binhost(binhost::BinhostCommand),
    /// Check a configuration, or print an example
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the OpenAPI document of the façade
    Openapi,
    /// Print a script that completes this command line in a shell
    Completions(pages::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(pages::ManArgs),
}

/// What commands work with.
struct Context {
    address: Address,
    screen: Screen,
}

impl Context {
    fn client(&self) -> Result<Client, Problem> {
        Client::new(&self.address)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.json;
    match run(cli) {
        Ok(code) => code,
        Err(problem) if problem.what == screen::CLOSED => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{}", problem.render(json));
            problem.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Problem> {
    let Cli { global, command } = cli;
    let screen = Screen::of_stdout(global.json, global.no_color);
    let key = std::env::var("ADMIN_KEY").ok();
    let address = Address { url: global.url, data: global.data, key_file: global.admin_key_file, key }.or_here();
    let context = Context { address, screen };
    let done = match command {
        Command::Serve(args) => serve::run(&args),
        Command::Up(args) => up::run(&context, &args),
        Command::Down => up::down(&context),
        Command::Monitor(args) => monitor::run(&context, &args),
        Command::Status => status::run(&context),
        Command::Fleet(args) => fleet::run(&context, &args),
        Command::Queue(command) => return queue::run(&context, command),
        Command::Fresh(args) => return queue::fresh(&context, args),
        Command::Session(command) => session::run(&context, &command),
        Command::Wait(args) => return wait::run(&context, &args),
        Command::History(args) => history::run(&context, &args),
        Command::Log(args) => log::run(&context, &args),
        Command::Why(args) => why::run(&context, &args),
        Command::Events(args) => events::run(&context, &args),
        Command::Control(command) => control::run(&context, &command),
        Command::Drone(command) => control::drone(&context, &command),
        Command::Healing => healing::run(&context),
        Command::Notify(command) => notify::run(&context, &command),
        Command::Settings(command) => settings::run(&context, &command),
        Command::Bus(args) => bus::run(&context, &args),
        Command::Binhost(command) => return binhost::run(&context, command),
        Command::Config(command) => config::run(&context, &command),
        Command::Completions(args) => pages::completions(&context.screen, &args, Cli::command()),
        Command::Man(args) => pages::man(&context, &args, Cli::command()),
        Command::Openapi => context.screen.line(crate::http::openapi::text().trim_end()),
    };
    done.map(|()| ExitCode::SUCCESS)
}
