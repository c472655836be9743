//! Whether somebody wants `swarm up` to end: Ctrl-C, TERM, or a terminal that went away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use swarm_common::stop::Stop as Signals;
use tokio::signal::unix::SignalKind;

/// Set by the first such signal. A second one ends this process at once, and what it started runs on: `swarm down` ends it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on, in a thread of its own.
    ///
    /// # Errors
    /// When signals can't be heard.
    pub fn listen() -> std::io::Result<Self> {
        let stop = Self::default();
        let heard = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || runtime.block_on(heard.hear()));
        Ok(stop)
    }

    async fn hear(self) {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let Ok(mut signals) = Signals::listen_for(&kinds) else { return };
        loop {
            signals.next().await;
            if self.0.swap(true, Relaxed) {
                std::process::exit(130);
            }
        }
    }

    /// Whether somebody does.
    pub fn wanted(&self) -> bool {
        self.0.load(Relaxed)
    }
}
