//! How a swarm is made: its directory, configurations, roots.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::standing_in::{self, StandIn};
use crate::{Drone, Http, Swarm, tools};

/// Portage profile of the demo repository for this machine.
pub(crate) const PROFILE: &str = if cfg!(target_arch = "aarch64") { "default/arm64" } else { "default/amd64" };

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
    /// What each drone's `[bus]` table says, if not what the controller wrote down for drones of this machine.
    pub drone_bus: Option<String>,
    /// Further drones of this machine, `s1`, `s2`, …, without an agent: for [`crate::Scripted`].
    pub scripted: usize,
    /// Lines for the controller's `[bus]` table.
    pub bus: String,
    /// The bus is somebody else's: the controller starts none.
    pub external: bool,
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
            drone_bus: None,
            scripted: 0,
            bus: String::new(),
            external: false,
        }
    }
}

impl Setup {
    /// Starts a controller and the drones and waits until all are online.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn start(self) -> Result<Swarm> {
        let mut swarm = self.make()?;
        swarm.start_drones()?;
        Ok(swarm)
    }

    /// Starts a controller and makes the drones, but starts none of them.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn make(self) -> Result<Swarm> {
        let mut swarm = self.prepare()?;
        swarm.bring_up()?;
        Ok(swarm)
    }

    /// Writes the controller's configuration and starts nothing; [`Swarm::bring_up`] does.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn prepare(self) -> Result<Swarm> {
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
        let swarm = Swarm { dir, http, port, admin_port, setup: self, stand_in, controller: None, drones: Vec::new() };
        let scripted = (1..=swarm.setup.scripted).map(|n| format!("s{n}"));
        swarm.configure(&swarm.setup.names().into_iter().chain(scripted).collect::<Vec<_>>())?;
        Ok(swarm)
    }

    fn names(&self) -> Vec<String> {
        let width = if self.drones > 9 { 2 } else { 1 };
        (1..=self.drones).map(|n| format!("d{n:0width$}")).collect()
    }
}

impl Swarm {
    /// Starts the controller and makes the drones, but starts none of them.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn bring_up(&mut self) -> Result<()> {
        self.start_controller()?;
        for name in self.setup.names() {
            self.make_drone(&name)?;
        }
        Ok(())
    }

    /// Starts the drones that were made and waits until all are online.
    ///
    /// # Errors
    /// When one does not come; the logs' ends are in the error.
    pub fn start_drones(&mut self) -> Result<()> {
        for index in 0..self.drones.len() {
            self.start_drone(index)?;
        }
        self.until_online(self.drones.len())
    }

    /// Makes a drone as another machine would: by `drone-agent join` with a token on its standard input. It is not started.
    /// Gives what the agent said.
    ///
    /// # Errors
    /// When it is not let in; what the agent said is in the error.
    pub fn join_drone(&mut self, name: &str, token: &str, more: &[&str]) -> Result<String> {
        let dir = self.dir().join("drones").join(name);
        fs_err::create_dir_all(&dir)?;
        let (venv, repository, distfiles, profile) = self.material()?;
        let agent = tools::program("drone-agent")?;
        let mut command = Command::new(&agent);
        command.arg("join").arg("--dir").arg(&dir).arg("--state-dir").arg(dir.join("state"));
        command.arg("--prefix").arg(self.dir().join("roots").join(name)).arg("--portage").arg(venv);
        command.arg("--repository").arg(repository).arg("--profile").arg(profile);
        command.arg("--distfiles").arg(distfiles).args(more);
        let said = answered(&mut command, token)?;
        if !self.drones.iter().any(|drone| drone.name == name) {
            let (within, environment) = (Vec::new(), Vec::new());
            self.drones.push(Drone { name: name.to_owned(), agent, within, environment, dir, supervisor: None });
        }
        Ok(said)
    }

    fn configure(&self, names: &[String]) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "data_dir = {:?}\nlocal_drones = {names:?}", self.data())?;
        writeln!(text, "[http]\nlisten = \"127.0.0.1\"\nport = {}\nadmin_port = {}", self.port, self.admin_port)?;
        writeln!(text, "[bus]\n{}", self.setup.bus)?;
        if !self.setup.external {
            writeln!(text, "server = {:?}", tools::tool("nats.sh", &[])?)?;
        }
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
        let own_bus = || format!("url = {:?}\nca = {:?}", url.trim(), self.data().join("bus-ca.pem"));
        let mut text = format!(
            "name = {name:?}\nstate_dir = {:?}\ncredentials = {credentials:?}\nslots = {}\n{}\n[bus]\n{}\n",
            dir.join("state"),
            self.setup.slots,
            self.setup.drone,
            self.setup.drone_bus.clone().unwrap_or_else(own_bus),
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

    /// What roots are made from: Portage, repository, sources, profile.
    fn material(&self) -> Result<(PathBuf, PathBuf, PathBuf, &'static str)> {
        Ok(match &self.stand_in {
            Some(stand_in) => {
                (stand_in.venv().to_owned(), stand_in.repository(), stand_in.venv().to_owned(), standing_in::PROFILE)
            }
            None => {
                let material = tools::repository()?;
                (tools::tool("portage.sh", &[])?, material.join("repository"), material.join("distfiles"), PROFILE)
            }
        })
    }

    /// Makes a root and gives the lines that configure it.
    fn make_root(&self, root: &Path) -> Result<String> {
        let (venv, repository, distfiles, profile) = self.material()?;
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

/// Runs a command with `input` on its standard input and gives what it printed.
///
/// # Errors
/// When it fails; exit status and what it said are in the error.
pub fn answered(command: &mut Command, input: &str) -> Result<String> {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // a command that fails at once reads nothing
    let _ = child.stdin.take().context("a pipe")?.write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("exit status {}: {said}", output.status.code().unwrap_or(-1));
    }
    Ok(said)
}
