//! The controller's configuration: one TOML file, every key also an environment variable, flags above both. Precedence is
//! flag > environment > file > default. Reading it has no side effects, and tells everything that is wrong at once.
//!
//! `keys` is the list everything is made from; `value` says how durations, sizes and the like are written; `runtime` which
//! settings may change while the controller runs. Called by `main`.

mod keys;
mod packages;
pub mod runtime;
#[cfg(test)]
mod tests;
mod value;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use swarm_core::Settings;

use crate::notices::{MailSecurity, MailSettings, NotifySettings, UrlSource, WebhookSettings};
use keys::{KEYS, Key, PREFIX};
use value::Raw;
pub use value::{LogLevel, host_of, is_host};

/// The system-wide file.
pub const SYSTEM_FILE: &str = "/etc/build-swarm/controller.toml";

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where everything is kept; see [`Config::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// The controller's name for people.
    pub name: String,
    /// Names of drones on this machine.
    pub local_drones: Vec<String>,
    /// `[log]`
    pub log: Log,
    /// `[http]`
    pub http: Http,
    /// `[bus]`
    pub bus: Bus,
    /// `[events]`
    pub events: Events,
    /// `[history]`
    pub history: History,
    /// `[logs]`
    pub logs: Logs,
    /// `[binhost]`
    pub binhost: Binhost,
    /// `[healing]`, what of it is not the core's.
    pub healing: Healing,
    /// `[notify]`
    pub notify: Notify,
    /// `[rules]` and the numbers of `[healing]`: the core's. Version, address and signing key in it are set by `serve`.
    pub rules: Settings,
    /// Things that look wrong but need not be, for the log.
    pub warnings: Vec<String>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// As JSON.
    pub json: bool,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on.
    pub listen: IpAddr,
    /// Port of the façade.
    pub port: u16,
    /// Port for administrators; 0 for none.
    pub admin_port: u16,
    /// Address the admin port listens on; [`Http::listen`] if not given.
    pub admin_listen: Option<IpAddr>,
    /// `/metrics` is served.
    pub metrics: bool,
    /// Base address as others reach it; see [`Config::public_url`].
    pub public_url: Option<String>,
}

/// `[bus]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bus {
    /// A server somebody else runs; several of a cluster parted by commas.
    pub url: Option<String>,
    /// The authority of its certificates, PEM.
    pub ca: Option<PathBuf>,
    /// The controller's seed for it.
    pub credentials: Option<PathBuf>,
    /// First tokens of every subject.
    pub prefix: String,
    /// The binary of the managed server.
    pub server: Option<PathBuf>,
    /// Where the managed server listens.
    pub listen: IpAddr,
    /// Port of the managed server.
    pub port: Option<u16>,
    /// Where drones on other machines reach it; see [`Config::bus_public_url`].
    pub public_url: Option<String>,
    /// Further names of the managed server, for its certificate.
    pub names: Vec<String>,
}

/// `[events]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// Mirrored as JSON.
    pub json: bool,
    /// Kept in the store.
    pub keep: u64,
    /// Age in the stream, milliseconds.
    pub stream_age: u64,
    /// Bytes in the stream.
    pub stream_size: u64,
    /// Servers of a cluster that hold it.
    pub replicas: usize,
}

/// `[history]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Attempts kept in the store.
    pub keep: u64,
}

/// `[logs]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Compressed bytes kept.
    pub keep: u64,
}

/// `[binhost]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binhost {
    /// User id of the signing key.
    pub user_id: String,
    /// Largest upload, bytes.
    pub max_upload: u64,
    /// Least free part of the disk, percent.
    pub min_free_percent: u32,
    /// Bytes a check of the published files reads per second, at most.
    pub verify_rate: u64,
}

/// `[healing]`, what of it is not the core's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healing {
    /// What SSH runs on a drone.
    pub ssh_command: Vec<String>,
}

/// `[notify]`, as it is written; [`Notify::settings`] is what it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// Mail server.
    pub mail_server: Option<String>,
    /// Its port.
    pub mail_port: Option<u16>,
    /// How the connection is protected.
    pub mail_security: MailSecurity,
    /// User there.
    pub mail_user: Option<String>,
    /// File with the password.
    pub mail_password_file: Option<PathBuf>,
    /// Sender.
    pub mail_from: Option<String>,
    /// Recipients.
    pub mail_to: Vec<String>,
    /// A webhook's address.
    pub webhook_url: Option<String>,
    /// File with it.
    pub webhook_url_file: Option<PathBuf>,
    /// File with its token.
    pub webhook_token_file: Option<PathBuf>,
    /// A command.
    pub command: Vec<String>,
    /// An extra certificate authority.
    pub ca: Option<PathBuf>,
}

