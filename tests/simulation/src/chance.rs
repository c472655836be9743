//! Chance from a seed: one stream per purpose, so that a new question asked of one does not move the others.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::Millis;

/// A seed nobody has tried, short enough to be typed.
pub fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // processes that begin in the same moment differ
    let moment = since.as_secs() ^ u64::from(since.subsec_nanos()) << 32 ^ u64::from(std::process::id()) << 8;
    ChaCha8Rng::seed_from_u64(moment).next_u64() % 1_000_000_000
}

/// A stream of chance.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a purpose.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(purpose);
        Self(stream)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a million.
    pub fn ppm(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(1_000_000) < u64::from(millionths)
    }

    /// A wait whose length doubles now and then: mostly short, seldom long.
    pub fn spread(&mut self, low: Millis, high: Millis) -> Millis {
        let mut value = low.max(1);
        while value < high && self.below(3) > 0 {
            value = value * 8 / 5 + 1;
        }
        let around = value.min(high).max(1);
        self.between(around / 2, around).max(low)
    }

    /// One of them.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        &all[index]
    }
}
