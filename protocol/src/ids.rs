//! Identities. Numbers are given by the controller and never used twice within one store.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl $name {
            /// The identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

number!(
    /// One package's journey through the queue: a queue entry.
    BuildId, u64);
number!(
    /// One try of a build on one drone; counts from 1.
    Attempt, u32);
number!(
    /// A session: the set of packages one person asked for together.
    SessionId, u64);
number!(
    /// A request to a planner.
    PlanId, u64);
number!(
    /// An uploaded binary package.
    ArtifactId, u64);
text!(
    /// A drone's identity: the public half of its nkey (`U…`). Never its name: names change.
    DroneId);
text!(
    /// One run of one agent process; random, new at every start.
    InstanceId);
text!(
    /// One life of the controller's store; random, renewed when a store is restored from a copy.
    StoreId);

/// A secret on its way to whom it is for. Printing it prints nothing of it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Secret {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret()" } else { "Secret(…)" })
    }
}

/// What every build order carries and every report about it repeats: a report with another fence than the current one is
/// answered "superseded" and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The build.
    pub build: BuildId,
    /// Which try of it.
    pub attempt: Attempt,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.build, self.attempt)
    }
}

impl std::str::FromStr for Fence {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (build, attempt) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { build: BuildId(build.parse()?), attempt: Attempt(attempt.parse()?) })
    }
}
