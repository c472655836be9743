//! A swarm of real processes: one controller with its nats-server, drones with a prefix root each. The test holds every
//! process by pid and may kill any of them.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Http, processes, tools, until};

/// Portage profile of the demo repository for this machine.
const PROFILE: &str = if cfg!(target_arch = "aarch64") { "default/arm64" } else { "default/amd64" };
/// How long a controller may take to answer.
const START: Duration = Duration::from_secs(30);
/// How long a fleet may take to be online.
const JOIN: Duration = Duration::from_secs(60);
/// How long a process may take to end after TERM.
const END: Duration = Duration::from_secs(15);

/// A swarm in a directory of its own.
pub struct Swarm {
    dir: TempDir,
    /// The façade.
    pub http: Http,
    port: u16,
    admin_port: u16,
    rules: String,
    controller: Option<Child>,
    drones: Vec<Drone>,
}

/// One drone: its supervisor is a child of the test.
pub struct Drone {
    /// Its name.
    pub name: String,
    dir: PathBuf,
    supervisor: Option<Child>,
}

impl Swarm {
    /// Starts a controller and `drones` drones and waits until all are online. `rules` are lines for the controller's
    /// `[rules]` table.
    ///
    /// # Errors
    /// When something does not start; the logs' ends are in the error.
    pub fn start(drones: usize, rules: &str) -> Result<Self> {
        let parent = tools::project().join("target/e2e");
        fs_err::create_dir_all(&parent)?;
        // short, because unix sockets below it have at most 108 bytes of path
        let dir = tempfile::Builder::new().prefix("s").tempdir_in(&parent)?;
        // Portage verifies signatures as nobody, who must be able to pass
        fs_err::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let (port, admin_port) = (free[0].local_addr()?.port(), free[1].local_addr()?.port());
        drop(free);
        let http = Http::new(format!("http://127.0.0.1:{port}"), String::new());
        let mut swarm =
            Self { dir, http, port, admin_port, rules: rules.to_owned(), controller: None, drones: Vec::new() };
        let names: Vec<String> = (1..=drones).map(|n| format!("d{n}")).collect();
        swarm.configure(&names)?;
        swarm.start_controller()?;
        for name in names {
            swarm.make_drone(&name)?;
        }
        for index in 0..swarm.drones.len() {
            swarm.start_drone(index)?;
        }
        swarm.until_online(drones)?;
        Ok(swarm)
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
        writeln!(text, "[http]\nlisten = \"127.0.0.1\"\nport = {}\nadmin_port = {}", self.port, self.admin_port)?;
        writeln!(text, "[bus]\nserver = {:?}", tools::tool("nats.sh", &[])?)?;
        // what else lies on this machine's disk is no matter of the tests
        writeln!(text, "[binhost]\nmin_free_percent = 0")?;
        writeln!(text, "[rules]\nmin_free_disk = \"64MiB\"\n{}", self.rules)?;
        fs_err::write(self.dir().join("controller.toml"), text)?;
        Ok(())
    }

    /// The administrators' port, with the admin key.
    ///
    /// # Errors
    /// When the key can't be read.
    pub fn admin(&self) -> Result<Http> {
        let key = fs_err::read_to_string(self.data().join("admin.key"))?;
        Ok(Http::new(format!("http://127.0.0.1:{}", self.admin_port), key.trim().to_owned()))
    }

    /// The controller's data.
    pub fn data(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// Starts the controller and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_controller(&mut self) -> Result<()> {
        let log = self.dir().join("controller.log");
        let mut command = Command::new(tools::program("swarm")?);
        command.arg("serve").arg("--config").arg(self.dir().join("controller.toml"));
        self.controller = Some(spawn(&mut command, &log)?);
        let http = self.http.clone();
        let answered = until("the controller to answer", START, || Ok(http.get("/api/v1/health").ok()));
        answered.map_err(|error| error.context(tail(&log)))?;
        let key = fs_err::read_to_string(self.data().join("admin.key"))?;
        self.http = Http::new(self.http.url.clone(), key.trim().to_owned());
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
        let material = tools::repository()?;
        let (root, venv) = (self.dir().join("roots").join(name), tools::tool("portage.sh", &[])?);
        let made = Command::new(tools::program("drone-agent")?)
            .args(["root", "create", "--prefix"])
            .arg(&root)
            .arg("--repository")
            .arg(material.join("repository"))
            .arg("--distfiles")
            .arg(material.join("distfiles"))
            .arg("--portage")
            .arg(&venv)
            .args(["--profile", PROFILE])
            .output()?;
        if !made.status.success() {
            bail!("root create: {}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
        }
        let credentials = self.data().join("drones").join(format!("{name}.nk"));
        let url = fs_err::read_to_string(self.data().join("bus.url")).unwrap_or_default();
        let text = format!(
            "name = {name:?}\nstate_dir = {:?}\ncredentials = {credentials:?}\n[bus]\nurl = {:?}\n[root]\npath = {root:?}\n\
             venv = {venv:?}\nrepository = {:?}\nprofile = {PROFILE:?}\ndistfiles = [{:?}]\n",
            dir.join("state"),
            url.trim(),
            material.join("repository"),
            material.join("distfiles"),
        );
        fs_err::write(dir.join("drone.toml"), text)?;
        self.drones.push(Drone { name: name.to_owned(), dir, supervisor: None });
        Ok(())
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
        let joined = until(format!("{count} drones to be online"), JOIN, || {
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

    /// The ends of all logs, for errors.
    pub fn logs(&self) -> String {
        let mut text = tail(&self.dir().join("controller.log"));
        for drone in &self.drones {
            text += &tail(&drone.dir.join("agent.log"));
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
        let mut command = Command::new(tools::program("drone-agent")?);
        command.arg("run").arg("--config").arg(self.dir.join("drone.toml"));
        self.supervisor = Some(spawn(&mut command, &self.dir.join("agent.log"))?);
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
