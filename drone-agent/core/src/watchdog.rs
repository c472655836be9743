//! When a supervisor ends and starts its worker. One restarter per level: this one acts on the worker
//! alone, and running attempts live on whatever it does.
//!
//! Decides; never touches a process. The supervisor carries out the [`Act`]s.

use swarm_protocol::machine::WorkerState;

use crate::Millis;

/// The numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// No answer for so long is a hung worker, milliseconds.
    pub silence_ms: Millis,
    /// From TERM to KILL, milliseconds.
    pub grace_ms: Millis,
    /// First wait before a worker that ended early is started again; doubles.
    pub backoff_min_ms: Millis,
    /// Longest such wait.
    pub backoff_max_ms: Millis,
    /// A worker that lived so long did not end early.
    pub stable_ms: Millis,
    /// So many early ends or hangs in a row, and it is failing.
    pub failing_after: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            silence_ms: 10_000,
            grace_ms: 3_000,
            backoff_min_ms: 1_000,
            backoff_max_ms: 30_000,
            stable_ms: 60_000,
            failing_after: 3,
        }
    }
}

/// What happened to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Its process exists.
    Started,
    /// It answered.
    Answered,
    /// Its process is gone and reaped, or could not be started.
    Exited,
    /// It is to end and not to be started again.
    Stop,
    /// By order: it is asked to end, and started.
    Restart,
    /// By order: it is ended at once, what it left half-made is removed, and it is started.
    HardRestart,
    /// [`Act::Sweep`] is over, well or not.
    Swept,
}

/// What is to be done to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Act {
    /// Start it.
    Start,
    /// Remove what the last one left half-made; then [`Sign::Swept`].
    Sweep,
    /// Ask it to end.
    Terminate,
    /// End it and everything it started for itself; running attempts are not among that.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// No process; start it at `at`.
    Down { at: Millis },
    /// No process; what the last one left half-made is being removed.
    Sweeping,
    /// Being started, or running and silent since the start.
    Starting { since: Millis },
    /// It answered last at `heard`.
    Alive { since: Millis, heard: Millis },
    /// It was asked to end and will be killed at `kill_at`.
    Terminated { kill_at: Millis, hung: bool },
    /// It was killed.
    Killed { hung: bool },
    /// Ended for good.
    Over,
}

/// Watches one worker.
#[derive(Debug, Clone)]
pub struct Watchdog {
    bounds: Bounds,
    life: Life,
    backoff: Millis,
    stopping: bool,
    /// When the last one was started.
    started: Millis,
    /// Lives in a row that were short.
    short: u32,
    /// It ends because it was to be started anew.
    ordered: bool,
    /// What it leaves is removed before the next start.
    sweep: bool,
}

impl Watchdog {
    /// A watchdog without a worker; the first [`Watchdog::wake`] starts one.
    pub fn new(now: Millis, bounds: Bounds) -> Self {
        Self {
            bounds,
            life: Life::Down { at: now },
            backoff: 0,
            stopping: false,
            started: now,
            short: 0,
            ordered: false,
            sweep: false,
        }
    }

    /// A sign of the worker.
    pub fn handle(&mut self, now: Millis, sign: Sign) -> Option<Act> {
        match (sign, self.life) {
            (Sign::Answered, Life::Starting { since } | Life::Alive { since, .. }) => {
                self.life = Life::Alive { since, heard: now };
                if now >= since + self.bounds.stable_ms {
                    self.short = 0;
                }
                None
            }
            (Sign::Exited, Life::Over | Life::Down { .. } | Life::Sweeping) => None,
            (Sign::Swept, Life::Sweeping) => Some(self.start(now)),
            (Sign::Exited, life) => {
                self.exited(now, life);
                self.wake(now)
            }
            (Sign::Restart | Sign::HardRestart, _) if self.stopping => None,
            (Sign::Restart, life) => self.restart(now, life),
            (Sign::HardRestart, life) => self.hard_restart(now, life),
            (Sign::Stop, life) => {
                self.stopping = true;
                match life {
                    Life::Down { .. } | Life::Sweeping | Life::Over => {
                        self.life = Life::Over;
                        None
                    }
                    Life::Starting { .. } | Life::Alive { .. } => Some(self.terminate(now, false)),
                    Life::Terminated { .. } | Life::Killed { .. } => None,
                }
            }
            (Sign::Started | Sign::Answered | Sign::Swept, _) => None,
        }
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Millis) -> Option<Act> {
        match self.life {
            Life::Down { at } if at <= now => {
                if std::mem::take(&mut self.sweep) {
                    self.life = Life::Sweeping;
                    return Some(Act::Sweep);
                }
                Some(self.start(now))
            }
            Life::Starting { since: heard } | Life::Alive { heard, .. } if heard + self.bounds.silence_ms <= now => {
                Some(self.terminate(now, true))
            }
            Life::Terminated { kill_at, hung } if kill_at <= now => {
                self.life = Life::Killed { hung };
                Some(Act::Kill)
            }
            Life::Down { .. }
            | Life::Sweeping
            | Life::Starting { .. }
            | Life::Alive { .. }
            | Life::Terminated { .. }
            | Life::Killed { .. }
            | Life::Over => None,
        }
    }

