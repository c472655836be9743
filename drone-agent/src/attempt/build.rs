//! One build from binhost check to result: prepares, starts emerge, watches it, gathers what it made and says how it
//! went. Always comes back with a result. Called by `attempt::run` alone.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fs_err as fs;
use swarm_common::files::{remove_tree, sync_folder};
use swarm_common::process::stat;
use swarm_portage::classify::{Cause, Evidence, classify};
use swarm_portage::emerge::{self, Folders, PrepareError, Prepared};
use swarm_portage::mounts::{self, MountError, Purpose};
use swarm_portage::{RootConfig, gpkg};
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::order::BuildJob;
use swarm_protocol::report::{BuildResult, Failure, FailureClass, Phase};

use super::dir::AttemptDir;
use super::log::LogWriter;
use super::memory::Memory;
use super::watch::{Ended, Output, Watch};

/// Builds. Leaves no process and no temporary file.
pub fn build(attempt: &AttemptDir, cancelled: &AtomicBool) -> BuildResult {
    let began = Instant::now();
    let mut memory = Memory::begin();
    let mut result = match attempt_build(attempt, cancelled, &mut memory) {
        Ok(result) => result,
        Err(failure) => BuildResult { failure: Some(failure), ..Default::default() },
    };
    result.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.memory_peak_bytes = memory.peak();
    if let Err(error) = Folders::below(attempt.path()).clean() {
        tracing::warn!(attempt = %attempt.fence(), %error, "temporary files of the build could not be removed");
    }
    result
}

fn attempt_build(attempt: &AttemptDir, cancelled: &AtomicBool, memory: &mut Memory) -> Result<BuildResult, Failure> {
    let (dir, job) = (attempt.path(), &attempt.job().job);
    let stop = || cancelled.load(Ordering::SeqCst);
    if stop() {
        return Err(cancelled_before());
    }
    let (root, access) = (&attempt.job().root, &attempt.job().binhost);
    let use_binhost = emerge::look(access, job.min_index_timestamp, stop)
        .map_err(|failure| if stop() { cancelled_before() } else { failure })?;
    sweep_status_files(root);
    // From here on this process has the root's mounts, and what it starts has them, too; they go with the last of them.
    let attempts = dir.parent().unwrap_or(dir);
    mounts::enter(root, Purpose::Build, &[attempts]).map_err(|error| not_entered(&error))?;
    let prepared = emerge::prepare(root, job, access, use_binhost, dir).map_err(|e| not_prepared(&e))?;
    let log = LogWriter::create(dir, job.limits.log_bytes).map_err(|e| io_failure("begin the log", &e))?;
    let (reader, writer) = io::pipe().map_err(|e| io_failure("take the output", &e))?;
    let output = Output::take(reader, &job.cpv, log).map_err(|e| io_failure("take the output", &e))?;
    let child = start(root, &prepared, writer).map_err(|e| not_started(&prepared, &e))?;
    let ended = Watch::new(attempt, child, memory).run(&output, cancelled);
    sweep_status_files(root);
    let (artifacts, damaged) = gather(attempt);
    let mut failure = failure_of(job, dir, &ended, memory);
    if failure.is_none() && !artifacts.iter().any(|artifact| is_target(job, artifact)) {
        failure = Some(missing(job, &artifacts, damaged));
    }
    Ok(BuildResult {
        failure,
        log_bytes: ended.log_bytes,
        artifacts,
        exit_status: Some(ended.end.status()),
        ..Default::default()
    })
}

