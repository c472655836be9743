//! systemd's notification protocol: readiness, the goodbye, and a watchdog that is fed only while the engine answers.
//!
//! Decides nothing but when to keep silent; what follows from silence is systemd's. Datagrams to the socket named in the
//! environment; without one, nothing. Called by `serve`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engine::EngineHandle;

/// The service manager, if there is one that wants to hear.
#[derive(Debug)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// From `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment() -> Self {
        let read = |name: &str| std::env::var(name).ok();
        Self::new(read("NOTIFY_SOCKET").as_deref(), read("WATCHDOG_USEC").as_deref())
    }

    fn new(socket: Option<&str>, watchdog_usec: Option<&str>) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        let watchdog = watchdog_usec.and_then(|text| text.parse().ok()).filter(|usec| *usec > 0);
        Self {
            socket: address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// Says something: `READY=1`, `WATCHDOG=1`, `STOPPING=1`.
    pub fn say(&self, word: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(reason) = socket.send_to_addr(word.as_bytes(), address)
        {
            warn!(%reason, word, "the service manager could not be told");
        }
    }

    /// How often the engine is asked, and how long it may take to answer: a quarter of what systemd waits, so that one
    /// late answer is not the end.
    fn period(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|within| within / 4)
    }

    /// Feeds the watchdog as long as the engine answers. Returns at once where nobody waits to be fed, else at `stop`.
    pub async fn feed(&self, engine: &EngineHandle, stop: &CancellationToken) {
        let Some(period) = self.period() else { return };
        info!(?period, "the watchdog is fed while the engine answers");
        while !stop.is_cancelled() {
            if engine.pulse(period).await {
                self.say("WATCHDOG=1");
            } else {
                warn!(within = ?period, "the engine does not answer; the watchdog is not fed");
            }
            drop(tokio::time::timeout(period, stop.cancelled()).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};

    use swarm_core::input::{Control, Request};
    use swarm_core::{Input, Settings};

    use super::*;
    use crate::engine::{Loaded, OnFailure, Options, Outlets};
    use crate::store::Store;

    /// A manager, and where its words arrive.
    fn manager(name: &str, socket: &UnixDatagram, watchdog: Duration) -> Manager {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager::new(Some(name), Some(&watchdog.as_micros().to_string()))
    }

    fn word(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 64];
        let size = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..size]).into_owned())
    }

    #[test]
    fn words_reach_a_socket_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("build-swarm-controller-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (socket, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{abstract_name}")),
        ] {
            let manager = manager(&name, &socket, Duration::from_secs(20));
            assert_eq!(manager.period(), Some(Duration::from_secs(5)));
            manager.say("READY=1");
            assert_eq!(word(&socket).as_deref(), Some("READY=1"));
        }
    }

    #[tokio::test]
    async fn without_a_manager_or_a_watchdog_nothing_is_fed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let (engine, thread) =
            Loaded::load(&store, Settings::default()).unwrap().start(Outlets::discard(), Options::default()).unwrap();
        let never = CancellationToken::new();
        Manager::new(None, Some("20000000")).feed(&engine, &never).await;
        Manager::new(Some("/nowhere"), None).feed(&engine, &never).await;
        Manager::new(Some("/nowhere"), Some("0")).feed(&engine, &never).await;
        thread.stop();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_watchdog_is_fed_while_the_engine_answers_and_not_while_it_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let manager = manager(&dir.path().join("notify").display().to_string(), &socket, Duration::from_millis(200));

        // a disk that hangs: the commit waits for a lock the test holds
        let (gate, hangs) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        let (door, seen) = (gate.clone(), hangs.clone());
        let commit_hook = move |_: crate::engine::Pending<'_>| {
            if seen.load(SeqCst) {
                drop(door.lock());
            }
            Ok(())
        };
        let options = Options {
            commit_hook: Some(Box::new(commit_hook)),
            on_failure: OnFailure::EndThread,
            ..Options::default()
        };
        let store = Store::open(&dir.path().join("s")).unwrap();
        let (engine, thread) =
            Loaded::load(&store, Settings::default()).unwrap().start(Outlets::discard(), options).unwrap();

        let (asked, stop) = (engine.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let feeding = crate::watch::spawn("watchdog", async move { manager.feed(&asked, &stopped).await });
        assert_eq!(word(&socket).as_deref(), Some("WATCHDOG=1"));

        hangs.store(true, SeqCst);
        let held = gate.lock().unwrap();
        let request = Request::Control { action: Control::Pause, package: None, drone: None };
        let pause = |reply| Input::Request { actor: "test".into(), request, reply };
        let pausing = engine.clone();
        let paused = crate::watch::spawn("pause", async move { drop(pausing.ask(pause).await) });
        // What was fed before the hang arrives; then there is silence for ten times the period.
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut fed = 0;
        while word(&socket).is_some() {
            fed += 1;
            assert!(fed < 100, "a hanging engine is fed on");
        }
        drop(held);
        paused.await.unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(word(&socket).as_deref(), Some("WATCHDOG=1"), "it answers again");
        stop.cancel();
        feeding.await.unwrap();
        thread.stop();
    }
}
