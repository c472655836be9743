//! The supervisor's hello: said after each connection, again when the ebuild repository changed, until a welcome answers it.
//!
//! Decides nothing about the drone: what is told is `hello`'s card and the last look at the drone. Called by the supervisor's loop.

use std::sync::Arc;
use std::time::Duration;

use swarm_common::errors::chain;
use swarm_common::watch::spawn;
use swarm_protocol::machine::{DroneType, PortageState, TreeState};
use swarm_protocol::report::{HelloAnswer, Role};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{InstanceId, StoreId};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::holding::Snapshot;
use crate::bus::Link;
use crate::config::Config;
use crate::hello::{self, Card, Greeting, Speaker};
use crate::spool::Spool;

/// What hello's own tasks bring back.
pub(super) enum News {
    /// Hello is due again.
    Due,
    /// The root's Portage, if it could be had, and the sources at hand.
    Portage(Option<Box<PortageState>>, Vec<u32>),
    /// Hello was answered, or not.
    Answer(Option<Box<HelloAnswer>>),
}

/// What a welcome asks of the supervisor.
pub(super) struct Welcome {
    /// The store whose drone this is.
    pub(super) store_id: StoreId,
    /// Time between heartbeats.
    pub(super) heartbeat: Duration,
}

/// Says hello and hears the answer.
pub(super) struct Greeter {
    link: Arc<Link>,
    instance: InstanceId,
    /// Remembers the store that was seen last.
    spool: Spool,
    card: Card,
    greeting: Greeting,
    welcomed: bool,
    /// The last reason to be refused, so that it is logged once.
    refusal: String,
    tell: mpsc::Sender<News>,
    told: mpsc::Receiver<News>,
}

impl Greeter {
    pub(super) fn new(config: &Config, instance: InstanceId, spool: Spool, link: Arc<Link>) -> Self {
        let (tell, told) = mpsc::channel(16);
        Self {
            link,
            instance,
            spool,
            card: Card::new(config),
            greeting: Greeting::default(),
            welcomed: false,
            refusal: String::new(),
            tell,
            told,
        }
    }

    /// The machine's type by its own detection.
    pub(super) fn detected(&self) -> DroneType {
        self.card.detected()
    }

    /// Whether the controller welcomed this run.
    pub(super) fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Waits for what a task brings back; [`Greeter::news`] is to hear it.
    pub(super) async fn next(&mut self) -> News {
        match self.told.recv().await {
            Some(news) => news,
            // a sender is kept here
            None => std::future::pending().await,
        }
    }

    /// Hello is due. First the Portage is looked at, which takes a moment.
    pub(super) fn greet(&mut self) {
        if !self.greeting.due() {
            return;
        }
        let (look, tell) = (self.card.look(), self.tell.clone());
        let _detached = spawn("portage", async move {
            let (portage, sources) = look.await;
            let portage = portage.inspect_err(|error| {
                warn!(error = chain(error), "Portage can't be described; until it can, nothing is built here");
            });
            let _ = tell.send(News::Portage(portage.ok().map(Box::new), sources)).await;
        });
    }

    /// The ebuild repository was looked at: hello is said again if it is not the one that was told of.
    pub(super) fn tree_seen(&mut self, tree: &TreeState) {
        if self.card.is_outdated_by(tree) {
            info!("the ebuild repository changed; saying hello again");
            self.greet();
        }
    }

    /// Something came back. `latest` is the last look at the drone.
    pub(super) fn news(&mut self, news: News, latest: &Snapshot) -> Option<Welcome> {
        match news {
            News::Due => self.greet(),
            News::Portage(portage, sources) => {
                self.card.saw(portage.map(|portage| *portage), sources);
                self.say(latest);
            }
            News::Answer(Some(answer)) => return self.answered(*answer),
            News::Answer(None) => self.later(),
        }
        None
    }

    fn say(&self, latest: &Snapshot) {
        let speaker = Speaker { instance: self.instance.clone(), role: Role::Supervisor, supervisor: None };
        let held = drone_core::Held {
            store_id: self.spool.seen().map(|(_, store_id)| store_id),
            orders_seen: latest.orders_seen,
            running: latest.attempts.iter().map(|status| status.fence).collect(),
            finished: latest.finished.clone(),
        };
        let hello = self.card.hello(speaker, held);
        let (link, tell) = (Arc::clone(&self.link), self.tell.clone());
        let _detached = spawn("hello", async move {
            let answer = link.ask::<_, HelloAnswer>(ReportKind::Hello, &hello, hello::TIMEOUT).await;
            let answer = answer.inspect_err(|error| debug!(%error, "no answer to hello")).ok();
            let _ = tell.send(News::Answer(answer.map(Box::new))).await;
        });
    }

    fn answered(&mut self, answer: HelloAnswer) -> Option<Welcome> {
        match answer {
            HelloAnswer::Welcome { heartbeat_ms, controller_version, store_id, .. } => {
                if !std::mem::replace(&mut self.welcomed, true) {
                    info!(controller = controller_version, "welcome");
                }
                self.refusal.clear();
                if !self.card.has_portage() {
                    // welcome without a Portage: nothing is built here until it can be described
                    self.later();
                } else if self.greeting.welcomed() {
                    self.greet();
                }
                return Some(Welcome { store_id, heartbeat: Duration::from_millis(heartbeat_ms.clamp(100, 60_000)) });
            }
            HelloAnswer::Refused { reason, hint } => {
                if self.refusal != reason {
                    warn!(reason, hint, "the controller refuses this drone");
                    self.refusal = reason;
                }
                self.later();
            }
            // in a later version's words
            HelloAnswer::Unknown => self.later(),
        }
        None
    }

    fn later(&mut self) {
        let (wait, tell) = (self.greeting.failed(), self.tell.clone());
        let _detached = spawn("hello later", async move {
            tokio::time::sleep(wait).await;
            let _ = tell.send(News::Due).await;
        });
    }
}
