//! Configuration: one file, each key also an environment variable; unknown keys are errors that name the nearest known one.
//!
//! Decides what a key means and which value wins (environment over file over default). Never changes anything; called by
//! `main` for every subcommand that needs it.

pub mod source;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drone_core::watchdog::Bounds;
use fs_err as fs;
use serde::{Deserialize, Deserializer};
use swarm_portage::RootConfig;
use swarm_protocol::DroneId;
use swarm_protocol::machine::RebootPolicy;
use swarm_protocol::subject::{DEFAULT_PREFIX, Subjects};
use thiserror::Error;

/// The commented example; `drone-agent config example` prints it.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("read the configuration")]
    Read(#[source] io::Error),
    /// Not TOML.
    #[error("{file} is not TOML: {text}")]
    Syntax {
        /// The file.
        file: String,
        /// The parser's words, with line and column.
        text: String,
    },
    /// A key nobody knows.
    #[error("{file}: unknown key `{key}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file, or "the environment".
        file: String,
        /// The key.
        key: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// A value that can't be.
    #[error("{file}: {text}")]
    Value {
        /// The file.
        file: String,
        /// What is wrong with which key.
        text: String,
    },
    /// The seed file is missing or readable by others.
    #[error("credentials {path}: {text}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        text: String,
    },
}

/// A duration written as "90s", "10m", "1h 30m".
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text)
        .map_err(|e| serde::de::Error::custom(format!("{text:?} is not a duration like \"90s\": {e}")))
}

/// The file as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: String,
    state_dir: PathBuf,
    build_dir: Option<PathBuf>,
    credentials: PathBuf,
    slots: u32,
    cores_per_slot: u32,
    tags: Vec<String>,
    log: String,
    bus: BusConfig,
    watchdog: WatchdogConfig,
    limits: LimitsConfig,
    healing: HealingConfig,
    sync: SyncConfig,
    root: Option<RootConfig>,
    more_roots: Vec<RootConfig>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            name: crate::machine::hostname(),
            state_dir: source::default_state_dir(),
            build_dir: None,
            credentials: source::default_credentials(),
            slots: 1,
            cores_per_slot: 4,
            tags: Vec::new(),
            log: "info".to_owned(),
            bus: BusConfig::default(),
            watchdog: WatchdogConfig::default(),
            limits: LimitsConfig::default(),
            healing: HealingConfig::default(),
            sync: SyncConfig::default(),
            root: None,
            more_roots: Vec::new(),
        }
    }
}

/// Where the bus is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// `nats://host:port` or `tls://host:port`; several servers of a cluster parted by commas.
    pub url: String,
    /// Prefix of every subject.
    pub prefix: String,
    /// The certificate authority of the controller, PEM; asks for TLS.
    pub ca: Option<PathBuf>,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { url: "nats://127.0.0.1:4222".to_owned(), prefix: DEFAULT_PREFIX.to_owned(), ca: None }
    }
}

/// Numbers of the supervisor's watchdog.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogConfig {
    /// No answer of the worker for so long is a hung worker.
    #[serde(deserialize_with = "duration")]
    pub silence: Duration,
    /// From TERM to KILL.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self { silence: Duration::from_millis(bounds.silence_ms), grace: Duration::from_millis(bounds.grace_ms) }
    }
}

impl WatchdogConfig {
    /// As the core takes it.
    pub fn bounds(&self) -> Bounds {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Bounds { silence_ms: ms(self.silence), grace_ms: ms(self.grace), ..Bounds::default() }
    }
}

/// Bounds of the worker's own doing; those of an attempt come with its order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// How long a request to the planner may take.
    #[serde(deserialize_with = "duration")]
    pub plan: Duration,
    /// From TERM to KILL when an attempt is ended by order; emerge has 10 s of it.
    #[serde(deserialize_with = "duration")]
    pub end_grace: Duration,
    /// Most orders that wait for a free slot.
    pub waiting: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { plan: Duration::from_secs(600), end_grace: Duration::from_secs(20), waiting: 4 }
    }
}

/// What may be done to a drone that does not work, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealingConfig {
    /// Whether the swarm may reboot this machine, if it is a container or virtual machine.
    pub reboot: RebootPolicy,
    /// What reboots it, program and arguments; its init system if empty.
    pub reboot_command: Vec<String>,
    /// The agent's name at the service manager.
    pub service: String,
    /// What restarts the agent, program and arguments; the service manager if empty.
    pub service_command: Vec<String>,
}

impl Default for HealingConfig {
    fn default() -> Self {
        Self {
            reboot: RebootPolicy::Auto,
            reboot_command: Vec::new(),
            service: "build-swarm-drone".to_owned(),
            service_command: Vec::new(),
        }
    }
}

/// How the ebuild repositories are brought up to date when the controller says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncConfig {
    /// Program and arguments, run with the environment of the first root; empty is `emaint sync --auto` of its Portage.
    pub command: Vec<String>,
}

