//! What controller and agent both need and what is not the wire: tasks that are watched, signals, the service manager, files
//! that appear whole, errors on one line.
//!
//! It knows nothing of builds, drones or packages, and decides nothing. A module is here because both programs use it; a function
//! beside its kin may have one user (`docs/adr/0010-one-room-for-both.md`). The cores never use it: it reads clocks and files.
//!
//! [`watch`]: the one place that spawns · [`stop`]: TERM and INT · [`notify`]: words to the service manager · [`throttle`]: seldom
//! what may come often · [`clock`]: the wall clock · [`errors`]: an error with its causes · [`files`]: whole or not there ·
//! [`process`]: what `/proc` says of one.

pub mod clock;
pub mod errors;
pub mod files;
pub mod notify;
pub mod process;
pub mod stop;
pub mod throttle;
pub mod watch;