    /// When [`Watchdog::wake`] is wanted next.
    pub fn next_wake(&self) -> Option<Millis> {
        match self.life {
            Life::Down { at } => Some(at),
            Life::Starting { since: heard } | Life::Alive { heard, .. } => Some(heard + self.bounds.silence_ms),
            Life::Terminated { kill_at, .. } => Some(kill_at),
            Life::Sweeping | Life::Killed { .. } | Life::Over => None,
        }
    }

    /// The worker as heartbeats show it.
    pub fn state(&self) -> WorkerState {
        let failing = self.short >= self.bounds.failing_after;
        match self.life {
            Life::Terminated { hung: true, .. } | Life::Killed { hung: true } => WorkerState::Hung,
            Life::Starting { .. } | Life::Alive { .. } | Life::Down { .. } | Life::Sweeping if failing => {
                WorkerState::Failing
            }
            Life::Starting { .. } => WorkerState::Starting,
            Life::Alive { .. } => WorkerState::Alive,
            Life::Down { .. } | Life::Sweeping | Life::Terminated { .. } | Life::Killed { .. } | Life::Over => {
                WorkerState::Down
            }
        }
    }

    /// Whether it was told to stop and the worker is gone.
    pub fn is_over(&self) -> bool {
        self.life == Life::Over
    }

    fn start(&mut self, now: Millis) -> Act {
        self.life = Life::Starting { since: now };
        self.started = now;
        Act::Start
    }

    fn exited(&mut self, now: Millis, life: Life) {
        if self.stopping {
            self.life = Life::Over;
            return;
        }
        if std::mem::take(&mut self.ordered) {
            (self.backoff, self.short) = (0, 0);
            self.life = Life::Down { at: now };
            return;
        }
        // one that hangs soon after each start fails as much as one that ends
        let stable = now >= self.started + self.bounds.stable_ms;
        self.short = if stable { 0 } else { self.short.saturating_add(1) };
        let lived = match life {
            Life::Alive { since, .. } => now.saturating_sub(since),
            Life::Terminated { hung: true, .. } | Life::Killed { hung: true } => self.bounds.stable_ms,
            _ => 0,
        };
        self.life = Life::Down { at: now + self.wait(lived) };
    }

    /// What was counted against the worker so far is forgotten: it gets a new chance.
    fn restart(&mut self, now: Millis, life: Life) -> Option<Act> {
        match life {
            Life::Down { .. } => {
                (self.backoff, self.short) = (0, 0);
                self.life = Life::Down { at: now };
                self.wake(now)
            }
            Life::Starting { .. } | Life::Alive { .. } => {
                self.ordered = true;
                Some(self.terminate(now, false))
            }
            Life::Terminated { .. } | Life::Killed { .. } => {
                self.ordered = true;
                None
            }
            Life::Sweeping | Life::Over => None,
        }
    }

    fn hard_restart(&mut self, now: Millis, life: Life) -> Option<Act> {
        self.sweep = !matches!(life, Life::Sweeping | Life::Over);
        match life {
            Life::Starting { .. } | Life::Alive { .. } | Life::Terminated { .. } => {
                self.ordered = true;
                self.life = Life::Killed { hung: false };
                Some(Act::Kill)
            }
            Life::Down { .. } | Life::Sweeping | Life::Killed { .. } | Life::Over => self.restart(now, life),
        }
    }

