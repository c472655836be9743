//! Puts plans together from their chunks. Pure: no bus, no engine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use swarm_protocol::plan::{CHUNK, MAX_CHUNKS, Plan, PlanAnswer, PlanChunk};
use swarm_protocol::{DroneId, PlanId};

/// Bytes of unfinished plans of all drones.
const MAX_HELD: usize = 128 << 20;
/// A plan that has not gone on for so long makes room for another; its planner begins anew.
const STUCK: Duration = Duration::from_secs(30);

/// What to do after a chunk.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Answer at once.
    Answer(PlanAnswer),
    /// The plan is whole; ask the engine, and tell [`Plans::answered`].
    Whole { plan: PlanId, attempt: u32, result: Box<Plan> },
}

/// One plan per drone: a planner works on one at a time.
#[derive(Debug, Default)]
pub(super) struct Plans {
    drones: BTreeMap<DroneId, State>,
}

#[derive(Debug)]
enum State {
    Partial {
        key: (PlanId, u32, u32, String),
        next: u32,
        bytes: Vec<u8>,
        at: Instant,
    },
    /// The last chunk may be repeated because our answer was lost.
    Done {
        plan: PlanId,
        attempt: u32,
        answer: PlanAnswer,
    },
}

impl Plans {
    /// Takes a chunk that came at `now`.
    pub(super) fn take(&mut self, drone: &DroneId, chunk: PlanChunk, now: Instant) -> Step {
        let refused = |reason: &str| Step::Answer(PlanAnswer::Refused { reason: reason.to_owned() });
        if chunk.chunks == 0 || chunk.chunks > MAX_CHUNKS || chunk.chunk >= chunk.chunks || chunk.bytes.len() > CHUNK {
            return refused("a plan is 1 to 64 chunks of at most 512 KiB");
        }
        if let Some(State::Done { plan, attempt, answer }) = self.drones.get(drone)
            && (*plan, *attempt) == (chunk.plan, chunk.attempt)
        {
            return Step::Answer(answer.clone());
        }
        let key = (chunk.plan, chunk.attempt, chunk.chunks, chunk.sha256.clone());
        if chunk.chunk == 0 {
            self.drones.remove(drone);
            self.drones.retain(|_, state| match state {
                State::Partial { at, .. } => now.saturating_duration_since(*at) < STUCK,
                State::Done { .. } => true,
            });
            if self.held() + chunk.chunks as usize * CHUNK > MAX_HELD {
                return refused("too many plans at a time");
            }
            self.drones.insert(drone.clone(), State::Partial { key: key.clone(), next: 0, bytes: Vec::new(), at: now });
        }
        match self.drones.get_mut(drone) {
            Some(State::Partial { key: known, next, bytes, at }) if *known == key => {
                if chunk.chunk < *next {
                    return Step::Answer(PlanAnswer::Next {});
                }
                if chunk.chunk > *next {
                    return refused("a chunk before this one is missing");
                }
                bytes.extend_from_slice(&chunk.bytes);
                *at = now;
                *next += 1;
                if *next < chunk.chunks {
                    return Step::Answer(PlanAnswer::Next {});
                }
            }
            _ => return refused("the first chunks of this plan are missing"),
        }
        let Some(State::Partial { bytes, .. }) = self.drones.remove(drone) else { return refused("no plan") };
        if hex::encode(Sha256::digest(&bytes)) != chunk.sha256 {
            return refused("the plan's SHA-256 is another one");
        }
        match decode(&bytes) {
            Ok(result) => Step::Whole { plan: chunk.plan, attempt: chunk.attempt, result: Box::new(result) },
            Err(reason) => refused(&format!("not a plan: {reason}")),
        }
    }

    /// What the engine said, for repeats.
    pub(super) fn answered(&mut self, drone: &DroneId, plan: PlanId, attempt: u32, answer: PlanAnswer) {
        self.drones.insert(drone.clone(), State::Done { plan, attempt, answer });
    }

    /// Room taken by unfinished plans, at their full size.
    fn held(&self) -> usize {
        let size = |state: &State| match state {
            State::Partial { key, .. } => key.2 as usize * CHUNK,
            State::Done { .. } => 0,
        };
        self.drones.values().map(size).sum()
    }
}

