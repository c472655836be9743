//! The drone's agent: supervisor, worker and attempt processes around `drone-core` and `swarm-portage`.
//!
//! Three kinds of process from one binary: [`supervisor`] never builds and always answers, [`worker`] takes orders,
//! [`attempt`] is the parent of one emerge and outlives both. [`healing`] is for a drone that does not work.

pub mod attempt;
pub mod bond;
pub mod bus;
pub mod cli;
pub mod config;
pub mod healing;
pub mod hello;
pub mod join;
pub mod machine;
pub mod machine_type;
pub mod program;
pub mod spool;
pub mod supervisor;
pub mod upload;
pub mod vitals;
pub mod worker;
