//! What time and a restart do to the binhost's packages: failed signatures are tried again, tickets end, files go. Called by
//! the core's turn.

use swarm_protocol::ArtifactId;

use crate::core::Core;
use crate::rows::{ArtifactRow, ArtifactState, IndexKey};

impl Core {
    /// What finds packages, after a start.
    pub(crate) fn rebuild_publishing(&mut self) {
        for artifact in self.rows.artifacts.iter() {
            self.soft.publishing.know(artifact);
        }
    }

    /// After a start every upload not yet signed is signed, every index written anew, retention applied.
    pub(crate) fn restart_publishing(&mut self) {
        let unsigned: Vec<ArtifactId> = self
            .rows
            .artifacts
            .iter()
            .filter(|row| matches!(row.state, ArtifactState::Uploaded { .. }))
            .map(|row| row.id)
            .collect();
        for id in unsigned {
            self.sign(id);
        }
        let ticketed = |row: &&ArtifactRow| row.state == ArtifactState::Ticketed {};
        let unused: Vec<ArtifactId> = self.rows.artifacts.iter().filter(ticketed).map(|row| row.id).collect();
        for id in unused {
            self.forget_unused(id);
        }
        let indexes: Vec<IndexKey> = self.rows.indexes.iter().map(|row| row.index.clone()).collect();
        for index in &indexes {
            self.soft.publishing.generations.renew(index);
        }
        self.restart_retention();
    }

    pub(crate) fn wake_publishing(&mut self) {
        let now = self.now.at;
        for id in self.soft.publishing.signing.take_due(now) {
            self.sign(id);
        }
        for id in self.soft.publishing.tickets.ended(now) {
            self.soft.publishing.tickets.withdraw(id);
            self.forget_unused(id);
        }
        self.wake_retention();
    }
}