impl Notify {
    /// The channels it means.
    pub fn settings(&self) -> NotifySettings {
        let mail = self.mail_server.as_ref().map(|server| MailSettings {
            server: server.clone(),
            port: self.mail_port.unwrap_or(match self.mail_security {
                MailSecurity::StartTls => 587,
                MailSecurity::Tls => 465,
                MailSecurity::None => 25,
            }),
            security: self.mail_security,
            login: self.mail_user.clone().zip(self.mail_password_file.clone()),
            from: self.mail_from.clone().unwrap_or_default(),
            to: self.mail_to.clone(),
        });
        let url = self.webhook_url.clone().map(UrlSource::Url);
        let url = url.or_else(|| self.webhook_url_file.clone().map(UrlSource::File));
        let webhook = url.map(|url| WebhookSettings { url, token: self.webhook_token_file.clone() });
        NotifySettings { mail, webhook, command: self.command.clone(), ca: self.ca.clone() }
    }

    /// What is wrong with it.
    fn contradictions(&self, wrong: &mut impl FnMut(bool, String)) {
        let mail = self.mail_server.is_some();
        wrong(
            mail && (self.mail_from.is_none() || self.mail_to.is_empty()),
            "notify.mail_server needs notify.mail_from and notify.mail_to, too".to_owned(),
        );
        wrong(
            !mail && (self.mail_user.is_some() || self.mail_from.is_some() || !self.mail_to.is_empty()),
            "notify.mail_… without notify.mail_server: no mail would be sent".to_owned(),
        );
        wrong(
            self.mail_user.is_some() != self.mail_password_file.is_some(),
            "notify.mail_user and notify.mail_password_file belong together".to_owned(),
        );
        wrong(
            self.mail_user.is_some() && self.mail_security == MailSecurity::None,
            "notify.mail_security = \"none\" would send the password in the clear: use starttls or tls".to_owned(),
        );
        for address in self.mail_from.iter().chain(&self.mail_to) {
            wrong(
                address.parse::<lettre::message::Mailbox>().is_err(),
                format!("notify: {address:?} is no address for mail"),
            );
        }
        wrong(
            self.webhook_url.is_some() && self.webhook_url_file.is_some(),
            "notify.webhook_url and notify.webhook_url_file both say where the webhook is: drop one".to_owned(),
        );
        wrong(
            self.webhook_token_file.is_some() && self.webhook_url.is_none() && self.webhook_url_file.is_none(),
            "notify.webhook_token_file without an address: nothing would be posted".to_owned(),
        );
        let url = self.webhook_url.as_deref().unwrap_or("https://");
        wrong(
            !(url.starts_with("http://") || url.starts_with("https://")),
            "notify.webhook_url begins with http:// or https://".to_owned(),
        );
        wrong(
            url.contains('@'),
            "notify.webhook_url contains a user or password: put a token into notify.webhook_token_file, or the whole \
             address into notify.webhook_url_file"
                .to_owned(),
        );
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: None,
            name: "build-swarm".to_owned(),
            local_drones: Vec::new(),
            log: Log { level: LogLevel::Info, json: false },
            http: Http {
                listen: Ipv4Addr::UNSPECIFIED.into(),
                port: 8100,
                admin_port: 8093,
                admin_listen: None,
                metrics: true,
                public_url: None,
            },
            bus: Bus {
                url: None,
                ca: None,
                credentials: None,
                prefix: "swarm.v1".to_owned(),
                server: None,
                listen: Ipv4Addr::LOCALHOST.into(),
                port: None,
                public_url: None,
                names: Vec::new(),
            },
            events: Events {
                json: false,
                keep: 200_000,
                stream_age: 7 * 24 * 3_600_000,
                stream_size: 256 << 20,
                replicas: 1,
            },
            history: History { keep: 1_000_000 },
            logs: Logs { keep: 8 << 30 },
            binhost: Binhost {
                user_id: "Build Swarm binhost <binhost@localhost.invalid>".to_owned(),
                max_upload: 4 << 30,
                min_free_percent: 5,
                verify_rate: 64 << 20,
            },
            healing: Healing { ssh_command: vec!["drone-agent".to_owned(), "escalate".to_owned()] },
            notify: Notify::default(),
            rules: Settings::default(),
            warnings: Vec::new(),
        }
    }
}

