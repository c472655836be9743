//! What is known of the fleet beside its rows: who was heard when, whether we are cut off, what drones have in their hands. A
//! restart forgets it; the next heartbeats say it again.

use std::collections::{BTreeMap, BTreeSet};

use swarm_protocol::DroneId;
use swarm_protocol::report::Heartbeat;

use super::hands::Hands;
use super::pulse::{Presence, Pulse};
use super::syncs::Syncs;
use crate::now::Now;
use crate::settings::Settings;

/// A fleet smaller than this says nothing about us.
const LEAST_FLEET: usize = 3;
/// Events about what a drone should not have said, within [`COMPLAIN_WITHIN`]; one that goes on is not retold for ever.
const COMPLAINTS: u32 = 10;
/// Milliseconds.
const COMPLAIN_WITHIN: u64 = 10 * 60_000;

/// What is soft about the fleet.
#[derive(Debug, Default)]
pub(crate) struct FleetState {
    /// Since when drones are listened to without a gap: our start, or the end of a standstill. On the core's clock.
    listening_since: u64,
    pulses: BTreeMap<DroneId, Pulse>,
    pub(crate) hands: Hands,
    pub(super) syncs: Syncs,
    /// Most of the fleet fell silent at once: nobody is judged.
    cut_off: Option<CutOff>,
    /// Since when, and how often, each drone's misbehaviour was told.
    complaints: BTreeMap<DroneId, (u64, u32)>,
    outlook: Outlook,
}

/// The controller is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CutOff {
    /// Wall clock when that was seen, Unix milliseconds.
    since: u64,
    /// Longest moment of the core's clock up to which nobody is judged.
    until: u64,
    /// Who fell silent and was not heard since.
    pub silent: BTreeSet<DroneId>,
    /// The fleet's size then.
    pub fleet: usize,
}

/// What a look through the whole fleet found to come.
#[derive(Debug, Clone, Default)]
struct Outlook {
    /// When it was taken.
    at: u64,
    /// The oldest heartbeat of the drones online then.
    oldest_beat: Option<u64>,
    /// The first lease to end.
    first_lease: Option<u64>,
    /// The first grounding or impairment to end.
    first_fact: Option<u64>,
    /// The first sync to end, or to be possible again.
    first_sync: Option<u64>,
}

/// What a heartbeat is news of.
pub(super) struct Beat {
    /// It was offline, or never heard.
    pub came_back: bool,
    /// It may be told to end what it is not to have.
    pub clear: bool,
}

impl FleetState {
    /// Nothing is known yet; drones are listened to from now on.
    pub(crate) fn begin(&mut self, now: u64) {
        self.listening_since = now;
    }

    /// We stood still: drones are listened to from now on, and no lease ends before `lease_end`.
    pub(super) fn begin_anew(&mut self, now: u64, lease_end: u64) {
        self.listening_since = now;
        self.hands.extend_all(lease_end);
    }

    /// Nobody is judged before this moment.
    pub(crate) fn grace_end(&self, settings: &Settings) -> u64 {
        self.listening_since + settings.start_grace
    }

    /// What a drone's last heartbeat said; `None` if it was not heard since the start.
    pub(crate) fn pulse(&self, drone: &DroneId) -> Option<&Pulse> {
        self.pulses.get(drone)
    }

    /// Whether its heartbeats are heard.
    pub(crate) fn is_online(&self, drone: &DroneId) -> bool {
        self.pulses.get(drone).is_some_and(|pulse| pulse.presence == Presence::Online)
    }

    /// A supervisor introduced itself; with `restarted` its heartbeats count from 1 again.
    pub(super) fn said_hello(&mut self, drone: &DroneId, now: Now, restarted: bool) {
        let pulse = self.pulses.entry(drone.clone()).or_insert_with(|| Pulse::at(now));
        pulse.last_beat = now.at;
        if restarted {
            pulse.seq = 0;
        }
    }

    /// Whether a heartbeat with this number says anything new: a copy, or one that was overtaken, does not. 0 is an agent that
    /// does not count.
    pub(super) fn is_news(&self, drone: &DroneId, seq: u64) -> bool {
        seq == 0 || seq > self.pulses.get(drone).map_or(0, |pulse| pulse.seq)
    }

    /// A heartbeat came. A drone is told to end what it is not to have no more often than every `gap` milliseconds.
    pub(super) fn beat(&mut self, drone: &DroneId, beat: Heartbeat, now: Now, gap: u64) -> Beat {
        let before = self.pulses.get_mut(drone);
        let cleared = before.as_ref().map_or(0, |pulse| pulse.cleared);
        let came_back = before.as_ref().is_none_or(|pulse| pulse.presence == Presence::Offline);
        let clear = cleared == 0 || now.at >= cleared + gap;
        let pulse = Pulse::of(beat, now, if clear { now.at } else { cleared });
        match before {
            Some(before) => *before = pulse,
            None => drop(self.pulses.insert(drone.clone(), pulse)),
        }
        Beat { came_back, clear }
    }

