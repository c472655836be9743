//! When what will be built: the queue lived through ahead of time, with learned durations, each drone's speed and slots, and
//! the same order of the line. A pure function of rows and view, for readers; nothing is decided by it. What waits for
//! something blocked, or for drones that are not there, has no forecast.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use swarm_protocol::{BuildId, DroneId, SessionId};

use crate::learned::{ORDINARY, on};
use crate::place::Place;
use crate::queue::lead;
use crate::rows::{BuildRow, BuildState};
use crate::view::{DroneView, Presence, TaskView, View};

/// Between a build's end and the index that lists it, milliseconds.
const PUBLISHING: u64 = 1_000;

/// From now to begin and end, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Until its build begins; 0 for what has begun.
    pub start_ms: u64,
    /// Until its build has ended.
    pub end_ms: u64,
}

/// The whole forecast.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Per entry that has one.
    pub entries: BTreeMap<BuildId, Span>,
    /// Per session the end of the last entry that has one, milliseconds from now.
    pub sessions: BTreeMap<SessionId, u64>,
}

impl Forecast {
    /// Until everything that has a forecast is built, milliseconds; `None` if nothing has.
    pub fn end_ms(&self) -> Option<u64> {
        self.sessions.values().max().copied()
    }
}

/// How long a task will still run on its drone at this wall clock (Unix milliseconds), if it has begun: what it is likely to
/// take in all and has not taken yet. One that takes longer than was thought is given a tenth more.
pub fn remaining_ms(task: &TaskView, default_ms: u64, now: u64) -> u64 {
    let likely = task.estimated_ms.unwrap_or(default_ms);
    let elapsed = task.begun_at.map_or(0, |at| now.saturating_sub(at));
    if elapsed < likely { likely - elapsed } else { (likely / 10).clamp(5_000, 600_000) }
}

/// Lives through what `rows` (all entries of the queue) still have to do. Takes n log n steps for n entries and their edges.
pub fn forecast(rows: &[BuildRow], view: &View, now: u64) -> Forecast {
    let mut days = Days::new(rows, view);
    days.occupy(view, now);
    for node in 0..days.nodes.len() {
        if days.nodes[node].missing == 0 && days.nodes[node].span.is_none() {
            let ready = days.nodes[node].not_before;
            days.later(ready, Happening::Ready(node));
        }
    }
    days.live();
    let mut forecast = Forecast::default();
    for node in &days.nodes {
        let Some(span) = node.span else { continue };
        forecast.entries.insert(node.row.id, span);
        let last = forecast.sessions.entry(node.row.session).or_default();
        *last = (*last).max(span.end_ms);
    }
    forecast
}

struct Node<'a> {
    row: &'a BuildRow,
    usual_ms: u64,
    weight: i64,
    place: Option<usize>,
    missing: usize,
    dependents: Vec<usize>,
    not_before: u64,
    span: Option<Span>,
}

/// Drones that can build the same, those that have a slot free now, and who waits for one.
#[derive(Default)]
struct Yard {
    speeds: BTreeMap<DroneId, u32>,
    free: Vec<(u32, DroneId)>,
    line: BinaryHeap<(i64, Reverse<usize>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Done(usize),
    Free(usize, DroneId),
    Ready(usize),
}

struct Days<'a> {
    nodes: Vec<Node<'a>>,
    yards: Vec<Yard>,
    places: BTreeMap<Place, usize>,
    to_come: BinaryHeap<Reverse<(u64, Happening)>>,
}

fn works(drone: &DroneView) -> bool {
    let row = &drone.row;
    let facts = [&row.paused, &row.draining, &row.drained, &row.grounded, &row.upload_impaired];
    drone.presence == Presence::Online && !row.is_sweeper() && facts.iter().all(|fact| fact.is_none())
}

impl<'a> Days<'a> {
    fn new(rows: &'a [BuildRow], view: &View) -> Self {
        let mut days =
            Self { nodes: Vec::new(), yards: Vec::new(), places: BTreeMap::new(), to_come: BinaryHeap::new() };
        for drone in view.drones.values().filter(|drone| works(drone)) {
            let row = &drone.row;
            let place = Place::of_drone(row);
            let next = days.yards.len();
            let yard = *days.places.entry(place).or_insert(next);
            if yard == next {
                days.yards.push(Yard::default());
            }
            days.yards[yard].speeds.insert(row.id.clone(), drone.speed.unwrap_or(ORDINARY));
        }
        days.take(rows, view);
        days.weigh(view);
        days
    }

    /// Entries that are still to be built, and who waits for whom. What is given up leaves whoever waits for it waiting.
    fn take(&mut self, rows: &'a [BuildRow], view: &View) {
        let open = |row: &&BuildRow| !matches!(row.state, BuildState::Received { .. });
        let places: BTreeMap<BuildId, usize> =
            rows.iter().filter(open).enumerate().map(|(at, row)| (row.id, at)).collect();
        for row in rows.iter().filter(open) {
            let known = row.cp().and_then(|cp| view.medians.get(&cp).copied());
            let usual_ms = known.unwrap_or(view.assumed.default_duration);
            let given_up = matches!(row.state, BuildState::Blocked { .. } | BuildState::Failed { .. });
            let not_before = match row.state {
                BuildState::Needed { not_before } => not_before.saturating_sub(view.now.at),
                _ => 0,
            };
            let place = if given_up { None } else { self.yard_of(row) };
            let missing = row.after.iter().filter(|need| **need != row.id && places.contains_key(need)).count();
            let weight = lead(row, view.assumed.priority_step, view.assumed.age_weight);
            self.nodes.push(Node {
                row,
                usual_ms,
                weight,
                place,
                missing,
                dependents: Vec::new(),
                not_before,
                span: None,
            });
        }
        for (at, row) in rows.iter().filter(open).enumerate() {
            for need in row.after.iter().filter(|need| **need != row.id).filter_map(|need| places.get(need)) {
                self.nodes[*need].dependents.push(at);
            }
        }
    }

