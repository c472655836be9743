//! One `nats-server` process: known by pid, start time and boot, so that a recycled pid is never taken for it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::files::Files;
use super::{ServerBinary, ServerError};
use crate::program::keep_ours;

/// How long a server may take to write its store down after SIGTERM; it takes milliseconds.
const TERM_WITHIN: Duration = Duration::from_secs(10);
/// How long the kernel may take after SIGKILL.
const KILL_WITHIN: Duration = Duration::from_secs(5);
/// How often is looked at a process that is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const HELLO_WITHIN: Duration = Duration::from_secs(2);
const HELLO_MAX: u64 = 64 * 1024;

/// What is kept about the process we started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks since boot.
    started: u64,
    boot: String,
    /// Hash of the configuration it was started with; empty where it is not known.
    pub(super) config: String,
}

impl Record {
    /// The record of the last process, if there is one.
    pub(super) fn read(files: &Files) -> Option<Self> {
        let text = fs_err::read_to_string(files.record()).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// A server of ours whose record was not written any more (the controller died between the two): known by the command
    /// line that [`Running::launch`] gives it. Its pid file would come too late: it is written by the server itself.
    pub(super) fn by_command(files: &Files) -> Option<Self> {
        let config = files.config();
        let is_ours = |pid: &i32| {
            let line = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            // an editor may have the same file open
            let is_server = words.next().is_some_and(|word| word.windows(4).any(|part| part == b"nats"));
            is_server && words.next() == Some(b"-c") && words.next() == Some(config.as_os_str().as_encoded_bytes())
        };
        let entries = fs_err::read_dir("/proc").ok()?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(is_ours).find_map(|pid| Self::of(pid, String::new()))
    }

    fn of(pid: i32, config: String) -> Option<Self> {
        Some(Self { pid, started: started(pid)?, boot: boot()?, config })
    }

    fn write(&self, files: &Files) -> Result<(), ServerError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.into());
        files.write(&files.record(), &text.map_err(ServerError::file(&files.record()))?)
    }

    /// Whether that very process still runs.
    pub(super) fn lives(&self) -> bool {
        boot().is_some_and(|boot| boot == self.boot) && started(self.pid) == Some(self.started)
    }

    pub(super) fn signal(&self, signal: Signal) {
        if self.lives() {
            // it may have ended in between; then there is nothing to tell
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    async fn gone_within(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.lives() {
            if Instant::now() >= until {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// SIGTERM, a bounded wait, SIGKILL, a bounded wait.
    pub(super) async fn end(&self) -> Result<(), ServerError> {
        for (signal, limit) in [(Signal::SIGTERM, TERM_WITHIN), (Signal::SIGKILL, KILL_WITHIN)] {
            self.signal(signal);
            if self.gone_within(limit).await {
                return Ok(());
            }
        }
        Err(ServerError::DoesNotEnd { pid: self.pid })
    }
}

/// A process that was started or adopted.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) record: Record,
    /// Only of a process of our own.
    child: Option<Child>,
    pub(super) since: Instant,
}

impl Running {
    pub(super) fn adopted(record: Record) -> Self {
        Self { record, child: None, since: Instant::now() }
    }

    /// Starts the process and writes down which it is. It is in a process group of its own: what ends the controller
    /// from a terminal must not end the bus under it.
    pub(super) fn launch(files: &Files, binary: &ServerBinary, config: String) -> Result<Self, ServerError> {
        let words = files.last_words();
        let stderr = fs_err::File::create(&words).map_err(ServerError::file(&words))?;
        let mut command = Command::new(&binary.path);
        keep_ours(command.as_std_mut());
        let mut child = command
            .arg("-c")
            .arg(files.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.into_parts().0)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
            .map_err(ServerError::file(&binary.path))?;
        let ended = || ServerError::NotReady { said: "it ended at once".to_owned() };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(ended)?;
        let record = Record::of(pid, config).ok_or_else(ended)?;
        if let Err(error) = record.write(files) {
            // a server nobody knows of must not stay behind; it is reaped by the runtime
            let _ = child.start_kill();
            return Err(error);
        }
        Ok(Self { record, child: Some(child), since: Instant::now() })
    }

    /// Waits for its end; the exit status only of a process of our own.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await.ok(),
            None => {
                while self.record.lives() {
                    sleep(LOOK_EVERY).await;
                }
                None
            }
        }
    }

    /// Ends it, and reaps it if it is ours.
    pub(super) async fn end(mut self) -> Result<(), ServerError> {
        self.record.end().await?;
        if let Some(child) = &mut self.child {
            let _ = timeout(KILL_WITHIN, child.wait()).await;
        }
        Ok(())
    }
}

/// What a server says before anyone asks.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) server_name: String,
    #[serde(default)]
    pub(super) auth_required: bool,
    #[serde(default)]
    pub(super) tls_required: bool,
}

/// Reads the first line of whoever listens there; `None` when nobody does or it is no NATS server. It comes before TLS.
pub(super) async fn hello(address: SocketAddr) -> Option<Hello> {
    let read = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream.take(HELLO_MAX)).read_line(&mut line).await.ok()?;
        serde_json::from_str(line.strip_prefix("INFO ")?.trim()).ok()
    };
    timeout(HELLO_WITHIN, read).await.ok()?
}

/// Whether anybody listens there.
pub(super) async fn is_taken(address: SocketAddr) -> bool {
    timeout(HELLO_WITHIN, TcpStream::connect(address)).await.is_ok_and(|tried| tried.is_ok())
}

/// When a live process was started; `None` when there is none, or only its remains.
fn started(pid: i32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field is the command in parentheses and may hold anything
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn boot() -> Option<String> {
    let id = fs_err::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
    Some(id.trim().to_owned())
}
