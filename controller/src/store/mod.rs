//! The store: rows on disk, and the way of the events out of it.

pub mod outbox;
