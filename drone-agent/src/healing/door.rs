//! The unix socket by which `drone-agent escalate` reaches the supervisor: a line of JSON in, a line of JSON back. Whoever may
//! write to it (the agent's own user, and root) may ask; what is done is decided as for an order over the bus.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drone_core::healing::{self, Asked};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use swarm_common::files::remove_if_there;
use swarm_common::watch::spawn;
use swarm_protocol::StoreId;
use swarm_protocol::order::{Escalated, Rung};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

/// Longest line taken, bytes.
const MAX_LINE: u64 = 4096;
/// Callers served at one time; more wait in the socket's own line.
const MAX_CALLERS: usize = 4;
/// How long a caller may take for its line, and to take the answer.
const CALLER: Duration = Duration::from_secs(5);

/// What the command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The rung, in the wire's words; one of a later version is refused.
    pub rung: Rung,
    /// The controller's number; 0 for a person.
    #[serde(default)]
    pub generation: u64,
    /// The controller's store; empty for a person.
    #[serde(default)]
    pub store_id: StoreId,
}

impl Ask {
    /// As the rules take it.
    ///
    /// # Errors
    /// With the answer, when a later version's command asks for a rung that is not known here.
    pub fn asked(&self, running: usize) -> Result<Asked, Escalated> {
        let rung = healing::Rung::of(self.rung)?;
        Ok(Asked { store_id: self.store_id.clone(), generation: self.generation, rung, running })
    }
}

/// Somebody asks, and waits.
#[derive(Debug)]
pub struct Caller {
    /// The rung; how many attempts run is not known yet.
    pub asked: Asked,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Escalated>,
}

/// Opens the door; callers come by `callers`. A socket a former run left is replaced.
pub fn open(path: &Path, callers: mpsc::Sender<Caller>) -> io::Result<()> {
    remove_if_there(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    let room = Arc::new(Semaphore::new(MAX_CALLERS));
    let _detached = spawn("door", async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "a caller could not be let in");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let callers = callers.clone();
            let _detached = spawn("caller", async move {
                if let Err(error) = serve(stream, callers).await {
                    debug!(%error, "a caller was not served");
                }
                drop(permit);
            });
        }
    });
    Ok(())
}

async fn serve(stream: tokio::net::UnixStream, callers: mpsc::Sender<Caller>) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = tokio::io::BufReader::with_capacity(512, from).take(MAX_LINE);
    tokio::time::timeout(CALLER, reader.read_until(b'\n', &mut line)).await??;
    let ask: Ask = serde_json::from_slice(&line)?;
    let answer = match ask.asked(0) {
        Ok(asked) => {
            let (reply, answer) = oneshot::channel();
            callers.send(Caller { asked, reply }).await.map_err(|_| io::Error::other("the supervisor ends"))?;
            answer.await.map_err(|_| io::Error::other("the supervisor gave no answer"))?
        }
        Err(answer) => answer,
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    tokio::time::timeout(CALLER, to.write_all(&bytes)).await?
}

/// Asks the supervisor behind the socket; blocking, at most `within` for each step.
pub fn ask(path: &Path, ask: &Ask, within: Duration) -> io::Result<Escalated> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_LINE).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_is_heard_and_answered_and_nonsense_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.sock");
        fs::write(&path, b"left by a former run").unwrap();
        let (tell, mut callers) = mpsc::channel(4);
        open(&path, tell).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else may knock: {mode:o}");
        let want = Ask { rung: Rung::HardRestart, generation: 7, store_id: StoreId::from("s") };
        let (asked, at) = (want.clone(), path.clone());
        let waiting = tokio::task::spawn_blocking(move || ask(&at, &asked, Duration::from_secs(20)));
        let caller = callers.recv().await.unwrap();
        assert_eq!(Ok(caller.asked), want.asked(0));
        let answer = Escalated::Done { detail: "killed".to_owned() };
        caller.reply.send(answer.clone()).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), answer);
        let later = Ask { rung: Rung::Unknown, ..want };
        let at = path.clone();
        let waiting = tokio::task::spawn_blocking(move || ask(&at, &later, Duration::from_secs(20)));
        let refused = waiting.await.unwrap().unwrap();
        assert!(matches!(refused, Escalated::Refused { .. }), "a later version's command gets an answer: {refused:?}");
        let at = path.clone();
        let nonsense = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(at).unwrap();
            stream.write_all(b"{\"rung\":3}\n").unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            rest
        });
        assert!(nonsense.await.unwrap().is_empty());
    }

    #[test]
    fn a_supervisor_that_takes_the_call_and_says_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listens = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let want = Ask { rung: Rung::RestartService, generation: 0, store_id: StoreId::default() };
        assert!(ask(&path, &want, Duration::from_millis(100)).is_err());
    }
}
