//! Everything that knows Portage: roots, their state, plans, the emerge line, what its output means and what it leaves.
//!
//! Nothing here runs a build: `attempt` does, with the command line made here. The worker calls [`plan`] and [`state`],
//! `swarm up` and the drone's installation call [`root`]. Facts about Portage stand beside the code that relies on them;
//! the integration tests hold them against real Portage 3.0.66.1, 3.0.77, 3.0.82.2 and 3.0.83.

pub mod binhost;
mod chroot;
pub mod classify;
pub mod emerge;
pub mod gpkg;
pub mod layer;
pub mod mounts;
mod own_key;
pub mod phases;
pub mod plan;
pub mod root;
mod script;
pub mod state;

pub use binhost::{configure_binhost, fingerprint_of};
pub use plan::plan;
pub use root::{RootConfig, RootKind, RootSpec, create, environment};
pub use state::inspect;
