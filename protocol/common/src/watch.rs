//! Watched tasks: the one place that spawns. The end of a task is never unnoticed; a panic ends the process, loudly.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::{Instrument, error, info_span};

/// Exit status of a process one of whose tasks panicked.
const PANICKED: i32 = 70;

/// Spawns `task` under a span named after it. A task that panics takes the process with it (exit status 70), because a
/// program that lost one of its tasks looks alive and is not. Aborting the handle aborts the task.
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
            std::process::exit(PANICKED);
        }
        // the runtime shuts down: nobody waits for the value any more
        Err(_) => std::future::pending().await,
    }
}

/// Does the work of a thread. One that panics takes the process with it, as a task does.
pub fn watched(name: &'static str, work: impl FnOnce()) {
    let _alarm = Alarm(name);
    work();
}

/// Sounds when a panic unwinds through the task that holds it; one that ends or is aborted drops it in silence.
struct Alarm(&'static str);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(task = self.0, "a task panicked; the process ends so that its supervisor starts it anew");
            std::process::exit(PANICKED);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    const PANICS: &str = "SWARM_TEST_TASK_PANICS";

    /// In a process of its own, which the panic is to end.
    fn is_ended(test: &str) {
        let own = std::env::current_exe().unwrap();
        let ended = Command::new(own).args(["--exact", test]).env(PANICS, "1").output().unwrap();
        assert_eq!(ended.status.code(), Some(super::PANICKED), "{ended:?}");
    }

    fn runs(task: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            task.await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        });
    }

    #[test]
    fn a_thread_that_panics_ends_the_process() {
        if std::env::var_os(PANICS).is_some() {
            let doomed = std::thread::spawn(|| super::watched("doomed", || panic!("on purpose")));
            let _ = doomed.join();
            return;
        }
        is_ended("watch::tests::a_thread_that_panics_ends_the_process");
    }

    #[test]
    fn a_task_that_panics_ends_the_process() {
        if std::env::var_os(PANICS).is_some() {
            return runs(async {
                drop(super::spawn("doomed", async {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    panic!("on purpose");
                }));
            });
        }
        is_ended("watch::tests::a_task_that_panics_ends_the_process");
    }

    #[test]
    fn blocking_work_that_panics_ends_the_process() {
        if std::env::var_os(PANICS).is_some() {
            return runs(super::blocking("doomed", || panic!("on purpose")));
        }
        is_ended("watch::tests::blocking_work_that_panics_ends_the_process");
    }

    #[tokio::test]
    async fn what_blocks_gives_back_what_it_found_and_an_aborted_task_ends_nothing() {
        assert_eq!(super::blocking("sum", || 2 + 2).await, 4);
        let patient = super::spawn("patient", std::future::pending());
        patient.abort();
        assert!(patient.await.unwrap_err().is_cancelled());
    }
}
