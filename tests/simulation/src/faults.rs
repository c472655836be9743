//! What goes wrong, when: a timetable drawn from the seed before the journey begins.

use super::chance::Chance;
use super::{HOUR, MINUTE, Millis, SECOND};

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Nothing: a healthy fleet.
    Calm,
    /// A bad day.
    Rough,
    /// Everything at once.
    Storm,
}

/// Something that goes wrong, or right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The controller dies; how, in its next batches.
    ControllerCrash { mode: u8, away: Millis },
    /// A drone loses power and is up again after a while.
    PowerCut { drone: usize, away: Millis },
    /// The supervisor of a drone dies.
    SupervisorCrash { drone: usize },
    /// The worker dies.
    WorkerCrash { drone: usize },
    /// The worker hangs.
    WorkerHangs { drone: usize },
    /// The worker dies again and again, for a while.
    CrashLoop { drone: usize, away: Millis },
    /// The supervisor dies and nobody starts it, for a while.
    Unmanned { drone: usize, away: Millis },
    /// Nothing gets through, one way or both, for a while.
    Cut { drone: usize, up: bool, down: bool, away: Millis },
    /// Most of the fleet is cut off.
    Split { away: Millis },
    /// Messages of a drone are slow.
    Slow { drone: usize, by: Millis, away: Millis },
    /// The bus is away.
    BusDown { away: Millis },
    /// Loss and copies, per million, for a while.
    Noise { drop_ppm: u32, double_ppm: u32, away: Millis },
    /// A disk is full for a while.
    DiskFull { drone: usize, away: Millis },
    /// The controller's wall clock jumps.
    ClockJump { by: i64 },
    /// Somebody syncs the ebuild repository of a drone by hand: others of its base have an older one now.
    SyncedByHand { drone: usize },
    /// It is over.
    Over(Ended),
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    CrashLoop(usize),
    Unmanned(usize),
    Cut(usize),
    Split,
    Slow(usize),
    Bus,
    Noise,
    Disk(usize),
    Controller,
}

/// The timetable of a journey of that length.
pub(super) fn timetable(chance: &mut Chance, weather: Weather, drones: usize, length: Millis) -> Vec<(Millis, Fault)> {
    let every = match weather {
        Weather::Calm => return Vec::new(),
        Weather::Rough => 4 * MINUTE,
        Weather::Storm => 45 * SECOND,
    };
    let mut faults = stretch(chance, every, drones, length);
    // of more drones more break; controller, bus and network are there once in any fleet
    let more = drones as u64 / FEW;
    if let Some(every) = every.checked_div(more) {
        let of_one = |fault: &Fault| {
            use Fault::{BusDown, ClockJump, ControllerCrash, Noise, Split};
            !matches!(fault, ControllerCrash { .. } | Split { .. } | BusDown { .. } | Noise { .. } | ClockJump { .. })
        };
        faults.extend(stretch(chance, every, drones, length).into_iter().filter(|(_, fault)| of_one(fault)));
    }
    faults
}

/// Drones that have faults enough by the weather alone.
const FEW: u64 = 50;

fn stretch(chance: &mut Chance, every: Millis, drones: usize, length: Millis) -> Vec<(Millis, Fault)> {
    let mut faults = Vec::new();
    let mut at = MINUTE;
    loop {
        at += chance.spread(every / 8, every * 3);
        if at >= length {
            return faults;
        }
        faults.push((at, draw(chance, drones)));
    }
}

fn draw(chance: &mut Chance, drones: usize) -> Fault {
    let drone = usize::try_from(chance.below(drones as u64)).unwrap_or(0);
    let away = chance.spread(2 * SECOND, 20 * MINUTE);
    match chance.below(21) {
        0..3 => Fault::ControllerCrash {
            mode: u8::try_from(chance.below(4)).unwrap_or(0),
            away: chance.spread(SECOND, 5 * MINUTE),
        },
        3..5 => Fault::PowerCut { drone, away },
        5 => Fault::SupervisorCrash { drone },
        6..8 => Fault::WorkerCrash { drone },
        8 => Fault::WorkerHangs { drone },
        9 => Fault::CrashLoop { drone, away },
        10 => Fault::Unmanned { drone, away },
        11..14 => match chance.below(3) {
            0 => Fault::Cut { drone, up: true, down: false, away },
            1 => Fault::Cut { drone, up: false, down: true, away },
            _ => Fault::Cut { drone, up: true, down: true, away },
        },
        14 => Fault::Split { away: chance.spread(10 * SECOND, 10 * MINUTE) },
        15 => Fault::Slow { drone, by: chance.spread(100, 20 * SECOND), away },
        16 => Fault::BusDown { away: chance.spread(SECOND, 2 * MINUTE) },
        17 => Fault::Noise {
            drop_ppm: u32::try_from(chance.below(200_000)).unwrap_or(0),
            double_ppm: u32::try_from(chance.below(100_000)).unwrap_or(0),
            away,
        },
        18 => Fault::DiskFull { drone, away },
        19 => Fault::SyncedByHand { drone },
        _ => {
            let hours = chance.between(1, 30).cast_signed() * HOUR.cast_signed();
            Fault::ClockJump { by: if chance.below(2) == 0 { hours } else { -hours } }
        }
    }
}
