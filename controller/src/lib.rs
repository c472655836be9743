//! The controller: plumbing around `swarm-core`. Engine, store, bus, HTTP and the command line; no rule of the
//! domain stands here.

pub mod books;
pub mod bus;
pub mod cli;
pub mod config;
pub mod engine;
pub mod healing;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod notices;
pub mod notify;
pub mod own_log;
pub mod permits;
pub mod program;
pub mod serve;
pub mod store;
