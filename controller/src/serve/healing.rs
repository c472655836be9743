//! The room of proof of life: pings, the orders of the ladder, and what people are told.

use std::path::Path;
use std::sync::Arc;

use swarm_common::watch::spawn;
use swarm_protocol::StoreId;

use crate::bus::link::Link;
use crate::config::Config;
use crate::engine::{EngineHandle, HealingWorks};
use crate::healing::{Escalations, Pings, SshSettings};
use crate::http::HealingPart;
use crate::notices::Notices;

/// Begins to carry out pings and the orders of the ladder, and to send notices; gives their face to the façade.
pub(super) fn start(
    config: &Config,
    data: &Path,
    store_id: StoreId,
    link: &Link,
    engine: &EngineHandle,
    works: HealingWorks,
) -> HealingPart {
    let pings = Pings::new(Arc::new(link.clone()), Arc::new(engine.clone()));
    let pinging = pings.clone();
    drop(spawn("pings", async move { pinging.run(works.pings).await }));
    let notices = Arc::new(Notices::new(&config.notify.settings(), &config.name, store_id.as_str()));
    let ssh = SshSettings { data: data.to_owned(), store_id, ssh_command: config.healing.ssh_command.clone() };
    let escalations = Escalations::new(Arc::new(link.clone()), Arc::new(engine.clone()), ssh);
    drop(spawn("escalations", escalations.run(works.escalations)));
    let (postman, answers) = (notices.clone(), engine.clone());
    drop(spawn("notices", async move { postman.run(works.notices, &answers).await }));
    HealingPart { pings: Arc::new(pings), channels: notices.channels(), rules: config.rules.healing.clone() }
}
