//! What the service manager hears of the controller: words, and a watchdog that is fed only while the engine answers.
//!
//! Decides nothing but when to keep silent; what follows from silence is the manager's. Called by `serve`.

use swarm_common::notify::Manager;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engine::EngineHandle;

/// Says a word; one that can't be said is no reason to end.
pub fn say(manager: &Manager, word: &str) {
    if let Err(reason) = manager.say(word) {
        warn!(%reason, word, "the service manager could not be told");
    }
}

/// Feeds the watchdog as long as the engine answers. Returns at once where nobody waits to be fed, else at `stop`.
pub async fn feed(manager: &Manager, engine: &EngineHandle, stop: &CancellationToken) {
    // a quarter of what the manager waits, so that one late answer is not the end
    let Some(period) = manager.watchdog_period(4) else { return };
    info!(?period, "the watchdog is fed while the engine answers");
    while !stop.is_cancelled() {
        if engine.pulse(period).await {
            say(manager, "WATCHDOG=1");
        } else {
            warn!(within = ?period, "the engine does not answer; the watchdog is not fed");
        }
        drop(tokio::time::timeout(period, stop.cancelled()).await);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use swarm_core::Settings;
    use swarm_core::request::{Control, ControlRequest};

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

    #[tokio::test]
    async fn without_a_manager_or_a_watchdog_nothing_is_fed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let (engine, thread) =
            Loaded::load(&store, Settings::default()).unwrap().start(Outlets::discard(), Options::default()).unwrap();
        let never = CancellationToken::new();
        feed(&Manager::new(None, Some("20000000")), &engine, &never).await;
        feed(&Manager::new(Some("/nowhere"), None), &engine, &never).await;
        feed(&Manager::new(Some("/nowhere"), Some("0")), &engine, &never).await;
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
        let feeding = swarm_common::watch::spawn("watchdog", async move { feed(&manager, &asked, &stopped).await });
        assert_eq!(word(&socket).as_deref(), Some("WATCHDOG=1"));

        hangs.store(true, SeqCst);
        let held = gate.lock().unwrap();
        let pause = ControlRequest { action: Control::Pause, package: None, drone: None };
        let pausing = engine.clone();
        let paused =
            swarm_common::watch::spawn("pause", async move { drop(pausing.ask("test".to_owned(), pause).await) });
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
