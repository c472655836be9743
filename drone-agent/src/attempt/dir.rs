//! An attempt's directory: the whole of what its process, the worker and the supervisor know of one another.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `job.msgpack` | worker, before the order is answered | what to do |
//! | `identity` | attempt, once and exclusively | who runs it: it is never run twice |
//! | `cancel` | whoever ends it | it was ended by order, also before it began |
//! | `status` | attempt, at most once a second | where it stands |
//! | `build.log…` | attempt | see `log` |
//! | `artifacts/` | attempt, at the end | finished packages, named by SHA-256 |
//! | `exit` | attempt, last of all | the result |
//!
//! An observer never needs the attempt's process, and the attempt never needs an observer: either may be killed and
//! started anew. Called by worker and supervisor; blocking, so from a blocking thread.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use swarm_common::files::{remove_tree, sync_folder, write_whole};
use swarm_portage::RootConfig;
use swarm_portage::processes;
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::ids::{Fence, InstanceId, StoreId};
use swarm_protocol::log::{LogChunk, MAX_CHUNK};
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::{AttemptStatus, BinhostAccess, BuildResult, Phase};
use thiserror::Error;

use super::identity::Identity;
use super::log;

const JOB: &str = "job.msgpack";
const IDENTITY: &str = "identity";
const STATUS: &str = "status";
const EXIT: &str = "exit";
const CANCEL: &str = "cancel";
/// How long a worker that begins waits for states that can't be read; what can't be read then counts as vanished.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// Largest of these files read; a result with 2,000 artifacts has 600 KB.
const MAX_FILE: u64 = 16 << 20;

/// Why an attempt's directory could not be used.
#[derive(Debug, Error)]
pub enum DirError {
    /// There is an attempt of that fence already.
    #[error("attempt {0} is on this drone already")]
    Exists(Fence),
    /// A file could not be read or written.
    #[error("use the attempt's directory")]
    Io(#[from] io::Error),
    /// A file holds something else.
    #[error("{0} is damaged")]
    Damaged(PathBuf, #[source] rmp_serde::decode::Error),
    /// A value could not be encoded.
    #[error("encode {0}")]
    Encode(&'static str, #[source] rmp_serde::encode::Error),
    /// Processes would not go.
    #[error("attempt {fence} is ended, but processes {pids:?} would not go")]
    Remains {
        /// The attempt.
        fence: Fence,
        /// The processes.
        pids: Vec<u32>,
    },
}

/// All an attempt needs to know.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AttemptJob {
    /// The order.
    pub job: BuildJob,
    /// Where to build.
    pub root: RootConfig,
    /// Where dependencies come from.
    pub binhost: BinhostAccess,
    /// Number of the order.
    pub order_number: u64,
    /// The store that gave it.
    pub store_id: StoreId,
    /// The worker's run that took it.
    #[serde(default)]
    pub instance: InstanceId,
}

/// How an attempt stands.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptState {
    /// On disk; no process has begun it.
    Waiting,
    /// Its process lives.
    Running {
        /// The attempt's process (not emerge's).
        pid: u32,
        /// When it began, Unix milliseconds.
        since: u64,
    },
    /// It ended and said how.
    Finished(BuildResult),
    /// Its process is gone, or of another boot, and never said how it ended.
    Vanished,
    /// Its files or `/proc` can't be read now: nothing is known of it, and it may well run.
    Unknown,
}

/// An attempt's directory whose job is on disk.
#[derive(Debug, Clone)]
pub struct AttemptDir {
    path: PathBuf,
    job: AttemptJob,
}

impl AttemptDir {
    /// Writes a job down, durably: once this returns, a crash does not lose it.
    pub fn create(parent: &Path, job: &AttemptJob) -> Result<Self, DirError> {
        let fence = job.job.fence;
        let path = parent.join(fence.to_string());
        if path.exists() {
            return Err(DirError::Exists(fence));
        }
        fs::create_dir_all(parent)?;
        let fresh = parent.join(format!(".new-{fence}"));
        remove_tree(&fresh)?;
        fs::create_dir(&fresh)?;
        // The job may hold what others shall not read.
        fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        write_durably(&fresh, JOB, job)?;
        match fs::rename(&fresh, &path) {
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                return Err(DirError::Exists(fence));
            }
            done => done?,
        }
        sync_folder(parent)?;
        Ok(Self { path, job: job.clone() })
    }

