//! The files of the managed server, all in `<data_dir>/nats/` (mode 0700):
//!
//! | file | what |
//! |---|---|
//! | `nats.conf` | the configuration, written at each start |
//! | `users.conf` | its include with everyone's permissions; changed while the server runs |
//! | `port` | the port, chosen once and kept: drones know it |
//! | `process.json` | pid and start time of the process we started, and the hash of its configuration |
//! | `server.pem` | its certificate with the key, issued by our own authority (`tls`) |
//! | `nats.log` | its log, three files of 8 MB at most; `nats.err` has the last words of a crash |
//! | `jetstream/` | the event stream |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use swarm_common::files::write_whole;

use super::{ServerBinary, ServerError};
use crate::program::keep_ours;

/// Parsing 1,000 users takes 0.2 s.
const CHECK_WITHIN: Duration = Duration::from_secs(20);

/// What a managed server is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// A binary that is new enough.
    pub binary: ServerBinary,
    /// The controller's data directory; the server's files stand below it.
    pub data_dir: PathBuf,
    /// The store this bus belongs to; becomes the server's name, by which we know our own.
    pub store_id: String,
    /// Where it listens; unspecified addresses are every one this machine has.
    pub listen: IpAddr,
    /// A configured port. Without one a free port is chosen once and kept.
    pub port: Option<u16>,
    /// What the server is called elsewhere: host names and addresses for its certificate, besides this machine's own.
    pub names: Vec<String>,
}

/// Where everything of one managed server is.
#[derive(Debug, Clone)]
pub(super) struct Files {
    dir: PathBuf,
    pub(super) server_name: String,
    listen: IpAddr,
    pub(super) port: u16,
    /// The port was chosen just now, so another will do as well.
    pub(super) port_is_new: bool,
}

impl Files {
    /// Makes the folder and settles the port.
    pub(super) fn prepare(settings: &ServerSettings) -> Result<Self, ServerError> {
        let dir = settings.data_dir.join("nats");
        fs_err::create_dir_all(&dir).map_err(ServerError::file(&dir))?;
        fs_err::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).map_err(ServerError::file(&dir))?;
        let dir = fs_err::canonicalize(&dir).map_err(ServerError::file(&dir))?;
        let server_name = format!("swarm-{}", settings.store_id);
        let mut files = Self { dir, server_name, listen: settings.listen, port: 0, port_is_new: false };
        match settings.port {
            Some(port) => files.port = port,
            None => match files.kept_port()? {
                Some(port) => files.port = port,
                None => files.choose_port()?,
            },
        }
        Ok(files)
    }

    fn kept_port(&self) -> Result<Option<u16>, ServerError> {
        let path = self.port_file();
        match fs_err::read_to_string(&path) {
            // an unreadable number is as good as none: another port is chosen
            Ok(text) => Ok(text.trim().parse().ok().filter(|port| *port != 0)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ServerError::File { path, source }),
        }
    }

    /// Takes a port that is free now and writes it down.
    pub(super) fn choose_port(&mut self) -> Result<(), ServerError> {
        let path = self.port_file();
        let free = TcpListener::bind((self.listen, 0)).and_then(|listener| listener.local_addr());
        self.port = free.map_err(ServerError::file(&path))?.port();
        self.port_is_new = true;
        self.write(&path, &format!("{}\n", self.port))
    }

    /// Where this machine reaches it.
    pub(super) fn address(&self) -> SocketAddr {
        let host = match self.listen {
            IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            own => own,
        };
        SocketAddr::new(host, self.port)
    }

    /// Its certificate and key.
    pub(super) fn certificate(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("nats.conf")
    }

    pub(super) fn port_file(&self) -> PathBuf {
        self.dir.join("port")
    }

    pub(super) fn record(&self) -> PathBuf {
        self.dir.join("process.json")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.dir.join("nats.pid")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("nats.log")
    }

    pub(super) fn last_words(&self) -> PathBuf {
        self.dir.join("nats.err")
    }

    /// The main configuration. Everything in it needs a new process to take effect; users are in the include.
    fn config_text(&self, users: &str) -> Result<String, ServerError> {
        let path = |name: &str| quoted(&self.dir.join(name));
        Ok(format!(
            "# Written by the controller at each start; edits are overwritten.\n\
             listen: \"{listen}\"\n\
             server_name: {name}\n\
             max_payload: 1MB\n\
             ping_interval: \"20s\"\n\
             ping_max: 3\n\
             write_deadline: \"10s\"\n\
             # what one member can take: connections in all (an agent has two), subscriptions of one connection\n\
             max_connections: 32768\n\
             max_subscriptions: 1000\n\
             tls {{ cert_file: {certificate}, key_file: {certificate}, timeout: 5 }}\n\
             pid_file: {pid}\n\
             log_file: {log}\n\
             logfile_size_limit: 8MB\n\
             logfile_max_num: 3\n\
             # an acknowledged event that a power cut takes back is worse than a slow one\n\
             jetstream {{ store_dir: {store}, max_mem: 64MB, max_file: 1GB, sync_interval: always }}\n\
             include \"{users}\"\n",
            listen = SocketAddr::new(self.listen, self.port),
            certificate = quoted(&self.certificate())?,
            name = quoted(Path::new(&self.server_name))?,
            pid = quoted(&self.pid_file())?,
            log = quoted(&self.log())?,
            store = path("jetstream")?,
        ))
    }

    /// Writes the main configuration and says its hash, the server's version included: what differs needs a new process.
    pub(super) fn write_config(&self, binary: &ServerBinary) -> Result<String, ServerError> {
        let text = self.config_text("users.conf")?;
        self.write(&self.config(), &text)?;
        Ok(hex::encode(Sha256::new().chain_update(binary.version.to_string()).chain_update(&text).finalize()))
    }

    /// Puts `users` in place after `nats-server -t` found nothing wrong with them. True when the file changed.
    pub(super) async fn write_users(&self, binary: &ServerBinary, users: &str) -> Result<bool, ServerError> {
        let path = self.dir.join("users.conf");
        if fs_err::read_to_string(&path).is_ok_and(|now| now == users) {
            return Ok(false);
        }
        self.write(&self.dir.join("users.draft"), users)?;
        let draft = self.dir.join("nats.draft");
        self.write(&draft, &self.config_text("users.draft")?)?;
        check(binary, &draft).await?;
        self.write(&path, users)?;
        Ok(true)
    }

    /// Appears whole or not at all, and survives a power cut; mode 0600.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), ServerError> {
        write_whole(path, text.as_bytes(), 0o600).map_err(ServerError::file(path))
    }
}

