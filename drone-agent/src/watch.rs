//! Watched tasks: the one place that spawns. The end of a task is never unnoticed; a panic ends the process, loudly.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::{Instrument, error, info_span};

/// Spawns `task` under a span named after it. A task that panics takes the process with it (exit status 70), because an
/// agent that lost one of its tasks looks alive and is not. Aborting the handle aborts the task.
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let watched = async move {
        // dropped by unwinding only: a task that ends or is aborted disarms or never panics
        let mut guard = Guard { name, armed: true };
        task.await;
        guard.armed = false;
    };
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::spawn(watched.instrument(info_span!("task", name)))
}

struct Guard {
    name: &'static str,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed && std::thread::panicking() {
            error!(task = self.name, "a task panicked; the process ends so that its supervisor starts it anew");
            std::process::exit(70);
        }
    }
}

/// Runs `work` where it may block and waits for it. A panic in it ends the process like that of a task.
pub async fn blocking<T, F>(name: &'static str, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(end) if end.is_panic() => {
            error!(task = name, "blocking work panicked; the process ends so that its supervisor starts it anew");
            std::process::exit(70);
        }
        // the runtime shuts down: nobody waits for the value any more
        Err(_) => std::future::pending().await,
    }
}
