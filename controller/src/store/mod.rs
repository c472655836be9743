//! store

pub mod outbox;