/// What a configuration is made from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file and its text.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Flags of the command line: key and value.
    pub flags: Vec<(String, String)>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{place}: {why}")]
    Unreadable {
        /// The file.
        place: String,
        /// Why.
        why: String,
    },
    /// No such key.
    #[error("{place}: there is no key {key}{}", nearest.as_ref().map_or(String::new(), |near| format!("; did you mean {near}?")))]
    Unknown {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// The nearest there is.
        nearest: Option<String>,
    },
    /// The value does not fit the key.
    #[error("{place}: {key}: {why}")]
    Value {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// What it should be.
        why: String,
    },
    /// Values that contradict each other.
    #[error("{0}")]
    Conflict(String),
}

/// Everything that is wrong, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<ConfigError>);

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads file and environment of this process. Without `file` it is [`default_file`], if that exists.
    ///
    /// # Errors
    /// Everything that is wrong, together.
    pub fn load(file: Option<&Path>, flags: Vec<(String, String)>) -> Result<Self, ConfigErrors> {
        let path = file.map(Path::to_owned).or_else(default_file);
        let file = path.map(|path| {
            let read = fs_err::read_to_string(&path);
            read.map(|text| (path.clone(), text)).map_err(|error| {
                ConfigErrors(vec![ConfigError::Unreadable {
                    place: path.display().to_string(),
                    why: error.to_string(),
                }])
            })
        });
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::from_sources(&Sources { file: file.transpose()?, environment, flags })
    }

    /// Makes the configuration; touches nothing else.
    ///
    /// # Errors
    /// Everything that is wrong, together.
    pub fn from_sources(sources: &Sources) -> Result<Self, ConfigErrors> {
        let (mut config, mut errors) = (Self::default(), Vec::new());
        if let Some((path, text)) = &sources.file {
            config.take_file(&path.display().to_string(), text, &mut errors);
        }
        config.take_environment(&sources.environment, &mut errors);
        for (name, value) in &sources.flags {
            config.take("command line", name, Raw::Text(value), &mut errors);
        }
        config.contradictions(&mut errors);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    fn take_file(&mut self, place: &str, text: &str, errors: &mut Vec<ConfigError>) {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let why = error.to_string();
                return errors
                    .push(ConfigError::Unreadable { place: place.to_owned(), why: why.trim_end().to_owned() });
            }
        };
        let sections: Vec<&str> = KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
        for (name, value) in &table {
            match value {
                toml::Value::Table(section) if sections.contains(&name.as_str()) => {
                    for (key, value) in section {
                        self.take(place, &format!("{name}.{key}"), Raw::File(value), errors);
                    }
                }
                _ => self.take(place, name, Raw::File(value), errors),
            }
        }
    }

    fn take_environment(&mut self, environment: &[(String, String)], errors: &mut Vec<ConfigError>) {
        for key in KEYS {
            let variable = key.variable();
            let found = environment.iter().find(|(name, value)| *name == variable && !value.is_empty());
            if let Some((_, value)) = found {
                self.take(&variable, key.name, Raw::Text(value), errors);
            }
        }
        // Other programs of the swarm read variables of this kind, too, so an unknown one is no error.
        let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
        for (name, _) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            if !variables.contains(name)
                && let Some(near) = nearest(name, variables.iter().map(String::as_str))
            {
                self.warnings.push(format!("the environment variable {name} means nothing here; {near} would"));
            }
        }
    }

    fn take(&mut self, place: &str, name: &str, raw: Raw<'_>, errors: &mut Vec<ConfigError>) {
        let (place, name) = (place.to_owned(), name.to_owned());
        match KEYS.iter().find(|key| key.name == name) {
            Some(key) => {
                if let Err(why) = (key.set)(self, raw) {
                    errors.push(ConfigError::Value { place, key: name, why });
                }
            }
            None => {
                let nearest = nearest(&name, KEYS.iter().map(|key| key.name));
                errors.push(ConfigError::Unknown { place, key: name, nearest });
            }
        }
    }

    /// What no single key can tell.
    fn contradictions(&self, errors: &mut Vec<ConfigError>) {
        let mut wrong = |is: bool, text: String| {
            if is {
                errors.push(ConfigError::Conflict(text));
            }
        };
        let (rules, bus, http) = (&self.rules, &self.bus, &self.http);
        wrong(
            http.port != 0 && http.port == http.admin_port,
            format!("http.port and http.admin_port are both {}: give them different ports", http.port),
        );
        let own = bus.server.is_some() || bus.port.is_some() || !bus.names.is_empty() || !bus.listen.is_loopback();
        wrong(
            bus.url.is_some() && own,
            "bus.url names a server somebody else runs; bus.server, bus.listen, bus.port and bus.names are for one of our \
             own: drop one or the other"
                .to_owned(),
        );
        wrong(
            bus.url.is_none() && bus.ca.is_some(),
            "bus.ca is the authority of a server somebody else runs, named by bus.url; our own makes one itself"
                .to_owned(),
        );
        wrong(
            bus.url.is_none() && self.events.replicas > 1,
            format!(
                "events.replicas is {}: our own bus is one server; name a cluster in bus.url",
                self.events.replicas
            ),
        );
        wrong(
            !(1..=5).contains(&self.events.replicas),
            format!("events.replicas is {}: 1 to 5 servers can hold a stream", self.events.replicas),
        );
        if let Some(bad) = bus.names.iter().find(|name| !is_host(name)) {
            wrong(true, format!("bus.names: {bad:?} is neither a host name nor an IP address"));
        }
        let reached = bus.public_url.iter().flat_map(|urls| urls.split(',')).map(str::trim);
        if let Some(bad) = reached.into_iter().find(|url| host_of(url).is_none_or(|host| !is_host(&host))) {
            wrong(true, format!("bus.public_url: {bad:?} is no address such as tls://swarm.example.org:4222"));
        }
        wrong(
            bus.url.as_ref().is_some_and(|url| url.contains('@')),
            "bus.url contains a user or password: put an nkey seed into a file and name it in bus.credentials"
                .to_owned(),
        );
        wrong(
            rules.heartbeat == 0 || rules.offline_after < 2 * rules.heartbeat,
            "rules.offline_after must be at least two rules.heartbeat, and that more than nothing".to_owned(),
        );
        wrong(
            rules.lease < rules.offline_after,
            "rules.lease must not be shorter than rules.offline_after, or work is taken from drones that are online"
                .to_owned(),
        );
        let healing = &rules.healing;
        wrong(
            healing.ping_every < 100 || healing.ping_within == 0 || healing.ping_within >= healing.ping_every,
            "healing.ping_within must be shorter than healing.ping_every, and that at least 100ms".to_owned(),
        );
        wrong(
            healing.misses == 0 || healing.good_pongs == 0,
            "healing.misses and healing.good_pongs are at least 1".to_owned(),
        );
        wrong(self.healing.ssh_command.is_empty(), "healing.ssh_command names no program".to_owned());
        self.notify.contradictions(&mut wrong);
        wrong(
            rules.keep_builds == 0,
            "binhost.keep is 0: at least the newest package of each identity stays".to_owned(),
        );
        wrong(
            rules.prefetch > 64,
            format!("rules.prefetch is {}: more than 64 orders wait better in the controller's line", rules.prefetch),
        );
        wrong(
            rules.sync && rules.sync_timeout == 0,
            "rules.sync_timeout is nothing: no tree is synced in that".to_owned(),
        );
        wrong(self.binhost.min_free_percent > 100, "binhost.min_free_percent is more than 100".to_owned());
        let url = self.http.public_url.as_deref().unwrap_or("http://");
        wrong(
            !(url.starts_with("http://") || url.starts_with("https://")),
            format!("http.public_url is {url:?}: it begins with http:// or https://"),
        );
        for name in &self.local_drones {
            let fits = !name.is_empty()
                && name.len() <= 63
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
                && !name.starts_with('.');
            wrong(
                !fits,
                format!("local_drones: {name:?} is no name for a drone: letters, digits, dot and hyphen, at most 63"),
            );
        }
    }

    /// Where drones on other machines reach the bus: as configured, else the host of [`Config::public_url`] with `port`.
    /// `None` while the bus, or the façade they need as well, listens to this machine only.
    pub fn bus_public_url(&self, port: u16) -> Option<String> {
        if let Some(url) = self.bus.public_url.as_ref().or(self.bus.url.as_ref()) {
            return Some(url.clone());
        }
        let host = self.http.public_url.as_deref().and_then(host_of)?;
        (!self.bus.listen.is_loopback()).then(|| match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("tls://[{address}]:{port}"),
            _ => format!("tls://{host}:{port}"),
        })
    }

    /// Names and addresses for the certificate of our own bus: those configured and those in addresses given out.
    pub fn bus_names(&self) -> Vec<String> {
        let urls = [self.bus.public_url.as_deref(), self.http.public_url.as_deref()];
        let hosts = urls.into_iter().flatten().flat_map(|urls| urls.split(',')).filter_map(host_of);
        let own = Some(self.bus.listen).filter(|address| !address.is_unspecified()).map(|address| address.to_string());
        let mut names: Vec<String> = self.bus.names.iter().cloned().chain(hosts).chain(own).collect();
        names.retain(|name| is_host(name));
        names
    }

    /// Where everything is kept.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(dir) = &self.data_dir {
            return dir.clone();
        }
        // what the service manager made for us
        if let Some(dir) = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute()) {
            return dir;
        }
        match user_folder("XDG_DATA_HOME", ".local/share") {
            Some(folder) if !nix::unistd::geteuid().is_root() => folder.join("build-swarm"),
            _ => PathBuf::from("/var/lib/build-swarm"),
        }
    }

    /// Base address as drones and clients reach the façade, without a slash at its end.
    pub fn public_url(&self) -> String {
        match &self.http.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let host = match self.http.listen {
                    any if any.is_unspecified() => "127.0.0.1".to_owned(),
                    IpAddr::V6(address) => format!("[{address}]"),
                    IpAddr::V4(address) => address.to_string(),
                };
                format!("http://{host}:{}", self.http.port)
            }
        }
    }
}

