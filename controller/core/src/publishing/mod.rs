//! The binhost's packages: the way of a file into an index, what people bring, what leaves again. It never touches a file;
//! effects say what is to be done with them, and inputs what became of that.
//!
//! `upload`: ticket, upload, signature · `indexes`: what is written into an index, and what follows · `retention`: what leaves,
//! and how · `import`: packages people bring · `upkeep`: what time and a restart do.
//!
//! `state` holds what is soft: `tickets`, `signing`, `generation` (each index's writing) and `stock` (what finds packages).

mod generation;
mod import;
mod indexes;
mod retention;
mod signing;
mod state;
mod stock;
mod tickets;
mod upkeep;
mod upload;

pub(crate) use state::PublishingState;