    /// Drones that are said to be online and were not heard for so long.
    pub(super) fn silent(&self, now: u64, offline_after: u64) -> Vec<DroneId> {
        let silent = |pulse: &Pulse| pulse.presence == Presence::Online && now >= pulse.last_beat + offline_after;
        self.pulses.iter().filter(|(_, pulse)| silent(pulse)).map(|(id, _)| id.clone()).collect()
    }

    /// A drone is offline; returns the wall clock of its last heartbeat, Unix milliseconds.
    pub(super) fn fell_silent(&mut self, drone: &DroneId) -> u64 {
        let Some(pulse) = self.pulses.get_mut(drone) else { return 0 };
        pulse.presence = Presence::Offline;
        pulse.last_wall
    }

    /// Drones are about to be called offline. With those that fell silent within the same span they may be most of the fleet;
    /// returns the cut if it begins now.
    pub(super) fn watch_for_cut(&mut self, silent: &[DroneId], now: Now, settings: &Settings) -> Option<&CutOff> {
        if silent.is_empty() {
            return None;
        }
        let lately = |last: u64| now.at < last + 2 * settings.offline_after;
        let pulses = || self.pulses.iter();
        let fallen = pulses().filter(|(_, pulse)| pulse.presence == Presence::Offline && lately(pulse.last_beat));
        let gone: BTreeSet<DroneId> = fallen.map(|(id, _)| id.clone()).chain(silent.iter().cloned()).collect();
        let fleet = pulses().filter(|(id, pulse)| pulse.presence == Presence::Online || gone.contains(*id)).count();
        if let Some(cut) = &mut self.cut_off {
            cut.silent.extend(gone);
            cut.fleet = cut.fleet.max(fleet);
            return None;
        }
        if fleet < LEAST_FLEET || gone.len() * 2 <= fleet {
            return None;
        }
        let until = now.at + settings.cut_off_hold;
        Some(self.cut_off.insert(CutOff { since: now.wall, until, silent: gone, fleet }))
    }

    /// A drone was heard again: if no more than half are missing, it was we. Returns then how many of how many are back.
    pub(super) fn heard_again(&mut self, drone: &DroneId, lease_end: u64) -> Option<(usize, usize)> {
        let cut = self.cut_off.as_mut()?;
        cut.silent.remove(drone);
        if cut.silent.len() * 2 > cut.fleet {
            return None;
        }
        let (heard, fleet) = (cut.fleet - cut.silent.len().min(cut.fleet), cut.fleet);
        self.judge_again(lease_end);
        Some((heard, fleet))
    }

    /// Nobody came back for so long: whether drones are judged again from now on, one by one.
    pub(super) fn end_hold(&mut self, now: u64, lease_end: u64) -> bool {
        let over = self.cut_off.as_ref().is_some_and(|cut| cut.until <= now);
        if over {
            self.judge_again(lease_end);
        }
        over
    }

    /// Leases begin anew, as after a start: the silence was not theirs.
    fn judge_again(&mut self, lease_end: u64) {
        self.cut_off = None;
        self.hands.renew_all(lease_end);
    }

