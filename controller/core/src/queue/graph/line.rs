//! Lines: one per place, of the entries that wait for nothing but a drone, the weightiest first; and beside each the blocked
//! entries a sweeper may still try.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use swarm_protocol::{BuildId, SessionId};

use super::Graph;
use crate::place::Place;

/// Where an entry stands.
#[derive(Debug, Clone, Default)]
pub(super) enum At {
    /// In no line: it is planned, delegated or given up.
    #[default]
    Nowhere,
    /// It waits for others.
    Waiting,
    /// In the line of its place.
    Ready { place: Arc<Place>, weight: i64 },
    /// In a backoff, on its way into the line of its place.
    Delayed { place: Arc<Place>, until: u64 },
    /// Blocked; a sweeper of its place may try it.
    Swept { place: Arc<Place>, weight: i64 },
}

/// The line of one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    ready: BTreeSet<(Reverse<i64>, BuildId)>,
    swept: BTreeSet<(Reverse<i64>, BuildId)>,
    /// Value of the graph's counter when an entry was last added.
    grown: u64,
}

impl Graph {
    /// Notes whether an entry waits for others; tells whether that is news.
    pub(crate) fn mark_waiting(&mut self, id: BuildId, waits: bool) -> bool {
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        match (&node.at, waits) {
            (At::Waiting, false) => node.at = At::Nowhere,
            (At::Waiting, true) | (_, false) => return false,
            (_, true) => {
                self.withdraw(id);
                self.node(id).at = At::Waiting;
            }
        }
        true
    }

    /// Puts an entry in the line of its place, or keeps it out of it until `not_before`.
    pub(crate) fn line_up(&mut self, id: BuildId, place: Place, not_before: u64, now: u64) {
        self.withdraw(id);
        let place = self.shared(place);
        self.stand(id, place, not_before, now);
    }

    fn stand(&mut self, id: BuildId, place: Arc<Place>, not_before: u64, now: u64) {
        let node = self.node(id);
        let (weight, session) = (node.weight(), node.session);
        if not_before > now {
            node.at = At::Delayed { place, until: not_before };
            self.delayed.insert((not_before, id));
        } else {
            node.at = At::Ready { place: Arc::clone(&place), weight };
            self.grown += 1;
            let line = self.lines.entry(place).or_default();
            line.ready.insert((Reverse(weight), id));
            line.grown = self.grown;
        }
        *self.lined.entry(session).or_default() += 1;
    }

    /// Shows a blocked entry to the sweepers of its place.
    pub(crate) fn offer_to_sweepers(&mut self, id: BuildId, place: Place) {
        self.withdraw(id);
        let place = self.shared(place);
        let node = self.node(id);
        let weight = node.weight();
        node.at = At::Swept { place: Arc::clone(&place), weight };
        self.lines.entry(place).or_default().swept.insert((Reverse(weight), id));
    }

    fn shared(&self, place: Place) -> Arc<Place> {
        self.lines.get_key_value(&place).map_or_else(|| Arc::new(place), |(known, _)| Arc::clone(known))
    }

