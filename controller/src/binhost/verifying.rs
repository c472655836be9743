//! Runs [`super::verify`] on a thread of its own, one at a time, and keeps what it says for whoever asks.

use std::sync::{Arc, Mutex, PoisonError};

use swarm_core::input::BinhostRequest;
use swarm_core::rows::{ArtifactRow, IndexRow};
use swarm_core::{Answer, Input, Request};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use super::service::Places;
use super::verify::{self, Options, Report, World};
use crate::engine::EngineHandle;
use crate::store::Store;

/// The last check, or the one under way.
#[derive(Clone)]
pub struct Verifying {
    places: Places,
    rate: u64,
    store: Store,
    engine: EngineHandle,
    report: Arc<Mutex<Option<Report>>>,
}

impl Verifying {
    /// Nothing was checked yet. `rate` is in bytes per second.
    pub fn new(places: Places, rate: u64, store: Store, engine: EngineHandle) -> Self {
        Self { places, rate, store, engine, report: Arc::default() }
    }

    /// How it stands; none before the first.
    pub fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins; false if one is under way. `actor` stands in the events. To be called within the runtime.
    pub fn start(&self, actor: &str, rebuild: bool, force: bool) -> bool {
        {
            let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            if report.as_ref().is_some_and(|report| report.running) {
                return false;
            }
            *report = Some(Report { running: true, ..Report::default() });
        }
        let own = self.clone();
        let (runtime, actor) = (Handle::current(), actor.to_owned());
        let spawned = std::thread::Builder::new().name("verify".to_owned()).spawn(move || {
            let options = Options { rate: own.rate, rebuild, force };
            let world = Engine { own: &own, runtime, actor };
            let _ended = Ended(&own);
            let report = verify::verify(&own.places, &options, &world);
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

struct Engine<'a> {
    own: &'a Verifying,
    runtime: Handle,
    actor: String,
}

impl World for Engine<'_> {
    fn rows(&self) -> Result<(Vec<ArtifactRow>, Vec<IndexRow>), String> {
        let rows = self.own.store.read().map_err(|error| error.to_string())?;
        let artifacts = rows.rows::<ArtifactRow>().map_err(|error| error.to_string())?;
        Ok((artifacts, rows.rows::<IndexRow>().map_err(|error| error.to_string())?))
    }

    fn tell(&self, request: BinhostRequest) -> Result<u64, String> {
        let actor = self.actor.clone();
        let asked = self.own.engine.ask(|reply| Input::Request { actor, request: Request::Binhost(request), reply });
        match self.runtime.block_on(asked) {
            Ok(Answer::Done(done)) => Ok(done.touched),
            Ok(Answer::Refused(refusal)) => Err(refusal.error),
            Ok(_) => Err("the engine gave an answer that does not fit".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn show(&self, report: &Report) {
        *self.own.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
    }
}
