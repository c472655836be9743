//! What becomes of a message on its way: how long it takes, whether it comes, and how often.

use super::chance::Chance;
use super::{Millis, SECOND};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Drone to controller.
    Up,
    /// Controller to drone.
    Down,
}

/// The state of one drone's link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkState {
    /// Nothing gets through upwards.
    pub cut_up: bool,
    /// Nothing gets through downwards.
    pub cut_down: bool,
    /// Longest extra delay.
    pub slow: Millis,
}

/// The network.
pub(super) struct Network {
    chance: Chance,
    /// Losses per million.
    pub drop_ppm: u32,
    /// Copies per million.
    pub double_ppm: u32,
    /// Longest delay of an ordinary message.
    pub delay: Millis,
    /// The bus itself is away.
    pub down: bool,
    pub links: Vec<LinkState>,
}

impl Network {
    pub(super) fn new(chance: Chance, drones: usize) -> Self {
        Self { chance, drop_ppm: 0, double_ppm: 0, delay: 5, down: false, links: vec![LinkState::default(); drones] }
    }

    /// Delays of the copies that arrive; none if it is lost.
    pub(super) fn route(&mut self, drone: usize, way: Way) -> Vec<Millis> {
        let link = self.links[drone];
        let cut = match way {
            Way::Up => link.cut_up,
            Way::Down => link.cut_down,
        };
        if self.down || cut || self.chance.ppm(self.drop_ppm) {
            return Vec::new();
        }
        let mut copies = vec![self.delay_of(link)];
        if self.chance.ppm(self.double_ppm) {
            copies.push(self.delay_of(link) + self.chance.below(30 * SECOND));
        }
        copies
    }

    /// Whether a request would find nobody: the bus answers that at once.
    pub(super) fn is_cut(&self, drone: usize) -> bool {
        self.down || self.links[drone].cut_down || self.links[drone].cut_up
    }

    fn delay_of(&mut self, link: LinkState) -> Millis {
        let extra = if link.slow > 0 { self.chance.below(link.slow) } else { 0 };
        1 + self.chance.below(self.delay.max(1)) + extra
    }
}
