//! The logs' room: build logs are kept, asked for again where a piece is missing, and told of when they are whole.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use swarm_common::watch::spawn;
use swarm_core::effect::WantedLog;
use swarm_core::{Input, Tell as _};
use swarm_protocol::DroneId;

use crate::bus::link::Link;
use crate::config::Config;
use crate::engine::{EngineHandle, Work};
use crate::logs::{LogBounds, LogCollector, LogWork};

/// Logs that are whole and wait to be told of.
const DONE: usize = 4096;

/// Opens the stored logs. A drone's log is taken only for an attempt it holds.
pub(super) fn open(config: &Config, data: &Path, engine: &EngineHandle) -> Result<(LogCollector, LogWork)> {
    let bounds = LogBounds {
        stored: config.logs.keep,
        complete_within: Duration::from_millis(config.rules.log_wait),
        ..LogBounds::default()
    };
    let seen = engine.clone();
    let holds = move |drone: &DroneId, fence| {
        seen.view().drones.get(drone).is_some_and(|view| view.tasks.iter().any(|task| task.fence == fence))
    };
    Ok(LogCollector::open(&data.join("logs"), bounds, Arc::new(holds))?)
}

/// Completes the logs the engine wants, over the bus.
pub(super) fn start(
    logs: &LogCollector,
    work: LogWork,
    link: &Link,
    engine: &EngineHandle,
    mut wanted: Work<WantedLog>,
) {
    let (done, mut whole) = tokio::sync::mpsc::channel(DONE);
    drop(spawn("logs", work.run(Arc::new(link.clone()), done)));
    let collector = logs.clone();
    drop(spawn("log orders", async move {
        while let Some(log) = wanted.next().await {
            collector.complete(log.fence, log.drone, log.bytes).await;
        }
    }));
    let told = engine.clone();
    drop(spawn("log news", async move {
        while let Some(log) = whole.recv().await {
            // waits as long as the engine is busy: a result whose log is never told of is never accepted
            told.tell(Input::LogStored { fence: log.fence, complete: log.complete }).await;
        }
    }));
}
