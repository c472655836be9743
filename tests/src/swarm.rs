//! A swarm of real processes: one controller with its nats-server, drones with a prefix root each. The test holds every
//! process by pid and may kill any of them. What the drones build with is real Portage or a stand-in ([`Setup::stand_in`]).

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::standing_in::{self, StandIn};
use crate::{Http, processes, tools, until};

/// Portage profile of the demo repository for this machine.
const PROFILE: &str = if cfg!(target_arch = "aarch64") { "default/arm64" } else { "default/amd64" };
/// How long a controller may take to answer.
const START: Duration = Duration::from_secs(30);
/// How long a fleet may take to be online.
const JOIN: Duration = Duration::from_secs(60);
/// How long a process may take to end after TERM.
const END: Duration = Duration::from_secs(15);

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

/// A swarm in a directory of its own.
pub struct Swarm {
    dir: TempDir,
    /// The façade.
    pub http: Http,
    port: u16,
    setup: Setup,
    stand_in: Option<StandIn>,
    controller: Option<Child>,
    drones: Vec<Drone>,
}

/// One drone: its supervisor is a child of the test.
pub struct Drone {
    /// Its name.
    pub name: String,
    /// Program its agent is started as.
    pub agent: PathBuf,
    /// Words before the agent's command line: a program that executes the rest in a place of its own.
    pub within: Vec<String>,
    /// Environment of its agent: each key of its configuration can be set here, too.
    pub environment: Vec<(String, String)>,
    dir: PathBuf,
    supervisor: Option<Child>,
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
        let port = match self.port {
            Some(port) => port,
            None => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
        };
        let http = Http::new(format!("http://127.0.0.1:{port}"), String::new());
        let stand_in = if self.stand_in { Some(StandIn::make(&dir.path().join("stand-in"))?) } else { None };
        let width = if self.drones > 9 { 2 } else { 1 };
        let names: Vec<String> = (1..=self.drones).map(|n| format!("d{n:0width$}")).collect();
        let mut swarm = Swarm { dir, http, port, setup: self, stand_in, controller: None, drones: Vec::new() };
        swarm.configure(&names)?;
        swarm.start_controller()?;
        for name in names {
            swarm.make_drone(&name)?;
        }
        Ok(swarm)
    }
}