/// Reads a whole plan. It may be larger than a message, so the bound of `swarm_protocol::decode` does not apply.
fn decode(bytes: &[u8]) -> Result<Plan, String> {
    let mut rest = bytes;
    let plan = Plan::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).map_err(|error| error.to_string())?;
    if rest.is_empty() { Ok(plan) } else { Err(format!("{} bytes after its end", rest.len())) }
}

#[cfg(test)]
mod tests {
    use swarm_protocol::plan::PlannedPackage;
    use swarm_protocol::{InstanceId, StoreId};

    use super::*;

    /// A plan of more than one chunk.
    fn plan() -> Plan {
        let package = |n: u32| PlannedPackage { cpv: format!("dev-libs/long-name-{n}-1.0"), ..Default::default() };
        Plan { packages: (0..12_000).map(package).collect(), ..Plan::default() }
    }

    fn chunks(plan: &Plan) -> Vec<PlanChunk> {
        let bytes = rmp_serde::to_vec_named(plan).unwrap();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let pieces: Vec<_> = bytes.chunks(CHUNK).collect();
        let chunk = |(n, piece): (usize, &&[u8])| PlanChunk {
            instance: InstanceId::from("i"),
            store_id: StoreId::from("s"),
            plan: PlanId(5),
            attempt: 1,
            chunk: n as u32,
            chunks: pieces.len() as u32,
            sha256: sha256.clone(),
            bytes: piece.to_vec(),
        };
        pieces.iter().enumerate().map(chunk).collect()
    }

    fn is_refused(step: &Step) -> bool {
        matches!(step, Step::Answer(PlanAnswer::Refused { .. }))
    }

    #[test]
    fn chunks_in_order_with_repeats_become_the_plan() {
        let (mut plans, drone, plan, now) = (Plans::default(), DroneId::from("UA"), plan(), Instant::now());
        let chunks = chunks(&plan);
        assert!(chunks.len() > 2);
        for chunk in &chunks[..chunks.len() - 1] {
            for _ in 0..2 {
                assert_eq!(plans.take(&drone, chunk.clone(), now), Step::Answer(PlanAnswer::Next {}));
            }
        }
        let last = chunks.last().unwrap();
        let whole = Step::Whole { plan: PlanId(5), attempt: 1, result: Box::new(plan) };
        assert!(plans.take(&drone, last.clone(), now) == whole);
        plans.answered(&drone, PlanId(5), 1, PlanAnswer::Durable {});
        assert_eq!(plans.take(&drone, last.clone(), now), Step::Answer(PlanAnswer::Durable {}));
    }

    #[test]
    fn gaps_mixtures_and_lies_are_refused() {
        let (drone, chunks, now) = (DroneId::from("UA"), chunks(&plan()), Instant::now());
        let mut plans = Plans::default();
        assert!(is_refused(&plans.take(&drone, chunks[1].clone(), now)));
        plans.take(&drone, chunks[0].clone(), now);
        assert!(is_refused(&plans.take(&drone, chunks[2].clone(), now)));
        assert!(is_refused(&plans.take(&drone, PlanChunk { attempt: 2, ..chunks[1].clone() }, now)));
        assert!(is_refused(&plans.take(&drone, PlanChunk { chunks: MAX_CHUNKS + 1, ..chunks[0].clone() }, now)));
        assert!(is_refused(&plans.take(&drone, PlanChunk { chunks: 0, ..chunks[0].clone() }, now)));
        let lie = PlanChunk { chunks: 1, ..chunks[0].clone() };
        assert!(is_refused(&plans.take(&drone, lie, now)));
        let sha256 = hex::encode(Sha256::digest(b"\xc1"));
        let junk = PlanChunk { chunks: 1, sha256, bytes: b"\xc1".to_vec(), ..chunks[0].clone() };
        assert!(is_refused(&plans.take(&drone, junk, now)));
    }

    #[test]
    fn all_drones_together_hold_a_bounded_amount() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        let first = PlanChunk { chunks: MAX_CHUNKS, ..chunks(&plan())[0].clone() };
        let taken =
            (0..100).filter(|n| !is_refused(&plans.take(&DroneId(format!("U{n}")), first.clone(), now))).count();
        assert_eq!(taken, MAX_HELD / (MAX_CHUNKS as usize * CHUNK));
        // those that do not go on make room
        assert!(is_refused(&plans.take(&DroneId::from("UX"), first.clone(), now + STUCK / 2)));
        assert!(!is_refused(&plans.take(&DroneId::from("UX"), first, now + STUCK)));
    }
}
