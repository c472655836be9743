//! Programs of the operator, and `ssh`: run with their arguments, never by a shell, bounded in time and output, and killed with
//! everything in their process group at the bound. Called by `healing` and `notices`; what the environment has for us alone is
//! kept from the bus's server and the drones of `swarm up`, too.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

/// Most bytes kept of what a program prints on each of its two streams; the rest is read and let go.
const MAX_SAID: usize = 16 << 10;
/// How long its streams are read on after its end: a child it left behind may hold them.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// What no program we start has to know of us.
const OURS: [&str; 5] = ["ADMIN_KEY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"];

/// Keeps from a program what is in our environment for us alone.
pub fn keep_ours(command: &mut std::process::Command) {
    for name in OURS {
        command.env_remove(name);
    }
}

/// How a program ended, in time.
#[derive(Debug)]
pub struct Ran {
    /// Its exit.
    pub status: ExitStatus,
    /// What it printed, the beginning of it.
    pub stdout: String,
    /// What it complained about, the beginning of it.
    pub stderr: String,
}

impl Ran {
    /// What it complained about, else what it printed, in one line of at most 300 characters.
    pub fn said(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(300).collect()
    }
}

/// Why a program did not end by itself.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// There is none.
    #[error("no program is named")]
    Empty,
    /// It could not be started.
    #[error("can't start {program}: {source}")]
    Start {
        /// As it was to be run.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It took too long; it and its children were killed.
    #[error("{program} did not end within {} s and was killed", .within.as_secs_f32())]
    Slow {
        /// As it was to be run.
        program: String,
        /// The time it had.
        within: Duration,
    },
}

/// Runs a program, `words` being itself and its arguments, with `input` on its standard input and `environment` on top of
/// ours, less our secrets.
///
/// # Errors
/// When it can't be started or does not end in time.
pub async fn run<S: AsRef<OsStr>>(
    words: &[S],
    input: &[u8],
    environment: &[(&str, &str)],
    within: Duration,
) -> Result<Ran, ProgramError> {
    let (first, arguments) = words.split_first().ok_or(ProgramError::Empty)?;
    let program = first.as_ref().to_string_lossy().into_owned();
    let mut command = Command::new(first);
    command
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    keep_ours(command.as_std_mut());
    let mut child = command.spawn().map_err(|source| ProgramError::Start { program: program.clone(), source })?;
    // until it is reaped nobody else has its number; dropped by a caller that gives up, it kills the group, too
    let group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // one that does not read its input may still do its work
            let _ = stdin.write_all(input).await;
        }
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let work = async {
        let streams = async { tokio::join!(read(stdout, &mut out), read(stderr, &mut err), feed) };
        tokio::pin!(streams);
        tokio::select! {
            _ = &mut streams => child.wait().await,
            status = child.wait() => {
                drop(timeout(AFTERWARDS, streams).await);
                status
            }
        }
    };
    let ended = timeout(within, work).await;
    match ended {
        Ok(Ok(status)) => {
            group.forget();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(Ran { status, stdout: text(&out), stderr: text(&err) })
        }
        Ok(Err(source)) => Err(ProgramError::Start { program, source }),
        Err(_) => {
            drop(group);
            let _ = child.wait().await;
            Err(ProgramError::Slow { program, within })
        }
    }
}

/// A process group that is killed unless it is forgotten.
struct Group(Option<i32>);

impl Group {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = MAX_SAID.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn words_stay_words_input_arrives_and_secrets_do_not() {
        let script = "cat; printf ' %s' \"$@\" \"$KIND\" \"${ADMIN_KEY:-none}\"";
        let words = ["env", "ADMIN_KEY=x", "sh", "-c", script, "sh", "a b", "; rm -rf /", "$(id)"];
        // what `env` sets itself is seen: the script works; what we have is not
        let ran = run(&words, b"text", &[("KIND", "alert")], LONG).await.unwrap();
        assert_eq!(ran.stdout, "text a b ; rm -rf / $(id) alert x");
        let ran = run(&words[2..], b"", &[("ADMIN_KEY", "secret")], LONG).await.unwrap();
        assert!(ran.stdout.ends_with(" none"), "{}", ran.stdout);
    }

    #[tokio::test]
    async fn a_program_that_fails_or_is_not_there_is_told_with_its_words() {
        let ran = run(&["sh", "-c", "echo no such container >&2; exit 3"], b"", &[], LONG).await.unwrap();
        assert_eq!((ran.status.code(), ran.said().as_str()), (Some(3), "no such container"));
        let error = run(&["/nonexistent/pct", "reboot"], b"", &[], LONG).await.unwrap_err().to_string();
        assert!(error.starts_with("can't start /nonexistent/pct: "), "{error}");
        let none: [&str; 0] = [];
        assert!(matches!(run(&none, b"", &[], LONG).await, Err(ProgramError::Empty)));
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pids.display());
        let error = run(&["sh", "-c", &script], b"", &[], Duration::from_millis(700)).await.unwrap_err();
        assert!(matches!(error, ProgramError::Slow { .. }), "{error}");
        let child: i32 = fs_err::read_to_string(&pids).unwrap().trim().parse().unwrap();
        let until = Instant::now() + LONG;
        // a zombie nobody reaps in a container without an init is dead enough
        let lives = || {
            fs_err::read_to_string(format!("/proc/{child}/stat"))
                .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
        };
        while lives() {
            assert!(Instant::now() < until, "the child of a killed program lives on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn output_without_end_is_read_and_let_go_and_a_child_left_behind_holds_nobody_up() {
        let ran = run(&["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"], b"", &[], LONG).await.unwrap();
        assert_eq!(ran.stdout.len(), MAX_SAID);
        let began = Instant::now();
        let ran = run(&["sh", "-c", "sleep 30 & echo done"], b"", &[], LONG).await.unwrap();
        assert_eq!(ran.stdout, "done\n");
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    }
}
