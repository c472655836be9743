//! Runs one of our own scripts beside a root's Portage: a question as JSON in, an answer as JSON out, within a time.
//!
//! Portage has no interface but its Python modules and its printed text; the scripts are small, use the former, and are
//! compiled into the agent. The answer goes through a file because Portage prints where it likes. Called by `state` and
//! `plan`.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::mounts;
use crate::processes;
use crate::root::{RootConfig, environment};

/// Most bytes of an answer taken: twice the largest plan.
const MAX_ANSWER: u64 = 64 << 20;

/// Why a script gave no answer.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// It could not be started, or its files not be written.
    #[error("run {0} beside Portage")]
    Io(&'static str, #[source] io::Error),
    /// It ended without an answer.
    #[error("{name} ended with {status} and no answer: {text}")]
    Died {
        /// The script.
        name: &'static str,
        /// Exit status.
        status: String,
        /// The end of what it printed.
        text: String,
    },
    /// It took too long.
    #[error("{name} did not answer within {} s", .after.as_secs())]
    Timeout {
        /// The script.
        name: &'static str,
        /// The time it had.
        after: Duration,
    },
    /// The answer is not what it should be.
    #[error("answer of {0} makes no sense")]
    Answer(&'static str, #[source] serde_json::Error),
    /// The answer is too large.
    #[error("answer of {0} is larger than 64 MiB")]
    TooLarge(&'static str),
}

/// A script and what it needs.
pub struct Script<'a> {
    /// Its name, for messages and the file.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The root whose Portage it runs beside.
    pub root: &'a RootConfig,
    /// Folder for its files; the caller owns and removes it.
    pub workdir: &'a Path,
    /// Further environment.
    pub environment: &'a [(String, String)],
    /// How long it may take.
    pub timeout: Duration,
}

impl Script<'_> {
    /// Asks and waits for the answer. Leaves no process behind.
    pub fn ask<Q: Serialize, A: DeserializeOwned>(&self, question: &Q) -> Result<A, ScriptError> {
        let io = |e| ScriptError::Io(self.name, e);
        let at = |end: &str| self.workdir.join(format!("{}.{end}", self.name));
        fs::write(at("py"), self.text).map_err(io)?;
        let question = serde_json::to_vec(question).map_err(|e| ScriptError::Answer(self.name, e))?;
        fs::write(at("question"), question).map_err(io)?;
        let (said, answer) = (at("said"), at("answer"));
        let _ = fs::remove_file(&answer);
        let status = self.run(&at("py"), &at("question"), &answer, &said)?;
        let died = || ScriptError::Died { name: self.name, status: status.to_string(), text: tail(&said) };
        let size = fs::metadata(&answer).map_err(|_| died())?.len();
        if size > MAX_ANSWER {
            return Err(ScriptError::TooLarge(self.name));
        }
        if !status.success() {
            return Err(died());
        }
        let bytes = fs::read(&answer).map_err(io)?;
        serde_json::from_slice(&bytes).map_err(|e| ScriptError::Answer(self.name, e))
    }

    fn run(
        &self,
        script: &Path,
        question: &Path,
        answer: &Path,
        said: &Path,
    ) -> Result<std::process::ExitStatus, ScriptError> {
        let io = |e| ScriptError::Io(self.name, e);
        let out = fs::File::create(said).map_err(io)?;
        let (to, errors) = (out.file().try_clone().map_err(io)?, out.into_parts().0);
        let visible = [self.workdir];
        let spawn = || {
            mounts::command(self.root, &self.root.python())
                .args([script.as_os_str(), question.as_os_str(), answer.as_os_str()])
                .env_clear()
                .envs(environment(self.root))
                .envs(self.environment.iter().map(|(key, value)| (key, value)))
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .stdin(Stdio::null())
                .stdout(to)
                .stderr(errors)
                .spawn()
        };
        let mut child = mounts::spawn_inside(self.root, &visible, spawn).map_err(io)?;
        let end = Instant::now() + self.timeout;
        loop {
            if let Some(status) = child.try_wait().map_err(io)? {
                mounts::forget(self.root, &visible);
                return Ok(status);
            }
            if Instant::now() >= end {
                // Metadata of ebuilds is read by bash children; they go first, while they can still be found.
                processes::kill_descendants(child.id());
                let _ = child.kill();
                let _ = child.wait();
                mounts::forget(self.root, &visible);
                return Err(ScriptError::Timeout { name: self.name, after: self.timeout });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The last 2,000 characters of a file, on one line.
fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2_000)..]).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
