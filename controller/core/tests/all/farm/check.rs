//! What must hold after every step, whatever happened.

use std::collections::{BTreeMap, BTreeSet};

use swarm_core::rows::{
    ArtifactRow, ArtifactState, BuildRow, BuildState, EventRow, HistoryRow, HistoryStatus, MetaKey, MetaRow,
};
use swarm_core::view::Counts;
use swarm_protocol::{BuildId, Fence, SessionId};

use super::Farm;

impl Farm {
    /// Safety: panics with the transcript if anything contradicts itself.
    pub fn check(&mut self) {
        self.check_counts();
        self.check_held();
        let seqs: Vec<u64> = self.store.all::<EventRow>().iter().map(|event| event.seq).collect();
        let last = self.store.get::<MetaRow>(&MetaKey).map_or(0, |meta| meta.last_event);
        assert_eq!(seqs, (1..=last).collect::<Vec<_>>(), "events have no gaps");
        let mut accepted = BTreeSet::new();
        for row in self.store.all::<HistoryRow>().iter().filter(|row| row.status == HistoryStatus::Success) {
            assert!(accepted.insert(row.fence.build), "build {} was accepted twice", row.fence.build);
        }
        let mut ended = BTreeSet::new();
        for row in self.store.all::<HistoryRow>() {
            assert!(ended.insert(row.fence), "attempt {} ended twice", row.fence);
        }
        assert_eq!(self.core.check(), vec![], "rows do not contradict each other");
        assert!(!self.core.is_changed(), "everything is stored");
    }

    fn check_counts(&mut self) {
        let rows = self.store.all::<BuildRow>();
        let open: BTreeSet<BuildId> =
            rows.iter().filter(|row| row.state.name() != "received").map(|row| row.id).collect();
        let mut sums: BTreeMap<SessionId, Counts> = BTreeMap::new();
        for row in &rows {
            let sum = sums.entry(row.session).or_default();
            match &row.state {
                BuildState::Planning { .. } => sum.needed += 1,
                BuildState::Needed { .. } => {
                    sum.needed += 1;
                    sum.waiting += u64::from(row.after.iter().any(|need| open.contains(need)));
                }
                BuildState::Delegated { .. } => sum.delegated += 1,
                BuildState::Received { .. } => sum.received += 1,
                BuildState::Blocked { .. } => sum.blocked += 1,
                BuildState::Failed { .. } => sum.failed += 1,
            }
        }
        let mut shown = self.view().sessions;
        shown.retain(|_, counts| counts.total() > 0);
        assert_eq!(shown, sums, "sums equal the rows\n{}", self.tail());
    }

    fn check_held(&mut self) {
        let mut delegated: BTreeMap<String, BTreeSet<Fence>> = BTreeMap::new();
        for row in self.store.all::<BuildRow>() {
            if let Some(assignment) = row.assignment() {
                delegated.entry(assignment.drone.0.clone()).or_default().insert(row.fence());
            }
        }
        let view = self.view();
        let shown = view.drones.iter().map(|(id, drone)| (id.0.clone(), drone.tasks.iter().map(|t| t.fence).collect()));
        let shown: BTreeMap<String, BTreeSet<Fence>> =
            shown.filter(|(_, tasks): &(_, BTreeSet<_>)| !tasks.is_empty()).collect();
        assert_eq!(shown, delegated, "what is delegated is what drones hold\n{}", self.tail());
        for drone in view.drones.values() {
            let now = (drone.row.slots, drone.tasks.len());
            let (slots, held) = self.had.insert(drone.row.name.clone(), now).unwrap_or_default();
            // one that now says it has fewer slots keeps what it has, and gets no more
            let kept =
                if drone.row.slots < slots || held > (slots + self.settings.prefetch) as usize { held } else { 0 };
            let most = kept.max((drone.row.slots + self.settings.prefetch) as usize);
            assert!(drone.tasks.len() <= most, "{} has more than {most}\n{}", drone.row.name, self.tail());
            let swept = drone.tasks.iter().all(|task| !task.sweep) || drone.row.is_sweeper();
            assert!(swept, "only sweepers sweep\n{}", self.tail());
        }
    }

    /// What a reader sees and a restart must not change, a line for each row.
    pub fn outward(&mut self) -> Vec<String> {
        let view = self.view();
        let mut lines = Vec::new();
        for drone in view.drones.values() {
            let mut row = (*drone.row).clone();
            row.last_order = 0;
            let tasks: Vec<_> = drone.tasks.iter().map(|t| (t.fence, t.building_since)).collect();
            lines.push(format!("{row:?} {tasks:?} {} {}", drone.completed, drone.failed));
        }
        let counts = view.sessions.iter().filter(|(_, counts)| counts.total() > 0);
        lines.extend(counts.map(|(session, counts)| format!("session {session}: {counts:?}")));
        lines.push(format!("{:?} {:?} {:?}", view.session, view.paused, view.medians));
        lines.extend(self.store.all::<BuildRow>().iter().map(|row| format!("{row:?}")));
        let published = |row: &ArtifactRow| matches!(row.state, ArtifactState::Published { .. });
        let artifacts = self.store.all::<ArtifactRow>().into_iter().filter(published);
        lines.extend(artifacts.map(|row| format!("{} {} {:?}", row.id, row.cpv, row.pinned)));
        lines
    }

    fn tail(&self) -> &str {
        let mut from = self.transcript.len().saturating_sub(3000);
        while !self.transcript.is_char_boundary(from) {
            from += 1;
        }
        &self.transcript[from..]
    }
}
