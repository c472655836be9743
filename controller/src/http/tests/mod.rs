//! The façade against engine, store, logs and binhost of the tests' own: shapes, access, errors, streams.

mod access;
mod binhost;
mod errors;
mod members;
mod shapes;
mod streams;
mod uploads;
mod world;