/// Asks the server itself whether it would take the file.
async fn check(binary: &ServerBinary, config: &Path) -> Result<(), ServerError> {
    let mut command = tokio::process::Command::new(&binary.path);
    keep_ours(command.as_std_mut());
    let asked = command.arg("-t").arg("-c").arg(config).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(CHECK_WITHIN, asked).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said: String = String::from_utf8_lossy(&output.stderr).chars().take(1000).collect();
            Err(ServerError::Refused { said: said.trim().to_owned() })
        }
        Ok(Err(source)) => Err(ServerError::File { path: binary.path.clone(), source }),
        Err(_) => Err(ServerError::Refused { said: format!("no answer within {} s", CHECK_WITHIN.as_secs()) }),
    }
}

/// A path as a string of the server's configuration language.
fn quoted(path: &Path) -> Result<String, ServerError> {
    let unfit = || {
        let why = "the path can't stand in the server's configuration: not UTF-8, or with control characters";
        ServerError::File { path: path.to_owned(), source: std::io::Error::new(std::io::ErrorKind::InvalidInput, why) }
    };
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(unfit)?;
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::server::Version;

    fn settings(data_dir: &Path) -> ServerSettings {
        let version = Version { major: 2, minor: 15, patch: 1 };
        ServerSettings {
            binary: ServerBinary { path: "/nowhere/nats-server".into(), version },
            data_dir: data_dir.to_owned(),
            store_id: "abc".to_owned(),
            listen: Ipv4Addr::LOCALHOST.into(),
            port: None,
            names: Vec::new(),
        }
    }

    #[test]
    fn the_port_is_chosen_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = Files::prepare(&settings(dir.path())).unwrap();
        let second = Files::prepare(&settings(dir.path())).unwrap();
        assert!(first.port_is_new && !second.port_is_new);
        assert_eq!(first.port, second.port);
        let configured = ServerSettings { port: Some(4222), ..settings(dir.path()) };
        assert_eq!(Files::prepare(&configured).unwrap().port, 4222);
    }

    #[test]
    fn the_hash_follows_what_needs_a_new_process() {
        let dir = tempfile::tempdir().unwrap();
        let base = settings(dir.path());
        let hash =
            |settings: &ServerSettings| Files::prepare(settings).unwrap().write_config(&settings.binary).unwrap();
        let first = hash(&base);
        assert_eq!(hash(&base), first);
        assert_ne!(hash(&ServerSettings { port: Some(4222), ..base.clone() }), first);
        assert_ne!(hash(&ServerSettings { store_id: "abd".to_owned(), ..base.clone() }), first);
        assert_ne!(hash(&ServerSettings { listen: Ipv4Addr::UNSPECIFIED.into(), ..base.clone() }), first);
        // the certificate is read again on a reload
        assert_eq!(hash(&ServerSettings { names: vec!["elsewhere".to_owned()], ..base.clone() }), first);
        let mut newer = base;
        newer.binary.version.patch = 2;
        assert_ne!(hash(&newer), first);
    }

    #[test]
    fn this_machine_reaches_a_server_that_listens_everywhere_by_loopback() {
        let dir = tempfile::tempdir().unwrap();
        for (listen, address) in [("0.0.0.0", "127.0.0.1:4222"), ("::", "[::1]:4222"), ("192.0.2.7", "192.0.2.7:4222")]
        {
            let settings = ServerSettings { listen: listen.parse().unwrap(), port: Some(4222), ..settings(dir.path()) };
            assert_eq!(Files::prepare(&settings).unwrap().address().to_string(), address);
        }
    }

    #[test]
    fn paths_are_quoted_or_refused() {
        assert_eq!(quoted(Path::new("/a b/\"c\"\\d$e")).unwrap(), r#""/a b/\"c\"\\d$e""#);
        assert!(quoted(Path::new("/a\nb")).is_err());
    }
}
