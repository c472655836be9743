//! Seeded chance: the same seed gives the same choices, and a failing test prints its seed.

use std::time::Duration;

use swarm_simulation::chance::fresh_seed;

/// One step of splitmix64.
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of choices.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of this run: `SEED` of the environment, else a fresh one.
    pub fn seed() -> u64 {
        let given = std::env::var("SEED").ok().and_then(|text| text.trim().parse().ok());
        given.unwrap_or_else(fresh_seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        step(&mut self.0)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.any() % bound.max(1) as u64).unwrap_or(0)
    }

    /// One of these, which are not none.
    pub fn one_of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.below(some.len())]
    }

    /// A time below `most`.
    pub fn time(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.any() % most)
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::with_capacity(count + 8);
        while out.len() < count {
            out.extend_from_slice(&self.any().to_le_bytes());
        }
        out.truncate(count);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let (mut one, mut two) = (Chance::new(7), Chance::new(7));
        assert!((0..100).all(|_| one.below(10) == two.below(10)));
        assert_ne!(Chance::new(7).any(), Chance::new(8).any());
        assert_eq!(one.bytes(13).len(), 13);
    }
}
