//! A bus without a controller's process around it: a real nats-server with the users and permissions a controller gives it,
//! ended by pid with its value.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use swarm_controller::bus::keys::{self, UserCredentials};
use swarm_controller::bus::permissions::{self, Members};
use swarm_protocol::{DroneId, Subjects};

use crate::fleet::Identity;
use crate::{tools, until};

/// How long the server may take to listen; with ten thousand users it reads for seconds.
const START: Duration = Duration::from_secs(60);

/// A running server.
pub struct Bus {
    /// Where it is.
    pub url: String,
    /// The controller's key.
    pub controller: UserCredentials,
    process: Child,
}

impl Bus {
    /// Starts a server in `dir` that lets the controller and these drones in. `synced`: the event stream is on disk
    /// (`sync_interval: always`) before an event counts as published, as a managed server's is.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(dir: &Path, drones: &[Identity], synced: bool) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let controller = keys::controller(&dir.join("keys"))?;
        let ids: BTreeSet<DroneId> = drones.iter().map(|drone| drone.id.clone()).collect();
        let members = Members { controller: controller.id.clone(), drones: ids, ..Members::default() };
        fs_err::write(dir.join("users.conf"), permissions::render(Subjects::default().prefix(), &members)?)?;
        let port = tools::free_port()?;
        let sync = if synced { ", sync_interval: always" } else { "" };
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: \"bench\"\nmax_payload: 1MB\nwrite_deadline: \"10s\"\n\
             log_file: {:?}\njetstream {{ store_dir: {:?}, max_mem: 64MB, max_file: 1GB{sync} }}\n\
             include \"users.conf\"\n",
            dir.join("nats.log"),
            dir.join("jetstream"),
        );
        fs_err::write(dir.join("nats.conf"), text)?;
        let binary: PathBuf = tools::tool("nats.sh", &[])?;
        let process = Command::new(&binary)
            .arg("-c")
            .arg(dir.join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let bus = Self { url: format!("nats://127.0.0.1:{port}"), controller, process };
        until("the bus to listen", START, || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok()))
            .with_context(|| fs_err::read_to_string(dir.join("nats.log")).unwrap_or_default())?;
        Ok(bus)
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