    /// Whether most of the fleet fell silent at once.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.is_some()
    }

    /// When that was seen, on the wall clock, Unix milliseconds.
    pub(crate) fn cut_off_since(&self) -> Option<u64> {
        self.cut_off.as_ref().map(|cut| cut.since)
    }

    /// Whether one more event about this drone's misbehaviour is to be written. Each is a transaction, and a drone that means
    /// harm would have one for each message.
    pub(crate) fn may_complain(&mut self, drone: &DroneId, now: u64) -> bool {
        let (since, count) = self.complaints.entry(drone.clone()).or_insert((now, 0));
        if now >= *since + COMPLAIN_WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= COMPLAINTS
    }

    /// Looks through the fleet for the moments [`FleetState::next`] answers from. `first_fact` is the first grounding or
    /// impairment to end.
    pub(super) fn look_ahead(&mut self, now: u64, first_fact: Option<u64>) {
        let online = self.pulses.values().filter(|pulse| pulse.presence == Presence::Online);
        self.outlook = Outlook {
            at: now,
            oldest_beat: online.map(|pulse| pulse.last_beat).min(),
            first_lease: self.hands.first_end(),
            first_fact,
            first_sync: self.syncs.next(),
        };
    }

    /// Never later than the next rule is due, and cheap, for it is asked after each batch of inputs: what came after the last
    /// look through the fleet can't be due before its whole time has passed from then on.
    pub(crate) fn next(&self, settings: &Settings, has_drones: bool) -> Option<u64> {
        let outlook = &self.outlook;
        let earlier = |seen: Option<u64>, since: u64| seen.map_or(since, |seen| seen.min(since));
        let silence = (!self.pulses.is_empty())
            .then(|| earlier(outlook.oldest_beat, outlook.at).saturating_add(settings.offline_after));
        let lease =
            (!self.hands.is_empty()).then(|| earlier(outlook.first_lease, outlook.at.saturating_add(settings.lease)));
        let fact = has_drones.then(|| {
            earlier(outlook.first_fact, outlook.at.saturating_add(settings.ground_for.min(settings.impair_for)))
        });
        let sync = (!self.syncs.is_empty())
            .then(|| earlier(outlook.first_sync, outlook.at.saturating_add(Syncs::least(settings))));
        let hold_end = self.cut_off.as_ref().map(|cut| cut.until);
        let lease = lease.map(|at| at.max(hold_end.unwrap_or(0)));
        let judged = silence.into_iter().chain(lease).chain(hold_end).chain(sync);
        let grace_end = self.grace_end(settings);
        judged.map(|at| at.max(grace_end)).chain(fact).min()
    }

    /// A drone is forgotten.
    pub(crate) fn forget(&mut self, drone: &DroneId) {
        self.pulses.remove(drone);
        self.complaints.remove(drone);
        self.syncs.forget(drone);
        self.hands.forget(drone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64) -> Now {
        Now { at, wall: 1_700_000_000_000 + at }
    }

    fn heard(fleet: &mut FleetState, names: &[&str], now: u64) {
        for name in names {
            fleet.beat(&DroneId::from(*name), Heartbeat::default(), at(now), 1_000);
        }
    }

    #[test]
    fn a_heartbeat_that_was_overtaken_says_nothing() {
        let (mut fleet, drone) = (FleetState::default(), DroneId::from("a"));
        let beat = |seq| Heartbeat { seq, ..Heartbeat::default() };
        let first = fleet.beat(&drone, beat(5), at(1_000), 1_000);
        assert!(first.came_back && first.clear);
        assert!(!fleet.is_news(&drone, 5) && fleet.is_news(&drone, 6) && fleet.is_news(&drone, 0));
        let second = fleet.beat(&drone, beat(6), at(1_500), 1_000);
        assert!(!second.came_back && !second.clear, "it was told to end things half a second ago");
        fleet.said_hello(&drone, at(2_000), true);
        assert!(fleet.is_news(&drone, 1), "a supervisor that was started anew counts from 1");
    }

    #[test]
    fn most_of_a_fleet_silent_at_once_is_a_cut_and_half_of_it_is_not() {
        let settings = Settings::default();
        let mut fleet = FleetState::default();
        heard(&mut fleet, &["a", "b", "c", "d"], 0);
        let drones = |names: &[&str]| names.iter().copied().map(DroneId::from).collect::<Vec<_>>();
        assert_eq!(fleet.silent(15_000, 15_000), drones(&["a", "b", "c", "d"]));
        assert!(fleet.watch_for_cut(&drones(&["a", "b"]), at(15_000), &settings).is_none());
        fleet.fell_silent(&DroneId::from("a"));
        fleet.fell_silent(&DroneId::from("b"));
        let cut = fleet.watch_for_cut(&drones(&["c"]), at(16_000), &settings).map(|cut| cut.silent.len());
        assert_eq!((cut, fleet.is_cut_off()), (Some(3), true), "those that fell silent a moment ago count, too");
        fleet.hands.take(&DroneId::from("a"), swarm_protocol::BuildId(1), 20_000);
        assert_eq!(fleet.heard_again(&DroneId::from("a"), 600_000), Some((2, 4)));
        assert_eq!((fleet.is_cut_off(), fleet.hands.first_end()), (false, Some(600_000)));
    }

    #[test]
    fn the_next_wake_is_never_later_than_a_silence_or_the_end_of_a_lease() {
        let settings = Settings { start_grace: 0, ..Settings::default() };
        let mut fleet = FleetState::default();
        assert_eq!(fleet.next(&settings, false), None);
        heard(&mut fleet, &["a"], 1_000);
        fleet.look_ahead(2_000, None);
        assert_eq!(fleet.next(&settings, false), Some(1_000 + settings.offline_after));
        fleet.look_ahead(2_000, Some(3_000));
        assert_eq!(fleet.next(&settings, true), Some(3_000), "a grounding ends");
    }
}
