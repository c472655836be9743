//! The rules from outside: as tables, as stories and as random journeys, on a [`farm`] in which time, disks and messages are
//! values. One program, since what all of them use takes longer to compile than they do.

/// The story up to here is the one a reviewer has read.
macro_rules! golden {
    ($farm:expr) => {
        insta::assert_snapshot!($farm.transcript);
    };
}

mod binhost;
mod configure;
mod farm;
mod forecast;
mod healing;
mod hostile;
mod members;
mod properties;
mod regressions;
mod scale;
mod scenarios;
mod scheduling;
mod tables;
mod together;
