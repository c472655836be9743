//! Keeps the bus's users what the core says they are: whenever who is let in has changed and that is on disk, the server is
//! told. Who waits for it ([`Gate::admitted`]) hears when the server has taken it.
//!
//! Decides nothing: who is let in comes from the published view, what each may do from `permissions`. A bus that is not ours
//! keeps its users itself; then nothing is told and everything counts as taken. Run by `swarm serve`.

use std::sync::Arc;
use std::time::Duration;

use swarm_common::errors::chain;
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
        drop(swarm_common::watch::spawn("gate", keep(bus, prefix, admitted, changes, teller)));
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use swarm_protocol::DroneId;

    use super::*;
    use crate::bus::server::tests::{PREFIX, TestBus};

    /// Who is let in, as a test changes it.
    struct Rows {
        membership: Mutex<Arc<Membership>>,
        changes: watch::Sender<u64>,
    }

    impl Rows {
        fn new() -> Arc<Self> {
            let first = Membership { generation: 1, ..Membership::default() };
            Arc::new(Self { membership: Mutex::new(Arc::new(first)), changes: watch::channel(0).0 })
        }

        fn change(&self, with: impl FnOnce(&mut Membership)) -> u64 {
            let mut held = self.membership.lock().unwrap();
            let mut next = Membership::clone(&held);
            next.generation += 1;
            with(&mut next);
            *held = Arc::new(next);
            self.changes.send_modify(|count| *count += 1);
            held.generation
        }
    }

    #[tokio::test]
    async fn who_waits_is_answered_when_the_server_has_taken_it_and_not_before() {
        let mut bus = TestBus::start(&[]).await;
        let (alpha, beta) = (bus.enrol("alpha"), bus.enrol("beta"));
        let server = Arc::new(BusServer::Managed(bus.server.take().unwrap()));
        let rows = Rows::new();
        let seen = rows.clone();
        let admitted: Admitted = Arc::new(move || seen.membership.lock().unwrap().clone());
        let gate = Gate::open(server.clone(), PREFIX.to_owned(), admitted, rows.changes.subscribe());
        gate.admitted(1).await.unwrap();
        for round in 0..3 {
            let joined = rows.change(|members| {
                members.drones.insert(DroneId(alpha.id.clone()));
                members.tappers.insert(beta.id.clone());
            });
            gate.admitted(joined).await.unwrap();
            // the very first try, without waiting
            for user in [&alpha, &beta] {
                assert!(bus.try_client_at(&server.url(), user).await.is_ok(), "round {round}");
            }
            let left = rows.change(|members| members.drones.clear());
            gate.admitted(left).await.unwrap();
            assert!(bus.try_client_at(&server.url(), &alpha).await.is_err(), "round {round}");
            assert!(bus.try_client_at(&server.url(), &beta).await.is_ok(), "round {round}");
        }
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_told_again_when_it_is_back() {
        let mut bus = TestBus::start(&[]).await;
        let alpha = bus.enrol("alpha");
        let pid = nix::unistd::Pid::from_raw(bus.pid());
        let server = Arc::new(BusServer::Managed(bus.server.take().unwrap()));
        let rows = Rows::new();
        let seen = rows.clone();
        let admitted: Admitted = Arc::new(move || seen.membership.lock().unwrap().clone());
        let gate = Gate::open(server.clone(), PREFIX.to_owned(), admitted, rows.changes.subscribe());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let joined = rows.change(|members| {
            members.drones.insert(DroneId(alpha.id.clone()));
        });
        gate.admitted(joined).await.unwrap();
        crate::bus::server::tests::until("alpha gets in", async || {
            bus.try_client_at(&server.url(), &alpha).await.is_ok()
        })
        .await;
        server.stop().await.unwrap();
    }
}
