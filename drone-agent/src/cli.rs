//! What the subcommands do around the processes: logs, runtimes, roots, the configuration's check.

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, Subcommand};
use clap_complete::Shell;
use fs_err as fs;
use swarm_portage::setup::check;
use swarm_portage::{RootConfig, RootKind, RootSpec, create, fingerprint_of};
use swarm_protocol::report::BinhostAccess;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, EXAMPLE};

/// `drone-agent config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what is wrong with it, without starting anything.
    Check,
    /// Print a commented example with every key.
    Example,
}

/// `drone-agent root …`
#[derive(Debug, Subcommand)]
pub enum RootCommand {
    /// Make a root to build in or to install into, or bring its configuration up to date.
    Create(RootArguments),
}

/// Arguments of `root create`.
#[derive(Debug, Args)]
pub struct RootArguments {
    /// A Gentoo Prefix needs no privileges; a chroot has plain paths and needs the right to mount; a system is this very
    /// machine, which must run Gentoo and do nothing else.
    #[arg(long, value_name = "KIND", default_value = "prefix")]
    kind: Kind,
    /// Its directory. Binaries move only between prefixes whose paths have equal length.
    #[arg(long, alias = "path", value_name = "DIR", default_value_if("kind", "system", Some("/")))]
    prefix: Option<PathBuf>,
    /// The main ebuild repository.
    #[arg(long, value_name = "DIR", default_value_if("kind", "system", Some("/var/db/repos/gentoo")))]
    repository: Option<PathBuf>,
    /// Directory with sources already at hand; may be given more than once.
    #[arg(long, value_name = "DIR")]
    distfiles: Vec<PathBuf>,
    /// Python virtual environment with Portage in it; /usr for a system.
    #[arg(long, value_name = "VENV", default_value_if("kind", "system", Some("/usr")))]
    portage: Option<PathBuf>,
    /// Portage profile below the repository's profiles/; default: the only one it names.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// The build profile of the swarm this root serves.
    #[arg(long, value_name = "NAME", default_value = "")]
    build_profile: String,
    /// Address of the binhost to install from.
    #[arg(long, value_name = "URL", requires = "binhost_key")]
    binhost_url: Option<String>,
    /// File with the binhost's public key, ASCII-armoured.
    #[arg(long, value_name = "FILE", requires = "binhost_url")]
    binhost_key: Option<PathBuf>,
    /// Fingerprint of that key; default: taken from the key itself.
    #[arg(long, value_name = "HEX", requires = "binhost_key")]
    binhost_fingerprint: Option<String>,
}

/// Kinds of root, as words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A Gentoo Prefix in a directory.
    Prefix,
    /// A tree of its own over the machine's programs.
    Chroot,
    /// The machine itself.
    System,
}

impl From<Kind> for RootKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Prefix => Self::Prefix,
            Kind::Chroot => Self::Chroot,
            Kind::System => Self::System,
        }
    }
}

/// Runs one of the long-lived processes to its end.
pub fn start<F>(config: Config, process: impl FnOnce(Config) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let filter = EnvFilter::try_new(&config.log).with_context(|| format!("log = {:?} is no log filter", config.log))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_stack_size(1 << 20)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
        .context("start the runtime")?;
    let done = runtime.block_on(process(config));
    // blocking work that is still under way (a plan, an end) is not waited for
    runtime.shutdown_background();
    done
}

/// A configuration whose roots can be used on this machine: a drone that could build nothing had better not start.
///
/// # Errors
/// When a root's kind is not for this machine.
pub fn checked(config: Config) -> anyhow::Result<Config> {
    for root in &config.roots {
        check(root).with_context(|| format!("use root {}", root.path.display()))?;
    }
    Ok(config)
}

/// `config check` and `config example`.
pub fn config(command: &ConfigCommand, given: Option<&Path>) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Example => print!("{EXAMPLE}"),
        ConfigCommand::Check => {
            let config = checked(Config::load(given)?)?;
            EnvFilter::try_new(&config.log).with_context(|| format!("log = {:?} is no log filter", config.log))?;
            let file = config.file.as_ref().map_or("no file".to_owned(), |path| path.display().to_string());
            println!("{file} is good: drone {} ({}), {} slot(s)", config.name, config.drone, config.roots.len());
        }
    }
    Ok(())
}

/// `completions`: made from the command line's own definition.
pub fn completions(shell: Shell, mut command: Command) -> anyhow::Result<()> {
    let (mut script, name) = (Vec::new(), command.get_name().to_owned());
    command.build();
    clap_complete::generate(shell, &mut shown(&command), name, &mut script);
    std::io::stdout().write_all(&script).context("print the script")
}

