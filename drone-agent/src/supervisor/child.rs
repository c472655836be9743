//! The worker's process: started with a socket as standard input, ended by signal, reaped by waiting.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use swarm_protocol::InstanceId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::bond::{self, Beat, BeatAnswer, MAX_LINE, SUPERVISOR};

/// A running worker.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    to_worker: OwnedWriteHalf,
    beats: u64,
}

impl WorkerProcess {
    /// Starts one that belongs to `supervisor`; what it answers to beats goes to `answers`.
    pub fn start(
        program: &Path,
        config: Option<&Path>,
        supervisor: &InstanceId,
        answers: mpsc::Sender<BeatAnswer>,
    ) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(program);
        command.arg("worker");
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // a group of its own, so that its planners can be ended with it; attempts leave it for a session of theirs
            .process_group(0)
            .env(SUPERVISOR, supervisor.as_str())
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .spawn()?;
        let (from_worker, to_worker) = UnixStream::from_std(ours)?.into_split();
        let _detached = swarm_common::watch::spawn("pulses", async move {
            let mut reader = BufReader::with_capacity(512, from_worker);
            loop {
                let mut line = Vec::new();
                match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {
                        if let Ok(answer) = serde_json::from_slice(&line)
                            && answers.send(answer).await.is_err()
                        {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Self { child, to_worker, beats: 0 })
    }

    /// Sends a beat. A worker that reads nothing any more fills its socket; then there is nothing to add.
    pub fn beat(&mut self) {
        self.beats += 1;
        let _ = self.to_worker.try_write(&bond::line(&Beat { beat: self.beats }));
    }

    /// Its pid, until it is reaped.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal, unless it is reaped already.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Kills it and what it started for itself: its whole process group, in which no attempt is.
    pub fn kill(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// Waits for its end and reaps it.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }
}
