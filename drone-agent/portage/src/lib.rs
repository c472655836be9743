//! Everything that knows Portage: roots, their state, plans, the emerge line, what its output means and what it leaves.
//!
//! It knows nothing of agents, orders or the bus, and runs no build: who does starts the command line made here. Facts about Portage
//! stand beside the code that relies on them; the integration tests hold them against real Portage 3.0.66.1, 3.0.77,
//! 3.0.82.2 and 3.0.83.
//!
//! From below: [`root`], the type with its paths, [`processes`], and `gpg`, which know nobody · [`mounts`], `script` and
//! [`state`]: inside a root · `own_key` and [`binhost`]: whose packages are trusted · [`layer`], [`emerge`] and [`plan()`]: one
//! build, one plan · [`setup`]: roots are made. [`phases`], [`classify`] and [`gpkg`] read what a build said and left.

pub mod binhost;
mod chroot;
pub mod classify;
pub mod emerge;
mod gpg;
pub mod gpkg;
pub mod layer;
pub mod mounts;
mod own_key;
pub mod phases;
pub mod plan;
pub mod processes;
pub mod root;
mod script;
pub mod setup;
pub mod state;

pub use binhost::{configure_binhost, fingerprint_of};
pub use plan::plan;
pub use root::{RootConfig, RootKind, environment};
pub use setup::{RootSpec, create};
pub use state::inspect;