/// The same command line without what the agent starts for itself.
fn shown(command: &Command) -> Command {
    let inside = command.get_subcommands().filter(|inside| !inside.is_hide_set() && inside.get_name() != "help");
    let about = command.get_about().cloned().unwrap_or_default();
    let arguments =
        command.get_arguments().filter(|argument| argument.get_id() != "help" && argument.get_id() != "version");
    Command::new(command.get_name().to_owned())
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .args(arguments.cloned())
        .subcommands(inside.map(shown))
}

/// `man`: the first page, or all of them into a directory.
pub fn man(dir: Option<&Path>, command: Command) -> anyhow::Result<()> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return std::io::stdout().write_all(&page).context("print the page");
    };
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir).with_context(|| format!("write the pages into {}", dir.display()))?;
    println!("the pages are in {}", dir.display());
    Ok(())
}

/// `root create`.
pub fn root(command: RootCommand) -> anyhow::Result<()> {
    let RootCommand::Create(arguments) = command;
    let spec = spec(arguments)?;
    create(&spec).with_context(|| format!("make root {}", spec.config.path.display()))?;
    println!("root {} is ready", spec.config.path.display());
    Ok(())
}

fn spec(arguments: RootArguments) -> anyhow::Result<RootSpec> {
    let given = |path: Option<PathBuf>, name: &str| {
        let path = path.with_context(|| format!("--{name} is missing; a prefix or chroot needs it"))?;
        std::path::absolute(&path).with_context(|| format!("find {}", path.display()))
    };
    let kind = RootKind::from(arguments.kind);
    let repository = given(arguments.repository, "repository")?;
    let profile = match arguments.profile {
        Some(profile) => profile,
        // a machine has chosen its profile itself
        None if kind == RootKind::System => String::new(),
        None => only_profile(&repository)?,
    };
    let binhost = match (arguments.binhost_url, arguments.binhost_key) {
        (Some(url), Some(key)) => {
            let public_key = fs::read_to_string(key).context("read the binhost's key")?;
            let fingerprint = arguments.binhost_fingerprint.map_or_else(|| fingerprint_of(&public_key), Ok)?;
            Some(BinhostAccess { url, fingerprint, public_key, ..BinhostAccess::default() })
        }
        _ => None,
    };
    let distfiles = arguments.distfiles.into_iter().map(|dir| given(Some(dir), "distfiles"));
    let config = RootConfig {
        kind,
        path: given(arguments.prefix, "prefix")?,
        venv: given(arguments.portage, "portage")?,
        repository,
        profile,
        distfiles: distfiles.collect::<Result<_, _>>()?,
        build_profile: arguments.build_profile,
        ..RootConfig::default()
    };
    let request_signature = binhost.is_some();
    Ok(RootSpec { config, binhost, request_signature })
}

/// The profile of a repository that has just one: `arch path status` in profiles/profiles.desc.
pub(crate) fn only_profile(repository: &Path) -> anyhow::Result<String> {
    let file = repository.join("profiles/profiles.desc");
    let text = fs::read_to_string(&file).context("look for the repository's profiles; or give --profile")?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").split_whitespace());
    let mut names: Vec<&str> = lines.filter_map(|mut words| words.nth(1)).collect();
    names.sort_unstable();
    names.dedup();
    match names[..] {
        [only] => Ok(only.to_owned()),
        [] => anyhow::bail!("{} names no profile; give --profile", file.display()),
        _ => anyhow::bail!("{} names {} profiles; choose one with --profile", file.display(), names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_starts_for_itself_is_offered_nowhere() {
        let command = Command::new("agent")
            .subcommand(Command::new("run").about("x"))
            .subcommand(Command::new("attempt").hide(true))
            .subcommand(
                Command::new("root").subcommand(Command::new("create").arg(clap::Arg::new("prefix").long("prefix"))),
            );
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut shown(&command), "agent", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(!script.contains("attempt"));
        assert!(script.contains("--prefix") && script.contains("run"));
    }

    #[test]
    fn a_repository_with_one_profile_needs_no_choice() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("profiles")).unwrap();
        let write = |text: &str| fs::write(dir.path().join("profiles/profiles.desc"), text).unwrap();
        assert!(only_profile(dir.path()).is_err());
        write("# arch path status\namd64 default/amd64 stable\n");
        assert_eq!(only_profile(dir.path()).unwrap(), "default/amd64");
        write("amd64 default/amd64 stable\narm64 default/arm64 exp\n");
        assert!(only_profile(dir.path()).unwrap_err().to_string().contains("--profile"));
    }
}