impl Swarm {
    /// A controller and `drones` drones with real Portage, all online. `rules` are lines for the controller's `[rules]`
    /// table. [`Setup`] can do more.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn start(drones: usize, rules: &str) -> Result<Self> {
        Setup { drones, rules: rules.to_owned(), ..Setup::default() }.start()
    }

    /// The same with stand-in builds; see [`standing_in`].
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn standing_in(drones: usize, rules: &str) -> Result<Self> {
        Setup { drones, rules: rules.to_owned(), stand_in: true, ..Setup::default() }.start()
    }

    /// What stands in for Portage in this swarm.
    ///
    /// # Panics
    /// When it builds with real Portage.
    pub fn stand_in(&self) -> &StandIn {
        self.stand_in.as_ref().expect("the test made a swarm of stand-in builds")
    }

    /// The swarm's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A drone.
    pub fn drone(&mut self, name: &str) -> &mut Drone {
        self.drones.iter_mut().find(|drone| drone.name == name).expect("the test knows its drones")
    }

    fn configure(&self, names: &[String]) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "data_dir = {:?}\nlocal_drones = {names:?}", self.data())?;
        writeln!(text, "[http]\nlisten = \"127.0.0.1\"\nport = {}", self.port)?;
        writeln!(text, "[bus]\nserver = {:?}", tools::tool("nats.sh", &[])?)?;
        let rules = &self.setup.rules;
        let usual = if rules.contains("min_free_disk") { "" } else { "min_free_disk = \"64MiB\"" };
        writeln!(text, "[rules]\n{usual}\n{rules}\n{}", self.setup.tables)?;
        fs_err::write(self.dir().join("controller.toml"), text)?;
        Ok(())
    }

    /// The controller's data.
    pub fn data(&self) -> PathBuf {
        self.setup.data.clone().unwrap_or_else(|| self.dir().join("data"))
    }

    /// All drones' names.
    pub fn names(&self) -> Vec<String> {
        self.drones.iter().map(|drone| drone.name.clone()).collect()
    }

    /// Starts the controller and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_controller(&mut self) -> Result<()> {
        self.spawn_controller()?;
        let http = self.http.clone();
        let controller = self.controller.as_mut().context("a controller that was started")?;
        let answered = until("the controller to answer", START, || {
            if let Some(status) = controller.try_wait()? {
                bail!("the controller ended: {status}");
            }
            Ok(http.get("/api/v1/health").ok())
        });
        answered.map_err(|error| error.context(tail(&self.controller_log())))?;
        let key = fs_err::read_to_string(self.data().join("admin.key"))?;
        self.http = Http::new(self.http.url.clone(), key.trim().to_owned());
        Ok(())
    }

    /// Starts the controller and waits for nothing.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn_controller(&mut self) -> Result<()> {
        let mut command = Command::new(tools::program("swarm")?);
        command.arg("serve").arg("--config").arg(self.dir().join("controller.toml"));
        // tests shall not depend on how full the machine's disk is
        command.env("BUILD_SWARM_BINHOST_MIN_FREE_PERCENT", "0");
        command.envs(self.setup.environment.iter().map(|(key, value)| (key, value)));
        self.controller = Some(spawn(&mut command, &self.controller_log())?);
        Ok(())
    }

    /// Sets a variable of the controller's environment for its next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.setup.environment.retain(|(other, _)| other != key);
        self.setup.environment.push((key.to_owned(), value.to_owned()));
    }

    /// Where the controller's log is.
    pub fn controller_log(&self) -> PathBuf {
        self.dir().join("controller.log")
    }

    /// Waits until the controller ends by itself, and gives its exit status.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn until_controller_ends(&mut self, within: Duration) -> Result<ExitStatus> {
        let log = self.controller_log();
        let controller = self.controller.as_mut().context("the controller runs")?;
        let ended = until("the controller to end", within, || Ok(controller.try_wait()?));
        let status = ended.map_err(|error| error.context(tail(&log)))?;
        self.controller = None;
        Ok(status)
    }

    /// Fails if the controller or a supervisor that was started and not killed by the test has ended.
    ///
    /// # Errors
    /// Which one, with the end of its log.
    pub fn none_ended(&mut self) -> Result<()> {
        let log = self.controller_log();
        if let Some(status) = self.controller.as_mut().map(Child::try_wait).transpose()?.flatten() {
            bail!("the controller ended by itself: {status}{}", tail(&log));
        }
        for drone in &mut self.drones {
            if let Some(status) = drone.supervisor.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the supervisor of {} ended by itself: {status}{}", drone.name, tail(&drone.log()));
            }
        }
        Ok(())
    }

    /// Kills the controller at once and waits until it is gone. Its nats-server lives on.
    ///
    /// # Errors
    /// When it can't be killed.
    pub fn kill_controller(&mut self) -> Result<()> {
        let mut controller = self.controller.take().context("the controller runs")?;
        controller.kill()?;
        controller.wait()?;
        Ok(())
    }

    /// The controller's pid.
    pub fn controller_pid(&self) -> Option<i32> {
        self.controller.as_ref().map(|child| child.id() as i32)
    }

    /// The pid of the managed nats-server.
    ///
    /// # Errors
    /// When there is none.
    pub fn nats_pid(&self) -> Result<i32> {
        let data = self.data();
        let words = ["nats-server", data.to_str().context("a path in UTF-8")?];
        let servers: Vec<_> = processes::with(&words).into_iter().filter(|p| !p.command.contains("serve ")).collect();
        servers.first().map(|process| process.pid).context("a nats-server runs")
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

    /// Starts a drone's supervisor.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_drone(&mut self, index: usize) -> Result<()> {
        self.drones[index].start()
    }

    /// Waits until so many drones are online.
    ///
    /// # Errors
    /// When they are not in time; the logs' ends are in the error.
    pub fn until_online(&self, count: usize) -> Result<()> {
        self.until_online_within(count, JOIN)
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// When they are not in time; the logs' ends are in the error.
    pub fn until_online_within(&self, count: usize, within: Duration) -> Result<()> {
        let joined = until(format!("{count} drones to be online"), within, || {
            let status = self.http.get("/api/v1/status")?;
            Ok((status["nodes_online"].as_u64() == Some(count as u64)).then_some(()))
        });
        joined.map_err(|error| error.context(self.logs()))
    }

    /// Queues atoms.
    ///
    /// # Errors
    /// When the controller refuses.
    pub fn queue(&self, atoms: &[&str]) -> Result<Value> {
        self.http.post("/api/v1/queue", &json!({ "packages": atoms }))
    }

    /// The queue's entry of a package, by the beginning of its atom.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub fn entry(&self, package: &str) -> Result<Option<Value>> {
        let queue = self.http.get("/api/v1/queue")?;
        let entries = queue.as_array().context("the queue is an array")?;
        Ok(entries
            .iter()
            .find(|entry| entry["package"].as_str().is_some_and(|atom| atom.starts_with(package)))
            .cloned())
    }

    /// Waits until a package is in a state.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn until_state(&self, package: &str, state: &str, within: Duration) -> Result<Value> {
        let reached = until(format!("{package} to be {state}"), within, || {
            // a controller that is being restarted does not answer
            let Ok(entry) = self.entry(package) else { return Ok(None) };
            Ok(entry.filter(|entry| entry["status"] == state))
        });
        reached.map_err(|error| error.context(self.logs()))
    }

    /// Waits until a package's emerge runs on a drone, and gives the drone's name.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn until_building(&self, package: &str, within: Duration) -> Result<String> {
        let building = until(format!("{package} to be built"), within, || {
            let nodes = self.http.get("/api/v1/nodes?all=true")?;
            let nodes = nodes.as_array().context("nodes are an array")?;
            Ok(nodes.iter().find_map(|node| {
                let progress = node["build_progress"].as_array()?;
                let task = progress
                    .iter()
                    .find(|task| task["package"].as_str().is_some_and(|atom| atom.starts_with(package)))?;
                task["building_since"].as_f64()?;
                node["name"].as_str().map(str::to_owned)
            }))
        });
        building.map_err(|error| error.context(self.logs()))
    }

    /// Events of a kind, oldest first.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub fn events(&self, kind: &str) -> Result<Vec<Value>> {
        let events = self.http.get(&format!("/api/v1/events/history?limit=2000&type={kind}"))?;
        Ok(events["events"].as_array().cloned().unwrap_or_default())
    }

    /// The text of the binhost's index; empty while there is none.
    ///
    /// # Errors
    /// When the controller does not answer.
    pub fn index(&self) -> Result<String> {
        let shown = self.http.get("/api/v1/binhost")?;
        let Some(index) = shown["indexes"][0]["index"].as_str() else { return Ok(String::new()) };
        let path = self.data().join("binhost").join(index).join("Packages");
        Ok(if path.exists() { fs_err::read_to_string(path)? } else { String::new() })
    }

    /// The ends of all logs, for errors.
    pub fn logs(&self) -> String {
        let mut text = tail(&self.controller_log());
        for drone in &self.drones {
            text += &tail(&drone.log());
        }
        text
    }
}

