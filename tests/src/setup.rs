//! How a swarm is made: its directory, configurations, roots.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::standing_in::{self, StandIn};
use crate::{Drone, Http, Swarm, tools};

/// Portage profile of the demo repository for this machine.
const PROFILE: &str = if cfg!(target_arch = "aarch64") { "default/arm64" } else { "default/amd64" };

/// How a swarm is made. `Setup { drones: 3, ..Setup::default() }.start()`.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How many drones.
    pub drones: usize,
    /// Builds each of them does at a time.
    pub slots: usize,
    /// Stand-in builds instead of real Portage; see [`standing_in`].
    pub stand_in: bool,
    /// Lines for the controller's `[rules]` table.
    pub rules: String,
    /// Further tables of the controller's configuration.
    pub tables: String,
    /// Where the controller's data are to be, if not in the swarm's directory.
    pub data: Option<PathBuf>,
    /// Environment of the controller: each of its keys can be set here, too.
    pub environment: Vec<(String, String)>,
    /// Port of the façade; without it a free one.
    pub port: Option<u16>,
    /// Lines at the top of each drone's configuration.
    pub drone: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            drones: 1,
            slots: 1,
            stand_in: false,
            rules: String::new(),
            tables: String::new(),
            data: None,
            environment: Vec::new(),
            port: None,
            drone: String::new(),
        }
    }
}

impl Setup {
    /// Starts a controller and the drones and waits until all are online.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn start(self) -> Result<Swarm> {
        let drones = self.drones;
        let mut swarm = self.make()?;
        for index in 0..drones {
            swarm.start_drone(index)?;
        }
        swarm.until_online(drones)?;
        Ok(swarm)
    }

    /// Starts a controller and makes the drones, but starts none of them.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn make(self) -> Result<Swarm> {
        let parent = tools::project().join("target/e2e");
        fs_err::create_dir_all(&parent)?;
        // short, because unix sockets below it have at most 108 bytes of path
        let dir = tempfile::Builder::new().prefix("s").tempdir_in(&parent)?;
        // Portage verifies signatures as nobody, who must be able to pass
        fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let (port, admin_port) = (free[0].local_addr()?.port(), free[1].local_addr()?.port());
        let port = self.port.unwrap_or(port);
        drop(free);
        let http = Http::new(format!("http://127.0.0.1:{port}"), String::new());
        let stand_in = if self.stand_in { Some(StandIn::make(&dir.path().join("stand-in"))?) } else { None };
        let width = if self.drones > 9 { 2 } else { 1 };
        let names: Vec<String> = (1..=self.drones).map(|n| format!("d{n:0width$}")).collect();
        let mut swarm =
            Swarm { dir, http, port, admin_port, setup: self, stand_in, controller: None, drones: Vec::new() };
        swarm.configure(&names)?;
        swarm.start_controller()?;
        for name in names {
            swarm.make_drone(&name)?;
        }
        Ok(swarm)
    }
}

impl Swarm {
    fn configure(&self, names: &[String]) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "data_dir = {:?}\nlocal_drones = {names:?}", self.data())?;
        writeln!(text, "[http]\nlisten = \"127.0.0.1\"\nport = {}\nadmin_port = {}", self.port, self.admin_port)?;
        writeln!(text, "[bus]\nserver = {:?}", tools::tool("nats.sh", &[])?)?;
        if !self.setup.tables.contains("[binhost]") {
            // what else lies on this machine's disk is no matter of the tests
            writeln!(text, "[binhost]\nmin_free_percent = 0")?;
        }
        let rules = &self.setup.rules;
        let usual = if rules.contains("min_free_disk") { "" } else { "min_free_disk = \"64MiB\"" };
        writeln!(text, "[rules]\n{usual}\n{rules}\n{}", self.setup.tables)?;
        fs_err::write(self.dir().join("controller.toml"), text)?;
        Ok(())
    }

    fn make_drone(&mut self, name: &str) -> Result<()> {
        let dir = self.dir().join("drones").join(name);
        fs_err::create_dir_all(&dir)?;
        let roots = (0..self.setup.slots).map(|slot| match slot {
            0 => self.dir().join("roots").join(name),
            more => self.dir().join("roots").join(format!("slot{more}")).join(name),
        });
        let roots: Vec<String> = roots.map(|root| self.make_root(&root)).collect::<Result<_>>()?;
        let credentials = self.data().join("drones").join(format!("{name}.nk"));
        let url = fs_err::read_to_string(self.data().join("bus.url")).unwrap_or_default();
        let mut text = format!(
            "name = {name:?}\nstate_dir = {:?}\ncredentials = {credentials:?}\nslots = {}\n{}\n[bus]\nurl = {:?}\n",
            dir.join("state"),
            self.setup.slots,
            self.setup.drone,
            url.trim(),
        );
        for (slot, root) in roots.iter().enumerate() {
            let table = if slot == 0 { "[root]" } else { "[[more_roots]]" };
            writeln!(text, "{table}\n{root}")?;
        }
        fs_err::write(dir.join("drone.toml"), text)?;
        let agent = tools::program("drone-agent")?;
        let (within, environment) = (Vec::new(), Vec::new());
        self.drones.push(Drone { name: name.to_owned(), agent, within, environment, dir, supervisor: None });
        Ok(())
    }

    /// Makes a root and gives the lines that configure it.
    fn make_root(&self, root: &Path) -> Result<String> {
        let (venv, repository, distfiles, profile) = match &self.stand_in {
            Some(stand_in) => {
                (stand_in.venv().to_owned(), stand_in.repository(), stand_in.venv().to_owned(), standing_in::PROFILE)
            }
            None => {
                let material = tools::repository()?;
                (tools::tool("portage.sh", &[])?, material.join("repository"), material.join("distfiles"), PROFILE)
            }
        };
        let made = Command::new(tools::program("drone-agent")?)
            .args(["root", "create", "--prefix"])
            .arg(root)
            .arg("--repository")
            .arg(&repository)
            .arg("--distfiles")
            .arg(&distfiles)
            .arg("--portage")
            .arg(&venv)
            .args(["--profile", profile])
            .output()?;
        if !made.status.success() {
            bail!("root create: {}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
        }
        Ok(format!(
            "path = {root:?}\nvenv = {venv:?}\nrepository = {repository:?}\nprofile = {profile:?}\n\
             distfiles = [{distfiles:?}]\n"
        ))
    }
}
