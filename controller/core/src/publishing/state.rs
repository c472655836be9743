//! What the binhost's rules remember besides the rows. A restart makes it anew from them, but for tickets: drones ask again.

use swarm_protocol::ArtifactId;

use super::generation::Generations;
use super::signing::Signing;
use super::stock::Stock;
use super::tickets::Tickets;
use crate::rows::{ArtifactRow, Identity, IndexKey};
use crate::timers::Timers;

/// What is soft about the binhost's packages.
#[derive(Debug, Default)]
pub(crate) struct PublishingState {
    pub(super) tickets: Tickets,
    pub(super) stock: Stock,
    pub(super) signing: Signing,
    pub(super) generations: Generations,
    /// When files of retired packages go, and rows that only keep a BUILD_ID.
    pub(super) deletions: Timers<ArtifactId>,
    collect_due: bool,
}

impl PublishingState {
    /// An artifact as it was stored.
    pub(super) fn know(&mut self, row: &ArtifactRow) {
        self.stock.add(row);
        self.generations.know(row);
    }

    /// What retention goes by has changed: it looks at everything soon.
    pub(crate) fn collect_soon(&mut self) {
        self.collect_due = true;
    }

    /// Whether retention is to look at everything now.
    pub(crate) fn take_collect_due(&mut self) -> bool {
        std::mem::take(&mut self.collect_due)
    }

    /// An index has another header than before, or none before.
    pub(crate) fn header_changed(&mut self, index: &IndexKey) {
        self.generations.renew(index);
    }

    /// Newest TIMESTAMP of an index that is on disk.
    pub(crate) fn listed_up_to(&self, index: &IndexKey) -> u64 {
        self.generations.listed_up_to(index)
    }

    /// The newest listed package of an identity.
    pub(super) fn newest(&self, index: &IndexKey, identity: &Identity) -> Option<ArtifactId> {
        self.stock.newest(index, identity)
    }

    /// When the next of these rules is due.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let moments = [self.generations.next(now), self.deletions.next(), self.signing.next(), self.tickets.next_end()];
        moments.into_iter().flatten().min()
    }
}
