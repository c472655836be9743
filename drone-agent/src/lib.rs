//! The drone's agent: supervisor, worker and attempt processes around `drone-core`, and the builder (Portage).

pub mod attempt;
pub mod bus;
pub mod config;
pub mod portage;
pub mod spool;
pub mod supervisor;
pub mod upload;
pub mod vitals;
pub mod watch;
pub mod worker;
