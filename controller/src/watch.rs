//! Watched tasks: the one place that spawns. The end of a task is never unnoticed; a panic ends the process, loudly.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::{Instrument, error, info_span};

/// Spawns `task` under a span named after it. A task that panics takes the process with it (exit status 70), because a
/// controller that lost one of its tasks looks alive and is not.
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let watched = async move {
        let _alarm = Alarm(name);
        task.await;
    };
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::spawn(watched.instrument(info_span!("task", name)))
}

/// Sounds when a panic unwinds through the task that holds it.
struct Alarm(&'static str);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(task = self.0, "a task panicked; the process ends so that its supervisor starts it anew");
            std::process::exit(70);
        }
    }
}
