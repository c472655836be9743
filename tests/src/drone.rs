//! One drone: the processes of its agent, its log, what it holds.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::swarm::{END, spawn};
use crate::{processes, until};

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
    pub(crate) dir: PathBuf,
    pub(crate) supervisor: Option<Child>,
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

    /// Where its configuration and state are.
    pub fn dir(&self) -> &Path {
        &self.dir
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

    /// Asks the supervisor to end and waits until it has, and its worker with it.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        processes::signal(self.pid(), Signal::SIGTERM)?;
        let supervisor = self.supervisor.as_mut().context("the supervisor runs")?;
        until("the supervisor to end", END, || Ok(supervisor.try_wait()?))?;
        self.supervisor = None;
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
        let found = processes::with(&["drone-agent attempt", &state]);
        // a child of one that has not become another program yet still bears its name
        let own = |process: &processes::Process| !found.iter().any(|other| other.pid == process.parent);
        found.iter().filter(|process| own(process)).map(|process| process.pid).collect()
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