    /// Opens an attempt's directory.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        let job = read(&path.join(JOB))?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{} holds no attempt", path.display())))?;
        Ok(Self { path: path.to_owned(), job })
    }

    /// All attempts below `parent`, by fence. A damaged one is left out and logged: it must not hide the others.
    pub fn list(parent: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
        let mut found: Vec<Self> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<Fence>().is_ok()))
            .filter_map(|entry| {
                Self::open(&entry.path())
                    .inspect_err(|error| tracing::warn!(path = %entry.path().display(), %error, "an attempt's directory can't be read"))
                    .ok()
            })
            .collect();
        found.sort_by_key(Self::fence);
        found
    }

    /// Removes what a crash in the middle of `create` or `remove` left below `parent`.
    pub fn sweep(parent: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(".new-") || name.to_string_lossy().starts_with(".gone-") {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The attempt.
    pub fn fence(&self) -> Fence {
        self.job.job.fence
    }

    /// The job.
    pub fn job(&self) -> &AttemptJob {
        &self.job
    }

    /// How it stands, by its files and `/proc`.
    pub fn state(&self) -> AttemptState {
        self.look().unwrap_or_else(|error| {
            tracing::warn!(attempt = %self.fence(), %error, "the attempt can't be looked at now");
            AttemptState::Unknown
        })
    }

    fn look(&self) -> Result<AttemptState, DirError> {
        // The exit is looked for again after the process was found gone: it may have written it in between.
        if let Some(result) = self.exit()? {
            return Ok(AttemptState::Finished(result));
        }
        let identity = match read::<Identity>(&self.path.join(IDENTITY)) {
            Ok(Some(identity)) => identity,
            // asked once: it may come in any moment
            Ok(None) => return Ok(AttemptState::Waiting),
            Err(DirError::Damaged(..)) => return Ok(AttemptState::Vanished),
            Err(error) => return Err(error),
        };
        if identity.is_alive()? {
            return Ok(AttemptState::Running { pid: identity.pid, since: identity.since });
        }
        Ok(self.exit()?.map_or(AttemptState::Vanished, AttemptState::Finished))
    }

    /// Waits until the states of all of these can be read, at most [`SETTLED_WITHIN`]; blocking.
    pub fn settle<'a>(dirs: impl Iterator<Item = &'a Self> + Clone) {
        let end = Instant::now() + SETTLED_WITHIN;
        while dirs.clone().any(|dir| dir.state() == AttemptState::Unknown) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A damaged one is as good as none: it is written whole or not at all.
    fn exit(&self) -> Result<Option<BuildResult>, DirError> {
        match read(&self.path.join(EXIT)) {
            Err(DirError::Damaged(..)) => Ok(None),
            read => read,
        }
    }

    /// Where it stands; before it began, that it is queued.
    pub fn status(&self) -> Option<AttemptStatus> {
        if let Ok(Some(status)) = read(&self.path.join(STATUS)) {
            return Some(status);
        }
        let job = &self.job.job;
        Some(AttemptStatus { fence: job.fence, cpv: job.cpv.clone(), phase: Phase::Queued, ..Default::default() })
    }

    /// A piece of its log, at most `max` and [`MAX_CHUNK`] bytes.
    pub fn read_log(&self, offset: u64, max: usize) -> io::Result<LogChunk> {
        // In this order: a log that ended does not grow any more.
        let end = self.path.join(EXIT).exists();
        let piece = log::read(&self.path, offset, max.min(MAX_CHUNK))?;
        Ok(LogChunk { fence: self.fence(), offset, bytes: piece.bytes, total: piece.total, cut: piece.cut, end })
    }

    /// Where a package of its result lies.
    pub fn artifact_path(&self, artifact: &ArtifactRef) -> PathBuf {
        // The hash comes from our own exit file, but it becomes a file name: letters and digits only.
        let name: String = artifact.sha256.chars().filter(char::is_ascii_hexdigit).collect();
        self.path.join("artifacts").join(format!("{name}.gpkg.tar"))
    }

    /// Starts the attempt's process, `exe attempt DIR`, and returns its pid. It survives the caller; while the caller
    /// lives, a small thread waits for it, so that it leaves no zombie.
    pub fn spawn(&self, exe: &Path) -> io::Result<u32> {
        let errors = fs::File::create(self.path.join("attempt.err"))?;
        let mut child = Command::new(exe)
            .arg("attempt")
            .arg(&self.path)
            .env(processes::MARK, &self.path)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors.into_parts().0)
            .spawn()?;
        let pid = child.id();
        let reaper = std::thread::Builder::new().name("attempt-reaper".to_owned()).stack_size(64 << 10);
        let reaping = reaper.spawn(move || {
            // Its result is in its directory; here it is only taken off the process table.
            let _ = child.wait();
        });
        if let Err(error) = reaping {
            // it runs all the same; whoever is told otherwise would start another one beside it
            tracing::warn!(attempt = %self.fence(), %error, "no thread to wait for the attempt; it will leave a zombie");
        }
        Ok(pid)
    }

    /// Ends it: TERM to its process, which ends emerge and writes its exit; what is left after `grace` is killed. `grace`
    /// should be above 15 s, for emerge has 10 s of its own. Returns when nothing of it runs any more. Ending one that
    /// waits, vanished or finished is harmless, and kills what an orphaned emerge still does.
    pub fn end(&self, grace: Duration) -> Result<(), DirError> {
        fs::write(self.path.join(CANCEL), b"")?;
        if let AttemptState::Running { pid, .. } = self.state() {
            processes::signal(pid, Signal::SIGTERM);
            let end = Instant::now() + grace;
            while matches!(self.state(), AttemptState::Running { .. }) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            if matches!(self.state(), AttemptState::Running { .. }) {
                // Stopped, it can start nothing new while what it started is killed.
                processes::signal(pid, Signal::SIGSTOP);
                processes::kill_descendants(pid);
                processes::signal(pid, Signal::SIGKILL);
            }
        }
        let left = processes::kill_belonging(&self.path);
        if left.is_empty() {
            return Ok(());
        }
        Err(DirError::Remains { fence: self.fence(), pids: left.into_iter().collect() })
    }

    /// Whether it was ended by order.
    pub fn is_cancelled(&self) -> bool {
        self.path.join(CANCEL).exists()
    }

    /// Removes the directory. End it first.
    pub fn remove(self) -> Result<(), DirError> {
        let gone = self.path.with_file_name(format!(".gone-{}", self.fence()));
        remove_tree(&gone)?;
        match fs::rename(&self.path, &gone) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => done?,
        }
        Ok(remove_tree(&gone)?)
    }

    /// Writes down who runs it. Fails with `AlreadyExists` if somebody did before.
    pub(super) fn begin(&self, identity: &Identity) -> Result<(), DirError> {
        let fresh = self.path.join(format!("{IDENTITY}.{}", identity.pid));
        let bytes = rmp_serde::to_vec_named(identity).map_err(|e| DirError::Encode(IDENTITY, e))?;
        fs::write(&fresh, bytes)?;
        let linked = fs::hard_link(&fresh, self.path.join(IDENTITY));
        fs::remove_file(&fresh)?;
        linked?;
        sync_folder(&self.path)?;
        Ok(())
    }

    /// Replaces the status.
    pub(super) fn set_status(&self, status: &AttemptStatus) -> Result<(), DirError> {
        let bytes = rmp_serde::to_vec_named(status).map_err(|e| DirError::Encode(STATUS, e))?;
        let fresh = self.path.join("status.new");
        fs::write(&fresh, bytes)?;
        Ok(fs::rename(&fresh, self.path.join(STATUS))?)
    }

    /// Writes the result, durably. Nothing of the attempt changes after that.
    pub(super) fn finish(&self, result: &BuildResult) -> Result<(), DirError> {
        write_durably(&self.path, EXIT, result)
    }
}

fn write_durably<T: Serialize>(dir: &Path, name: &'static str, value: &T) -> Result<(), DirError> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|e| DirError::Encode(name, e))?;
    Ok(write_whole(&dir.join(name), &bytes, 0o600)?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DirError> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.len() > MAX_FILE => {
            return Err(io::Error::other(format!("{} is too large", path.display())).into());
        }
        done => {
            done?;
        }
    }
    rmp_serde::from_slice(&fs::read(path)?).map(Some).map_err(|e| DirError::Damaged(path.to_owned(), e))
}

#[cfg(test)]
#[path = "dir_tests.rs"]
mod tests;
