//! Keeps the bus's users what the core says they are: whenever who is let in has changed and that is on disk, the server is
//! told. Who waits for it ([`Gate::admitted`]) hears when the server has taken it.
//!
//! Decides nothing: who is let in comes from the published view, what each may do from `permissions`. A bus that is not ours
//! keeps its users itself; then nothing is told and everything counts as taken. Run by `swarm serve`.

use std::sync::Arc;
use std::time::Duration;

use swarm_core::Membership;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use super::permissions::Members;
use super::server::BusServer;

/// How long somebody waits for the server; a reload takes 14 ms, with a thousand users 0.6 s.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// Between two tries to tell the server: the first pause, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Between two looks at the certificate.
const LOOK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Gives who is let in, as it is published.
pub type Admitted = Arc<dyn Fn() -> Arc<Membership> + Send + Sync>;

/// The server has not taken a change.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the bus has not taken its new members yet: {reason}")]
pub struct NotTaken {
    /// What the last try came to.
    pub reason: String,
}

#[derive(Debug, Clone, Default)]
struct Told {
    /// The newest change the server has taken.
    generation: u64,
    /// Why the one after it was not.
    trouble: String,
}

/// The gate. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Gate {
    told: watch::Receiver<Told>,
}

impl Gate {
    /// Starts to keep the users of `bus` what `admitted` gives. `changes` wakes it: any change of the store will do.
    pub fn open(bus: Arc<BusServer>, prefix: String, admitted: Admitted, changes: watch::Receiver<u64>) -> Self {
        let (teller, told) = watch::channel(Told::default());
        drop(crate::watch::spawn("gate", keep(bus, prefix, admitted, changes, teller)));
        Self { told }
    }

    /// Waits until the server has taken everything up to `generation`.
    ///
    /// # Errors
    /// When it has not within 20 s; it goes on being told.
    pub async fn admitted(&self, generation: u64) -> Result<(), NotTaken> {
        let mut told = self.told.clone();
        match timeout(TAKEN_WITHIN, told.wait_for(|told| told.generation >= generation)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(NotTaken { reason: "the controller is stopping".to_owned() }),
            Err(_) => Err(NotTaken { reason: self.trouble() }),
        }
    }

    fn trouble(&self) -> String {
        let trouble = self.told.borrow().trouble.clone();
        if trouble.is_empty() { "it does not answer".to_owned() } else { trouble }
    }
}

async fn keep(
    bus: Arc<BusServer>,
    prefix: String,
    admitted: Admitted,
    mut changes: watch::Receiver<u64>,
    teller: watch::Sender<Told>,
) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = AGAIN.0;
    loop {
        changes.mark_unchanged();
        let wanted = admitted();
        let behind = teller.borrow().generation < wanted.generation;
        let failed = behind && !tell(&bus, &prefix, &wanted, &teller).await;
        pause = if failed { (pause * 2).min(AGAIN.1) } else { AGAIN.0 };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause), if failed => {}
            _ = looks.tick() => {
                if let Err(reason) = bus.renew().await {
                    warn!(%reason, "the bus's certificate can't be renewed; it is tried again tomorrow");
                }
            }
        }
    }
}

async fn tell(bus: &BusServer, prefix: &str, wanted: &Membership, teller: &watch::Sender<Told>) -> bool {
    let taken = bus.admit(prefix, &members(bus.credentials().id.clone(), wanted)).await;
    match taken {
        Ok(()) => {
            teller.send_replace(Told { generation: wanted.generation, trouble: String::new() });
            true
        }
        Err(reason) => {
            let reason = chain(&reason);
            warn!(reason, "the bus does not take its new members; it is tried again");
            teller.send_modify(|told| told.trouble = reason);
            false
        }
    }
}

/// Everyone the bus lets in.
pub fn members(controller: String, membership: &Membership) -> Members {
    Members { controller, drones: membership.drones.clone(), tappers: membership.tappers.clone() }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