/// The file read when none is named: for a user the one below `$XDG_CONFIG_HOME`, else the system-wide one; `None` if there
/// is none.
pub fn default_file() -> Option<PathBuf> {
    let own = user_folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("build-swarm/controller.toml"));
    let own = own.filter(|_| !nix::unistd::geteuid().is_root());
    own.into_iter().chain([PathBuf::from(SYSTEM_FILE)]).find(|path| path.exists())
}

fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

/// The known name most like an unknown one; its last part counts too, so that `prot` finds `http.port`.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let likeness = |candidate: &str| {
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        strsim::jaro_winkler(name, candidate).max(strsim::jaro_winkler(name, last))
    };
    // of equals the first, which stands first in the example
    let best = known.map(|candidate| (likeness(candidate), candidate)).min_by(|a, b| b.0.total_cmp(&a.0));
    best.filter(|(likeness, _)| *likeness > 0.75).map(|(_, candidate)| candidate.to_owned())
}

/// A commented file with every key. Keys with a default stand there with it, the others are commented out.
pub fn example() -> String {
    let defaults = Config::default();
    let mut text = String::from(
        "# Build Swarm controller. Every value below is the default, so an empty file does as well.\n\
         # Each key is also an environment variable, named with it. Flags win over the environment, that over this file.\n\
         # The admin key is never in this file: it is made at the first start in <data_dir>/admin.key, or set by the\n\
         # environment variable ADMIN_KEY.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            text.push_str(&format!("\n[{of}]\n"));
            section = of;
        }
        text.push('\n');
        for line in key.doc {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("# Environment: {}\n", key.variable()));
        match (key.show)(&defaults) {
            Some(value) => text.push_str(&format!("{name} = {value}\n")),
            None => text.push_str(&format!("#{name} = {}\n", key.sample)),
        }
    }
    text
}

/// Every key as a page of Markdown: docs/configuration.md, which a test keeps true.
pub fn reference() -> String {
    let defaults = Config::default();
    let mut text = String::new();
    let mut section = None;
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != Some(of) {
            text.push_str(&if of.is_empty() { "### At the top\n".to_owned() } else { format!("\n### `[{of}]`\n") });
            section = Some(of);
        }
        let value = match (key.show)(&defaults) {
            Some(value) => format!("default `{value}`"),
            None => format!("unset by default; for example `{}`", key.sample),
        };
        let doc = key.doc.join(" ").replace('<', "&lt;");
        text.push_str(&format!("\n- `{name}`: {value}; environment `{}`\n\n  {doc}\n", key.variable()));
    }
    text
}
