//! Chance from a seed: one stream per purpose, so that a new question asked of one does not move the others.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::Millis;

/// A stream of chance.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a purpose.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(purpose);
        Self(stream)
    }

    /// Below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a million.
    pub(super) fn ppm(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(1_000_000) < u64::from(millionths)
    }

    /// A wait whose length doubles now and then: mostly short, seldom long.
    pub(super) fn spread(&mut self, low: Millis, high: Millis) -> Millis {
        let mut value = low.max(1);
        while value < high && self.below(3) > 0 {
            value = value * 8 / 5 + 1;
        }
        let around = value.min(high).max(1);
        self.between(around / 2, around).max(low)
    }

    /// One of them.
    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        &all[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_each_repeats_itself() {
        let first = |seed, purpose| Chance::new(seed, purpose).below(u64::MAX);
        assert_eq!(first(7, 1), first(7, 1));
        assert_ne!(first(7, 1), first(7, 2));
        assert_ne!(first(7, 1), first(8, 1));
    }

    #[test]
    fn a_spread_wait_keeps_its_bounds() {
        let mut chance = Chance::new(1, 1);
        for _ in 0..2_000 {
            let wait = chance.spread(50, 5_000);
            assert!((50..=5_000).contains(&wait), "{wait}");
        }
    }
}
