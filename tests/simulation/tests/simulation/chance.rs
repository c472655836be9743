//! Chance: streams that repeat themselves, waits within their bounds.

use swarm_simulation::chance::Chance;

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
