//! The process `drone-agent attempt DIR`: parent of one emerge, from the order on disk to the result on disk.
//!
//! It has a session of its own and is its descendants' subreaper, so worker and supervisor may come and go while it
//! works. It decides only when to end emerge (order, time, silence); what its end means is `swarm_portage::classify`'s to say,
//! and whose fault it is, the controller's. Ended by SIGTERM. It blocks and uses threads: a build's parent must be small.

pub mod dir;
pub mod identity;
pub mod log;
pub mod memory;

mod build;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use swarm_common::stop::Stop;
use swarm_protocol::report::BuildResult;

pub use dir::{AttemptDir, AttemptJob, AttemptState};
use identity::Identity;

/// Runs the attempt in `dir` to its end. Returns an error only if there is no attempt to run or its result could not be
/// written; a build that fails is a result.
pub fn run(dir: &Path) -> anyhow::Result<()> {
    let dir = dir.canonicalize().with_context(|| format!("find the attempt in {}", dir.display()))?;
    let attempt = AttemptDir::open(&dir)?;
    if !matches!(attempt.state(), AttemptState::Waiting) {
        anyhow::bail!("attempt {} was begun before; it is never run twice", attempt.fence());
    }
    // Fails only for a leader of a group, who has what he needs.
    let _ = nix::unistd::setsid();
    nix::sys::prctl::set_child_subreaper(true).context("become the subreaper of the build")?;
    let cancelled = Arc::new(AtomicBool::new(false));
    listen_for_the_end(Arc::clone(&cancelled))?;
    attempt.begin(&Identity::own()?).context("take the attempt")?;
    if attempt.is_cancelled() {
        cancelled.store(true, Ordering::SeqCst);
    }
    let result: BuildResult = build::build(&attempt, &cancelled);
    attempt.finish(&result).context("write the result")
}

/// Signals are heard through tokio's handlers: blocking them instead would block them in emerge, too.
fn listen_for_the_end(cancelled: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("listen for signals")?;
    let mut stop = {
        let _inside = runtime.enter();
        Stop::listen()?
    };
    std::thread::Builder::new().name("signals".to_owned()).stack_size(256 << 10).spawn(move || {
        runtime.block_on(async {
            loop {
                stop.next().await;
                cancelled.store(true, Ordering::SeqCst);
            }
        });
    })?;
    Ok(())
}
