//! The façade against engine, store, logs and binhost of the tests' own: shapes, access, errors, streams.

mod access;
mod admin;
mod binhost;
mod errors;
mod members;
mod metrics;
mod shapes;
mod streams;
mod uploads;
pub(crate) mod world;