    /// Where an entry will be built; what is not planned yet will be planned for the first drones of its profile.
    fn yard_of(&self, row: &BuildRow) -> Option<usize> {
        if !row.is_planned() {
            return self.places.iter().find(|(place, _)| place.profile == row.profile).map(|(_, yard)| *yard);
        }
        self.places.get(&Place::of(row)).copied()
    }

    /// The longest path is added to what priority and age say.
    fn weigh(&mut self, view: &View) {
        let mut missing: Vec<usize> = self.nodes.iter().map(|node| node.missing).collect();
        let mut order: Vec<usize> = (0..self.nodes.len()).filter(|node| missing[*node] == 0).collect();
        let mut at = 0;
        while let Some(node) = order.get(at).copied() {
            at += 1;
            for dependent in self.nodes[node].dependents.clone() {
                missing[dependent] -= 1;
                if missing[dependent] == 0 {
                    order.push(dependent);
                }
            }
        }
        let mut paths = vec![0u64; self.nodes.len()];
        for node in order.into_iter().rev() {
            let behind = self.nodes[node].dependents.iter().map(|next| paths[*next]).max().unwrap_or(0);
            paths[node] = self.nodes[node].usual_ms.saturating_add(behind);
            let path = i64::try_from(paths[node]).unwrap_or(i64::MAX);
            self.nodes[node].weight = self.nodes[node].weight.saturating_add(path);
        }
        if view.paused.is_some() {
            // nothing is given out
            self.nodes.iter_mut().for_each(|node| node.place = None);
        }
    }

    fn later(&mut self, at: u64, what: Happening) {
        self.to_come.push(Reverse((at, what)));
    }

    /// What drones have takes their slots, in the order they will build it.
    fn occupy(&mut self, view: &View, now: u64) {
        let at: BTreeMap<BuildId, usize> = self.nodes.iter().enumerate().map(|(at, node)| (node.row.id, at)).collect();
        for drone in view.drones.values() {
            let mut slots = vec![0u64; drone.row.slots.max(1) as usize];
            for task in &drone.tasks {
                let Some(slot) = slots.iter_mut().min() else { continue };
                let start_ms = *slot;
                *slot += remaining_ms(task, view.assumed.default_duration, now);
                let Some(node) = at.get(&task.fence.build).copied() else { continue };
                let end_ms = *slot;
                self.nodes[node].span = Some(Span { start_ms, end_ms });
                self.later(end_ms, Happening::Done(node));
            }
            let yard = self.yards.iter().position(|yard| yard.speeds.contains_key(&drone.row.id));
            for slot in yard.map(|_| slots).into_iter().flatten() {
                let yard = yard.unwrap_or_default();
                self.later(slot, Happening::Free(yard, drone.row.id.clone()));
            }
        }
    }

    fn live(&mut self) {
        while let Some(Reverse((now, what))) = self.to_come.pop() {
            let mut yards = BTreeSet::from_iter(self.happens(now, what));
            // everything of a moment happens before anything is given out
            while self.to_come.peek().is_some_and(|Reverse((at, _))| *at == now) {
                let Some(Reverse((_, what))) = self.to_come.pop() else { break };
                yards.extend(self.happens(now, what));
            }
            for yard in yards {
                self.give_out(yard, now);
            }
        }
    }

    /// Something happens; returns the yard in which something can be given out now.
    fn happens(&mut self, now: u64, what: Happening) -> Option<usize> {
        match what {
            Happening::Done(node) => {
                for dependent in std::mem::take(&mut self.nodes[node].dependents) {
                    let next = &mut self.nodes[dependent];
                    next.missing = next.missing.saturating_sub(1);
                    if next.missing == 0 && next.span.is_none() {
                        let ready = (now + PUBLISHING).max(next.not_before);
                        self.later(ready, Happening::Ready(dependent));
                    }
                }
                None
            }
            Happening::Free(yard, drone) => {
                let speed = self.yards[yard].speeds.get(&drone).copied().unwrap_or(ORDINARY);
                let free = &mut self.yards[yard].free;
                let place = free.partition_point(|(other, _)| *other < speed);
                free.insert(place, (speed, drone));
                Some(yard)
            }
            Happening::Ready(node) => {
                let yard = self.nodes[node].place?;
                self.yards[yard].line.push((self.nodes[node].weight, Reverse(node)));
                Some(yard)
            }
        }
    }

    /// The fastest of the free drones gets the head of the line.
    fn give_out(&mut self, yard: usize, now: u64) {
        while !self.yards[yard].free.is_empty() {
            let Some((_, Reverse(node))) = self.yards[yard].line.pop() else { return };
            let Some((speed, drone)) = self.yards[yard].free.pop() else { return };
            let end_ms = now.saturating_add(on(self.nodes[node].usual_ms, speed));
            self.nodes[node].span = Some(Span { start_ms: now, end_ms });
            self.later(end_ms, Happening::Done(node));
            self.later(end_ms, Happening::Free(yard, drone));
        }
    }
}
