//! The worker's hello: repeated until welcomed; a welcome counts when the binhost is configured.

use std::sync::Arc;

use drone_core::{Held, Input};
use swarm_common::errors::chain;
use swarm_common::watch::{blocking, spawn};
use swarm_portage::{RootConfig, configure_binhost};
use swarm_protocol::machine::PortageState;
use swarm_protocol::report::{BinhostAccess, HelloAnswer, Role};
use swarm_protocol::subject::ReportKind;
use swarm_protocol::{Fence, InstanceId, StoreId};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::Event;
use super::hands::Hands;
use crate::bond::SUPERVISOR;
use crate::bus::Link;
use crate::config::Config;
use crate::hello::{self, Card, Greeting, Speaker};

/// What hello's own tasks bring back.
pub(crate) enum News {
    /// Hello is due.
    Due,
    /// The root's Portage, if it could be had, and the sources at hand.
    Portage(Option<Box<PortageState>>, Vec<u32>),
    /// The answer, if one came and could be followed.
    Answer(Option<Box<Welcome>>),
}

/// A welcome whose binhost is configured.
pub(crate) struct Welcome {
    store_id: StoreId,
    superseded: Vec<Fence>,
    http_url: String,
    binhost: BinhostAccess,
}

/// Says hello and hears the answer.
pub(crate) struct Greeter {
    instance: InstanceId,
    /// Each of them gets the binhost of a welcome.
    roots: Vec<RootConfig>,
    card: Card,
    link: Arc<Link>,
    tell: mpsc::Sender<Event>,
    greeting: Greeting,
    welcomed: bool,
}

impl Greeter {
    pub(crate) fn new(config: &Config, instance: InstanceId, link: Arc<Link>, tell: mpsc::Sender<Event>) -> Self {
        Self {
            instance,
            roots: config.roots.clone(),
            card: Card::new(config),
            link,
            tell,
            greeting: Greeting::default(),
            welcomed: false,
        }
    }

    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Hello is due. First the Portage is looked at: without one there is nothing to offer.
    pub(crate) fn greet(&mut self) {
        if self.greeting.due() {
            self.look();
        }
    }

    /// An order came that can't be taken before a welcome.
    pub(crate) fn wanted(&mut self) {
        if self.greeting.wanted() {
            self.look();
        }
    }

    fn look(&self) {
        let (look, tell) = (self.card.look(), self.tell.clone());
        let _detached = spawn("portage", async move {
            let (portage, sources) = look.await;
            let portage = portage
                .inspect_err(|error| warn!(error = chain(error), "no orders are taken until Portage can be described"));
            let _ = tell.send(Event::News(News::Portage(portage.ok().map(Box::new), sources))).await;
        });
    }

    /// Something came back; an input for the core may follow.
    pub(crate) fn news(&mut self, news: News, held: Held, hands: &mut Hands) -> Option<Input> {
        match news {
            News::Due => self.greet(),
            News::Portage(None, _) | News::Answer(None) => self.later(),
            News::Portage(Some(portage), sources) => {
                self.card.saw(Some(*portage), sources);
                self.say_hello(held);
            }
            News::Answer(Some(welcome)) => {
                let Welcome { store_id, superseded, http_url, binhost } = *welcome;
                if !std::mem::replace(&mut self.welcomed, true) {
                    info!(store = %store_id, "welcome");
                }
                hands.welcomed(http_url, binhost);
                if self.greeting.welcomed() {
                    self.greet();
                }
                return Some(Input::Welcomed { store_id, superseded });
            }
        }
        None
    }

    fn later(&mut self) {
        let (wait, tell) = (self.greeting.failed(), self.tell.clone());
        let _detached = spawn("hello later", async move {
            tokio::time::sleep(wait).await;
            let _ = tell.send(Event::News(News::Due)).await;
        });
    }

    fn say_hello(&self, held: Held) {
        let supervisor = std::env::var(SUPERVISOR).ok().map(InstanceId);
        let speaker = Speaker { instance: self.instance.clone(), role: Role::Worker, supervisor };
        let hello = self.card.hello(speaker, held);
        let (link, roots, tell) = (Arc::clone(&self.link), self.roots.clone(), self.tell.clone());
        let _detached = spawn("hello", async move {
            let answer = link.ask::<_, HelloAnswer>(ReportKind::Hello, &hello, hello::TIMEOUT).await;
            let welcome = match answer {
                Ok(answer) => follow(answer, roots).await,
                Err(error) => {
                    debug!(%error, "no answer to hello");
                    None
                }
            };
            let _ = tell.send(Event::News(News::Answer(welcome.map(Box::new)))).await;
        });
    }
}

/// Configures the binhost as the welcome says; without it no order could be carried out.
async fn follow(answer: HelloAnswer, roots: Vec<RootConfig>) -> Option<Welcome> {
    match answer {
        HelloAnswer::Welcome { store_id, superseded, http_url, binhost, .. } => {
            let (binhost, access) = (*binhost.clone(), binhost);
            let configured =
                blocking("binhost", move || roots.iter().try_for_each(|root| configure_binhost(root, &access)));
            match configured.await {
                Ok(()) => Some(Welcome { store_id, superseded, http_url, binhost }),
                Err(error) => {
                    warn!(error = chain(&error), "the swarm's binhost can't be configured; no orders are taken");
                    None
                }
            }
        }
        HelloAnswer::Refused { reason, hint } => {
            warn!(reason, hint, "the controller refuses this worker");
            None
        }
        HelloAnswer::Unknown => {
            warn!("the controller answered hello in a later version's words");
            None
        }
    }
}
