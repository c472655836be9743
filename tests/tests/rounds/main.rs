//! Two hundred bad moments in a row: a SIGKILL to the controller, a supervisor, a worker, an attempt or the nats-server, while
//! stand-in builds run on. Afterwards everything is built, every acknowledged result counted once, every event told once.
//!
//! `ROUNDS=n` or `MINUTES=n` make it longer, `SEED=n` repeats the choices of a run (not its timing, which is the machine's).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;
use swarm_tests::{Bus, Chance, Feed, Setup, Swarm, Tapper, Times, processes, until};

mod checks;

/// Rounds if nothing else is said.
const ROUNDS: usize = 200;
/// Drones; more of them, and two cores have nothing left for the controller.
const DRONES: usize = 6;
/// Longest pause before the next kill.
const PAUSE: Duration = Duration::from_millis(900);
/// Parts that may be recovering at one time; the rest builds on.
const AT_ONCE: usize = 4;
/// Nothing may take longer to work again; a worker killed again and again waits up to 30 s by rule.
const AGAIN: Duration = Duration::from_secs(90);
/// How long what is queued at the end may take.
const DRAIN: Duration = Duration::from_secs(240);

/// Short times, so that a round is short. What is a drone's fault is a matter of course here and must not ground it.
const RULES: &str = "heartbeat = \"500ms\"\ninstance_fresh = \"800ms\"\noffline_after = \"5s\"\nresend_order = \"1s\"\n\
                     drone_retry_after = \"0s\"\nfailures_to_ground = 1000000\ndrone_failures_to_block = 1000000\n\
                     fleet_backoff = \"1s\"\nfleet_failures_to_block = 1000000\nuploads_to_impair = 1000000";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Controller,
    Supervisor,
    Worker,
    Attempt,
    Server,
}

const VICTIMS: [Victim; 5] = [Victim::Controller, Victim::Supervisor, Victim::Worker, Victim::Attempt, Victim::Server];

/// Something that was killed and does not work again yet.
#[derive(Debug)]
struct Wound {
    victim: Victim,
    since: Instant,
    /// The drone, if it is one's part.
    drone: Option<String>,
    cure: Cure,
}

/// By what it is known that it works again.
#[derive(Debug)]
enum Cure {
    /// An event committed after this moment (Unix milliseconds) reached the tapper.
    Event { after: u64 },
    /// A worker that was not there before was welcomed: the log grew by that line.
    Welcome { log_from: u64 },
    /// The package of the killed attempt is being built again, or was done in the moment of the kill.
    Built { fence: String },
}

struct Rounds {
    swarm: Swarm,
    chance: Chance,
    tapper: Tapper,
    wounds: Vec<Wound>,
    times: BTreeMap<Victim, Times>,
    done: usize,
    /// Rows of the history by their numbers, gathered while they come: one answer holds at most 2000.
    history: BTreeMap<u64, Value>,
}