    fn terminate(&mut self, now: Millis, hung: bool) -> Act {
        self.life = Life::Terminated { kill_at: now + self.bounds.grace_ms, hung };
        Act::Terminate
    }

    /// How long to wait before the next start: nothing after a long life, doubling after short ones.
    fn wait(&mut self, lived: Millis) -> Millis {
        if lived >= self.bounds.stable_ms {
            self.backoff = 0;
        }
        let wait = self.backoff;
        self.backoff = (self.backoff * 2).clamp(self.bounds.backoff_min_ms, self.bounds.backoff_max_ms);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive() -> Watchdog {
        let mut dog = Watchdog::new(0, Bounds::default());
        assert_eq!(dog.wake(0), Some(Act::Start));
        assert_eq!(dog.state(), WorkerState::Starting);
        assert_eq!(dog.handle(5, Sign::Started), None);
        assert_eq!(dog.handle(100, Sign::Answered), None);
        assert_eq!(dog.state(), WorkerState::Alive);
        dog
    }

    /// Its end, and when the next one is started.
    fn ends_and_starts(dog: &mut Watchdog, now: Millis) -> Millis {
        if dog.handle(now, Sign::Exited) == Some(Act::Start) {
            return now;
        }
        let at = dog.next_wake().unwrap();
        assert_eq!(dog.wake(at), Some(Act::Start));
        at
    }

    #[test]
    fn a_silent_worker_is_terminated_killed_and_started_within_the_bound() {
        let mut dog = alive();
        assert_eq!(dog.wake(10_099), None);
        assert_eq!(dog.next_wake(), Some(10_100));
        assert_eq!(dog.wake(10_100), Some(Act::Terminate));
        assert_eq!(dog.state(), WorkerState::Hung);
        assert_eq!(dog.wake(13_099), None);
        assert_eq!(dog.wake(13_100), Some(Act::Kill));
        assert_eq!(dog.wake(99_000), None, "a killed worker is waited for, not killed again");
        assert_eq!(dog.handle(13_200, Sign::Exited), Some(Act::Start));
    }

    #[test]
    fn a_worker_that_keeps_ending_is_started_ever_later() {
        let mut dog = alive();
        let mut now = 100;
        let mut waits = Vec::new();
        for _ in 0..8 {
            match dog.handle(now, Sign::Exited) {
                Some(act) => {
                    assert_eq!(act, Act::Start);
                    waits.push(0);
                }
                None => {
                    let at = dog.next_wake().unwrap();
                    waits.push(at - now);
                    assert_eq!(dog.wake(at - 1), None);
                    assert_eq!(dog.wake(at), Some(Act::Start));
                    now = at;
                }
            }
        }
        assert_eq!(waits, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(dog.handle(now + 1, Sign::Answered), None);
        assert_eq!(dog.handle(now + 70_000, Sign::Exited), Some(Act::Start), "a long life resets the wait");
    }

    #[test]
    fn a_worker_silent_from_the_start_is_replaced_too() {
        let mut dog = Watchdog::new(0, Bounds::default());
        assert_eq!(dog.wake(0), Some(Act::Start));
        assert_eq!(dog.wake(10_000), Some(Act::Terminate));
    }

    #[test]
    fn a_worker_that_keeps_ending_or_hanging_soon_after_its_start_is_failing_until_it_lives_for_a_minute() {
        let mut dog = alive();
        let mut now = 1_000;
        for ends in 1..=3 {
            assert_ne!(dog.state(), WorkerState::Failing, "after {} short lives", ends - 1);
            now = ends_and_starts(&mut dog, now) + 500;
            assert_eq!(dog.handle(now, Sign::Answered), None);
        }
        assert_eq!(dog.state(), WorkerState::Failing, "also while it lives for a moment");
        now += 10_000;
        assert_eq!(dog.wake(now), Some(Act::Terminate));
        assert_eq!(dog.state(), WorkerState::Hung, "what it is just now is the more exact word");
        assert_eq!(dog.handle(now, Sign::Exited), Some(Act::Start));
        assert_eq!(dog.state(), WorkerState::Failing, "hanging soon after the start counts, too");
        assert_eq!(dog.handle(now + 59_000, Sign::Answered), None);
        assert_eq!(dog.state(), WorkerState::Failing);
        assert_eq!(dog.handle(now + 60_000, Sign::Answered), None);
        assert_eq!(dog.state(), WorkerState::Alive);
    }

    #[test]
    fn a_restart_by_order_is_graceful_at_once_and_a_new_chance() {
        let mut dog = alive();
        assert_eq!(dog.handle(1_000, Sign::Restart), Some(Act::Terminate));
        assert_eq!(dog.handle(1_100, Sign::Restart), None, "it is being ended already");
        assert_eq!(dog.wake(4_000), Some(Act::Kill), "one that does not heed it is killed");
        assert_eq!(dog.handle(4_100, Sign::Exited), Some(Act::Start));
        let mut now = 4_100;
        for _ in 0..3 {
            now = ends_and_starts(&mut dog, now);
        }
        assert_eq!(dog.handle(now, Sign::Exited), None);
        assert_eq!(dog.state(), WorkerState::Failing);
        assert!(dog.next_wake().unwrap() > now + 1_000, "it would wait");
        assert_eq!(dog.handle(now + 1, Sign::Restart), Some(Act::Start), "an order does not wait");
        assert_eq!(dog.state(), WorkerState::Starting, "and nothing is held against the new one");
    }

    #[test]
    fn a_hard_restart_kills_at_once_and_sweeps_before_the_next_start() {
        let mut dog = alive();
        assert_eq!(dog.handle(1_000, Sign::HardRestart), Some(Act::Kill));
        assert_eq!(dog.handle(1_001, Sign::HardRestart), None, "it is killed already");
        assert_eq!(dog.handle(1_100, Sign::Exited), Some(Act::Sweep));
        assert_eq!(
            (dog.next_wake(), dog.handle(1_110, Sign::HardRestart)),
            (None, None),
            "nothing before that is done"
        );
        assert_eq!(dog.handle(1_150, Sign::Swept), Some(Act::Start));
        assert_eq!(dog.handle(1_160, Sign::Swept), None);
        assert_eq!(dog.handle(1_200, Sign::Exited), Some(Act::Start), "swept once");
        assert_eq!(dog.wake(11_200), Some(Act::Terminate));
        assert_eq!(dog.handle(11_300, Sign::HardRestart), Some(Act::Kill), "one that hangs in its end, too");
        assert_eq!(dog.handle(11_400, Sign::Exited), Some(Act::Sweep));
        assert_eq!(dog.handle(11_500, Sign::Stop), None, "told to end meanwhile");
        assert_eq!(dog.handle(11_600, Sign::Swept), None);
        assert!(dog.is_over());
    }

    #[test]
    fn a_drone_that_ends_starts_no_worker_by_order() {
        let mut dog = alive();
        assert_eq!(dog.handle(200, Sign::Stop), Some(Act::Terminate));
        assert_eq!((dog.handle(201, Sign::Restart), dog.handle(202, Sign::HardRestart)), (None, None));
        assert_eq!(dog.handle(300, Sign::Exited), None);
        assert!(dog.is_over());
    }

    #[test]
    fn a_stopped_worker_is_not_started_again() {
        let mut dog = alive();
        assert_eq!(dog.handle(200, Sign::Stop), Some(Act::Terminate));
        assert_eq!(dog.handle(201, Sign::Stop), None);
        assert_eq!(dog.wake(3_200), Some(Act::Kill));
        assert_eq!(dog.handle(3_300, Sign::Exited), None);
        assert!(dog.is_over());
        assert_eq!((dog.wake(99_999), dog.next_wake()), (None, None));
    }

    #[test]
    fn an_answer_of_a_worker_that_was_told_to_end_changes_nothing() {
        let mut dog = alive();
        assert_eq!(dog.wake(10_100), Some(Act::Terminate));
        assert_eq!(dog.handle(10_200, Sign::Answered), None);
        assert_eq!(dog.state(), WorkerState::Hung);
        assert_eq!(dog.wake(13_100), Some(Act::Kill));
    }
}
