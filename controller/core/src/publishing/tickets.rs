//! Tickets that are out: leave to upload one package, good for a while. Soft: a restart forgets them, and drones ask again.

use std::collections::BTreeMap;

use swarm_protocol::{ArtifactId, DroneId};

use crate::timers::Timers;

/// One ticket.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// Whose it is; empty for an import.
    drone: DroneId,
    /// Its secret.
    pub token: String,
    /// Its end on the core's clock.
    pub until: u64,
}

/// All that are out, by artifact, by their end and counted per drone.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    issued: BTreeMap<ArtifactId, Issued>,
    ends: Timers<ArtifactId>,
    held: BTreeMap<DroneId, usize>,
}

impl Tickets {
    /// Issues one; an earlier one of the same artifact is good no more.
    pub(crate) fn issue(&mut self, artifact: ArtifactId, drone: DroneId, token: String, until: u64) {
        self.withdraw(artifact);
        *self.held.entry(drone.clone()).or_default() += 1;
        self.ends.set(artifact, until);
        self.issued.insert(artifact, Issued { drone, token, until });
    }

    /// It was used, has expired, or is wanted no more.
    pub(crate) fn withdraw(&mut self, artifact: ArtifactId) {
        let Some(ticket) = self.issued.remove(&artifact) else { return };
        self.ends.clear(&artifact);
        if let Some(held) = self.held.get_mut(&ticket.drone) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&ticket.drone);
            }
        }
    }

    /// The ticket of an artifact.
    pub(crate) fn get(&self, artifact: ArtifactId) -> Option<&Issued> {
        self.issued.get(&artifact)
    }

    /// How many a drone has.
    pub(crate) fn held(&self, drone: &DroneId) -> usize {
        self.held.get(drone).copied().unwrap_or(0)
    }

    /// When the first ends.
    pub(crate) fn next_end(&self) -> Option<u64> {
        self.ends.next()
    }

    /// Those that have ended by `now`.
    pub(crate) fn ended(&self, now: u64) -> Vec<ArtifactId> {
        self.ends.due(now).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_counted_per_drone_and_end_in_their_order() {
        let mut tickets = Tickets::default();
        let issue = |tickets: &mut Tickets, artifact, drone: &str, until| {
            tickets.issue(ArtifactId(artifact), DroneId::from(drone), format!("t{artifact}-{until}"), until);
        };
        issue(&mut tickets, 1, "a", 300);
        issue(&mut tickets, 2, "a", 100);
        issue(&mut tickets, 3, "b", 200);
        let held = |tickets: &Tickets| ["a", "b", "c"].map(|drone| tickets.held(&DroneId::from(drone)));
        assert_eq!((held(&tickets), tickets.next_end()), ([2, 1, 0], Some(100)));
        // asked for again: another secret, another end, the same count
        issue(&mut tickets, 2, "a", 400);
        assert_eq!((held(&tickets), tickets.next_end()), ([2, 1, 0], Some(200)));
        assert_eq!(tickets.get(ArtifactId(2)).map(|ticket| ticket.token.as_str()), Some("t2-400"));
        assert_eq!(tickets.ended(300), [ArtifactId(3), ArtifactId(1)]);
        tickets.withdraw(ArtifactId(3));
        tickets.withdraw(ArtifactId(3));
        assert_eq!((held(&tickets), tickets.next_end()), ([2, 0, 0], Some(300)));
        assert!(tickets.get(ArtifactId(3)).is_none());
    }
}
