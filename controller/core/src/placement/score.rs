//! Which of the eligible drones: a sum of named rules.

/// A named rule of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreRule {
    /// More processors are faster.
    Cores,
    /// Little load and pressure.
    Calm,
    /// Enough memory for what the package is known to take, and not much more.
    MemoryFit,
    /// It succeeded lately.
    Trust,
}

impl ScoreRule {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Calm => "calm",
            Self::MemoryFit => "memory-fit",
            Self::Trust => "trust",
        }
    }

    /// What it means, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::Cores => "processors, up to 64",
            Self::Calm => "minus load per processor and pressure (PSI some avg60)",
            Self::MemoryFit => "keeps drones with much memory for packages that need it",
            Self::Trust => "minus failures in a row that were the drone's fault",
        }
    }
}

/// Points of one rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points {
    /// Which.
    pub rule: ScoreRule,
    /// How many.
    pub points: i64,
}
