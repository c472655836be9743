//! `swarm queue …` and `swarm fresh`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use swarm_api::{QueueBody, QueueEntry, QueuedAnswer, Removed};
use swarm_protocol::Atom;

use super::client::package_path;
use super::screen::{self, Screen};
use super::wait::wait_for;
use super::{Context, Problem, portage, similar};

/// `swarm queue …`
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Queue packages
    Add(AddArgs),
    /// What is in the queue: the active session, or everything
    List,
    /// Take a package out, every variant of it; what is being built is cancelled
    Remove {
        /// category/name or category/name-version
        package: String,
    },
}

/// `swarm queue add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Atoms: category/name, =category/name-version, …
    #[arg(required = true, value_name = "ATOM")]
    packages: Vec<String>,
    /// USE flags for these packages, e.g. --use "greet -debug"
    #[arg(long = "use", value_name = "FLAGS", allow_hyphen_values = true)]
    use_flags: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// `swarm fresh`
#[derive(Debug, Args)]
pub struct FreshArgs {
    /// Atoms, or @world
    #[arg(required = true, value_name = "ATOM")]
    packages: Vec<String>,
    /// Where the world file and package.use are
    #[arg(long, default_value = "/", value_name = "DIR")]
    root: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Join the open session of this name, or open one
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// The build profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// A line of package.use; may be given several times
    #[arg(long, value_name = "LINE")]
    package_use: Vec<String>,
    /// Build what the binhost has, too
    #[arg(long)]
    rebuild: bool,
    /// From -100 to 100; higher goes first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// A tag the drone must have; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A Portage FEATURE the drone must have; may be given several times
    #[arg(long = "feature", value_name = "FEATURE")]
    features: Vec<String>,
    /// Memory the drone must have, e.g. 16GiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<bytesize::ByteSize>,
    /// How long one attempt may take in all, e.g. 24h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// How long one attempt may go without a new line of log, e.g. 2h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    silence: Option<Duration>,
    /// Wait until the session has ended; exit status 1 if packages are blocked or failed
    #[arg(long)]
    wait: bool,
}

/// Runs the command.
pub fn run(context: &Context, command: QueueCommand) -> Result<ExitCode, Problem> {
    match command {
        QueueCommand::Add(args) => {
            let mut lines = args.common.package_use.clone();
            lines.extend(use_lines(&args.packages, &args.use_flags)?);
            send(context, args.packages, lines, args.common, false)
        }
        QueueCommand::List => {
            let entries: Vec<QueueEntry> = context.client()?.get("/api/v1/queue")?;
            context.screen.show(&entries, |entries| render(entries, &context.screen))?;
            Ok(ExitCode::SUCCESS)
        }
        QueueCommand::Remove { package } => {
            let client = context.client()?;
            let removed = client.delete::<Removed>(&format!("/api/v1/queue/{}", package_path(&package)?));
            let removed = removed.map_err(|problem| similar::package(&client, problem, &package))?;
            context.screen.show(&removed, |removed| {
                format!("{} taken out of the queue ({})", removed.package, removed.removed)
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `swarm fresh`.
pub fn fresh(context: &Context, args: FreshArgs) -> Result<ExitCode, Problem> {
    let (mut packages, mut lines) = (Vec::new(), args.common.package_use.clone());
    for package in args.packages {
        if package == "@world" {
            packages.extend(portage::world(&args.root)?);
            lines.extend(portage::package_use(&args.root)?);
        } else if package.starts_with('@') {
            return Err(Problem::usage(format!("{package} is not known here")).next("name packages, or @world"));
        } else {
            packages.push(package);
        }
    }
    // what is named may be in the world file, too
    let mut seen = BTreeSet::new();
    packages.retain(|package| seen.insert(package.clone()));
    send(context, packages, lines, args.common, true)
}

/// `--use` as lines of package.use, one for each package.
///
/// # Errors
/// When a package is no atom or there are no flags.
pub fn use_lines(packages: &[String], flags: &[String]) -> Result<Vec<String>, Problem> {
    let flags: Vec<&str> =
        flags.iter().flat_map(|flags| flags.split([' ', ','])).filter(|flag| !flag.is_empty()).collect();
    if flags.is_empty() {
        return Ok(Vec::new());
    }
    let line = |package: &String| {
        let atom: Atom = package.parse().map_err(|error| Problem::usage("this is no package").with(error))?;
        let line = format!("{} {}", Atom { use_deps: None, ..atom }, flags.join(" "));
        if swarm_protocol::atom::is_package_use_line(&line) {
            Ok(line)
        } else {
            Err(Problem::usage("these are no USE flags")
                .with(flags.join(" "))
                .next("write them like --use \"greet -debug\""))
        }
    };
    packages.iter().map(line).collect()
}

fn send(
    context: &Context,
    packages: Vec<String>,
    package_use: Vec<String>,
    common: Common,
    fresh: bool,
) -> Result<ExitCode, Problem> {
    let body = QueueBody {
        packages,
        session_name: common.session,
        portage_timestamp: None,
        profile: common.profile,
        package_use: (!package_use.is_empty()).then_some(package_use),
        rebuild: common.rebuild,
        fresh,
        priority: common.priority,
        tags: common.tags,
        features: common.features,
        memory_bytes: common.memory.map(|size| size.as_u64()),
        timeout_s: common.timeout.map(|timeout| timeout.as_secs()),
        silence_s: common.silence.map(|silence| silence.as_secs()),
    };
    let client = context.client()?;
    let answer: QueuedAnswer = client.post("/api/v1/queue", &body)?;
    if common.wait {
        if !context.screen.json {
            context.screen.line(queued(&answer).trim_end())?;
        }
        return wait_for(context, &client, answer.session_id);
    }
    context.screen.show(&answer, queued)?;
    Ok(ExitCode::SUCCESS)
}

/// What was queued, as text.
pub fn queued(answer: &QueuedAnswer) -> String {
    let mut text = match answer.queued {
        0 => String::new(),
        1 => format!("queued {}\n", answer.packages.join(", ")),
        count => format!("queued {count} packages: {}\n", shortened(&answer.packages)),
    };
    if !answer.duplicates.is_empty() {
        text += &format!("waiting already: {}\n", shortened(&answer.duplicates));
    }
    text + &format!(
        "session {} \"{}\"; follow it with `swarm wait {}`\n",
        answer.session_id, answer.session_name, answer.session_id
    )
}

fn shortened(names: &[String]) -> String {
    match names.len() {
        0..=8 => names.join(", "),
        count => format!("{}, and {} more", names[..8].join(", "), count - 8),
    }
}

/// The queue as text.
pub fn render(entries: &[QueueEntry], screen: &Screen) -> String {
    if entries.is_empty() {
        return "the queue is empty; `swarm queue add category/name` fills it\n".to_owned();
    }
    let heads = ["PACKAGE", "STATE", "ON", "BUILD", "TAKES", "DONE IN", "FAILURES", "WHY"];
    let mut table = screen::Noted::new(screen, &heads);
    for entry in entries {
        let note = if entry.planning { Some("being planned".to_owned()) } else { entry.error_message.clone() };
        let cells = vec![
            Cell::new(&entry.package),
            screen::state(&entry.status),
            Cell::new(screen::or_dash(entry.assigned_to.clone())),
            Cell::new(entry.id),
            Cell::new(screen::or_dash(entry.estimated_s.map(screen::duration))),
            Cell::new(screen::or_dash(entry.eta_s.map(screen::duration))),
            Cell::new(entry.failures),
        ];
        table.row(cells, note);
    }
    table.text()
}
