//! A swarm of real processes: one controller with its nats-server, drones with a prefix root each. The test holds every
//! process by pid and may kill any of them. What the drones build with is real Portage or a stand-in ([`Setup::stand_in`]).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::standing_in::StandIn;
use crate::{Drone, Http, Setup, processes, tools, until};

/// How long a controller may take to answer.
const START: Duration = Duration::from_secs(30);
/// How long a fleet may take to be online.
const JOIN: Duration = Duration::from_secs(60);
/// How long a process may take to end after TERM.
pub(crate) const END: Duration = Duration::from_secs(15);

/// A swarm in a directory of its own.
pub struct Swarm {
    pub(crate) dir: TempDir,
    /// The façade.
    pub http: Http,
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    pub(crate) setup: Setup,
    pub(crate) stand_in: Option<StandIn>,
    pub(crate) controller: Option<Child>,
    pub(crate) drones: Vec<Drone>,
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

    /// The administrators' port, with the admin key.
    ///
    /// # Errors
    /// When the key can't be read.
    pub fn admin(&self) -> Result<Http> {
        let key = fs_err::read_to_string(self.data().join("admin.key"))?;
        Ok(Http::new(format!("http://127.0.0.1:{}", self.admin_port), key.trim().to_owned()))
    }

    /// The façade's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `swarm …` against this swarm, as the one who holds the key.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(tools::program("swarm")?);
        command.args(["--url", &self.http.url, "--data"]).arg(self.data()).args(arguments);
        command.env_remove("ADMIN_KEY").stdin(Stdio::null());
        Ok(command)
    }

    /// Runs the command line as the one who holds the key; its exit status and what it printed.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn tried(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.command(arguments)?.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
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

    /// Runs `swarm …` against this swarm and gives what it printed.
    ///
    /// # Errors
    /// When it fails; its own words are in the error.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?.output()?;
        if !output.status.success() {
            bail!("swarm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
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

pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let file = fs_err::OpenOptions::new().create(true).append(true).open(log)?.into_parts().0;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    if !command.get_envs().any(|(name, value)| name == "ADMIN_KEY" && value.is_some()) {
        command.env_remove("ADMIN_KEY");
    }
    command.spawn().with_context(|| format!("start {command:?}"))
}

fn tail(path: &Path) -> String {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(25)..].join("\n");
    format!("\n--- end of {}\n{last}\n", path.display())
}
