//! Roots, plans and attempts with real Portage on the demo repository. Needs what `make test` sets up below `.tools/`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod building;
mod chroot;
mod ending;
mod farm;
mod planning;
mod rooting;
mod standing_in;
