//! Keeps a queue from running dry: asks for fresh packages whenever few are left, until it is stopped. It is a client as any
//! other: what was answered counts, what was not is asked again under the same `Idempotency-Key`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::Http;

/// Between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(100);

/// A thread that feeds a queue.
pub struct Feed {
    stop: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Keeps at least `least` packages waiting or being built, asked for in groups of `group`. `name` gives the atom of each
    /// number, counted from 0; no two may be the same.
    pub fn start(http: Http, least: u64, group: u64, name: impl Fn(u64) -> String + Send + 'static) -> Self {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let thread = std::thread::spawn({
            let (stop, taken) = (Arc::clone(&stop), Arc::clone(&taken));
            move || {
                let mut next = 0;
                while !stop.load(Ordering::SeqCst) {
                    let depth = http.get("/api/v1/status").ok().and_then(|status| status["queue_depth"].as_u64());
                    if depth.is_some_and(|depth| depth < least) {
                        let atoms: Vec<String> = (next..next + group).map(&name).collect();
                        // asked until it is answered, also when the feed is being stopped: nothing is left in doubt
                        while ask(&http, next, &atoms).is_err() {
                            std::thread::sleep(PAUSE);
                        }
                        taken.lock().unwrap_or_else(PoisonError::into_inner).extend(atoms);
                        next += group;
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        });
        Self { stop, taken, thread: Some(thread) }
    }

    /// Atoms the controller has answered for so far.
    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, and gives every atom the controller has answered for. The controller must be there.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn stop(mut self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok().context("the feed panicked")?;
        }
        Ok(self.taken())
    }
}

fn ask(http: &Http, number: u64, atoms: &[String]) -> Result<()> {
    http.post_once("/api/v1/queue", &json!({ "packages": atoms }), &format!("feed {number}")).map(drop)
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
