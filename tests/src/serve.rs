//! A controller's own process (`swarm serve`, with its managed nats-server) and nothing else: for fleets of simulated drones
//! and for figures about the controller alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::fleet::Identity;
use crate::{Http, processes, tools, until};

/// How long a controller may take to end after TERM.
const END: Duration = Duration::from_secs(20);

/// The process. Ended by pid with its value, and its bus server, too.
pub struct Serve {
    /// The façade.
    pub http: Http,
    dir: PathBuf,
    names: Vec<String>,
    process: Option<Child>,
}

impl Serve {
    /// Writes a configuration into `dir` for a controller with local drones of these names. Nothing is started.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn prepare(dir: &Path, names: Vec<String>) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let port = tools::free_port()?;
        let mut text = String::new();
        writeln!(text, "data_dir = {:?}\nlocal_drones = {names:?}", dir.join("data"))?;
        writeln!(text, "[http]\nlisten = \"127.0.0.1\"\nport = {port}\nadmin_port = 0")?;
        writeln!(text, "[bus]\nserver = {:?}", tools::tool("nats.sh", &[])?)?;
        fs_err::write(dir.join("controller.toml"), text)?;
        let http = Http::new(format!("http://127.0.0.1:{port}"), String::new());
        Ok(Self { http, dir: dir.to_owned(), names, process: None })
    }

    /// The controller's data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts the process and waits until the façade answers; says how long that took.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start(&mut self, within: Duration) -> Result<Duration> {
        let log = fs_err::OpenOptions::new().create(true).append(true).open(self.dir.join("controller.log"))?;
        let log = log.into_parts().0;
        let mut command = Command::new(tools::program("swarm")?);
        command.arg("serve").arg("--config").arg(self.dir.join("controller.toml"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).env_remove("ADMIN_KEY");
        let began = Instant::now();
        self.process = Some(command.spawn().with_context(|| format!("start {command:?}"))?);
        let took = loop {
            // not by `until`: its pauses are longer than what is measured
            if self.http.get("/api/v1/health").is_ok() {
                break began.elapsed();
            }
            anyhow::ensure!(began.elapsed() < within, "the controller does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        };
        let key = fs_err::read_to_string(self.data().join("admin.key"))?;
        self.http = Http::new(self.http.url.clone(), key.trim().to_owned());
        Ok(took)
    }

    /// The end of the controller's log.
    pub fn log(&self) -> String {
        let text = fs_err::read_to_string(self.dir.join("controller.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// The controller's pid.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(|child| child.id() as i32)
    }

    /// The pid of its nats-server.
    ///
    /// # Errors
    /// When there is none.
    pub fn nats_pid(&self) -> Result<i32> {
        let text = fs_err::read_to_string(self.data().join("nats/process.json"))?;
        let record: serde_json::Value = serde_json::from_str(&text)?;
        let pid = record["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).context("a pid")?;
        Ok(pid)
    }

    /// Where the bus is.
    ///
    /// # Errors
    /// When the controller has not started.
    pub fn bus_url(&self) -> Result<String> {
        Ok(fs_err::read_to_string(self.data().join("bus.url"))?.trim().to_owned())
    }

    /// The keys the controller made for its local drones.
    ///
    /// # Errors
    /// When the controller has not started.
    pub fn identities(&self) -> Result<Vec<Identity>> {
        let folder = self.data().join("drones");
        self.names.iter().map(|name| Identity::read(name.clone(), &folder.join(format!("{name}.nk")))).collect()
    }

    /// Ends the controller (TERM) and with it its bus server.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        processes::signal(process.id() as i32, Signal::SIGTERM)?;
        let ended = until("the controller to end", END, || Ok(process.try_wait()?));
        if ended.is_err() {
            process.kill()?;
            process.wait()?;
        }
        ended.map(drop)
    }

    /// Kills the controller at once, and its bus server, too.
    ///
    /// # Errors
    /// When it can't be killed.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        if let Ok(pid) = self.nats_pid() {
            // it may have ended by itself
            let _ = processes::signal(pid, Signal::SIGKILL);
            until("the bus server to end", END, || Ok((!processes::lives(pid)).then_some(())))?;
        }
        Ok(())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        if self.stop().is_err() {
            let _ = self.kill();
        }
        if let Ok(pid) = self.nats_pid()
            && processes::with(&["nats-server", &self.dir.to_string_lossy()]).iter().any(|process| process.pid == pid)
        {
            let _ = processes::signal(pid, Signal::SIGKILL);
        }
    }
}
