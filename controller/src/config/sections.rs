//! The configuration as a value, one type per section of the file, and what stands in it when nothing is said. The core's own
//! part, `rules`, is the core's [`Settings`].

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use swarm_core::Settings;

use super::notify::Notify;
use super::value::LogLevel;

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
