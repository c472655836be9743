//! Where things are: the file to read, the data, and the addresses others reach us by. Follows from what is configured and
//! from who runs the program.

use std::net::IpAddr;
use std::path::PathBuf;

use super::sections::Config;
use super::value::{host_of, is_host};

/// The system-wide file.
pub const SYSTEM_FILE: &str = "/etc/build-swarm/controller.toml";

impl Config {
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
