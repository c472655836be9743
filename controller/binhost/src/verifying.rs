//! Runs [`super::verify`] on a thread of its own, one at a time, and keeps what it says for whoever asks.

use std::sync::{Arc, Mutex, PoisonError};

use swarm_core::request::{DamagedRequest, ReindexRequest};
use swarm_core::rows::{ArtifactRow, IndexRow};
use tracing::{error, info, warn};

use super::service::Folders;
use super::verify::{self, Options, Report, World};

/// What the swarm has written down of its packages, and who changes it. Both methods block.
pub trait Ledger: Send + Sync + 'static {
    /// Committed rows of this moment.
    ///
    /// # Errors
    /// When they can't be read; said as text.
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String>;

    /// Says in the name of `actor` that a file is damaged; answers how many packages that touched.
    ///
    /// # Errors
    /// When it was not taken; said as text.
    fn damaged(&self, actor: &str, damage: DamagedRequest) -> Result<u64, String>;

    /// Has an index written anew in the name of `actor`; answers how many that touched.
    ///
    /// # Errors
    /// When it was not taken; said as text.
    fn reindex(&self, actor: &str, index: ReindexRequest) -> Result<u64, String>;
}

/// The last check, or the one under way.
#[derive(Clone)]
pub struct Verifying {
    folders: Folders,
    rate: u64,
    ledger: Arc<dyn Ledger>,
    report: Arc<Mutex<Option<Report>>>,
}

impl Verifying {
    /// Nothing was checked yet. `rate` is in bytes per second.
    pub fn new(folders: Folders, rate: u64, ledger: Arc<dyn Ledger>) -> Self {
        Self { folders, rate, ledger, report: Arc::default() }
    }

    /// How it stands; none before the first.
    pub fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins; false if one is under way. `actor` stands in the events.
    pub fn start(&self, actor: &str, rebuild: bool, force: bool) -> bool {
        {
            let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            if report.as_ref().is_some_and(|report| report.running) {
                return false;
            }
            *report = Some(Report { running: true, ..Report::default() });
        }
        let (own, actor) = (self.clone(), actor.to_owned());
        let spawned = std::thread::Builder::new().name("verify".to_owned()).spawn(move || {
            let options = Options { rate: own.rate, rebuild, force };
            let world = Own { own: &own, actor };
            let _ended = Ended(&own);
            let report = verify::verify(&own.folders, &options, &world);
            match &report.stopped {
                Some(reason) => warn!(%reason, "the check of the binhost was broken off"),
                None => {
                    info!(checked = report.checked, found = report.found, mended = report.mended, "checked the binhost")
                }
            }
        });
        if let Err(reason) = spawned {
            error!(%reason, "the check of the binhost can't be started");
            self.end();
        }
        true
    }

    fn end(&self) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = report.as_mut().filter(|report| report.running) {
            report.running = false;
            report.stopped = Some("the check ended before its end; the controller's log says why".to_owned());
        }
    }
}

/// However the thread ends, the check is not under way after it.
struct Ended<'a>(&'a Verifying);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The ledger, and the report that grows.
struct Own<'a> {
    own: &'a Verifying,
    actor: String,
}

impl World for Own<'_> {
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String> {
        self.own.ledger.rows()
    }

    fn damaged(&self, damage: DamagedRequest) -> Result<u64, String> {
        self.own.ledger.damaged(&self.actor, damage)
    }

    fn reindex(&self, index: ReindexRequest) -> Result<u64, String> {
        self.own.ledger.reindex(&self.actor, index)
    }

    fn show(&self, report: &Report) {
        *self.own.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
    }
}