impl Drone {
    /// Starts the supervisor.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(&mut self) -> Result<()> {
        let mut words = self.within.iter().map(OsStr::new).chain([self.agent.as_os_str()]);
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words).arg("run").arg("--config").arg(self.dir.join("drone.toml"));
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        self.supervisor = Some(spawn(&mut command, &self.log())?);
        Ok(())
    }

    /// Where the log of its supervisor and worker is.
    pub fn log(&self) -> PathBuf {
        self.dir.join("agent.log")
    }

    /// Length of that log now.
    pub fn log_end(&self) -> u64 {
        fs_err::metadata(self.log()).map_or(0, |meta| meta.len())
    }

    /// What that log says from `offset` on.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn log_since(&self, offset: u64) -> Result<String> {
        let mut file = fs_err::File::open(self.log())?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Kills the supervisor at once and waits until it is gone. Its worker ends itself, attempts live on.
    ///
    /// # Errors
    /// When it can't be killed.
    pub fn kill_supervisor(&mut self) -> Result<()> {
        let mut supervisor = self.supervisor.take().context("the supervisor runs")?;
        supervisor.kill()?;
        supervisor.wait()?;
        Ok(())
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> i32 {
        self.supervisor.as_ref().map_or(0, |child| child.id() as i32)
    }

    /// The worker's pid.
    pub fn worker_pid(&self) -> Option<i32> {
        let children = processes::below(self.pid());
        children
            .into_iter()
            .find(|process| process.parent == self.pid() && process.command.contains(" worker"))
            .map(|process| process.pid)
    }

    /// Pids of this drone's attempt processes, wherever they hang now.
    pub fn attempts(&self) -> Vec<i32> {
        let state = self.dir.to_string_lossy().into_owned();
        processes::with(&["drone-agent attempt", &state]).into_iter().map(|process| process.pid).collect()
    }

    /// Attempts on the drone's disk: running, or finished and not yet acknowledged.
    pub fn held(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.dir.join("state/attempts")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.join("job.msgpack").exists()).collect()
    }

    /// Kills the supervisor, the worker and every attempt with all its processes, as a power cut would.
    ///
    /// # Errors
    /// When the supervisor can't be killed.
    pub fn cut_power(&mut self) -> Result<()> {
        let mut doomed: Vec<i32> = self.worker_pid().into_iter().collect();
        for attempt in self.attempts() {
            doomed.push(attempt);
            doomed.extend(processes::below(attempt).into_iter().map(|process| process.pid));
        }
        if let Some(mut supervisor) = self.supervisor.take() {
            supervisor.kill()?;
            supervisor.wait()?;
        }
        for pid in doomed {
            // it may have ended by itself meanwhile
            let _ = processes::signal(pid, Signal::SIGKILL);
        }
        Ok(())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for drone in &mut self.drones {
            let _ = drone.cut_power();
        }
        // what attempts killed by the test may have left
        for process in processes::marked("BUILD_SWARM_ATTEMPT", self.dir.path()) {
            let _ = processes::signal(process.pid, Signal::SIGKILL);
        }
        if let Some(mut controller) = self.controller.take() {
            let _ = processes::signal(controller.id() as i32, Signal::SIGTERM);
            let ended = until("the controller to end", END, || Ok(controller.try_wait()?));
            if ended.is_err() {
                let _ = controller.kill();
                let _ = controller.wait();
            }
        }
        if let Ok(pid) = self.nats_pid() {
            let _ = processes::signal(pid, Signal::SIGKILL);
        }
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let file = fs_err::OpenOptions::new().create(true).append(true).open(log)?.into_parts().0;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).env_remove("ADMIN_KEY");
    command.spawn().with_context(|| format!("start {command:?}"))
}

fn tail(path: &Path) -> String {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(25)..].join("\n");
    format!("\n--- end of {}\n{last}\n", path.display())
}
