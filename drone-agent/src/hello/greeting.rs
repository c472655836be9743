//! When a hello is said. Decides the moments and the waits; saying it is the caller's.

use std::time::Duration;

/// When hello is said: after each connection, again when asked for, and with growing waits until it is answered with a
/// welcome. At most one is on its way.
#[derive(Debug, Default)]
pub struct Greeting {
    out: bool,
    again: bool,
    /// It was not answered with a welcome, and waits to be said again.
    waits: bool,
    failures: u32,
}

impl Greeting {
    /// Hello is due; `true`: say it now.
    pub fn due(&mut self) -> bool {
        if self.out {
            self.again = true;
            return false;
        }
        self.out = true;
        self.waits = false;
        true
    }

    /// Somebody else asks for it; `true`: say it now. Where one has just failed, its own wait goes first: orders come many times a
    /// second, and a machine whose Portage is broken is not to be asked as often.
    pub fn wanted(&mut self) -> bool {
        !self.waits && self.due()
    }

    /// It was answered with a welcome; `true`: say it again at once, for something changed meanwhile.
    pub fn welcomed(&mut self) -> bool {
        self.out = false;
        self.failures = 0;
        std::mem::take(&mut self.again)
    }

    /// It was not; how long to wait before it is due again.
    pub fn failed(&mut self) -> Duration {
        self.out = false;
        self.again = false;
        self.waits = true;
        self.failures = (self.failures + 1).min(6);
        Duration::from_millis((250u64 << self.failures).min(10_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_said_once_at_a_time_and_again_if_something_changed() {
        let mut greeting = Greeting::default();
        assert!(greeting.due());
        assert!(!greeting.due(), "one is on its way");
        assert!(greeting.welcomed(), "the bus came back meanwhile");
        assert!(greeting.due());
        assert!(!greeting.welcomed());
    }

    #[test]
    fn orders_do_not_hurry_a_hello_that_failed() {
        let mut greeting = Greeting::default();
        assert!(greeting.wanted());
        greeting.failed();
        assert!(!greeting.wanted(), "its wait is not over");
        assert!(greeting.due());
        assert!(!greeting.wanted(), "one is on its way");
        assert!(greeting.welcomed());
        assert!(greeting.wanted());
    }

    #[test]
    fn an_unwelcome_hello_waits_ever_longer_up_to_ten_seconds() {
        let mut greeting = Greeting::default();
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                assert!(greeting.due());
                u64::try_from(greeting.failed().as_millis()).unwrap()
            })
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }
}