/// The configuration, whole and checked.
#[derive(Clone)]
pub struct Config {
    /// Name for people.
    pub name: String,
    /// Identity: the public half of the seed.
    pub drone: DroneId,
    /// The secret half. Never logged: `Debug` leaves it out.
    pub seed: String,
    /// Where the drone's memory is.
    pub state_dir: PathBuf,
    /// Where attempts have their directories.
    pub build_dir: PathBuf,
    /// One per slot.
    pub roots: Vec<RootConfig>,
    /// Operator's tags.
    pub tags: Vec<String>,
    /// Filter of the log, as `tracing` takes it.
    pub log: String,
    /// The bus.
    pub bus: BusConfig,
    /// The watchdog's numbers.
    pub watchdog: WatchdogConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// What may be done to it when it does not work.
    pub healing: HealingConfig,
    /// How the ebuild repositories are brought up to date.
    pub sync: SyncConfig,
    /// The file it came from, for the worker.
    pub file: Option<PathBuf>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("name", &self.name).field("drone", &self.drone).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the file (`given`, else the usual places) and the environment. A file that was not asked for may be missing.
    pub fn load(given: Option<&Path>) -> Result<Self, ConfigError> {
        let file = given.map(Path::to_owned).or_else(source::find);
        let (label, text) = match &file {
            Some(path) => (path.display().to_string(), fs::read_to_string(path).map_err(ConfigError::Read)?),
            None => ("the environment".to_owned(), String::new()),
        };
        let parsed = parse(&label, &text, |name| std::env::var(name).ok())?;
        Self::resolve(&label, parsed, file)
    }

    /// Subjects under the configured prefix.
    pub fn subjects(&self) -> Subjects {
        Subjects::new(&self.bus.prefix)
    }

    fn resolve(label: &str, file: File, path: Option<PathBuf>) -> Result<Self, ConfigError> {
        let wrong = |text: String| ConfigError::Value { file: label.to_owned(), text };
        let root = file.root.ok_or_else(|| {
            wrong("no `[root]`; make one with `drone-agent root create` and name it there".to_owned())
        })?;
        let mut roots = vec![root];
        roots.extend(file.more_roots);
        if file.slots as usize > roots.len() {
            let text = format!("slots = {} needs as many roots, and there are {}", file.slots, roots.len());
            return Err(wrong(text + "; add `[[more_roots]]` or lower it"));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        roots.truncate(slots(file.slots, file.cores_per_slot, cores));
        if file.sync.command.first().is_some_and(String::is_empty) {
            return Err(wrong("sync.command begins with an empty word; name a program, or leave it out".to_owned()));
        }
        if file.name.is_empty() || file.name.len() > 64 || file.name.chars().any(|c| c.is_control() || c == '/') {
            return Err(wrong(format!("name {:?} must have 1 to 64 printable characters", file.name)));
        }
        if file.healing.reboot == RebootPolicy::Unknown {
            return Err(wrong("healing.reboot must be \"auto\", \"never\" or \"dry-run\"".to_owned()));
        }
        let service = &file.healing.service;
        let word = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if service.is_empty() || service.starts_with('-') || !service.chars().all(word) {
            return Err(wrong(format!("healing.service {service:?} is no name of a service")));
        }
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let state_dir = absolute(file.state_dir);
        let (seed, drone) = read_seed(&file.credentials)?;
        Ok(Self {
            name: file.name,
            drone,
            seed,
            build_dir: file.build_dir.map_or_else(|| state_dir.join("attempts"), absolute),
            state_dir,
            roots,
            tags: file.tags,
            log: file.log,
            bus: file.bus,
            watchdog: file.watchdog,
            limits: file.limits,
            healing: file.healing,
            sync: file.sync,
            file: path.map(absolute),
        })
    }
}

/// Builds at a time: as said, or with 0 one for each so many processors, as far as there are roots.
fn slots(said: u32, cores_per_slot: u32, cores: usize) -> usize {
    match said {
        0 => (cores / cores_per_slot.max(1) as usize).max(1),
        slots => slots as usize,
    }
}

/// File, then environment on top; `environment` gives a variable's value.
fn parse(label: &str, text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<File, ConfigError> {
    let mut table: toml::Table = toml::from_str(text)
        .map_err(|e| ConfigError::Syntax { file: label.to_owned(), text: e.to_string().trim().replace('\n', " ") })?;
    source::apply_environment(&mut table, environment)
        .map_err(|text| ConfigError::Value { file: "the environment".to_owned(), text })?;
    table.try_into().map_err(|e: toml::de::Error| source::explain(label, &e))
}

/// The seed and the identity it belongs to. Others must not be able to read the file.
fn read_seed(path: &Path) -> Result<(String, DroneId), ConfigError> {
    let wrong = |text: String| ConfigError::Credentials { path: path.to_owned(), text };
    let mode = fs::metadata(path).map_err(|e| wrong(format!("{}; join a swarm first", e.kind())))?.mode();
    if mode & 0o077 != 0 {
        return Err(wrong(format!("others can read it (mode {:o}); run chmod 600 on it", mode & 0o777)));
    }
    let text = fs::read_to_string(path).map_err(|e| wrong(e.kind().to_string()))?;
    let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
    let seed = seed.ok_or_else(|| wrong("no line with an nkey user seed (SU…)".to_owned()))?;
    let pair = nkeys::KeyPair::from_seed(seed).map_err(|_| wrong("the nkey seed in it is damaged".to_owned()))?;
    Ok((seed.to_owned(), DroneId(pair.public_key())))
}

#[cfg(test)]
mod tests;