/// The pid kept is emerge's own: nothing stands between.
fn start(root: &RootConfig, prepared: &Prepared, output: io::PipeWriter) -> io::Result<u32> {
    let child = mounts::command(root, &prepared.program)
        .args(&prepared.arguments)
        .env_clear()
        .envs(prepared.environment.iter().map(|(key, value)| (key, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    // It is waited for with all the orphans this process inherits.
    Ok(child.id())
}

fn failure_of(job: &BuildJob, dir: &Path, ended: &Ended, memory: &Memory) -> Option<Failure> {
    let free = nix::sys::statvfs::statvfs(dir).ok().map(|stat| stat.blocks_available() * stat.fragment_size());
    let failed = ended.cause.is_none() && ended.end.status() != 0;
    classify(&Evidence {
        target: &job.cpv,
        end: ended.end,
        cause: ended.cause,
        oom_kills: if failed { memory.kills() } else { 0 },
        disk_free: free,
        clues: &ended.clues,
    })
}

/// Moves the finished packages to where uploads find them.
fn gather(attempt: &AttemptDir) -> (Vec<ArtifactRef>, Vec<String>) {
    let folders = Folders::below(attempt.path());
    let place = attempt.path().join("artifacts");
    let moved = gpkg::collect(&folders.packages).and_then(|(found, damaged)| {
        fs::create_dir_all(&place)?;
        let mut artifacts: Vec<ArtifactRef> = Vec::new();
        for package in found {
            fs::File::open(&package.path)?.sync_all()?;
            fs::rename(&package.path, attempt.artifact_path(&package.artifact))?;
            artifacts.push(package.artifact);
        }
        sync_folder(&place)?;
        remove_tree(&folders.packages)?;
        Ok((artifacts, damaged.iter().map(ToString::to_string).collect()))
    });
    moved.unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]))
}

fn is_target(job: &BuildJob, artifact: &ArtifactRef) -> bool {
    let mut wanted = job.use_flags.clone();
    wanted.sort_unstable();
    artifact.cpv == job.cpv
        && (job.slot.is_empty() || artifact.slot == job.slot)
        && (job.repository.is_empty() || artifact.repository == job.repository)
        && artifact.use_flags == wanted
}

fn missing(job: &BuildJob, artifacts: &[ArtifactRef], damaged: Vec<String>) -> Failure {
    let other = artifacts.iter().find(|artifact| artifact.cpv == job.cpv);
    let message = match (other, damaged.first()) {
        (Some(other), _) => format!(
            "{} was built with slot {} and USE \"{}\", but slot {} and USE \"{}\" were ordered",
            job.cpv,
            other.slot,
            other.use_flags.join(" "),
            job.slot,
            job.use_flags.join(" ")
        ),
        (None, Some(damaged)) => format!("emerge succeeded, but {damaged}"),
        (None, None) => format!("emerge succeeded and left no binary package of {}", job.cpv),
    };
    Failure {
        class: FailureClass::MissingBinary,
        cpv: Some(job.cpv.clone()),
        phase: Some(Phase::Package),
        message,
        log_line: None,
    }
}

fn cancelled_before() -> Failure {
    Failure { class: FailureClass::Cancelled, message: Cause::BEFORE.to_owned(), ..Default::default() }
}

fn not_prepared(error: &PrepareError) -> Failure {
    let class = match error {
        PrepareError::BadCpv(_) | PrepareError::BadLine(_) => FailureClass::Unsatisfiable,
        PrepareError::Binhost(_) => FailureClass::BinhostUnreachable,
        PrepareError::Io(e) => return io_failure("prepare the build", e),
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure { class, phase: Some(Phase::Queued), message: format!("{error}{cause}"), ..Default::default() }
}

/// A drone that may not mount can build nothing in a chroot.
fn not_entered(error: &MountError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let message = format!("the root can't be entered: {error}{cause}");
    Failure { class: FailureClass::MissingTool, phase: Some(Phase::Queued), message, ..Default::default() }
}

fn not_started(prepared: &Prepared, error: &io::Error) -> Failure {
    Failure {
        class: FailureClass::MissingTool,
        phase: Some(Phase::Queued),
        message: format!("{} can't be started: {error}", prepared.program.display()),
        ..Default::default()
    }
}

/// The drone's own trouble, never the package's.
fn io_failure(what: &str, error: &io::Error) -> Failure {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let class = if full { FailureClass::DiskFull } else { FailureClass::AgentLost };
    Failure { class, phase: Some(Phase::Queued), message: format!("{what}: {error}"), ..Default::default() }
}

/// Files in which Portage shows running emerges; those of a killed one stay behind.
fn sweep_status_files(root: &RootConfig) {
    let Ok(entries) = fs::read_dir(root.at("run/portage")) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("emerge-")?.split('.').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| stat(pid).is_none_or(|stat| stat.dead)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