    /// Takes an entry out of every line.
    pub(crate) fn withdraw(&mut self, id: BuildId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if matches!(node.at, At::Nowhere | At::Waiting) {
            return;
        }
        let session = node.session;
        match std::mem::take(&mut node.at) {
            At::Nowhere | At::Waiting => return,
            At::Ready { place, weight } => {
                self.leave_line(&place, |line| line.ready.remove(&(Reverse(weight), id)));
            }
            At::Swept { place, weight } => {
                return self.leave_line(&place, |line| line.swept.remove(&(Reverse(weight), id)));
            }
            At::Delayed { until, .. } => drop(self.delayed.remove(&(until, id))),
        }
        if let Some(count) = self.lined.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                self.lined.remove(&session);
            }
        }
    }

    fn leave_line(&mut self, place: &Arc<Place>, leave: impl FnOnce(&mut Line) -> bool) {
        let Some(line) = self.lines.get_mut(place) else { return };
        leave(line);
        if line.ready.is_empty() && line.swept.is_empty() {
            self.lines.remove(place);
        }
    }

    /// An entry's weight may be another one: it takes its new place in the line.
    pub(super) fn reweigh(&mut self, id: BuildId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let new = node.weight();
        let (At::Ready { place, weight } | At::Swept { place, weight }) = &mut node.at else { return };
        let old = std::mem::replace(weight, new);
        let place = Arc::clone(place);
        let swept = matches!(node.at, At::Swept { .. });
        let Some(line) = self.lines.get_mut(&place) else { return };
        let set = if swept { &mut line.swept } else { &mut line.ready };
        set.remove(&(Reverse(old), id));
        set.insert((Reverse(new), id));
    }

    /// Entries whose backoff is over join the line; tells whether any did.
    pub(crate) fn promote(&mut self, now: u64) -> bool {
        let mut any = false;
        while let Some((at, id)) = self.delayed.first().copied() {
            if at > now {
                break;
            }
            let Some(At::Delayed { place, .. }) = self.nodes.get(&id).map(|node| node.at.clone()) else {
                self.delayed.pop_first();
                continue;
            };
            self.withdraw(id);
            self.stand(id, place, 0, now);
            any = true;
        }
        any
    }

    /// When the next backoff ends.
    pub(crate) fn next(&self) -> Option<u64> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// The entry behind another one in the line of a place, with its weight; the first behind none. The other one may have
    /// left meanwhile.
    pub(crate) fn after(&self, place: &Place, last: Option<(i64, BuildId)>) -> Option<(i64, BuildId)> {
        let line = &self.lines.get(place)?.ready;
        let next = match last {
            None => line.first(),
            Some((weight, id)) => line.range((Bound::Excluded((Reverse(weight), id)), Bound::Unbounded)).next(),
        };
        next.map(|(Reverse(weight), id)| (*weight, *id))
    }

    /// Blocked entries of a place that sweepers may try, first first.
    pub(crate) fn swept(&self, place: &Place) -> impl Iterator<Item = BuildId> {
        self.lines.get(place).into_iter().flat_map(|line| &line.swept).map(|(_, id)| *id)
    }

    /// Rises with each entry added to the line of a place.
    pub(crate) fn grown(&self, place: &Place) -> u64 {
        self.lines.get(place).map_or(0, |line| line.grown)
    }

    /// The first of all lines together, by weight.
    pub(crate) fn head(&self, count: usize) -> Vec<BuildId> {
        let mut first: Vec<_> = self.lines.values().flat_map(|line| line.ready.iter().take(count)).collect();
        first.sort_unstable();
        first.into_iter().take(count).map(|(_, id)| *id).collect()
    }

    /// The line of a place, first first.
    pub(crate) fn line(&self, place: &Place) -> impl Iterator<Item = BuildId> {
        self.lines.get(place).into_iter().flat_map(|line| &line.ready).map(|(_, id)| *id)
    }

    /// Places that have a line, with the first of each.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&Place, BuildId)> {
        self.lines.iter().filter_map(|(place, line)| Some((place.as_ref(), line.ready.first()?.1)))
    }

    /// Whether an entry stands in a line.
    pub(crate) fn is_ready(&self, id: BuildId) -> bool {
        self.nodes.get(&id).is_some_and(|node| matches!(node.at, At::Ready { .. }))
    }

    /// Whether anything is ready.
    pub(crate) fn has_ready(&self) -> bool {
        self.lines.values().any(|line| !line.ready.is_empty())
    }

    /// Whether a sweeper may try anything.
    pub(crate) fn has_swept(&self) -> bool {
        self.lines.values().any(|line| !line.swept.is_empty())
    }

    /// Whether an entry of a session stands in a line or in a backoff.
    pub(crate) fn has_lined(&self, session: SessionId) -> bool {
        self.lined.contains_key(&session)
    }
}

impl super::Node {
    /// By what the line is ordered: the path and what age and priority add to it.
    fn weight(&self) -> i64 {
        i64::try_from(self.path).unwrap_or(i64::MAX).saturating_add(self.lead)
    }
}
