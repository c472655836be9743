//! The rules of the score, each with its name and a sentence. `score` gives the points.

/// A named rule of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreRule {
    /// How fast it was compared with others.
    Speed,
    /// Fast drones are kept for long packages.
    BigForBig,
    /// Little load and pressure.
    Calm,
    /// Enough memory for what the package is known to take, and not much more.
    MemoryFit,
    /// It has what the build would otherwise have to fetch or compile again.
    Warm,
    /// It succeeded lately.
    Trust,
    /// It can begin soon.
    Soon,
}

impl ScoreRule {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Speed, Self::BigForBig, Self::Calm, Self::MemoryFit, Self::Warm, Self::Trust, Self::Soon];

    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::BigForBig => "big-for-big",
            Self::Calm => "calm",
            Self::MemoryFit => "memory-fit",
            Self::Warm => "warm",
            Self::Trust => "trust",
            Self::Soon => "soon",
        }
    }

    /// What it means, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::Speed => "how fast it was on packages others have built, too; by its processors until that is known",
            Self::BigForBig => {
                "keeps fast drones for long packages: takes the speed off again, and more, if this one is short"
            }
            Self::Calm => "minus load per processor and pressure (PSI some avg60)",
            Self::MemoryFit => "keeps drones with much memory for packages that need it",
            Self::Warm => "built this package lately, has its sources or a compiler cache",
            Self::Trust => "minus failures in a row that were the drone's fault",
            Self::Soon => "minus the time until it is likely to begin",
        }
    }
}

/// Points of one rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points {
    /// The rule they come from.
    pub rule: ScoreRule,
    /// Higher is better; below 0 speaks against the drone.
    pub points: i64,
}