#[test]
fn two_hundred_kills_lose_nothing_and_double_nothing() -> Result<()> {
    let seed = Chance::seed();
    let rounds = number("ROUNDS").unwrap_or(if number("MINUTES").is_some() { usize::MAX } else { ROUNDS });
    let until = number("MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes as u64));
    println!("seed {seed} (SEED={seed} makes the same choices)");
    play(seed, rounds, until).with_context(|| format!("seed {seed}"))
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.trim().parse().ok()
}

/// A package of some size that takes some time; each twelfth fails.
fn atom(seed: u64, number: u64) -> String {
    let mut chance = Chance::new(seed ^ number.wrapping_mul(0x9e37_79b9));
    let (ms, kib) = (100 + chance.below(1_400), 4 + chance.below(200));
    let fails = if number % 12 == 11 { FAILS } else { "" };
    format!("=stand-in/p{number}_ms{ms}_kb{kib}{fails}-1")
}

/// The word in the names of packages that fail.
const FAILS: &str = "_fails";

fn play(seed: u64, rounds: usize, until: Option<Instant>) -> Result<()> {
    let swarm = Setup {
        drones: DRONES,
        stand_in: true,
        rules: RULES.to_owned(),
        // what was answered to a drone is told by its log; the end of this test compares
        drone: "log = \"info,drone_agent::worker::hands=debug\"".to_owned(),
        ..Setup::default()
    };
    let swarm = swarm.start()?;
    let bus = Bus::as_controller(&swarm)?;
    let tapper = bus.tap()?;
    let feed = Feed::start(swarm.http.clone(), 3 * DRONES as u64, 8, move |number| atom(seed, number));
    let mut rounds_played = Rounds {
        swarm,
        chance: Chance::new(seed),
        tapper,
        wounds: Vec::new(),
        times: BTreeMap::new(),
        done: 0,
        history: BTreeMap::new(),
    };
    let began = Instant::now();
    rounds_played.play(rounds, until)?;
    let took = began.elapsed();
    let wanted = feed.stop()?;
    rounds_played.drain()?;
    rounds_played.gather()?;
    let Rounds { mut swarm, tapper, times, done, history, .. } = rounds_played;
    println!(
        "{done} rounds in {:.0} s, {} packages built; until it works again after the kill of a",
        took.as_secs_f64(),
        wanted.len()
    );
    for (victim, times) in &times {
        println!("  {:<10} {times}", format!("{victim:?}").to_lowercase());
    }
    swarm.none_ended()?;
    checks::every_package_came_to_its_end_once(&swarm, &history, &wanted)?;
    checks::every_answer_was_kept(&mut swarm, &history)?;
    checks::nothing_ran_twice(&swarm)?;
    checks::every_event_was_told_once(&swarm, &bus, &tapper)?;
    checks::every_package_is_published(&swarm, &wanted)?;
    checks::nothing_is_left_behind(&mut swarm)
}

impl Rounds {
    fn play(&mut self, rounds: usize, until: Option<Instant>) -> Result<()> {
        let mut next = Instant::now();
        while self.done < rounds && until.is_none_or(|end| Instant::now() < end) {
            self.look()?;
            if Instant::now() >= next && self.wounds.len() < AT_ONCE {
                let victim = *self.chance.one_of(&VICTIMS);
                if self.strike(victim)? {
                    self.done += 1;
                    if self.done.is_multiple_of(100) {
                        self.gather_when_it_answers()?;
                    }
                    next = Instant::now() + self.chance.time(PAUSE);
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        swarm_tests::until("everything to work again", 2 * AGAIN, || {
            self.look()?;
            Ok(self.wounds.is_empty().then_some(()))
        })
    }

    /// Kills; `false` if there is nothing of the kind to kill now.
    fn strike(&mut self, victim: Victim) -> Result<bool> {
        if self.wounds.iter().any(|wound| wound.victim == victim && wound.drone.is_none()) {
            return Ok(false);
        }
        let since = Instant::now();
        let (drone, cure) = match victim {
            Victim::Controller => {
                self.swarm.kill_controller()?;
                let after = wall_ms();
                self.swarm.spawn_controller()?;
                (None, Cure::Event { after })
            }
            Victim::Server => {
                let Ok(pid) = self.swarm.nats_pid() else { return Ok(false) };
                processes::signal(pid, Signal::SIGKILL)?;
                (None, Cure::Event { after: wall_ms() })
            }
            Victim::Supervisor | Victim::Worker | Victim::Attempt => {
                let is_whole = |name: &String| !self.wounds.iter().any(|wound| wound.drone.as_ref() == Some(name));
                let mut whole: Vec<String> = self.swarm.names().into_iter().filter(is_whole).collect();
                if victim == Victim::Attempt {
                    whole.retain(|name| !self.swarm.drone(name).attempts().is_empty());
                }
                if whole.is_empty() {
                    return Ok(false);
                }
                let name = self.chance.one_of(&whole).clone();
                let Some(cure) = self.strike_drone(victim, &name)? else { return Ok(false) };
                (Some(name), cure)
            }
        };
        self.wounds.push(Wound { victim, since, drone, cure });
        Ok(true)
    }

    fn strike_drone(&mut self, victim: Victim, name: &str) -> Result<Option<Cure>> {
        let drone = self.swarm.drone(name);
        let log_from = drone.log_end();
        match victim {
            Victim::Supervisor => {
                drone.kill_supervisor()?;
                drone.start()?;
                Ok(Some(Cure::Welcome { log_from }))
            }
            Victim::Worker => {
                let Some(pid) = drone.worker_pid() else { return Ok(None) };
                // it may have ended in this moment, by itself or with its supervisor
                Ok(processes::signal(pid, Signal::SIGKILL).ok().map(|()| Cure::Welcome { log_from }))
            }
            Victim::Attempt | Victim::Controller | Victim::Server => {
                let Some(pid) = drone.attempts().first().copied() else { return Ok(None) };
                let Some(fence) =
                    processes::command(pid).and_then(|command| command.rsplit('/').next().map(str::to_owned))
                else {
                    return Ok(None);
                };
                Ok(processes::signal(pid, Signal::SIGKILL).ok().map(|()| Cure::Built { fence }))
            }
        }
    }

    /// Looks what works again.
    fn look(&mut self) -> Result<()> {
        self.swarm.none_ended()?;
        let mut open = Vec::new();
        for wound in std::mem::take(&mut self.wounds) {
            if self.is_cured(&wound)? {
                self.times.entry(wound.victim).or_default().add(wound.since.elapsed());
            } else if wound.since.elapsed() > AGAIN {
                bail!("round {}: {wound:?} does not work again{}", self.done, self.swarm.logs());
            } else {
                open.push(wound);
            }
        }
        self.wounds = open;
        Ok(())
    }

    fn is_cured(&mut self, wound: &Wound) -> Result<bool> {
        match &wound.cure {
            Cure::Event { after } => Ok(self.tapper.last().is_some_and(|event| event.at > *after)),
            Cure::Welcome { log_from } => {
                let name = wound.drone.as_deref().context("a drone's wound")?;
                let new = self.swarm.drone(name).log_since(*log_from)?;
                let fresh = new.lines().skip_while(|line| !line.contains("the worker runs"));
                Ok(fresh.into_iter().any(|line| line.contains("welcome store=")))
            }
            Cure::Built { fence } => {
                let (build, attempt) = split(fence)?;
                let journal = self.swarm.stand_in().journal()?;
                let later = journal
                    .iter()
                    .any(|entry| split(&entry.fence).is_ok_and(|(other, later)| other == build && later > attempt));
                let is_over = |row: &Value| {
                    row["build"].as_u64() == Some(build)
                        && row["attempt"].as_u64() == Some(attempt)
                        && row["class"] != "agent_lost"
                };
                // it had its result already, and the kill came too late
                Ok(later
                    || self
                        .swarm
                        .http
                        .get("/api/v1/history?limit=100")
                        .is_ok_and(|page| page["history"].as_array().is_some_and(|rows| rows.iter().any(is_over))))
            }
        }
    }

    fn gather(&mut self) -> Result<()> {
        let page = self.swarm.http.get("/api/v1/history?limit=2000")?;
        for row in page["history"].as_array().context("history is a list")? {
            self.history.insert(row["id"].as_u64().context("a number")?, row.clone());
        }
        Ok(())
    }

    fn gather_when_it_answers(&mut self) -> Result<()> {
        until("the controller to answer", AGAIN, || Ok(self.gather().ok()))
    }

    /// Everything that was asked for is built.
    fn drain(&mut self) -> Result<()> {
        let drained = until("everything to be built", DRAIN, || {
            self.swarm.none_ended()?;
            let Ok(status) = self.swarm.http.get("/api/v1/status") else { return Ok(None) };
            Ok((status["queue_depth"].as_u64() == Some(0)).then_some(()))
        });
        drained.map_err(|error| error.context(self.swarm.logs()))
    }
}

fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn split(fence: &str) -> Result<(u64, u64)> {
    let (build, attempt) = fence.split_once('.').with_context(|| format!("{fence} is no fence"))?;
    Ok((build.parse()?, attempt.parse()?))
}
